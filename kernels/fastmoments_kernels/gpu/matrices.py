"""Moments of whole vectors of neurons: buffers, grids and constants around the kernels.

Tensors are (..., n) and (..., n, n) with at least one number, float32 or float64, contiguous; callers check them.
"""

import math
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from fastmoments_kernels.catalogue import row_of
from fastmoments_kernels.formulas.identity import has_series
from fastmoments_kernels.gpu.compiled import kernel
from fastmoments_kernels.gpu.covariance import neurons, pairs_beyond, pairs_edges, pairs_whole
from fastmoments_kernels.gpu.launch import ELEMENTS, Variant, dtype_name
from fastmoments_kernels.gpu.schedule import Schedule
from fastmoments_kernels.kinds import slack_of

SWEEP = 8  # the number of a series' terms is a multiple of it


class Layout(NamedTuple):
    """Of a dtype: sides of tiles, warps and registers of programs such that none spills, a series' most terms.

    Forward, a tile is as large as the series' registers allow, because coefficients are loaded once per tile. Four
    programs of whole tiles with aligned rows share a multiprocessor; masks, and stores of single numbers, take more
    `registers_apart` and leave room for three.
    """

    tile: int
    warps: int
    registers: int
    registers_apart: int
    terms: int


LAYOUTS = {"float32": Layout(64, 4, 128, 168, 64), "float64": Layout(32, 8, 64, 80, 128)}
# Widths of `columns_of` tiles and terms loaded at a time, by whether rows of the matrix are aligned
SHAPES = {True: (32, 8), False: (16, 4)}
SHARE = 4  # a segment of the list has room for one in so many pairs of a tile
GROUP = 32  # tiles whose pairs beyond the series follow each other
PROGRAMS = 2048  # that work the list off: several for each of a card's multiprocessors
SCHEDULES = 256  # kept, one for each activation, dtype and size: more are chosen anew
PER_TILE = {"pairs_whole": pairs_whole, "pairs_edges": pairs_edges}
MATRIX_KERNELS = ("neurons", *PER_TILE, "pairs_beyond")


def features_of(name: str, parameters: int) -> int:
    """The length of an activation's tuple of features."""
    one = np.ones(1)
    return len(row_of(name).formula.neuron(one, one, (one,) * parameters))


def log_tolerance(dtype: str) -> float:
    """log of the share that a kernel's series may leave out: half an eps of the matrix's scale."""
    return math.log(0.5 * float(np.finfo(dtype).eps))


