"""Layers on CUDA tensors: grids, constants and buffers around the kernels of linear.py."""

from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from fastmoments_kernels.catalogue import CATALOGUE, row_of
from fastmoments_kernels.gpu.compiled import device_function, kernel
from fastmoments_kernels.gpu.launch import Variant, dtype_name, laid_out, on_device_of
from fastmoments_kernels.gpu.linear import activated, linear, linear_alone, mirror, skip

SUMS = {"bfloat16": "float32", "float32": "float32", "float64": "float64"}


class Shape(NamedTuple):
    """A program of the linear kernel: its tile, the depth it takes at a time, rows per epilogue, warps."""

    tile_i: int
    tile_j: int
    depth: int
    part: int
    warps: int


# By the factors' dtype. NARROW suits any card and any rows; WIDE suits architectures with room for it, and rows
# that begin at multiples of 16 elements and are loaded in wide words. For float32 on sm_100 Triton 3.7 makes an
# empty kernel.
NARROW = {
    "bfloat16": Shape(64, 32, 16, 8, 4),
    "float32": Shape(64, 32, 16, 8, 4),
    "float64": Shape(32, 32, 16, 4, 4),
}
WIDE = {
    ("bfloat16", 90): Shape(128, 128, 64, 4, 8),
    ("bfloat16", 100): Shape(128, 128, 64, 4, 8),
    ("float32", 90): Shape(128, 64, 32, 8, 8),
}
# Triton 3.7 uses no tensor cores for float64 on sm_100: a thread's share must be smaller.
MORE_WARPS = {("float64", 100): Shape(32, 32, 16, 4, 8)}
# By dtype, (exact, fast): float32 factors as two tf32 parts each, without the smallest product, 2^-22; or as tf32
PRECISIONS = {"float32": ("tf32x3", "tf32")}
COLUMNS = 16  # columns of a tile's sums that are written at a time
GROUP = 8  # rows of tiles whose programs run at the same time
TILE = 32  # the side of a tile of covariances


def shape_of(dtype: str, aligned: bool, architecture: int) -> Shape:
    """The shape for a dtype on an architecture (90 for sm_90)."""
    narrow = MORE_WARPS.get((dtype, architecture), NARROW[dtype])
    return WIDE.get((dtype, architecture), narrow) if aligned else narrow


@cache
def linear_variant(activation: str | None, dtype: str, shape: Shape, precision: str, aligned: bool) -> Variant:
    """The linear layer with the activation behind it, or alone; `dtype` is the factors', SUMS has the sums'.

    `aligned` if the depth is a multiple of 16, of which Triton is to know. Of any other it is to know nothing.
    """
    name, body = (CATALOGUE[0].name, linear_alone) if activation is None else (activation, activated)
    constants = {
        "EPILOGUE": device_function(body, name, SUMS[dtype]),
        "PRECISION": precision,
        "TILE_I": shape.tile_i,
        "TILE_J": shape.tile_j,
        "DEPTH": shape.depth,
        "COLUMNS": COLUMNS,
        "PART": shape.part,
        "GROUP": GROUP,
    }
    return Variant(kernel(linear, name, SUMS[dtype], *(() if aligned else ("depth",))), constants, shape.warps)


@cache
def skip_variant(dtype: str) -> Variant:
    """The sum of a residual layer's covariances; it depends on no activation."""
    return Variant(kernel(skip, CATALOGUE[0].name, dtype), {"TILE": TILE}, warps=4)


@cache
def mirror_variant(dtype: str, mend: bool = True) -> Variant:
    """The mean of both triangles, with or without a limit on entries; it depends on no activation."""
    return Variant(kernel(mirror, CATALOGUE[0].name, dtype), {"TILE": TILE, "MEND": mend}, warps=4)


def precision_of(dtype: str) -> str:
    """The precision of products; tf32 for float32 only where the caller has allowed it in torch."""
    exact, fast = PRECISIONS.get(dtype, ("ieee", "ieee"))
    return fast if getattr(torch.backends.cuda.matmul, "fp32_precision", None) == "tf32" else exact


def architecture_of(tensor: Tensor) -> int:
    """The architecture of a tensor's device: 90 for sm_90, and for the interpreter."""
    return 10 * torch.cuda.get_device_capability(tensor.device)[0] if tensor.is_cuda else 90


def linear_marginals(
    activation: object,
    inputs: tuple[Tensor, Tensor],
    weights: tuple[Tensor, Tensor],
    biases: tuple[Tensor | None, Tensor | None],
    outputs: tuple[Tensor, Tensor],
    parameters: tuple[Tensor, ...] = (),
) -> None:
    """Write mean and variance of f(W X + b), or of W X + b if `activation` is None, to outputs (rows, columns).

    Inputs are (rows, depth), weights (columns, depth), biases (columns,), contiguous, of one dtype; parameters are
    (columns,), in the dtype of SUMS. bfloat16 is squared in float32 and rounded once.
    """
    (rows, depth), columns, dtype = inputs[0].shape, len(weights[0]), dtype_name(inputs[0].dtype)
    name = None if activation is None else row_of(activation).name
    aligned = depth % 16 == 0
    shape = shape_of(dtype, aligned, architecture_of(inputs[0]))
    variant = linear_variant(name, dtype, shape, precision_of(dtype), aligned)
    zero = weights[0].new_zeros(columns)
    offsets = [zero if bias is None else bias for bias in biases]
    real = getattr(torch, SUMS[dtype])
    sums = outputs if real == zero.dtype else tuple(torch.empty_like(out, dtype=real) for out in outputs)
    parameter_rows = tuple(map(laid_out, parameters))
    with on_device_of(inputs[0]):
        programs = -(-rows // shape.tile_i) * -(-columns // shape.tile_j)
        if programs:
            variant(programs, *inputs, *weights, *offsets, parameter_rows, *sums, *outputs, rows, columns, depth)


def add_skip(cov: Tensor, gains: Tensor, mixed: Tensor, skipped: Tensor) -> None:
    """Add G mixed, its transpose and `skipped` to cov (batch, n, n) in place, exactly symmetric."""
    _over_triangles(skip_variant(dtype_name(cov.dtype)), cov, gains, mixed, skipped)


def make_symmetric(cov: Tensor, rounding: Tensor | None = None) -> None:
    """Replace cov (batch, n, n) by the mean of both triangles in place, exactly symmetric.

    With `rounding` (batch,), negative variances become 0 and entries beyond sqrt(var_i var_j) move to that bound,
    by at most `rounding`; those further out stay. No other matrix is allocated.
    """
    variant = mirror_variant(dtype_name(cov.dtype), rounding is not None)
    if rounding is None:
        # without a limit any array stands for what it needs
        _over_triangles(variant, cov, cov, cov, slack=(0.0,))
        return
    slack = 16 * cov.shape[-1] * torch.finfo(cov.dtype).eps
    _over_triangles(variant, cov, torch.diagonal(cov, 0, -2, -1).contiguous(), rounding, slack=(slack,))


def _over_triangles(variant: Variant, cov: Tensor, *others: Tensor, slack: tuple[float, ...] = ()) -> None:
    """Launch a kernel of which a program computes a tile of the upper triangle and its mirror."""
    batch, n, _ = cov.shape
    tiles = -(-n // TILE)
    with on_device_of(cov):
        variant(batch * (tiles * (tiles + 1) // 2), cov, *others, n, tiles, *slack)
