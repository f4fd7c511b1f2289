"""Covariance matrices: tiles of the upper triangle, mirrored, each patch of a tile by the cheapest route.

* The series with as many terms as the largest correlation of a patch asks for, if so many are tabulated: in the
  matrix's dtype.
* A patch that asks for more is hard: it takes more terms, in float64, where rounding would add up.
* The few pairs of a hard patch that would ask for many more terms take the pair formula.

Every truncation of the series is positive semidefinite.
"""

from typing import Any, NamedTuple

import numpy as np

from fastmoments_kernels.cpu.machine import LINE
from fastmoments_kernels.cpu.memory import at
from fastmoments_kernels.cpu.neurons import Known
from fastmoments_kernels.cpu.patch_series import series
from fastmoments_kernels.cpu.patches import (
    HEIGHT,
    LIMITS,
    WIDE,
    correlated,
    largest_of,
    load,
    load_wide,
    store,
    store_transposed,
    to_read,
    to_write,
)
from fastmoments_kernels.cpu.series import BASE, TERMS, cheapest, coefficients, neuron_at, reaches, terms_for
from fastmoments_kernels.cpu.tiles import (
    PADDING,
    TILE,
    Tile,
    aligned,
    filled,
    place,
    place_image,
    prepared,
    tile_at,
)
from fastmoments_kernels.formulas import identity as formula

Array = Any

COST = 8000.0  # of the formula of one pair, in terms of its series; a closed formula costs a quarter of it


class Matrix(NamedTuple):
    """One matrix, its result, and what is known of its neurons."""

    cov: Array
    out: Array
    features: Array
    inverse_sd: Array
    table: Array
    rests: Array


class Scratch(NamedTuple):
    """Memory for one tile at a time; `rows`, `columns` and `rho` are short until a tile has a hard patch."""

    tile: Array  # the covariances given
    out: Array
    mirror: Array  # `out` transposed
    rests: Array  # log of what n terms leave out of a row's and a column's neuron
    reach: Array  # the largest |rho| for which n tabulated terms suffice
    hard: Array  # of every hard patch its row, column and number of terms
    limits: Array  # the largest |rho| for which these terms suffice
    rows: Array  # coefficients of the rows' neurons for hard patches
    columns: Array
    rho: Array  # correlations of the hard patches


def pairs(
    known: Known,
    cov: Array,
    cov_out: Array,
    start: int,
    slack: float,
    log_tolerance: float,
    first: int,
    step: int,
) -> bool:
    """Every matrix; of all its tiles this call does first, first + step, ... Whether a pair `is_beyond`.

    The columns' neurons begin at `start`: at 0 they are the rows', the upper triangle is read and mirrored; at the
    first whole tile beyond the rows' they are others, and the matrix is a rectangle off the diagonal.
    """
    scratch = scratch_of(cov, known)
    task, beyond = 0, False
    for m in range(len(cov)):
        matrix = Matrix(cov[m], cov_out[m], known.features[m], known.inverse_sd[m], known.table[m], known.rests[m])
        for i in range(0, cov.shape[1], TILE):
            for j in range(i if start == 0 else 0, cov.shape[2], TILE):
                if task % step == first:
                    tile = tile_at(matrix.cov, i, j, start)
                    is_whole = may_stay(matrix, tile)
                    count = tabulated(matrix, tile, scratch, is_whole, log_tolerance)
                    if count > 0:
                        scratch = grown(scratch, known)
                        if is_whole:
                            prepared(matrix.cov, tile, matrix.inverse_sd, scratch.tile)
                        beyond |= untabulated(matrix, tile, scratch, count, slack, log_tolerance)
                    finish(matrix, tile, scratch, is_whole, count)
                    if i == tile.k:
                        for a in range(i, i + tile.height):
                            matrix.out[a, a] = known.variance[m, a]
                task += 1
    return beyond


def scratch_of(cov: Array, known: Known) -> Any:
    """Scratch for matrices like `cov`."""
    side, lanes, double = min(TILE, filled(known.variance.shape[1])), LINE // cov.itemsize, known.rests
    most = side * side // (HEIGHT * lanes)
    return Scratch(
        aligned((side, side), cov),
        aligned((side, side), cov),
        aligned((side, side + PADDING), cov),
        np.empty(BASE + 1),
        np.empty(LIMITS),
        np.empty((most, 3), np.int64),
        np.empty(most),
        aligned((2, TILE), double),
        aligned((2, TILE), double),
        aligned((2, lanes), double),
    )


