"""Covariance matrices: tiles of the upper triangle, mirrored, each patch of a tile by the cheapest route.

* The series with as many terms as the largest correlation of a patch asks for, if so many are tabulated: in the
  matrix's dtype.
* A patch that asks for more is hard: it takes more terms, in float64, where rounding would add up.
* The few pairs of a hard patch that would ask for many more terms take the pair formula.

Every truncation of the series is positive semidefinite.
"""

from typing import Any

import numpy as np

from fastmoments_kernels.cpu.machine import LINE
from fastmoments_kernels.cpu.memory import at
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


def pairs(
    known: tuple[Array, ...],
    cov: Array,
    cov_out: Array,
    start: int,
    slack: float,
    log_tolerance: float,
    first: int,
    step: int,
) -> bool:
    """Every matrix; of all its tiles this call does first, first + step, ... Whether a pair `is_beyond`.

    `known` are the fields of `neurons.Known`. The columns' neurons begin at `start`: at 0 they are the rows', the
    upper triangle is read and mirrored; at the first whole tile beyond the rows' they are others, and the matrix is
    a rectangle off the diagonal.
    """
    variance, features, inverse_sd, table, rests = known
    side, lanes = min(TILE, filled(variance.shape[1])), LINE // cov.itemsize
    most = side * side // (HEIGHT * lanes)
    given, out = aligned((side, side), cov), aligned((side, side), cov)
    mirror = aligned((side, side + PADDING), cov)
    left, reach = np.empty(BASE + 1), np.empty(LIMITS)
    hard, limits = np.empty((most, 3), np.int64), np.empty(most)
    # short until a tile has a hard patch
    rows, columns, rho = aligned((2, TILE), rests), aligned((2, TILE), rests), aligned((2, lanes), rests)
    task, beyond = 0, False
    for m in range(len(cov)):
        matrix, result, own, per_sd = cov[m], cov_out[m], features[m], inverse_sd[m]
        for i in range(0, cov.shape[1], TILE):
            for j in range(i if start == 0 else 0, cov.shape[2], TILE):
                task += 1
                if (task - 1) % step != first:
                    continue
                tile = tile_at(matrix, i, j, start)
                of_rows, of_columns = table[m, i // TILE], table[m, tile.k // TILE]
                left[:] = rests[m, i // TILE] + rests[m, tile.k // TILE]
                reaches(left, log_tolerance, reach)
                stays = may_stay(per_sd, tile)
                if stays:
                    count = tabulated(matrix, result, i, j, tile, per_sd, of_rows, of_columns, reach, mirror, hard)
                else:
                    prepared(matrix, tile, per_sd, given)
                    count = tabulated(given, out, 0, 0, tile, per_sd, of_rows, of_columns, reach, mirror, hard)
                if count > 0:
                    if stays:
                        prepared(matrix, tile, per_sd, given)
                    if len(rows) < TERMS:
                        rows, columns = aligned((TERMS + 2, TILE), rests), aligned((TERMS + 2, TILE), rests)
                        rho = aligned((most * HEIGHT, lanes), rests)
                    hard_patches(given, tile, per_sd, lanes, left, log_tolerance, COST, count, hard, limits, rho)
                    by_series(own, tile, count, hard, rho, rows, columns, out, mirror)
                    beyond |= by_formula(own, tile, count, hard, limits, rho, given, slack, out, mirror)
                if stays:
                    place_hard(out, count, hard, result, tile)
                    place_image(mirror, result, tile)
                else:
                    place(out, mirror, result, tile)
                if i == tile.k:
                    for a in range(i, i + tile.height):
                        result[a, a] = variance[m, a]
    return beyond


def may_stay(inverse_sd: Array, tile: Tile) -> bool:
    """Whether a tile can be read and written where it lies: whole, off the diagonal, of neurons with variance."""
    if tile.height < TILE or tile.width < TILE or tile.i == tile.k:
        return False
    constant = 0
    for a in range(TILE):
        constant += 1 if at(inverse_sd, (tile.i + a,)) == 0.0 else 0
        constant += 1 if at(inverse_sd, (tile.k + a,)) == 0.0 else 0
    return constant == 0


def tabulated(
    given: Array,
    out: Array,
    a: int,
    b: int,
    tile: Tile,
    inverse_sd: Array,
    of_rows: Array,
    of_columns: Array,
    reach: Array,
    mirror: Array,
    hard: Array,
) -> int:
    """The covariances of a tile at given[a, b] into out[a, b] and `mirror`, where the tabulated terms suffice.

    They do up to |rho| = reach[terms]. Patches that ask for more are listed in `hard`; returns how many.
    """
    lanes, count, i, k = LINE // out.itemsize, 0, tile.i, tile.k
    for r in range(0, tile.height, HEIGHT):
        for s in range(r // lanes * lanes if i == k else 0, tile.width, lanes):
            to_read(given, a + r + HEIGHT, b + s)
            to_write(out, a + r + HEIGHT, b + s)
            rho = correlated(load(given, a + r, b + s), inverse_sd, i + r, k + s)
            terms = terms_for(largest_of(rho), reach)
            if terms > BASE:
                hard[count, 0], hard[count, 1] = r, s
                count += 1
            else:
                values = series(rho, of_rows, of_columns, terms, r, s)
                store(values, out, a + r, b + s)
                store_transposed(values, mirror, s, r)
    return count


def hard_patches(
    given: Array,
    tile: Tile,
    inverse_sd: Array,
    lanes: int,
    rests: Array,
    log_tolerance: float,
    cost: float,
    count: int,
    hard: Array,
    limits: Array,
    rho: Array,
) -> None:
    """Every hard patch's correlations in float64, its number of terms (hard[:, 2]) and the |rho| they reach.

    A patch has `lanes` columns; `cost` is that of one pair's formula.
    """
    flat, number = rho.reshape(-1), HEIGHT * lanes
    for q in range(count):
        r, s = hard[q, 0], hard[q, 1]
        for t in range(0, lanes, WIDE):
            wide = load_wide(given, r, s + t)
            store(correlated(wide, inverse_sd, tile.i + r, tile.k + s + t), rho, q * HEIGHT, t)
        hard[q, 2], limits[q] = cheapest(flat, q * number, number, rests, log_tolerance, cost)


def most_terms(count: int, hard: Array) -> int:
    """The number of terms of the hard patch that takes most."""
    most = 0
    for q in range(count):
        most = max(most, hard[q, 2])
    return most


def by_series(
    features: Array,
    tile: Tile,
    count: int,
    hard: Array,
    rho: Array,
    rows: Array,
    columns: Array,
    out: Array,
    mirror: Array,
) -> None:
    """The series of hard patches; `rows` and `columns` get the coefficients."""
    terms = most_terms(count, hard)
    coefficients(features, tile.i, terms, rows)
    if tile.i != tile.k:
        coefficients(features, tile.k, terms, columns)
    across = rows if tile.i == tile.k else columns
    for q in range(count):
        r, s, own = hard[q, 0], hard[q, 1], hard[q, 2]
        for t in range(0, LINE // out.itemsize, WIDE):
            values = series(load(rho, q * HEIGHT, t), rows, across, own, r, s + t)
            store(values, out, r, s + t)
            store_transposed(values, mirror, s + t, r)


def by_formula(
    features: Array,
    tile: Tile,
    count: int,
    hard: Array,
    limits: Array,
    rho: Array,
    given: Array,
    slack: float,
    out: Array,
    mirror: Array,
) -> bool:
    """The pair formula for the pairs of hard patches that their terms do not reach. Whether one `is_beyond`."""
    beyond, lanes = False, LINE // out.itemsize
    for q in range(count):
        r, s = hard[q, 0], hard[q, 1]
        for a in range(min(HEIGHT, tile.height - r)):
            for b in range(min(lanes, tile.width - s)):
                if abs(rho[q * HEIGHT + a, b]) > limits[q]:
                    one, two = neuron_at(features, tile.i + r + a), neuron_at(features, tile.k + s + b)
                    value = formula.cov(one, two, float(given[r + a, s + b]), slack)
                    out[r + a, s + b] = mirror[s + b, r + a] = value
                    beyond |= is_beyond(rho[q * HEIGHT + a, b], value, slack)
    return beyond


def is_beyond(rho: float, value: float, slack: float) -> bool:
    """Whether a value is nan for a correlation beyond 1, and not for a nan that was given."""
    return value != value and rho * rho > 1.0 + slack


def place_hard(out: Array, count: int, hard: Array, matrix: Array, tile: Tile) -> None:
    """Write the hard patches of a whole tile to the matrix."""
    for q in range(count):
        r, s = hard[q, 0], hard[q, 1]
        store(load(out, r, s), matrix, tile.i + r, tile.j + s)
