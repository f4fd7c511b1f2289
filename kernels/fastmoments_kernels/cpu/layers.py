"""Layers on NumPy arrays: threads, constants and buffers around the loops of linear.py and few.py."""

from functools import cache
from typing import Any

import numpy as np

from fastmoments_kernels import ahead
from fastmoments_kernels.catalogue import row_of
from fastmoments_kernels.cpu.compiler import compiler
from fastmoments_kernels.cpu.components import padded
from fastmoments_kernels.cpu.layout import aligned, lanes, sums
from fastmoments_kernels.threads import run

Array = np.ndarray[Any, Any]

SMALL = 2**22  # weights times rows that take less time than the start of a second thread


FEW = 64  # neurons: for more, products of whole matrices are as fast


def labels(activation: str | None, parameters: int, real: str, vectors: int) -> tuple[str, str]:
    """The names of the loop that packs weights and of the layer's loop, for panels of `vectors` vectors."""
    of = f"{vectors}_{real}"
    return f"by_panels_{of}", f"{activation or 'alone'}_linear_{parameters}_{of}"


@cache
def _loops(activation: str | None, parameters: int, real: str, columns: int) -> tuple[Any, Any, int, int]:
    """The loops that pack weights and that compute, a panel's columns, and the rows done at a time.

    Both loops are object code or both are compiled: they have to agree on the bytes of a vector.
    """
    is_ahead = all(ahead.entry(label) for label in labels(activation, parameters, real, 1))
    vector = ahead.vector() if is_ahead else compiler().VECTOR
    vectors = 1 if columns <= lanes(real, vector) else 2
    packing, kernel = labels(activation, parameters, real, vectors)
    # rows whose sums use a panel of weights before the next panel is read
    sizes = vectors * lanes(real, vector), 8 * sums(vector)
    if is_ahead:
        return ahead.entry(packing), ahead.entry(kernel), *sizes
    made = compiler().layer(kernel, activation, parameters, real, vectors)
    return compiler().panels(packing, real, vectors), made, *sizes


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
    parameters = padded(name, parameters) if name else ()
    packing, kernel, width, chunk = _loops(name, len(parameters), real, columns)
    offsets, parameter_rows = np.zeros((2, columns), real), np.empty((len(parameters), columns), real)
    for into, vectors_in in ((offsets, biases), (parameter_rows, parameters)):
        for row, vector in zip(into, vectors_in, strict=True):
            if vector is not None:
                row[...] = vector
    panels = -(-columns // width)
    packed = aligned((panels, depth, 3, width), offsets)
    parallel = rows * columns * depth > SMALL
    run(packing, (*map(np.ascontiguousarray, weights), packed), panels if parallel else 1)
    tasks = -(-rows // chunk) if parallel else 1
    negative = np.zeros(max(tasks, 1), np.int64)
    run(kernel, (*inputs, packed, offsets, parameter_rows, *outputs, negative, chunk), tasks)
    return int(negative.sum())


def congruence_label(real: str) -> str:
    """The name of the loop `congruences` of few.py for a dtype."""
    return f"congruence_{real}"


@cache
def _congruence(real: str) -> Any:
    label = congruence_label(real)
    return ahead.entry(label) or compiler().congruences(label, real)


def congruence(cov: Array, left: Array, gains: Array, right: Array, full: Array, adds: bool) -> bool:
    """Write `few.congruences` of arrays of one dtype, cov and full contiguous, to full; return its answer."""
    (m, n), real = left.shape, full.dtype.name
    tasks = len(full) if len(full) * m * n * (m + n) > SMALL else 1
    arguments = cov, *map(np.ascontiguousarray, (left, gains, right)), full, int(adds)
    return any(run(_congruence(real), arguments, tasks))
