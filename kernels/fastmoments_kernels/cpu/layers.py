"""Layers of NumPy arrays: weights in panels, threads and outputs around the loop of linear.py."""

from functools import cache
from typing import Any

import numpy as np
from numba import types

from fastmoments_kernels.catalogue import row_of
from fastmoments_kernels.cpu import linear, products
from fastmoments_kernels.cpu.compiled import entry, formula_binding
from fastmoments_kernels.cpu.elementwise import BODIES
from fastmoments_kernels.cpu.tiles import aligned
from fastmoments_kernels.cpu.vocabulary import binding, inline
from fastmoments_kernels.threads import run

Array = np.ndarray[Any, Any]

BLOCK = 8 * products.SUMS  # rows whose sums use a panel of weights before the next one is read
SERIAL = 2**20  # weights times rows that are done before a second thread has started


@cache
def _kernel(activation: str | None, parameters: int, real: str, vectors: int) -> Any:
    """The compiled loop of an activation or, without, of the linear layer alone."""
    shape = {"VECTORS": vectors, "ROWS": products.SUMS // vectors, "WIDTH": vectors * products.lanes(real)}
    constants = {**shape, "INPUTS": 0, "OPERANDS": 2}
    if activation is not None:
        constants |= {"INPUTS": 2 + parameters, "OPERANDS": 4 + parameters}
        names = formula_binding(row_of(activation).formula, parameters, real).names
        constants["body"] = binding(real, {**names, "INPUTS": 2 + parameters}, inline)(BODIES["marginals"].loop)
    number = getattr(types, real)
    given, wide, wider = (types.Array(number, ndim, "C", readonly=True) for ndim in (2, 3, 4))
    result, counts, task = types.Array(number, 2, "C"), types.Array(types.int64, 1, "C"), (types.int64,) * 3
    signature = (given, given, wider, wide, wide, result, result, counts, *task)
    name = f"{activation or 'alone'}_linear_{parameters}_{vectors}_{real}"
    return entry(linear.linear, binding(real, constants, inline), name, signature)


def linear_marginals(
    activation: Any,
    inputs: tuple[Array, ...],
    weights: tuple[Array, ...],
    biases: tuple[Array | None, ...],
    outputs: tuple[Array, ...],
    parameters: tuple[Array, ...] = (),
) -> int:
    """Mean and variance of f(W X + b), or without an activation of W X + b, into outputs (rows, columns).

    Inputs are (rows, depth), weights (columns, depth), biases and parameters (columns,), all of one dtype, inputs
    and outputs contiguous. Returns how many of the inputs' variances are negative.
    """
    name = None if activation is None else row_of(activation).name
    rows, (mean, var) = len(inputs[0]), weights
    zero, real = np.zeros(len(mean), mean.dtype), mean.dtype.name
    vectors = 1 if len(mean) <= products.lanes(real) else 2
    width = vectors * products.lanes(real)
    factors = _panels(np.stack([mean, mean * mean + var, var]).transpose(2, 0, 1), width)
    offsets = _panels(np.stack([zero if bias is None else bias for bias in biases]), width)
    own = _panels(np.stack([zero, *parameters])[1:], width)
    tasks = -(-rows // BLOCK) if rows * mean.size > SERIAL else 1
    negative = np.zeros(max(tasks, 1), np.int64)
    kernel = _kernel(name, len(parameters), real, vectors)
    run(kernel, (*inputs, factors, offsets, own, *outputs, negative, BLOCK), tasks)
    return int(negative.sum())


def _panels(of_columns: Array, width: int) -> Array:
    """(..., columns) as (panels, ..., width) in aligned memory, filled up with zeros."""
    *lead, columns = of_columns.shape
    count = -(-columns // width)
    filled = np.zeros((*lead, count * width), of_columns.dtype)
    filled[..., :columns] = of_columns
    panels: Array = aligned((count, *lead, width), filled)
    panels[...] = np.moveaxis(filled.reshape(*lead, count, width), -2, 0)
    return panels
