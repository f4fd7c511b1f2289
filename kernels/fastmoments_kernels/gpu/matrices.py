"""Moments of whole vectors of neurons: buffers, grids and constants around the kernels.

Tensors are (batch, n) and (batch, n, n), float32 or float64, contiguous; callers check them.
"""

import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from fastmoments_kernels.catalogue import row_of
from fastmoments_kernels.formulas.identity import has_series
from fastmoments_kernels.gpu.compiled import kernel
from fastmoments_kernels.gpu.covariance import neurons, pairs_beyond, pairs_edges, pairs_whole
from fastmoments_kernels.gpu.launch import ELEMENTS, Variant, dtype_name, on_device_of
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


class Beyond(NamedTuple):
    """The list of beyond.py for the tiles of a call's matrices, unwritten."""

    positions: Tensor
    counts: Tensor
    segment: int
    programs: int


def beyond_of(cov: Tensor, tile: int) -> Beyond:
    """Room for the pairs beyond the series: a quarter of a tile's, or all of a smaller matrix."""
    batch, n = cov.shape[:2]
    tiles = -(-n // tile)
    count, segment = batch * (tiles * (tiles + 1) // 2), min(tile * tile // SHARE, n * (n - 1) // 2)
    positions = cov.new_empty((count, segment), dtype=torch.int16)
    groups = -(-count // GROUP)
    most = min(GROUP, count) * min(tile * tile, n * (n - 1) // 2)
    shares = max(min(-(-most // ELEMENTS), -(-PROGRAMS // groups)), 1)
    return Beyond(positions, cov.new_empty(count, dtype=torch.int32), segment, groups * shares)


class Prepared(NamedTuple):
    """Arguments that the kernels of one call share: buffers per neuron, tiles of a side, and constants."""

    parameters: Tensor
    features: Tensor
    coefficients: Tensor
    remainders: Tensor
    tiles: int
    terms: int
    slack: float


def prepare(
    activation: str,
    arrays: tuple[Tensor, Tensor],
    parameters: tuple[Tensor, ...],
    outputs: tuple[Tensor, Tensor],
    most: int,
) -> Prepared:
    """Launch `neurons` for (mu, cov); the marginals go to `outputs`. A series has `most` terms at most."""
    mu, cov = arrays
    (batch, n), dtype = mu.shape, dtype_name(cov)
    variant = matrix_variant(activation, "neurons", dtype, len(parameters))
    # without parameters any array stands for them
    rows = torch.stack([p.expand(batch, n) for p in parameters], 1).contiguous() if parameters else mu
    tiles, terms = -(-n // variant.constants["BLOCK"]), terms_of(activation, n, most)
    stride = -(-n // 16) * 16  # row_stride(n)
    features = mu.new_empty((batch, variant.constants["FEATURES"] + 2, stride))
    coefficients = mu.new_empty((batch, terms + 2, stride))
    remainders = mu.new_empty((batch, tiles, max(terms // SWEEP, 1)))
    variant(batch * tiles, mu, cov, rows, *outputs, features, coefficients, remainders, n, tiles, terms)
    return Prepared(rows, features, coefficients, remainders, tiles, terms, slack_of(n, torch.finfo(cov.dtype).eps))


def moments(
    activation: object,
    mu: Tensor,
    cov: Tensor,
    mean_out: Tensor,
    cov_out: Tensor,
    parameters: tuple[Tensor, ...] = (),
) -> None:
    """Write mean and covariance of f(X) to mean_out and cov_out, which are not mu and cov."""
    name, dtype, (batch, n), count = row_of(activation).name, dtype_name(cov), mu.shape, len(parameters)
    with on_device_of(cov):
        _, *buffers, tiles, terms, slack = prepare(
            name, (mu, cov), parameters, (mean_out, cov_out), LAYOUTS[dtype].terms
        )
        positions, counts, segment, programs = beyond_of(cov, LAYOUTS[dtype].tile)
        inside = n // LAYOUTS[dtype].tile
        whole = inside * (inside - 1) // 2
        for kind, number in (("pairs_whole", whole), ("pairs_edges", tiles * (tiles + 1) // 2 - whole)):
            if number:
                variant = matrix_variant(name, kind, dtype, count, n % 16 == 0)
                arrays = (*buffers, positions, counts, cov, cov_out)
                variant(batch * number, *arrays, n, tiles, terms, segment)
        arrays = (buffers[0], positions, counts, cov, cov_out)
        variant = matrix_variant(name, "pairs_beyond", dtype, count)
        variant(programs, *arrays, n, tiles, len(counts), segment, slack)
