"""The elementwise functions as NumPy ufuncs: float32 and float64, float64 inside, a chunk at a time."""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import carray

from fastmoments_kernels.bind import Binding
from fastmoments_kernels.catalogue import row_of
from fastmoments_kernels.cpu.compiled import compiled_formula, formula_names, jit, ufunc_loop
from fastmoments_kernels.cpu.memory import load32, load64, store32, store64
from fastmoments_kernels.cpu.numpy_ufunc import make_ufunc
from fastmoments_kernels.formulas import identity as formula
from fastmoments_kernels.formulas.orthant import bivariate_cdf, log_bivariate_cdf

Array = Any

CHUNK = 128  # elements of every operand in the first cache level
INPUTS, OPERANDS, SLACK, load, store = 2, 3, 0.0, load64, store64  # bound per ufunc and dtype


class Body(NamedTuple):
    """A ufunc's chunk loop, its numbers of inputs and outputs, and its arguments."""

    loop: Callable[..., None]
    inputs: int
    outputs: int
    doc: str


def _mean(x: Array, count: int) -> None:
    for i in range(count):
        x[2, i] = formula.mean(x[0, i], x[1, i])


def _var(x: Array, count: int) -> None:
    for i in range(count):
        x[2, i] = formula.var(x[0, i], x[1, i])


def _gain(x: Array, count: int) -> None:
    for i in range(count):
        x[2, i] = formula.gain(x[0, i], x[1, i])


def _marginals(x: Array, count: int) -> None:
    for i in range(count):
        x[2, i] = formula.mean(x[0, i], x[1, i])
        x[3, i] = formula.var(x[0, i], x[1, i])


def _mean_dvar(x: Array, count: int) -> None:
    for i in range(count):
        x[2, i] = formula.mean_dvar(x[0, i], x[1, i])


def _var_partials(x: Array, count: int) -> None:
    for i in range(count):
        x[2, i], x[3, i] = formula.var_partials(x[0, i], x[1, i])


def _cov(x: Array, count: int) -> None:
    for i in range(count):
        first, second = formula.neuron(x[0, i], x[2, i]), formula.neuron(x[1, i], x[3, i])
        x[5, i] = formula.cov(first, second, x[4, i], SLACK)


def _cov_partials(x: Array, count: int) -> None:
    for i in range(count):
        first, second = formula.neuron(x[0, i], x[2, i]), formula.neuron(x[1, i], x[3, i])
        x[5, i] = formula.cov_10(first, second, x[4, i], SLACK)
        x[6, i] = formula.cov_10(second, first, x[4, i], SLACK)
        x[7, i] = 0.5 * formula.cov_20(first, second, x[4, i], SLACK)
        x[8, i] = 0.5 * formula.cov_20(second, first, x[4, i], SLACK)
        x[9, i] = formula.product_11(first, second, x[4, i], SLACK)


def _cdf(x: Array, count: int) -> None:
    for i in range(count):
        x[3, i] = bivariate_cdf(x[0, i], x[1, i], x[2, i])


def _log_cdf(x: Array, count: int) -> None:
    for i in range(count):
        x[3, i] = log_bivariate_cdf(x[0, i], x[1, i], x[2, i])


BODIES = {
    "mean": Body(_mean, 2, 1, "(mu, var) -> E f(X)"),
    "var": Body(_var, 2, 1, "(mu, var) -> Var f(X)"),
    "gain": Body(_gain, 2, 1, "(mu, var) -> E f'(X)"),
    "marginals": Body(_marginals, 2, 2, "(mu, var) -> (E f(X), Var f(X))"),
    "mean_dvar": Body(_mean_dvar, 2, 1, "(mu, var) -> d E f(X) / d var"),
    "var_partials": Body(_var_partials, 2, 2, "(mu, var) -> (d Var f(X) / d mu, d Var f(X) / d var)"),
    "cov": Body(_cov, 5, 1, "(mu_1, mu_2, var_1, var_2, cov_12) -> Cov(f(X_1), f(X_2))"),
    "cov_partials": Body(_cov_partials, 5, 5, "the derivatives of cov along its five arguments"),
}
NORMAL_BODIES = {
    "bivariate_normal_cdf": Body(_cdf, 3, 1, "(h, k, rho) -> P(X <= h, Y <= k)"),
    "log_bivariate_normal_cdf": Body(_log_cdf, 3, 1, "(h, k, rho) -> log P(X <= h, Y <= k)"),
}
body = _mean


def _loop(args: Array, dims: Array, steps: Array, data: Array) -> None:
    """NumPy's inner loop: gather a chunk of every input, compute, scatter every output."""
    address, step = carray(args, OPERANDS), carray(steps, OPERANDS)
    x = np.empty((OPERANDS, CHUNK))
    for start in range(0, dims[0], CHUNK):
        count = min(CHUNK, dims[0] - start)
        for operand in range(INPUTS):
            for i in range(count):
                x[operand, i] = load(address[operand] + (start + i) * step[operand])
        body(x, count)
        for operand in range(INPUTS, OPERANDS):
            for i in range(count):
                store(address[operand] + (start + i) * step[operand], x[operand, i])


def _ufunc(name: str, kind: Body, names: dict[str, Any]) -> np.ufunc:
    operands = kind.inputs + kind.outputs
    loops: list[Any] = []
    dtypes = ("float32", "float64")
    for dtype, load, store in zip(dtypes, (load32, load64), (store32, store64), strict=True):
        # a pair's determinant may lie below 0 by 64 n eps of var_1 var_2, n = 2: rounding
        slack = 128 * float(np.finfo(dtype).eps)
        chunk = Binding({**names, "SLACK": slack}, compile=jit)(kind.loop)
        real = {"load": load, "store": store, "body": chunk, "INPUTS": kind.inputs, "OPERANDS": operands}
        loops.append(ufunc_loop(_loop, real, f"{name}_{dtype}"))
    return make_ufunc(name, kind.doc, loops, dtypes, kind.inputs, kind.outputs)


@cache
def _of_row(row_name: str, name: str) -> np.ufunc:
    return _ufunc(f"{row_name}_{name}", BODIES[name], formula_names(row_of(row_name).formula))


def elementwise(activation: Any, name: str) -> np.ufunc:
    """The ufunc `name` of BODIES for an activation, compiled on first use."""
    return _of_row(row_of(activation).name, name)


@cache
def normal(name: str) -> np.ufunc:
    """The ufunc `name` of NORMAL_BODIES, compiled on first use."""
    formulas = (bivariate_cdf, log_bivariate_cdf)
    return _ufunc(name, NORMAL_BODIES[name], {f.__name__: compiled_formula(f) for f in formulas})