def grown(scratch: Scratch, known: Known) -> Any:
    """Scratch with room for hard patches."""
    tile, out, mirror, rests, reach, hard, limits, rows, columns, rho = scratch
    if len(rows) < TERMS:
        rows, columns = aligned((TERMS + 2, TILE), known.rests), aligned((TERMS + 2, TILE), known.rests)
        rho = aligned((len(hard) * HEIGHT, LINE // tile.itemsize), known.rests)
    return Scratch(tile, out, mirror, rests, reach, hard, limits, rows, columns, rho)


def may_stay(matrix: Matrix, tile: Tile) -> bool:
    """Whether a tile can be read and written where it lies: whole, off the diagonal, of neurons with variance."""
    if tile.height < TILE or tile.width < TILE or tile.i == tile.k:
        return False
    constant = 0
    for a in range(TILE):
        constant += 1 if at(matrix.inverse_sd, (tile.i + a,)) == 0.0 else 0
        constant += 1 if at(matrix.inverse_sd, (tile.k + a,)) == 0.0 else 0
    return constant == 0


def tabulated(matrix: Matrix, tile: Tile, scratch: Scratch, is_whole: bool, log_tolerance: float) -> int:
    """The patches for which the tabulated terms suffice; `hard` lists the others, whose number is returned."""
    scratch.rests[:] = matrix.rests[tile.i // TILE] + matrix.rests[tile.k // TILE]
    reaches(scratch.rests, log_tolerance, scratch.reach)
    if is_whole:
        return in_place(matrix.cov, matrix.out, tile.i, tile.j, matrix, tile, scratch)
    prepared(matrix.cov, tile, matrix.inverse_sd, scratch.tile)
    return in_place(scratch.tile, scratch.out, 0, 0, matrix, tile, scratch)


def in_place(given: Array, out: Array, a: int, b: int, matrix: Matrix, tile: Tile, scratch: Scratch) -> int:
    """`tabulated` for a tile that lies at given[a, b] and whose result goes to out[a, b]."""
    lanes, count, i, k = LINE // out.itemsize, 0, tile.i, tile.k
    of_rows, of_columns = matrix.table[i // TILE], matrix.table[k // TILE]
    for r in range(0, tile.height, HEIGHT):
        for s in range(r // lanes * lanes if i == k else 0, tile.width, lanes):
            to_read(given, a + r + HEIGHT, b + s)
            to_write(out, a + r + HEIGHT, b + s)
            rho = correlated(load(given, a + r, b + s), matrix.inverse_sd, i + r, k + s)
            terms = terms_for(largest_of(rho), scratch.reach)
            if terms > BASE:
                scratch.hard[count, 0], scratch.hard[count, 1] = r, s
                count += 1
            else:
                values = series(rho, of_rows, of_columns, terms, r, s)
                store(values, out, a + r, b + s)
                store_transposed(values, scratch.mirror, s, r)
    return count


def untabulated(
    matrix: Matrix, tile: Tile, scratch: Scratch, count: int, slack: float, log_tolerance: float
) -> bool:
    """The `count` hard patches of a tile: more terms, and the pair formula. Whether a pair `is_beyond`."""
    beyond, lanes = False, LINE // scratch.out.itemsize
    most = hard_patches(matrix.inverse_sd, tile, scratch, count, lanes, log_tolerance, COST)
    coefficients(matrix.features, tile.i, most, scratch.rows)
    if tile.i != tile.k:
        coefficients(matrix.features, tile.k, most, scratch.columns)
    across = scratch.rows if tile.i == tile.k else scratch.columns
    for q in range(count):
        by_series(scratch, q, across)
        beyond |= by_formula(matrix, tile, scratch, q, slack)
    return beyond


def hard_patches(
    inverse_sd: Array, tile: Tile, scratch: Any, count: int, lanes: int, log_tolerance: float, cost: float
) -> int:
    """The correlations in float64 of every hard patch, its terms and the |rho| they reach; returns the most terms.

    A patch has `lanes` columns; `cost` is that of one pair's formula.
    """
    most, flat, pairs = 0, scratch.rho.reshape(-1), HEIGHT * lanes
    for q in range(count):
        r, s = scratch.hard[q, 0], scratch.hard[q, 1]
        for t in range(0, lanes, WIDE):
            wide = load_wide(scratch.tile, r, s + t)
            store(correlated(wide, inverse_sd, tile.i + r, tile.k + s + t), scratch.rho, q * HEIGHT, t)
        scratch.hard[q, 2], scratch.limits[q] = cheapest(flat, q * pairs, pairs, scratch.rests, log_tolerance, cost)
        most = max(most, scratch.hard[q, 2])
    return most


def by_series(scratch: Scratch, q: int, columns: Array) -> None:
    """The series of a hard patch."""
    r, s, terms = scratch.hard[q, 0], scratch.hard[q, 1], scratch.hard[q, 2]
    for t in range(0, LINE // scratch.out.itemsize, WIDE):
        values = series(load(scratch.rho, q * HEIGHT, t), scratch.rows, columns, terms, r, s + t)
        store(values, scratch.out, r, s + t)
        store_transposed(values, scratch.mirror, s + t, r)


def by_formula(matrix: Matrix, tile: Tile, scratch: Scratch, q: int, slack: float) -> bool:
    """The pair formula for the pairs of a hard patch that its terms do not reach. Whether one `is_beyond`."""
    r, s, beyond = scratch.hard[q, 0], scratch.hard[q, 1], False
    for a in range(min(HEIGHT, tile.height - r)):
        for b in range(min(LINE // scratch.out.itemsize, tile.width - s)):
            rho = scratch.rho[q * HEIGHT + a, b]
            if abs(rho) > scratch.limits[q]:
                one = neuron_at(matrix.features, tile.i + r + a)
                two = neuron_at(matrix.features, tile.k + s + b)
                value = formula.cov(one, two, float(scratch.tile[r + a, s + b]), slack)
                scratch.out[r + a, s + b] = scratch.mirror[s + b, r + a] = value
                beyond |= is_beyond(rho, value, slack)
    return beyond


def is_beyond(rho: float, value: float, slack: float) -> bool:
    """Whether a value is nan for a correlation beyond 1, and not for a nan that was given."""
    return value != value and rho * rho > 1.0 + slack


def finish(matrix: Matrix, tile: Tile, scratch: Scratch, is_whole: bool, count: int) -> None:
    """Write what of a tile and its mirror image is not in the matrix yet."""
    if is_whole:
        for q in range(count):
            r, s = scratch.hard[q, 0], scratch.hard[q, 1]
            store(load(scratch.out, r, s), matrix.out, tile.i + r, tile.j + s)
        place_image(scratch.mirror, matrix.out, tile)
    else:
        place(scratch.out, scratch.mirror, matrix.out, tile)