@cache
def terms_of(activation: str, n: int, most: int) -> int:
    """The number of coefficients per neuron, limited so that those of a small matrix take fewer bytes than it."""
    if not has_series(row_of(activation).formula):
        return 0
    return min(max(n // 2 // SWEEP, 1) * SWEEP, most)


@cache
def matrix_variant(activation: str, name: str, dtype: str, parameters: int = 0, aligned: bool = False) -> Variant:
    """The kernel `name` of MATRIX_KERNELS for a dtype; `aligned` if n is a multiple of 16.

    Everything per neuron is float64.
    """
    layout = LAYOUTS[dtype]
    constants: dict[str, Any] = {"FEATURES": features_of(activation, parameters)}
    if name == "pairs_beyond":
        constants |= {"TILE": layout.tile, "GROUP": GROUP, "BLOCK": ELEMENTS}
        return Variant(kernel(pairs_beyond, activation, dtype), constants, warps=4)
    constants |= {"SWEEP": SWEEP}
    if name == "neurons":
        constants |= {"PARAMETERS": parameters, "BLOCK": layout.tile}
        return Variant(kernel(neurons, activation, "float64"), constants, warps=max(layout.tile // 32, 1))
    constants |= {"LOG_TOLERANCE": log_tolerance(dtype), "MOST": layout.terms, "TILE": layout.tile}
    constants |= {"WIDTH": SHAPES[aligned][0], "UNROLL": SHAPES[aligned][1]}
    registers = layout.registers if name == "pairs_whole" and aligned else layout.registers_apart
    return Variant(kernel(PER_TILE[name], activation, dtype), constants, layout.warps, registers)


def started(
    arrays: Sequence[str], activation: str, dtype: str, batch: int, n: int, parameters: int, most: int, **own: str
) -> Schedule:
    """A schedule whose first launch is `neurons`, with memory for what it writes and for the list of pairs beyond.

    A series has `most` terms at most. The list has room for a quarter of a tile's pairs, or for all of a smaller
    matrix.
    """
    tile, terms, real = LAYOUTS[dtype].tile, terms_of(activation, n, most), getattr(torch, dtype)
    tiles, stride = -(-n // tile), -(-n // 16) * 16  # row_stride(n)
    count, segment = batch * (tiles * (tiles + 1) // 2), min(tile * tile // SHARE, n * (n - 1) // 2)
    slack = slack_of(n, torch.finfo(real).eps)
    schedule = Schedule(arrays, n=n, tiles=tiles, terms=terms, count=count, segment=segment, slack=slack)
    schedule.share("features", real, batch * (features_of(activation, parameters) + 2) * stride)
    schedule.share("coefficients", real, batch * (terms + 2) * stride)
    schedule.share("remainders", real, batch * tiles * max(terms // SWEEP, 1))
    schedule.share("positions", torch.int16, count * segment)
    schedule.share("counts", torch.int32, count)
    schedule.add(matrix_variant(activation, "neurons", dtype, parameters), batch * tiles, blocks=tiles, **own)
    return schedule


def programs_beyond(n: int, tile: int, count: int) -> int:
    """The number of programs that work the list of `count` tiles off."""
    groups = -(-count // GROUP)
    most = min(GROUP, count) * min(tile * tile, n * (n - 1) // 2)
    return groups * max(min(-(-most // ELEMENTS), -(-PROGRAMS // groups)), 1)


def tiles_apart(n: int, tile: int) -> dict[str, int]:
    """The number of a matrix's tiles inside it and above the diagonal ("whole"), and of the others ("edges")."""
    whole, tiles = n // tile * (n // tile - 1) // 2, -(-n // tile)
    return {"whole": whole, "edges": tiles * (tiles + 1) // 2 - whole}


@lru_cache(SCHEDULES)
def _schedule(activation: str, dtype: str, batch: int, n: int, parameters: int) -> Schedule:
    arrays = "mu", "cov", "parameters", "mean", "out"
    tile, most = LAYOUTS[dtype].tile, LAYOUTS[dtype].terms
    schedule = started(arrays, activation, dtype, batch, n, parameters, most)
    for kind, number in tiles_apart(n, tile).items():
        variant = matrix_variant(activation, f"pairs_{kind}", dtype, parameters, n % 16 == 0)
        schedule.add(variant, batch * number)
    count = schedule.numbers["count"]
    schedule.add(matrix_variant(activation, "pairs_beyond", dtype, parameters), programs_beyond(n, tile, count))
    return schedule


def rows_of(parameters: tuple[Tensor, ...], mu: Tensor) -> Tensor:
    """The parameters (..., PARAMETERS, n); without parameters any array stands for them."""
    return torch.stack([p.expand(mu.shape) for p in parameters], -2).contiguous() if parameters else mu


def moments(
    activation: str,
    mu: Tensor,
    cov: Tensor,
    mean_out: Tensor,
    cov_out: Tensor,
    parameters: tuple[Tensor, ...] = (),
) -> None:
    """Write mean and covariance of f(X) to mean_out and cov_out, which are not mu and cov."""
    n = mu.shape[-1]
    launch = _schedule(activation, dtype_name(cov.dtype), mu.numel() // n, n, len(parameters))
    launch(mu, cov, rows_of(parameters, mu), mean_out, cov_out)
