"""Covariance matrices: tiles of the upper triangle, mirrored, each patch of a tile by the cheapest route.

* The largest correlation of a patch decides the number of terms of its series. If they are tabulated the series is
  summed in the matrix's dtype.
* A patch that needs more terms is hard: its series is summed in float64, because rounding would add up.
* The few pairs of a hard patch that need far more terms than the others take the pair formula.

Every truncation of the series is positive semidefinite.
"""

import math
from typing import Any

import numpy as np

from fastmoments_kernels.cpu.beyond import listed
from fastmoments_kernels.cpu.layout import BASE, LINE, PADDING, TILE, coefficient_columns, filled, room
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
    store_past,
    store_transposed,
    to_read,
    to_write,
    written,
)
from fastmoments_kernels.cpu.series import cheapest, coefficients, longer_reaches, reaches, terms_for
from fastmoments_kernels.cpu.tiles import (
    Tile,
    is_past_caches,
    place,
    place_image,
    prepared,
    tile_at,
)

Array = Any  # an array in code that Numba compiles


def pairs(
    known: tuple[Array, ...],
    cov: Array,
    cov_out: Array,
    start: int,
    price: float,
    log_tolerance: float,
    places: Array,
    covs: Array,
    progress: Array,
    first: int,
    step: int,
) -> bool:
    """Compute tiles first, first + step, ... of all matrices, but for the pairs that take the formula: list these.

    `known` are the fields of `layout.Known`. `start` is the number of the columns' first neuron. If it is 0 the
    columns' neurons are the rows', and the upper triangle is read and mirrored; otherwise it is that of the first
    whole tile after the rows' neurons, and the matrix is a block off the diagonal. `price` is what the formula of a
    pair costs, in terms of a series; `places` and `covs` are those of `beyond.listed`. `progress` is the number of
    the next tile and that of the pairs in the list. The answer is whether tiles are left for want of room: then the
    caller computes the list, sets its number to 0, and calls again.
    """
    variance, features, inverse_sd, table, remainders = known
    lanes, n = LINE // cov.itemsize, max(cov.shape[1], cov.shape[2])
    tile_cov, out, mirror, left_out, reach, hard, limits = scratch_of(cov, n)
    rho = rows = columns = room((1, lanes), remainders)  # until a tile has a hard patch
    task, waiting, is_full, past = 0, progress[1], False, is_past_caches(cov_out)
    for m in range(len(cov)):
        matrix, result, features_m, per_sd = cov[m], cov_out[m], features[m], inverse_sd[m]
        for i in range(0, cov.shape[1], TILE):
            for j in range(i if start == 0 else 0, cov.shape[2], TILE):
                task += 1
                if is_full or task <= progress[0] or (task - 1) % step != first:
                    continue
                if waiting + TILE * TILE > len(covs):
                    is_full, progress[0] = True, task - 1
                    continue
                tile = tile_at(matrix, i, j, start)
                of_rows, of_columns = table[m, i // TILE], table[m, tile.k // TILE]
                for order in range(BASE + 1):
                    left_out[order] = remainders[m, i // TILE, order] + remainders[m, tile.k // TILE, order]
                reaches(left_out, log_tolerance, reach)
                stays = may_stay(per_sd, tile)
                if stays:
                    count = tabulated(
                        matrix, result, i, j, tile, per_sd, of_rows, of_columns, reach, mirror, hard, past
                    )
                else:
                    prepared(matrix, tile, per_sd, tile_cov)
                    count = tabulated(
                        tile_cov, out, 0, 0, tile, per_sd, of_rows, of_columns, reach, mirror, hard, False
                    )
                if count > 0:
                    if stays:
                        prepared(matrix, tile, per_sd, tile_cov)
                    if len(rho) == 1:
                        rho = room((len(hard) * HEIGHT, lanes), remainders)
                    hard_patches(
                        tile_cov, tile, per_sd, lanes, left_out, log_tolerance, price, count, hard, limits, rho
                    )
                    most = most_terms(count, hard)
                    if len(rows) < most + 2:
                        rows = room((most + 2, coefficient_columns(n)), remainders)
                    if tile.i != tile.k and len(columns) < len(rows):
                        columns = room((len(rows), coefficient_columns(n)), remainders)
                    by_series(features_m, tile, most, count, hard, rho, rows, columns, out, mirror)
                    waiting = listed(m, tile, count, hard, limits, rho, tile_cov, places, covs, waiting)
                if stays:
                    place_hard(out, count, hard, result, tile)
                    place_image(mirror, result, tile, past)
                else:
                    place(out, mirror, result, tile)
                place_variances(variance[m], result, tile)
    if past:
        written()
    progress[1] = waiting
    return is_full


def scratch_of(cov: Array, n: int) -> Any:
    """Return room for a tile: covariances, results, their mirror image, what n terms leave out and what they reach.

    Then the hard patches: each one's row, column, number of terms, and of pairs beyond these, and the largest |rho|
    that those reach.
    """
    side = min(TILE, filled(n))
    most = side * side // (HEIGHT * (LINE // cov.itemsize))
    square, wide = room((side, side), cov), room((side, side + PADDING), cov)
    hard, limits = np.empty((most, 4), np.int64), np.empty(most)
    return square, room((side, side), cov), wide, np.empty(BASE + 1), np.empty(LIMITS), hard, limits


def may_stay(inverse_sd: Array, tile: Tile) -> bool:
    """Whether a tile is read and written in the matrix: whole, off the diagonal, all its neurons with variance."""
    if tile.height < TILE or tile.width < TILE or tile.i == tile.k:
        return False
    constant = 0
    for a in range(TILE):
        constant += 1 if at(inverse_sd, (tile.i + a,)) == 0.0 else 0
        constant += 1 if at(inverse_sd, (tile.k + a,)) == 0.0 else 0
    return constant == 0


def tabulated(
    source: Array,
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
    past: bool,
) -> int:
    """Compute a tile at source[a, b] into out[a, b] and `mirror`, where tabulated terms suffice.

    reach[n] is the largest |rho| for which n terms suffice. The other patches are listed in `hard`; returns their
    number.
    """
    lanes, count, i, k = LINE // out.itemsize, 0, tile.i, tile.k
    for r in range(0, tile.height, HEIGHT):
        for s in range(r // lanes * lanes if i == k else 0, tile.width, lanes):
            to_read(source, a + r + HEIGHT, b + s)
            if not past:
                to_write(out, a + r + HEIGHT, b + s)
            rho = correlated(load(source, a + r, b + s), inverse_sd, i + r, k + s)
            terms = terms_for(largest_of(rho, math.inf), reach)
            if terms > BASE:
                hard[count, 0], hard[count, 1] = r, s
                count += 1
            else:
                values = series(rho, of_rows, of_columns, terms, r, s)
                if past:
                    store_past(values, out, a + r, b + s)
                else:
                    store(values, out, a + r, b + s)
                store_transposed(values, mirror, s, r)
    return count


def hard_patches(
    tile_cov: Array,
    tile: Tile,
    inverse_sd: Array,
    lanes: int,
    remainders: Array,
    log_tolerance: float,
    price: float,
    count: int,
    hard: Array,
    limits: Array,
    rho: Array,
) -> None:
    """Fill, for the hard patches, `rho` with correlations in float64, the last columns of `hard`, and `limits`.

    A limit is the largest |rho| for which the terms suffice. A patch has `lanes` columns; `price` is that of one
    pair's formula.
    """
    reach = longer_reaches(remainders, log_tolerance)
    for q in range(count):
        r, s = hard[q, 0], hard[q, 1]
        for t in range(0, lanes, WIDE):
            wide = load_wide(tile_cov, r, s + t)
            store(correlated(wide, inverse_sd, tile.i + r, tile.k + s + t), rho, q * HEIGHT, t)
        terms, limits[q], beyond = cheapest(rho, q * HEIGHT, lanes, reach, remainders, log_tolerance, price)
        hard[q, 2], hard[q, 3] = terms, beyond


def most_terms(count: int, hard: Array) -> int:
    """The largest number of terms of a hard patch."""
    most = 0
    for q in range(count):
        most = max(most, hard[q, 2])
    return most


def by_series(
    features: Array,
    tile: Tile,
    most: int,
    count: int,
    hard: Array,
    rho: Array,
    rows: Array,
    columns: Array,
    out: Array,
    mirror: Array,
) -> None:
    """Compute the hard patches by their series; fill `rows` and `columns` with the coefficients."""
    coefficients(features, tile.i, tile.height, most, rows)
    if tile.i != tile.k:
        coefficients(features, tile.k, tile.width, most, columns)
    across = rows if tile.i == tile.k else columns
    for q in range(count):
        r, s, terms = hard[q, 0], hard[q, 1], hard[q, 2]
        for t in range(0, LINE // out.itemsize, WIDE):
            values = series(load(rho, q * HEIGHT, t), rows, across, terms, r, s + t)
            store(values, out, r, s + t)
            store_transposed(values, mirror, s + t, r)


def place_variances(variance: Array, matrix: Array, tile: Tile) -> None:
    """Write the diagonal, if the tile is on it."""
    if tile.i == tile.k:
        for a in range(tile.i, tile.i + tile.height):
            matrix[a, a] = variance[a]


def place_hard(out: Array, count: int, hard: Array, matrix: Array, tile: Tile) -> None:
    """Write the hard patches of a whole tile to the matrix."""
    for q in range(count):
        r, s = hard[q, 0], hard[q, 1]
        store(load(out, r, s), matrix, tile.i + r, tile.j + s)
