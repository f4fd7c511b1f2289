"""Layers of NumPy arrays: threads, constants and buffers around the loop of linear.py."""

from functools import cache
from typing import Any

import numpy as np
from numba import types

from fastmoments_kernels.catalogue import row_of
from fastmoments_kernels.cpu import linear, products
from fastmoments_kernels.cpu.compiled import entry, formula_binding
from fastmoments_kernels.cpu.elementwise import BODIES
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
    given = types.Array(number, 2, "C", readonly=True)
    result, counts, task = types.Array(number, 2, "C"), types.Array(types.int64, 1, "C"), (types.int64,) * 3
    signature = (*(given,) * 6, result, result, counts, *task)
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
    rows, (columns, depth) = len(inputs[0]), weights[0].shape
    real = weights[0].dtype.name
    vectors = 1 if columns <= products.lanes(real) else 2
    kernel = _kernel(name, len(parameters), real, vectors)
    offsets, own = np.zeros((2, columns), real), np.empty((len(parameters), columns), real)
    for rows_of, given in ((offsets, biases), (own, parameters)):
        for row, vector in zip(rows_of, given, strict=True):
            if vector is not None:
                row[...] = vector
    tasks = -(-rows // BLOCK) if rows * columns * depth > SERIAL else 1
    negative = np.zeros(max(tasks, 1), np.int64)
    factors = map(np.ascontiguousarray, weights)
    run(kernel, (*inputs, *factors, offsets, own, *outputs, negative, BLOCK), tasks)
    return int(negative.sum())
