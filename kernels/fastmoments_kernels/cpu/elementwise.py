"""The elementwise functions as NumPy ufuncs: float32 and float64, float64 inside, a chunk at a time."""

from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numba import carray
from numba.np.ufunc import _internal

from fastmoments_kernels.catalogue import row_of
from fastmoments_kernels.cpu.compiled import compiled_formula, formula_names, ufunc_loop
from fastmoments_kernels.cpu.memory import load32, load64, store32, store64
from fastmoments_kernels.formulas import distribution
from fastmoments_kernels.formulas import identity as formula

CHUNK = 128  # elements of every operand in the first cache level
# What `ufunc_loop` binds per ufunc and dtype
INPUTS, OPERANDS, SLACK = 2, 3, 0.0
load, store = load64, store64


class Body(NamedTuple):
    """A ufunc's chunk loop and its numbers of inputs and outputs."""

    loop: Callable[..., None]
    inputs: int
    outputs: int


def _mean(x, count):
    for i in range(count):
        x[2, i] = formula.mean(x[0, i], x[1, i])


def _var(x, count):
    for i in range(count):
        x[2, i] = formula.var(x[0, i], x[1, i])


def _gain(x, count):
    for i in range(count):
        x[2, i] = formula.gain(x[0, i], x[1, i])


def _marginals(x, count):
    for i in range(count):
        x[2, i] = formula.mean(x[0, i], x[1, i])
        x[3, i] = formula.var(x[0, i], x[1, i])


def _cov(x, count):
    for i in range(count):
        first, second = formula.neuron(x[0, i], x[2, i]), formula.neuron(x[1, i], x[3, i])
        x[5, i] = formula.cov(first, second, x[4, i], SLACK)


def _cov_partials(x, count):
    for i in range(count):
        first, second = formula.neuron(x[0, i], x[2, i]), formula.neuron(x[1, i], x[3, i])
        x[5, i] = formula.cov_10(first, second, x[4, i], SLACK)
        x[6, i] = formula.cov_10(second, first, x[4, i], SLACK)
        x[7, i] = 0.5 * formula.cov_20(first, second, x[4, i], SLACK)
        x[8, i] = 0.5 * formula.cov_20(second, first, x[4, i], SLACK)
        x[9, i] = formula.product_11(first, second, x[4, i], SLACK)


def _cdf(x, count):
    for i in range(count):
        x[3, i] = distribution.cdf(x[0, i], x[1, i], x[2, i])


def _log_cdf(x, count):
    for i in range(count):
        x[3, i] = distribution.log_cdf(x[0, i], x[1, i], x[2, i])


BODIES = {
    "mean": Body(_mean, 2, 1),
    "var": Body(_var, 2, 1),
    "gain": Body(_gain, 2, 1),
    "marginals": Body(_marginals, 2, 2),
    "cov": Body(_cov, 5, 1),
    "cov_partials": Body(_cov_partials, 5, 5),
}
NORMAL_BODIES = {
    "bivariate_normal_cdf": Body(_cdf, 3, 1),
    "log_bivariate_normal_cdf": Body(_log_cdf, 3, 1),
}
body = _mean


def _loop(args, dims, steps, data):
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


def _slack(dtype: type) -> float:
    """How far a pair's determinant may lie below 0 by rounding, in var_1 var_2: 64 n eps for n = 2."""
    return 128 * float(np.finfo(dtype).eps)


def _ufunc(name: str, kind: Body, names: dict[str, Any]) -> np.ufunc:
    operands = kind.inputs + kind.outputs
    shape = {"INPUTS": kind.inputs, "OPERANDS": operands, "body": kind.loop}
    singles = {"load": load32, "store": store32, "SLACK": _slack(np.float32)}
    doubles = {"load": load64, "store": store64, "SLACK": _slack(np.float64)}
    loops = [
        ufunc_loop(_loop, {**names, **shape, **real}, f"{name}_{code}")
        for real, code in ((singles, "f"), (doubles, "d"))
    ]
    codes = [[np.dtype(code).num] * operands for code in "fd"]
    addresses = [loop.address for loop in loops]
    made: np.ufunc = _internal.fromfunc(
        name, None, addresses, codes, kind.inputs, kind.outputs, [None, None], loops, _internal.PyUFunc_None
    )
    return made


@cache
def _of_row(row_name: str, name: str) -> np.ufunc:
    formula: ModuleType = row_of(row_name).formula
    return _ufunc(f"{row_name}_{name}", BODIES[name], formula_names(formula))


def elementwise(activation: Any, name: str) -> np.ufunc:
    """The ufunc `name` of BODIES for an activation, compiled on first use."""
    return _of_row(row_of(activation).name, name)


@cache
def normal(name: str) -> np.ufunc:
    """The ufunc `name` of NORMAL_BODIES, compiled on first use."""
    return _ufunc(name, NORMAL_BODIES[name], {"distribution": compiled_distribution()})
