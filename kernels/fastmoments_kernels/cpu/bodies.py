"""The bodies of the elementwise loops: what is computed of a chunk, an array x with inputs in its first rows.

Functions of one neuron compute in the arrays' dtype, float32 or float64; those of pairs and of the bivariate normal
in packs of float64. Outputs go to the rows after the inputs.
"""

from collections.abc import Callable
from typing import Any

from fastmoments_kernels.cpu.memory import column
from fastmoments_kernels.cpu.packs import LANES, load_pack, load_packs, store_pack, store_packs
from fastmoments_kernels.formulas import identity as formula  # `bind` exchanges it for an activation's
from fastmoments_kernels.formulas.bivariate_normal import (
    bivariate_cdf,
    bivariate_cdf_partials,
    bivariate_route,
    log_bivariate_cdf,
    log_bivariate_cdf_partials,
)

Array = Any  # an array in code that Numba compiles

INPUTS = 2  # bound per ufunc
PARAMETERS: tuple[float, ...] = ()


def _one(x: Array, i: int) -> Any:
    return formula.neuron(x[0, i], x[1, i], column(PARAMETERS, x, 2, 1, i))


def _pair(x: Array, i: int) -> Any:
    first = formula.neuron(load_pack(x, 0, i), load_pack(x, 2, i), load_packs(PARAMETERS, x, 5, 2, i))
    second = formula.neuron(load_pack(x, 1, i), load_pack(x, 3, i), load_packs(PARAMETERS, x, 6, 2, i))
    return first, second, load_pack(x, 4, i)


def _limits(x: Array, i: int) -> Any:
    return load_pack(x, 0, i), load_pack(x, 1, i), load_pack(x, 2, i)


def _mean(x: Array, count: int, slack: float) -> None:
    for i in range(count):
        x[INPUTS, i] = formula.mean(_one(x, i))


def _var(x: Array, count: int, slack: float) -> None:
    for i in range(count):
        x[INPUTS, i] = formula.var(_one(x, i))


def _gain(x: Array, count: int, slack: float) -> None:
    for i in range(count):
        x[INPUTS, i] = formula.gain(_one(x, i))


def _marginals(x: Array, count: int, slack: float) -> None:
    for i in range(count):
        neuron = _one(x, i)
        x[INPUTS, i] = formula.mean(neuron)
        x[INPUTS + 1, i] = formula.var(neuron)


def _mean_dvar(x: Array, count: int, slack: float) -> None:
    for i in range(count):
        x[INPUTS, i] = formula.mean_dvar(_one(x, i))


def _var_partials(x: Array, count: int, slack: float) -> None:
    for i in range(count):
        x[INPUTS, i], x[INPUTS + 1, i] = formula.var_partials(_one(x, i))


def _mean_dparameters(x: Array, count: int, slack: float) -> None:
    for i in range(count):
        values = formula.mean_dparameters(_one(x, i))
        for k in range(len(PARAMETERS)):
            x[INPUTS + k, i] = values[k]


def _var_dparameters(x: Array, count: int, slack: float) -> None:
    for i in range(count):
        values = formula.var_dparameters(_one(x, i))
        for k in range(len(PARAMETERS)):
            x[INPUTS + k, i] = values[k]


def _cov(x: Array, count: int, slack: float) -> None:
    for i in range(0, count, LANES):
        first, second, cov_12 = _pair(x, i)
        store_pack(x, INPUTS, i, formula.cov(first, second, cov_12, slack))


def _cov_partials(x: Array, count: int, slack: float) -> None:
    for i in range(0, count, LANES):
        first, second, cov_12 = _pair(x, i)
        store_pack(x, INPUTS, i, formula.cov_10(first, second, cov_12, slack))
        store_pack(x, INPUTS + 1, i, formula.cov_10(second, first, cov_12, slack))
        store_pack(x, INPUTS + 2, i, 0.5 * formula.cov_20(first, second, cov_12, slack))
        store_pack(x, INPUTS + 3, i, 0.5 * formula.cov_20(second, first, cov_12, slack))
        store_pack(x, INPUTS + 4, i, formula.product_11(first, second, cov_12, slack))


def _cov_dparameters(x: Array, count: int, slack: float) -> None:
    for i in range(0, count, LANES):
        first, second, cov_12 = _pair(x, i)
        store_packs(x, INPUTS, 2, i, formula.cov_dparameters(first, second, cov_12, slack))
        store_packs(x, INPUTS + 1, 2, i, formula.cov_dparameters(second, first, cov_12, slack))


def routes(x: Array, count: int, slack: float) -> None:
    for i in range(0, count, LANES):
        first, second, cov_12 = _pair(x, i)
        store_pack(x, INPUTS, i, formula.route(first, second, cov_12, slack))


def _cdf(x: Array, count: int, slack: float) -> None:
    for i in range(0, count, LANES):
        h, k, rho = _limits(x, i)
        store_pack(x, INPUTS, i, bivariate_cdf(h, k, rho))


def _log_cdf(x: Array, count: int, slack: float) -> None:
    for i in range(0, count, LANES):
        h, k, rho = _limits(x, i)
        store_pack(x, INPUTS, i, log_bivariate_cdf(h, k, rho))


def _cdf_partials(x: Array, count: int, slack: float) -> None:
    for i in range(0, count, LANES):
        h, k, rho = _limits(x, i)
        store_packs(x, INPUTS, 1, i, bivariate_cdf_partials(h, k, rho))


def _log_cdf_partials(x: Array, count: int, slack: float) -> None:
    for i in range(0, count, LANES):
        h, k, rho = _limits(x, i)
        store_packs(x, INPUTS, 1, i, log_bivariate_cdf_partials(h, k, rho))


def cdf_routes(x: Array, count: int, slack: float) -> None:
    for i in range(0, count, LANES):
        h, k, rho = _limits(x, i)
        store_pack(x, INPUTS, i, bivariate_route(h, k, rho))


BODIES: dict[str, Callable[..., None]] = {
    "mean": _mean,
    "var": _var,
    "gain": _gain,
    "marginals": _marginals,
    "mean_dvar": _mean_dvar,
    "var_partials": _var_partials,
    "mean_dparameters": _mean_dparameters,
    "var_dparameters": _var_dparameters,
    "cov": _cov,
    "cov_partials": _cov_partials,
    "cov_dparameters": _cov_dparameters,
    "bivariate_normal_cdf": _cdf,
    "log_bivariate_normal_cdf": _log_cdf,
    "bivariate_normal_cdf_partials": _cdf_partials,
    "log_bivariate_normal_cdf_partials": _log_cdf_partials,
}
