"""Layers on CUDA tensors: grids, constants and buffers around the kernels of linear.py."""

from functools import cache
from typing import Any, NamedTuple

import torch

from fastmoments_kernels.catalogue import CATALOGUE, row_of
from fastmoments_kernels.gpu.compiled import device_function, kernel
from fastmoments_kernels.gpu.launch import Variant, dtype_name, on_device_of
from fastmoments_kernels.gpu.linear import activated, linear, linear_alone, skip

Array = Any

SUMS = {"bfloat16": "float32", "float32": "float32", "float64": "float64"}


class Shape(NamedTuple):
    """What a program of the linear kernel takes: its tile, how deep at a time, rows of an epilogue, warps."""

    tile_i: int
    tile_j: int
    depth: int
    part: int
    warps: int


# By the factors' dtype: where rows begin at 16 elements, which is loaded in wide words, and where they do not
SHAPES = {
    "bfloat16": (Shape(128, 128, 64, 4, 8), Shape(64, 32, 16, 8, 4)),
    "float32": (Shape(128, 64, 32, 8, 8), Shape(64, 32, 16, 8, 4)),
    "float64": (Shape(32, 32, 16, 8, 4), Shape(32, 32, 16, 8, 4)),
}
# Of float32 factors: in two tf32 parts each, of whose products only the smallest, 2^-22, is left out; or as tf32
PRECISIONS = {"float32": ("tf32x3", "tf32")}
COLUMNS = 16  # of a tile's sums that are written at a time
GROUP = 8  # rows of tiles whose programs run side by side
SKIP_TILE = 32


@cache
def linear_variant(
    activation: str | None, dtype: str, aligned: bool, precision: str = "ieee", parameters: int = 0
) -> Variant:
    """The linear layer with the activation behind it, or alone; factors of that dtype, sums of SUMS."""
    name, body = (CATALOGUE[0].name, linear_alone) if activation is None else (activation, activated)
    shape = SHAPES[dtype][0 if aligned else 1]
    constants = {
        "EPILOGUE": device_function(body, name, SUMS[dtype]),
        "PARAMETERS": parameters,
        "PRECISION": precision,
        "TILE_I": shape.tile_i,
        "TILE_J": shape.tile_j,
        "DEPTH": shape.depth,
        "COLUMNS": COLUMNS,
        "PART": shape.part,
        "GROUP": GROUP,
    }
    return Variant(kernel(linear, name, SUMS[dtype]), constants, shape.warps)


@cache
def skip_variant(dtype: str) -> Variant:
    """The sum of a residual layer's covariances, no activation's."""
    return Variant(kernel(skip, CATALOGUE[0].name, dtype), {"TILE": SKIP_TILE}, warps=4)


def precision_of(dtype: str) -> str:
    """How products are taken; float32's as tf32 only where the caller has told torch so."""
    exact, fast = PRECISIONS.get(dtype, ("ieee", "ieee"))
    return fast if getattr(torch.backends.cuda.matmul, "fp32_precision", None) == "tf32" else exact


def linear_marginals(
    activation: Any,
    inputs: tuple[Array, Array],
    weights: tuple[Array, Array],
    biases: tuple[Array | None, Array | None],
    outputs: tuple[Array, Array],
    parameters: tuple[Array, ...] = (),
) -> None:
    """Mean and variance of f(W X + b), or without an activation of W X + b, into outputs (rows, columns).

    Inputs are (rows, depth), weights (columns, depth), biases and parameters (columns,), contiguous, of one dtype
    but for the parameters, which have that of SUMS. bfloat16 is squared in float32 and rounded once.
    """
    (rows, depth), columns, dtype = inputs[0].shape, len(weights[0]), dtype_name(inputs[0])
    name = None if activation is None else row_of(activation).name
    variant = linear_variant(name, dtype, depth % 16 == 0, precision_of(dtype), len(parameters))
    zero = weights[0].new_zeros(columns)
    offsets = [zero if bias is None else bias for bias in biases]
    real = getattr(torch, SUMS[dtype])
    sums = outputs if real == zero.dtype else tuple(torch.empty_like(out, dtype=real) for out in outputs)
    # without parameters any array stands for them
    own = torch.stack(parameters) if parameters else sums[0]
    tile_i, tile_j = variant.constants["TILE_I"], variant.constants["TILE_J"]
    with on_device_of(inputs[0]):
        programs = -(-rows // tile_i) * -(-columns // tile_j)
        if programs:
            variant(programs, *inputs, *weights, *offsets, own, *sums, *outputs, rows, columns, depth)


def add_skip(cov: Array, gains: Array, mixed: Array, skipped: Array) -> None:
    """Add G mixed, its transpose and `skipped` to cov (batch, n, n) in place, exactly symmetric."""
    (batch, n), variant = gains.shape, skip_variant(dtype_name(cov))
    tiles = -(-n // variant.constants["TILE"])
    with on_device_of(cov):
        variant(batch * (tiles * (tiles + 1) // 2), cov, gains, mixed, skipped, n, tiles)
