"""The backward pass of the covariance matrix: one visit to each pair gives its part of all gradients.

The series has every derivative: f' has coefficients b'_n = sqrt(n + 1) b_{n+1} / sd (Price), so d K/d cov =
sum rho^n b'_n b'_n from n = 0, d K/d mu_1 = sum rho^n b'_n b_n, d K/d var_1 = sum rho^n b''_n b_n / 2. What flows
into mu and var is kept per tile and added in the tiles' order: the same input gives the same bits.
"""

from typing import Any, NamedTuple

import numpy as np

from fastmoments_kernels.cpu.covariance import hard_patches, is_beyond
from fastmoments_kernels.cpu.neurons import Known
from fastmoments_kernels.cpu.patch_series import gradients
from fastmoments_kernels.cpu.patches import (
    HEIGHT,
    LIMITS,
    WIDE,
    correlated,
    largest_of,
    load,
    load_wide,
    mean_of,
    store,
    store_transposed,
)
from fastmoments_kernels.cpu.series import BASE, TERMS, coefficients, derivatives, neuron_at, reaches, terms_for
from fastmoments_kernels.cpu.tiles import (
    PADDING,
    TILE,
    Tile,
    ahead,
    aligned,
    both_sides,
    filled,
    place_made,
    prepared,
    tile_at,
)
from fastmoments_kernels.formulas import identity as formula

Array = Any

PARAMETERS: tuple[float, ...] = ()  # as long as the tuple of them that formula.neuron takes
COST = 10000.0  # of the five formulas of one pair, in terms of the series here
ABOVE = 2  # orders beyond N that f'' asks for


class Matrix(NamedTuple):
    """One matrix, its gradients, and what is known of its neurons."""

    cov: Array
    bar: Array  # what flows back into the result
    grad: Array
    features: Array
    inverse_sd: Array
    rests: Array
    gains: Array


class Scratch(NamedTuple):
    """Memory for one tile at a time; what is for hard patches is short until a tile has one."""

    tile: Array  # the covariances given
    weight: Array  # cov_bar and its mirror image
    image: Array
    out: Array
    mirror: Array  # `out` transposed
    rests: Array  # log of what n terms leave out of a row's and a column's neuron
    reach: Array  # the largest |rho| for which n tabulated terms suffice
    tables: Array  # coefficients of f, f' and f'' for every tile of neurons
    by_row: Array  # sums for the gradients of mu and var
    by_column: Array
    hard: Array  # of every hard patch its row, column and number of terms
    limits: Array  # the largest |rho| for which these terms suffice
    part: Array  # correlations and weights of a hard patch
    rows: Array  # `tables` of the rows' neurons for hard patches
    columns: Array
    longer: Array  # coefficients of f on the way to them
    rho: Array  # correlations of the hard patches


