"""Gradients of hard patches: their series, of which some orders at a time are tabulated for a tile's neurons.

Pairs beyond the limit of their patch take no part; `far_slopes` computes them.
"""

from typing import Any, NamedTuple

import numpy as np

from fastmoments_kernels.cpu.layout import coefficient_columns, room
from fastmoments_kernels.cpu.memory import at, put
from fastmoments_kernels.cpu.patch_series import gradients
from fastmoments_kernels.cpu.patches import (
    HEIGHT,
    WIDE,
    correlated,
    load,
    mean_of,
    store,
    store_transposed,
)
from fastmoments_kernels.cpu.series import TERMS, coefficients
from fastmoments_kernels.cpu.slopes import ABOVE, FACTORS, fill
from fastmoments_kernels.cpu.tiles import Tile

Array = Any  # an array in code that Numba compiles

CHUNK = 32  # orders that are tabulated at a time: two tiles' stay in the second cache level


class Results(NamedTuple):
    """The gradients of a tile."""

    by_row: Array  # sums for mu and var of the rows' neurons, (2, rows, WIDE)
    by_column: Array  # sums for mu and var of the columns' neurons, (2, columns)
    out: Array  # the gradient along the covariances
    mirror: Array  # `out` transposed


class Hard(NamedTuple):
    """The hard patches of a tile, and room for their series."""

    patches: Array  # row, column, number of terms and of pairs beyond the limit of each
    limits: Array  # the largest |rho| that these terms reach
    rho: Array  # correlations, then weight rho^n and the sums of slopes so far, a patch below the other
    power: Array
    slope: Array
    coefficients: Array  # `series.coefficients` of the rows' neurons and of the columns'
    tables: Array  # CHUNK orders of `slopes.fill` of both
    held: Array  # the matrix, the first row and the terms of which coefficients[0] are


def hard_room(patches: Array, limits: Array, side: int, sides: int, double: Array) -> Any:
    """Return room for hard patches, not cleared and in one piece, which the allocator keeps.

    Tiles have `side` rows and columns, and `sides` is 1 where all lie on the diagonal.
    """
    pairs, rows, table = side * side, TERMS + ABOVE + 2, CHUNK * FACTORS * side
    columns = coefficient_columns(side)
    orders = sides * rows * columns
    all_room = room((3 * pairs + orders + sides * table,), double)
    squares = all_room[: 3 * pairs].reshape((3, side * side // WIDE, WIDE))
    coefficients_room = all_room[3 * pairs : 3 * pairs + orders].reshape((sides, rows, columns))
    tables = all_room[3 * pairs + orders :].reshape((sides, side // WIDE, CHUNK, FACTORS, WIDE))
    held = np.full(3, -1)
    return Hard(patches, limits, squares[0], squares[1], squares[2], coefficients_room, tables, held)


def begin(weight: Array, tile: Tile, count: int, hard: Hard) -> None:
    """Begin the series of the pairs within the limits, and count the others: those beyond, or nan."""
    # every access to a field counts references: not in the loops
    patches, limits, rho, power, slope, _, _, _ = hard
    for q in range(count):
        r, s, limit, beyond = patches[q, 0], patches[q, 1], limits[q], 0
        for a in range(HEIGHT):
            row = q * HEIGHT + a
            for b in range(WIDE):
                value, w = at(rho, (row, b)), at(weight, (r + a, s + b))
                inside = is_pair(tile, r + a, s + b)
                is_near = inside and abs(value) <= limit
                beyond += 1 if inside and not is_near else 0
                put(rho, (row, b), value if is_near else 0.0)
                put(power, (row, b), w if is_near else 0.0)
                put(slope, (row, b), 0.0)
        patches[q, 3] = beyond


def is_pair(tile: Tile, a: int, b: int) -> bool:
    """Whether a place of a tile's scratch is a pair: in the matrix and above the diagonal."""
    return a < tile.height and b < tile.width and tile.i + a < tile.k + b


def coefficients_of_hard(features: Array, m: int, tile: Tile, terms: int, hard: Hard) -> None:
    """Fill `hard.coefficients` up to ABOVE more than so many terms, unless the rows' are there."""
    held = hard.held
    if held[0] != m or held[1] != tile.i or held[2] < terms:
        coefficients(features, tile.i, tile.height, terms + ABOVE, hard.coefficients[0])
        held[0], held[1], held[2] = m, tile.i, terms
    if tile.i != tile.k:
        coefficients(features, tile.k, tile.width, terms + ABOVE, hard.coefficients[1])


def by_series(
    weight: Array, tile: Tile, inverse_sd: Array, gains: Array, most: int, count: int, hard: Hard, results: Results
) -> None:
    """Compute the pairs of hard patches within their limits by their series, CHUNK orders at a time."""
    patches, _, rho, power, slope, table, tables, _ = hard
    by_row, by_column, out, mirror = results
    i, k, across = tile.i, tile.k, 0 if tile.i == tile.k else 1
    of_rows, of_columns = tables[0], tables[across]
    for start in range(0, most, CHUNK):
        terms = min(CHUNK, most - start)
        for side in range(across + 1):
            fill(table[side], start, terms, tables[side])
        for q in range(count):
            r, s, here = patches[q, 0], patches[q, 1], min(terms, patches[q, 2] - start)
            if here > 0:
                at_power, at_slope = gradients(
                    load(rho, q * HEIGHT, 0),
                    load(weight, r, s),
                    load(power, q * HEIGHT, 0),
                    load(slope, q * HEIGHT, 0),
                    of_rows,
                    of_columns,
                    here,
                    r,
                    s,
                    by_row,
                    by_column,
                )
                store(at_power, power, q * HEIGHT, 0)
                store(at_slope, slope, q * HEIGHT, 0)
    for q in range(count):
        r, s = patches[q, 0], patches[q, 1]
        total, weights = load(slope, q * HEIGHT, 0), load(weight, r, s)
        finish(total, weights, i + r, k + s, inverse_sd, gains, out, mirror, r, s)


def finish(
    slope: Any,
    weights: Any,
    i: int,
    k: int,
    inverse_sd: Array,
    gains: Array,
    out: Array,
    mirror: Array,
    r: int,
    s: int,
) -> None:
    """Write a patch of the gradient along the covariances, the mean over both triangles, and its mirror image."""
    values = mean_of(correlated(weights, gains, i, k), correlated(slope, inverse_sd, i, k))
    store(values, out, r, s)
    store_transposed(values, mirror, s, r)
