"""Layers on NumPy arrays: threads, constants and buffers around the loop of linear.py."""

from functools import cache
from typing import Any

import numpy as np
from numba import types

from fastmoments_kernels.catalogue import row_of
from fastmoments_kernels.cpu import linear, products
from fastmoments_kernels.cpu.compiled import entry, formula_binding
from fastmoments_kernels.cpu.components import padded
from fastmoments_kernels.cpu.elementwise import BODIES
from fastmoments_kernels.cpu.tiles import aligned
from fastmoments_kernels.cpu.vocabulary import binding, inline
from fastmoments_kernels.threads import run

Array = np.ndarray[Any, Any]

CHUNK = 8 * products.SUMS  # rows whose sums use a panel of weights before the next panel is read
SMALL = 2**22  # weights times rows that take less time than the start of a second thread


def _shape(real: str, vectors: int) -> dict[str, int]:
    """linear.py's constants for panels of `vectors` vectors."""
    return {"VECTORS": vectors, "ROWS": products.SUMS // vectors, "WIDTH": vectors * products.lanes(real)}


def _array(real: str, ndim: int) -> Any:
    return types.Array(getattr(types, real), ndim, "C")


def _input(real: str, ndim: int) -> Any:
    return _array(real, ndim).copy(readonly=True)  # writable arrays convert to it


@cache
def _packing(real: str, vectors: int) -> Any:
    """The compiled `linear.by_panels`."""
    signature = (_input(real, 2), _input(real, 2), _array(real, 4), types.int64, types.int64)
    bound = binding(real, _shape(real, vectors), inline)
    return entry(linear.by_panels, bound, f"by_panels_{vectors}_{real}", signature)


@cache
def _kernel(activation: str | None, parameters: int, real: str, vectors: int) -> Any:
    """The compiled loop of a layer with an activation or, if that is None, of the linear layer alone."""
    names = {**_shape(real, vectors), "INPUTS": 0, "OPERANDS": 2}
    if activation is not None:
        names |= {"INPUTS": 2 + parameters, "OPERANDS": 4 + parameters}
        of_formula = formula_binding(row_of(activation).formula, parameters, real).names
        names["body"] = binding(real, {**of_formula, "INPUTS": 2 + parameters}, inline)(BODIES["marginals"])
    matrix, result, counts, task = _input(real, 2), _array(real, 2), _array("int64", 1), (types.int64,) * 3
    signature = (matrix, matrix, _input(real, 4), matrix, matrix, result, result, counts, *task)
    name = f"{activation or 'alone'}_linear_{parameters}_{vectors}_{real}"
    return entry(linear.linear, binding(real, names, inline), name, signature)


def linear_marginals(
    activation: object,
    inputs: tuple[Array, ...],
    weights: tuple[Array, ...],
    biases: tuple[Array | None, ...],
    outputs: tuple[Array, ...],
    parameters: tuple[Array, ...] = (),
) -> int:
    """Write mean and variance of f(W X + b), or of W X + b if `activation` is None, to outputs (rows, columns).

    Inputs are (rows, depth), weights (columns, depth), biases and parameters (columns,), all of one dtype, inputs
    and outputs contiguous. Returns the number of negative variances among the inputs.
    """
    name = None if activation is None else row_of(activation).name
    rows, (columns, depth), real = len(inputs[0]), weights[0].shape, weights[0].dtype.name
    vectors = 1 if columns <= products.lanes(real) else 2
    parameters = padded(name, parameters) if name else ()
    kernel = _kernel(name, len(parameters), real, vectors)
    offsets, parameter_rows = np.zeros((2, columns), real), np.empty((len(parameters), columns), real)
    for into, vectors_in in ((offsets, biases), (parameter_rows, parameters)):
        for row, vector in zip(into, vectors_in, strict=True):
            if vector is not None:
                row[...] = vector
    width = vectors * products.lanes(real)
    panels = -(-columns // width)
    packed = aligned((panels, depth, 3, width), offsets)
    parallel = rows * columns * depth > SMALL
    run(_packing(real, vectors), (*map(np.ascontiguousarray, weights), packed), panels if parallel else 1)
    tasks = -(-rows // CHUNK) if parallel else 1
    negative = np.zeros(max(tasks, 1), np.int64)
    run(kernel, (*inputs, packed, offsets, parameter_rows, *outputs, negative, CHUNK), tasks)
    return int(negative.sum())