def pair_gradients(
    known: Known,
    gains: Array,
    cov: Array,
    cov_bar: Array,
    cov_grad: Array,
    parts: Array,
    start: int,
    slack: float,
    log_tolerance: float,
    first: int,
    step: int,
) -> bool:
    """cov_grad off the diagonal, and each tile's share of the mu and var gradients, parts (batch, tiles, 2, n).

    `start` and the answer are those of `covariance.pairs`; of a rectangle cov_bar is the sum with its mirror
    image's.
    """
    scratch = scratch_of(cov, known)
    task, beyond = 0, False
    for m in range(len(cov)):
        matrix = Matrix(
            cov[m], cov_bar[m], cov_grad[m], known.features[m], known.inverse_sd[m], known.rests[m], gains[m]
        )
        for a in range(len(scratch.tables)):
            derivatives(known.table[m, a], BASE - ABOVE, scratch.tables[a])
        for i in range(0, cov.shape[1], TILE):
            for j in range(i if start == 0 else 0, cov.shape[2], TILE):
                if task % step == first:
                    tile = tile_at(matrix.cov, i, j, start)
                    of_rows, of_columns = parts[m, tile.k // TILE], parts[m, i // TILE]
                    count = tabulated(matrix, tile, scratch, log_tolerance)
                    if count > 0:
                        scratch = grown(scratch, known)
                        untabulated(matrix, tile, scratch, count, log_tolerance)
                    collect(matrix.inverse_sd, tile, scratch, of_rows, of_columns)
                    for q in range(count):
                        beyond |= by_formula(matrix, tile, scratch, q, slack, of_rows, of_columns)
                    place_made(scratch.out, scratch.mirror, matrix.grad, tile)
                task += 1
    return beyond


def scratch_of(cov: Array, known: Known) -> Any:
    """Scratch for matrices like `cov`."""
    side, double = min(TILE, filled(known.features.shape[2])), known.rests
    most = side * side // (HEIGHT * WIDE)
    return Scratch(
        aligned((side, side), cov),
        aligned((side, side), double),
        aligned((side, side), double),
        aligned((side, side), cov),
        aligned((side, side + PADDING), cov),
        np.empty(BASE + 1),
        np.empty(LIMITS),
        aligned((known.table.shape[1], 3, BASE, side), double),
        aligned((2, side, WIDE), double),
        aligned((2, side), double),
        np.empty((most, 3), np.int64),
        np.empty(most),
        aligned((2 * HEIGHT, WIDE), double),
        aligned((3, 1, side), double),
        aligned((3, 1, side), double),
        aligned((2, side), double),
        aligned((2, WIDE), double),
    )


def grown(scratch: Scratch, known: Known) -> Any:
    """Scratch with room for hard patches."""
    rows, columns, longer, rho = scratch.rows, scratch.columns, scratch.longer, scratch.rho
    if len(longer) < TERMS:
        side = scratch.tile.shape[0]
        longer = aligned((TERMS + ABOVE + 2, side), known.rests)
        rows, columns = aligned((3, TERMS, side), known.rests), aligned((3, TERMS, side), known.rests)
        rho = aligned((len(scratch.hard) * HEIGHT, WIDE), known.rests)
    return Scratch(
        scratch.tile,
        scratch.weight,
        scratch.image,
        scratch.out,
        scratch.mirror,
        scratch.rests,
        scratch.reach,
        scratch.tables,
        scratch.by_row,
        scratch.by_column,
        scratch.hard,
        scratch.limits,
        scratch.part,
        rows,
        columns,
        longer,
        rho,
    )


def tabulated(matrix: Matrix, tile: Tile, scratch: Scratch, log_tolerance: float) -> int:
    """The patches for which the tabulated terms suffice; `hard` lists the others, whose number is returned."""
    i, k, count = tile.i, tile.k, 0
    scratch.rests[:] = matrix.rests[i // TILE] + matrix.rests[k // TILE]
    reaches(scratch.rests, log_tolerance, scratch.reach)
    ahead(matrix.cov, i, tile.j, tile.height, tile.width)
    both_sides(matrix.bar, tile, scratch.image, scratch.weight)
    prepared(matrix.cov, tile, matrix.inverse_sd, scratch.tile)
    scratch.by_row[:], scratch.by_column[:] = 0.0, 0.0
    of_rows, of_columns = scratch.tables[i // TILE], scratch.tables[k // TILE]
    for r in range(0, tile.height, HEIGHT):
        for s in range(r // WIDE * WIDE if i == k else 0, tile.width, WIDE):
            rho = correlated(load_wide(scratch.tile, r, s), matrix.inverse_sd, i + r, k + s)
            terms = terms_for(largest_of(rho), scratch.reach)
            if terms > BASE - ABOVE:
                scratch.hard[count, 0], scratch.hard[count, 1] = r, s
                count += 1
            else:
                of_patch(matrix, tile, scratch, rho, load(scratch.weight, r, s), of_rows, of_columns, terms, r, s)
    return count


def of_patch(
    matrix: Matrix,
    tile: Tile,
    scratch: Scratch,
    rho: Any,
    weight: Any,
    of_rows: Array,
    of_columns: Array,
    terms: int,
    r: int,
    s: int,
) -> None:
    """The gradients of a patch at (r, s) of its tile, by the series."""
    i, k = tile.i + r, tile.k + s
    slope = gradients(rho, weight, of_rows, of_columns, terms, r, s, scratch.by_row, scratch.by_column)
    slope = correlated(slope, matrix.inverse_sd, i, k)
    values = mean_of(correlated(weight, matrix.gains, i, k), slope)
    store(values, scratch.out, r, s)
    store_transposed(values, scratch.mirror, s, r)


def untabulated(matrix: Matrix, tile: Tile, scratch: Scratch, count: int, log_tolerance: float) -> None:
    """The series of the `count` hard patches of a tile."""
    most = hard_patches(matrix.inverse_sd, tile, scratch, count, WIDE, log_tolerance, COST)
    coefficients(matrix.features, tile.i, most + ABOVE, scratch.longer)
    derivatives(scratch.longer, most, scratch.rows)
    if tile.i != tile.k:
        coefficients(matrix.features, tile.k, most + ABOVE, scratch.longer)
        derivatives(scratch.longer, most, scratch.columns)
    across = scratch.rows if tile.i == tile.k else scratch.columns
    for q in range(count):
        within_reach(scratch, q)
        r, s, terms = scratch.hard[q, 0], scratch.hard[q, 1], scratch.hard[q, 2]
        rho, weight = load(scratch.part, 0, 0), load(scratch.part, HEIGHT, 0)
        of_patch(matrix, tile, scratch, rho, weight, scratch.rows, across, terms, r, s)


def within_reach(scratch: Scratch, q: int) -> None:
    """Fill `part` with a hard patch's correlations and, below, weights: 0 for pairs that its terms do not reach."""
    r, s = scratch.hard[q, 0], scratch.hard[q, 1]
    for a in range(HEIGHT):
        for b in range(WIDE):
            beyond = abs(scratch.rho[q * HEIGHT + a, b]) > scratch.limits[q]
            scratch.part[a, b] = 0.0 if beyond else scratch.rho[q * HEIGHT + a, b]
            scratch.part[HEIGHT + a, b] = 0.0 if beyond else scratch.weight[r + a, s + b]


def collect(inverse_sd: Array, tile: Tile, scratch: Scratch, of_rows: Array, of_columns: Array) -> None:
    """Add a tile's sums to the gradients (2, n) along mu and var of its rows' and columns' neurons."""
    for a in range(tile.height):
        mu, var, scale = 0.0, 0.0, inverse_sd[tile.i + a]
        for b in range(WIDE):
            mu += scratch.by_row[0, a, b]
            var += scratch.by_row[1, a, b]
        of_rows[0, tile.i + a] += scale * mu
        of_rows[1, tile.i + a] += 0.5 * scale * scale * var
    for b in range(tile.width):
        scale = inverse_sd[tile.k + b]
        of_columns[0, tile.k + b] += scale * scratch.by_column[0, b]
        of_columns[1, tile.k + b] += 0.5 * scale * scale * scratch.by_column[1, b]


def by_formula(
    matrix: Matrix, tile: Tile, scratch: Scratch, q: int, slack: float, of_rows: Array, of_columns: Array
) -> bool:
    """The pair formulas for the pairs of a hard patch that its terms do not reach. Whether one `is_beyond`."""
    r, s, beyond = scratch.hard[q, 0], scratch.hard[q, 1], False
    for a in range(r, min(r + HEIGHT, tile.height)):
        for b in range(s, min(s + WIDE, tile.width)):
            rho = scratch.rho[q * HEIGHT + a - r, b - s]
            if abs(rho) > scratch.limits[q]:
                i, k = tile.i + a, tile.k + b
                one, two = neuron_at(matrix.features, i), neuron_at(matrix.features, k)
                c, w = float(scratch.tile[a, b]), scratch.weight[a, b]
                slope = formula.product_11(one, two, c, slack)
                beyond |= is_beyond(rho, slope, slack)
                scratch.out[a, b] = scratch.mirror[b, a] = 0.5 * w * slope
                of_rows[0, i] += w * formula.cov_10(one, two, c, slack)
                of_columns[0, k] += w * formula.cov_10(two, one, c, slack)
                of_rows[1, i] += 0.5 * w * formula.cov_20(one, two, c, slack)
                of_columns[1, k] += 0.5 * w * formula.cov_20(two, one, c, slack)
    return beyond


def parameter_gradients(
    features: Array, cov: Array, cov_bar: Array, gradients: Array, slack: float, first: int, step: int
) -> None:
    """What flows into the parameters (parameters, batch, n) off the diagonal, neurons first, first + step, ..."""
    batch, n = cov.shape[:2]
    for task in range(first, batch * n, step):
        m, i = task // n, task % n
        one = neuron_at(features[m], i)
        for j in range(n):
            if j != i:
                two = neuron_at(features[m], j)
                slopes = formula.cov_dparameters(one, two, float(cov[m, min(i, j), max(i, j)]), slack)
                bar = float(cov_bar[m, i, j]) + float(cov_bar[m, j, i])
                for k in range(len(PARAMETERS)):
                    gradients[k, m, i] += bar * slopes[k]
