"""The elementwise functions as NumPy ufuncs, a chunk at a time.

Of one neuron in the arrays' dtype, float32 or float64; of pairs and of the bivariate normal in Blocks of float64.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from fastmoments_kernels.catalogue import row_of
from fastmoments_kernels.cpu.block import LANES, load_block, load_blocks, store_block, store_blocks
from fastmoments_kernels.cpu.compiled import INLINED, block_binding, formula_binding, jit, ufunc_loop
from fastmoments_kernels.cpu.components import padded
from fastmoments_kernels.cpu.loops import loop, loop_by_routes
from fastmoments_kernels.cpu.memory import LOAD, STORE, column
from fastmoments_kernels.cpu.numpy_ufunc import make_ufunc
from fastmoments_kernels.cpu.vocabulary import binding
from fastmoments_kernels.cpu.wide import MOST, Wide
from fastmoments_kernels.formulas import identity as formula
from fastmoments_kernels.formulas.bivariate_normal import (
    NORMAL,
    bivariate_cdf,
    bivariate_cdf_partials,
    bivariate_route,
    log_bivariate_cdf,
    log_bivariate_cdf_partials,
)
from fastmoments_kernels.formulas.identity import has_routes

Array = Any

INPUTS = 2  # bound per ufunc
PARAMETERS: tuple[float, ...] = ()


class Body(NamedTuple):
    """A ufunc's chunk loop, its numbers of neurons and outputs (None: one a parameter), and its arguments.

    One neuron is (mu, var, *parameters), a pair (mu_1, mu_2, var_1, var_2, cov_12, *parameters in pairs), and none
    are the three arguments of the bivariate normal.
    """

    loop: Callable[..., None]
    neurons: int
    outputs: int | None
    doc: str


def _one(x: Array, i: int) -> Any:
    return formula.neuron(x[0, i], x[1, i], column(PARAMETERS, x, 2, 1, i))


def _pair(x: Array, i: int) -> Any:
    first = formula.neuron(load_block(x, 0, i), load_block(x, 2, i), load_blocks(PARAMETERS, x, 5, 2, i))
    second = formula.neuron(load_block(x, 1, i), load_block(x, 3, i), load_blocks(PARAMETERS, x, 6, 2, i))
    return first, second, load_block(x, 4, i)


def _limits(x: Array, i: int) -> Any:
    return load_block(x, 0, i), load_block(x, 1, i), load_block(x, 2, i)


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
        store_block(x, INPUTS, i, formula.cov(first, second, cov_12, slack))


def _cov_partials(x: Array, count: int, slack: float) -> None:
    for i in range(0, count, LANES):
        first, second, cov_12 = _pair(x, i)
        store_block(x, INPUTS, i, formula.cov_10(first, second, cov_12, slack))
        store_block(x, INPUTS + 1, i, formula.cov_10(second, first, cov_12, slack))
        store_block(x, INPUTS + 2, i, 0.5 * formula.cov_20(first, second, cov_12, slack))
        store_block(x, INPUTS + 3, i, 0.5 * formula.cov_20(second, first, cov_12, slack))
        store_block(x, INPUTS + 4, i, formula.product_11(first, second, cov_12, slack))


def _cov_dparameters(x: Array, count: int, slack: float) -> None:
    for i in range(0, count, LANES):
        first, second, cov_12 = _pair(x, i)
        store_blocks(x, INPUTS, 2, i, formula.cov_dparameters(first, second, cov_12, slack))
        store_blocks(x, INPUTS + 1, 2, i, formula.cov_dparameters(second, first, cov_12, slack))


def _routes(x: Array, count: int, slack: float) -> None:
    for i in range(0, count, LANES):
        first, second, cov_12 = _pair(x, i)
        store_block(x, INPUTS, i, formula.route(first, second, cov_12, slack))


def _cdf(x: Array, count: int, slack: float) -> None:
    for i in range(0, count, LANES):
        h, k, rho = _limits(x, i)
        store_block(x, INPUTS, i, bivariate_cdf(h, k, rho))


def _log_cdf(x: Array, count: int, slack: float) -> None:
    for i in range(0, count, LANES):
        h, k, rho = _limits(x, i)
        store_block(x, INPUTS, i, log_bivariate_cdf(h, k, rho))


def _cdf_partials(x: Array, count: int, slack: float) -> None:
    for i in range(0, count, LANES):
        h, k, rho = _limits(x, i)
        store_blocks(x, INPUTS, 1, i, bivariate_cdf_partials(h, k, rho))


def _log_cdf_partials(x: Array, count: int, slack: float) -> None:
    for i in range(0, count, LANES):
        h, k, rho = _limits(x, i)
        store_blocks(x, INPUTS, 1, i, log_bivariate_cdf_partials(h, k, rho))


def _cdf_routes(x: Array, count: int, slack: float) -> None:
    for i in range(0, count, LANES):
        h, k, rho = _limits(x, i)
        store_block(x, INPUTS, i, bivariate_route(h, k, rho))


BODIES = {
    "mean": Body(_mean, 1, 1, "(mu, var, ...) -> E f(X)"),
    "var": Body(_var, 1, 1, "(mu, var, ...) -> Var f(X)"),
    "gain": Body(_gain, 1, 1, "(mu, var, ...) -> E f'(X)"),
    "marginals": Body(_marginals, 1, 2, "(mu, var, ...) -> (E f(X), Var f(X))"),
    "mean_dvar": Body(_mean_dvar, 1, 1, "(mu, var, ...) -> d E f(X) / d var"),
    "var_partials": Body(_var_partials, 1, 2, "(mu, var, ...) -> (d Var f(X) / d mu, d Var f(X) / d var)"),
    "mean_dparameters": Body(_mean_dparameters, 1, None, "(mu, var, ...) -> d E f(X) along each parameter"),
    "var_dparameters": Body(_var_dparameters, 1, None, "(mu, var, ...) -> d Var f(X) along each parameter"),
    "cov": Body(_cov, 2, 1, "(mu_1, mu_2, var_1, var_2, cov_12, ...) -> Cov(f(X_1), f(X_2))"),
    "cov_partials": Body(_cov_partials, 2, 5, "the derivatives of cov along its first five arguments"),
    "cov_dparameters": Body(_cov_dparameters, 2, None, "the derivatives of cov along its parameters"),
}
NORMAL_BODIES = {
    "bivariate_normal_cdf": Body(_cdf, 0, 1, "(h, k, rho) -> P(X <= h, Y <= k)"),
    "log_bivariate_normal_cdf": Body(_log_cdf, 0, 1, "(h, k, rho) -> log P(X <= h, Y <= k)"),
    "bivariate_normal_cdf_partials": Body(_cdf_partials, 0, 3, "(h, k, rho) -> d P(X <= h, Y <= k) along each"),
    "log_bivariate_normal_cdf_partials": Body(
        _log_cdf_partials, 0, 3, "(h, k, rho) -> d log P(X <= h, Y <= k) along each"
    ),
}
FIXED = {0: 3, 1: 2, 2: 5}  # inputs beside the parameters, by the number of neurons


def outputs_of(kind: str, inputs: int) -> int:
    """How many outputs a function of BODIES or NORMAL_BODIES has with that many inputs."""
    body = (BODIES | NORMAL_BODIES)[kind]
    return inputs - FIXED[body.neurons] if body.outputs is None else body.outputs


def _loops(
    name: str,
    kind: Body,
    inputs: int,
    outputs: int,
    names_in: Callable[[str], Mapping[str, Any]],
    routes: Callable[..., None] | None = None,
) -> dict[str, Any]:
    """A ufunc's inner loop for every dtype, cached on disk by its name and number of inputs: a mixture's vary."""
    loops = {}
    for dtype in ("float32", "float64"):
        real = dtype if kind.neurons == 1 else "block"
        # a pair's determinant may lie below 0 by 64 n eps of var_1 var_2, n = 2: rounding
        slack = 128 * float(np.finfo(dtype).eps)
        number = np.float32 if real == "float32" else np.float64
        constants = {"INPUTS": inputs, "OPERANDS": inputs + outputs, "SLACK": slack, "REAL": number}
        constants["SIZE"] = np.dtype(dtype).itemsize
        bound = binding(real, {**names_in(real), "INPUTS": inputs}, jit)
        names = {"load": LOAD[dtype], "store": STORE[dtype], "body": bound(kind.loop), **constants}
        if routes:
            names["routes"] = bound(routes)
        loops[dtype] = ufunc_loop(loop_by_routes if routes else loop, names, f"{name}_{inputs}_{dtype}")
    return loops


@cache
def _of_row(row_name: str, name: str, inputs: int) -> np.ufunc | Wide:
    kind, formula = BODIES[name], row_of(row_name).formula
    fixed, outputs = FIXED[kind.neurons], outputs_of(name, inputs)
    is_wide = inputs + outputs > MOST
    whole = fixed + len(padded(row_name, range(inputs - fixed), kind.neurons)) if is_wide else inputs
    parameters = (whole - fixed) // kind.neurons

    def names_in(real: str) -> Mapping[str, Any]:
        bound = (
            block_binding(formula, parameters) if real == "block" else formula_binding(formula, parameters, real)
        )
        return bound.names

    routes = _routes if kind.neurons == 2 and has_routes(formula) else None
    of = f"{row_name}_{name}"
    loops = _loops(of, kind, whole, outputs_of(name, whole), names_in, routes)
    if is_wide:
        return Wide(row_name, kind.neurons, fixed, outputs, loops)
    return make_ufunc(of, kind.doc, loops, inputs, outputs)


def elementwise(activation: Any, name: str, inputs: int | None = None) -> np.ufunc | Wide:
    """The ufunc `name` of BODIES for an activation, with `inputs` inputs, compiled on first use.

    The activation's parameters are inputs, one number each unless `inputs` says that some have several.
    """
    row, neurons = row_of(activation), BODIES[name].neurons
    return _of_row(row.name, name, inputs or FIXED[neurons] + neurons * len(fields(row.activation)))


@cache
def normal(name: str) -> np.ufunc:
    """The ufunc `name` of NORMAL_BODIES, compiled on first use."""
    names = {formula.__name__: INLINED["block"](formula) for formula in (*NORMAL.values(), bivariate_route)}
    kind, outputs = NORMAL_BODIES[name], outputs_of(name, 3)
    return make_ufunc(name, kind.doc, _loops(name, kind, 3, outputs, lambda real: names, _cdf_routes), 3, outputs)
