"""The elementwise functions as NumPy ufuncs.

Functions of one neuron compute in the arrays' dtype, float32 or float64; those of pairs and of the bivariate normal
in packs of float64. A body takes a chunk: an array x with inputs in its first rows and outputs in the others.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cache
from typing import Any

import numpy as np

from fastmoments_kernels.catalogue import row_of
from fastmoments_kernels.cpu.compiled import INLINED, formula_binding, jit, pack_binding, ufunc_loop
from fastmoments_kernels.cpu.components import padded
from fastmoments_kernels.cpu.loops import loop, loop_by_routes
from fastmoments_kernels.cpu.memory import LOAD, STORE, column
from fastmoments_kernels.cpu.numpy_ufunc import make_ufunc
from fastmoments_kernels.cpu.packs import LANES, load_pack, load_packs, store_pack, store_packs
from fastmoments_kernels.cpu.vocabulary import binding
from fastmoments_kernels.cpu.wide import MOST, Wide
from fastmoments_kernels.formulas import identity as formula  # `bind` exchanges it for an activation's
from fastmoments_kernels.formulas.bivariate_normal import (
    NORMAL,
    bivariate_cdf,
    bivariate_cdf_partials,
    bivariate_route,
    log_bivariate_cdf,
    log_bivariate_cdf_partials,
)
from fastmoments_kernels.formulas.identity import has_routes
from fastmoments_kernels.kinds import ALL, FIXED, KINDS, OF_NORMAL, outputs_of, slack_of

Array = Any  # an array in code that Numba compiles

DTYPES = ("float32", "float64")
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


def _routes(x: Array, count: int, slack: float) -> None:
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


def _cdf_routes(x: Array, count: int, slack: float) -> None:
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


def _loops(
    name: str,
    kind: str,
    inputs: int,
    dtypes: tuple[str, ...],
    names_in: Callable[[str], Mapping[str, Any]],
    routes: Callable[..., None] | None = None,
) -> dict[str, Any]:
    """A ufunc's inner loop by dtype, kept by name and number of inputs, which varies for mixtures."""
    loops = {}
    for dtype in dtypes:
        real = dtype if ALL[kind].neurons == 1 else "pack"
        number = np.float32 if real == "float32" else np.float64
        constants: dict[str, Any] = {
            "INPUTS": inputs,
            "OPERANDS": inputs + outputs_of(kind, inputs),
            "REAL": number,
        }
        constants |= {"SIZE": np.dtype(dtype).itemsize, "SLACK": slack_of(2, float(np.finfo(dtype).eps))}
        bound = binding(real, {**names_in(real), "INPUTS": inputs}, jit)
        names = {"load": LOAD[dtype], "store": STORE[dtype], "body": bound(BODIES[kind]), **constants}
        if routes:
            names["routes"] = bound(routes)
        loops[dtype] = ufunc_loop(loop_by_routes if routes else loop, names, f"{name}_{inputs}_{dtype}")
    return loops


@cache
def _of_row(row_name: str, name: str, inputs: int, dtypes: tuple[str, ...]) -> np.ufunc | Wide:
    kind, formula = KINDS[name], row_of(row_name).formula
    fixed, outputs = FIXED[kind.neurons], outputs_of(name, inputs)
    is_wide = inputs + outputs > MOST
    whole = fixed + len(padded(row_name, range(inputs - fixed), kind.neurons)) if is_wide else inputs
    parameters = (whole - fixed) // kind.neurons

    def names_in(real: str) -> Mapping[str, Any]:
        bound = pack_binding(formula, parameters) if real == "pack" else formula_binding(formula, parameters, real)
        return bound.names

    routes = _routes if kind.neurons == 2 and has_routes(formula) else None
    of = f"{row_name}_{name}"
    loops = _loops(of, name, whole, dtypes, names_in, routes)
    if is_wide:
        return Wide(row_name, kind.neurons, fixed, outputs, loops)
    return make_ufunc(of, kind.doc, loops, inputs, outputs)


def elementwise(
    activation: object, name: str, inputs: int | None = None, dtype: str | None = None
) -> np.ufunc | Wide:
    """The ufunc `name` of KINDS for an activation, compiled on first use.

    The activation's parameters are inputs. Each is one number, unless `inputs`, the number of inputs, says that a
    mixture's have several. With `dtype`, one of DTYPES, it is compiled for that dtype only, and takes no other.
    """
    row, neurons = row_of(activation), KINDS[name].neurons
    count = inputs or FIXED[neurons] + neurons * len(fields(row.activation))
    return _of_row(row.name, name, count, (dtype,) if dtype else DTYPES)


def normal(name: str, dtype: str | None = None) -> np.ufunc:
    """The ufunc `name` of OF_NORMAL, compiled on first use, for one dtype or for all."""
    return _of_normal(name, (dtype,) if dtype else DTYPES)


@cache
def _of_normal(name: str, dtypes: tuple[str, ...]) -> np.ufunc:
    names = {formula.__name__: INLINED["pack"](formula) for formula in (*NORMAL.values(), bivariate_route)}
    kind = OF_NORMAL[name]
    loops = _loops(name, name, FIXED[0], dtypes, lambda real: names, _cdf_routes)
    return make_ufunc(name, kind.doc, loops, FIXED[0], outputs_of(name, FIXED[0]))
