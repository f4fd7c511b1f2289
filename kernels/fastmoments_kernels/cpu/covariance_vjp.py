"""The backward pass of the covariance matrix: one visit to each pair computes its part of all gradients.

The series has every derivative: f' has coefficients b'_n = sqrt(n + 1) b_{n+1} / sd (Price), so d K/d cov = sum
rho^n b'_n b'_n from n = 0, d K/d mu_1 = sum rho^n b'_n b_n, d K/d var_1 = sum rho^n b''_n b_n / 2. Gradients of mu
and var are kept per tile and added in the tiles' order, so that their bits do not depend on threads.
"""

import math
from typing import Any

import numpy as np

from fastmoments_kernels.cpu.covariance import hard_patches, most_terms
from fastmoments_kernels.cpu.far_slopes import AT_ONCE, append, far_room, settle
from fastmoments_kernels.cpu.hard_slopes import Results, begin, by_series, coefficients_of_hard, finish, hard_room
from fastmoments_kernels.cpu.layout import BASE, PADDING, TILE, aligned, filled, room
from fastmoments_kernels.cpu.patch_series import gradients
from fastmoments_kernels.cpu.patches import (
    HEIGHT,
    LIMITS,
    WIDE,
    correlated,
    largest_of,
    load,
    load_wide,
    nothing,
)
from fastmoments_kernels.cpu.series import neuron_at, reaches, terms_for
from fastmoments_kernels.cpu.slopes import ABOVE, FACTORS, fill
from fastmoments_kernels.cpu.tiles import (
    Tile,
    ahead,
    both_sides,
    place_made,
    prepared,
    tile_at,
)
from fastmoments_kernels.formulas import identity as formula  # `bind` exchanges it for an activation's

Array = Any  # an array in code that Numba compiles

PARAMETERS: tuple[float, ...] = ()  # as long as formula.neuron's tuple of parameters
COST = 2500.0  # of the five formulas of one pair in packs, in terms of the series here
STEP = 8  # orders by which tables of slopes grow


def pair_gradients(
    known: tuple[Array, ...],
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
    """Fill cov_grad off the diagonal, and `parts` (batch, tiles, 2, n), each tile's share of those of mu and var.

    `known`, the arguments from `start` on and the answer are those of `covariance.pairs`. For a block off the
    diagonal cov_bar is its gradient plus that of its mirror image.
    """
    _, features, inverse_sd, table, remainders = known
    n = max(cov.shape[1], cov.shape[2])
    tile_cov, weight, image, left_out, reach, patches, limits = scratch_of(cov, n, remainders)
    tables, built = tables_of(table, len(tile_cov))
    results, far = results_of(cov, len(tile_cov), remainders), far_room()
    hard = hard_room(patches, limits, 0, 0, remainders)  # until a tile has a hard patch
    both = cov.shape[1] > TILE or start != 0
    task, beyond = 0, False
    for m in range(len(cov)):
        matrix, features_m, per_sd, gain = cov[m], features[m], inverse_sd[m], gains[m]
        built[:] = 0
        for i in range(0, cov.shape[1], TILE):
            for j in range(i if start == 0 else 0, cov.shape[2], TILE):
                task += 1
                if (task - 1) % step != first:
                    continue
                tile = tile_at(matrix, i, j, start)
                for order in range(BASE + 1):
                    left_out[order] = remainders[m, i // TILE, order] + remainders[m, tile.k // TILE, order]
                reaches(left_out, log_tolerance, reach)
                ahead(matrix, i, j, tile.height, tile.width)
                both_sides(cov_bar[m], tile, image, weight)
                prepared(matrix, tile, per_sd, tile_cov)
                results.by_row.fill(0.0)
                results.by_column.fill(0.0)
                slopes = table[m], tables, built
                count = tabulated(tile_cov, weight, tile, per_sd, gain, slopes, reach, patches, results)
                if count > 0:
                    if len(hard.rho) == 0:
                        hard = hard_room(patches, limits, len(tile_cov), 2 if both else 1, remainders)
                    rho = hard.rho
                    hard_patches(
                        tile_cov, tile, per_sd, WIDE, left_out, log_tolerance, COST, count, patches, limits, rho
                    )
                    begin(weight, tile, count, hard)
                    most = most_terms(count, patches)
                    coefficients_of_hard(features_m, m, tile, most, hard)
                    by_series(weight, tile, per_sd, gain, most, count, hard, results)
                of_rows, of_columns = parts[m, tile.k // TILE], parts[m, i // TILE]
                collect(per_sd, tile, results.by_row, results.by_column, of_rows, of_columns)
                place_made(results.out, results.mirror, cov_grad[m], tile)
                for q in range(count):
                    if patches[q, 3] > 0:
                        if far.count[0] + HEIGHT * WIDE > AT_ONCE:
                            beyond |= settle(far, slack, inverse_sd, start, cov_grad, parts)
                        append(tile_cov, weight, features_m, m, tile, per_sd, patches[q], limits[q], far)
    beyond |= settle(far, slack, inverse_sd, start, cov_grad, parts)
    return beyond


def scratch_of(cov: Array, n: int, double: Array) -> Any:
    """Return a tile's covariances, weights and their mirror image, and `covariance.scratch_of`'s last four.

    There is room for the number of pairs of a hard patch beyond its limit too.
    """
    side = min(TILE, filled(n))
    most = side * side // (HEIGHT * WIDE)
    weight, image = room((side, side), double), room((side, side), double)
    hard, limits = np.empty((most, 4), np.int64), np.empty(most)
    return aligned((side, side), cov), weight, image, np.empty(BASE + 1), np.empty(LIMITS), hard, limits


def tables_of(table: Array, side: int) -> Any:
    """Return room for a table of slopes for every tile of neurons, and the numbers of orders that they have."""
    tiles = table.shape[1]
    groups = tiles * (side // WIDE)
    tables = room((groups, BASE - ABOVE, FACTORS, WIDE), table)
    return tables.reshape((tiles, side // WIDE, BASE - ABOVE, FACTORS, WIDE)), np.zeros(tiles, np.int64)


def extend(table: Array, terms: int, a: int, tables: Array, built: Array) -> None:
    """Let the table of slopes of tile a have so many terms or more."""
    if built[a] < terms:
        most = min((terms + STEP - 1) // STEP * STEP, BASE - ABOVE)
        fill(table[a], built[a], most - built[a], tables[a, :, built[a] :])
        built[a] = most


def results_of(cov: Array, side: int, double: Array) -> Any:
    """Return room for the gradients of a tile."""
    by_row, by_column = aligned((2, side, WIDE), double), aligned((2, side), double)
    return Results(by_row, by_column, aligned((side, side), cov), aligned((side, side + PADDING), cov))


def tabulated(
    tile_cov: Array,
    weight: Array,
    tile: Tile,
    inverse_sd: Array,
    gains: Array,
    slopes: tuple[Array, Array, Array],
    reach: Array,
    hard: Array,
    results: Results,
) -> int:
    """Compute the patches for which tabulated terms suffice; list the others in `hard` and return their number.

    `slopes` are tables of coefficients, those of slopes, and the numbers of orders that these have.
    """
    count, i, k = 0, tile.i, tile.k
    table, tables, built = slopes
    by_row, by_column, out, mirror = results
    of_rows, of_columns = tables[i // TILE], tables[k // TILE]
    for r in range(0, tile.height, HEIGHT):
        for s in range(r // WIDE * WIDE if i == k else 0, tile.width, WIDE):
            rho = correlated(load_wide(tile_cov, r, s), inverse_sd, i + r, k + s)
            terms = max(terms_for(largest_of(rho, math.inf), reach), 2)
            if terms > BASE - ABOVE:
                hard[count, 0], hard[count, 1] = r, s
                count += 1
            else:
                extend(table, terms, i // TILE, tables, built)
                extend(table, terms, k // TILE, tables, built)
                weights = load(weight, r, s)
                _, slope = gradients(
                    rho,
                    weights,
                    weights,
                    nothing(rho),
                    of_rows,
                    of_columns,
                    terms,
                    r,
                    s,
                    by_row,
                    by_column,
                )
                finish(slope, weights, i + r, k + s, inverse_sd, gains, out, mirror, r, s)
    return count


def collect(
    inverse_sd: Array, tile: Tile, by_row: Array, by_column: Array, of_rows: Array, of_columns: Array
) -> None:
    """Add a tile's sums to the gradients (2, n) of mu and var of its rows' and of its columns' neurons."""
    for a in range(tile.height):
        mu, var, scale = 0.0, 0.0, inverse_sd[tile.i + a]
        for b in range(WIDE):
            mu += by_row[0, a, b]
            var += by_row[1, a, b]
        of_rows[0, tile.i + a] += scale * mu
        of_rows[1, tile.i + a] += 0.5 * scale * scale * var
    for b in range(tile.width):
        scale = inverse_sd[tile.k + b]
        of_columns[0, tile.k + b] += scale * by_column[0, b]
        of_columns[1, tile.k + b] += 0.5 * scale * scale * by_column[1, b]


def parameter_gradients(
    features: Array, cov: Array, cov_bar: Array, gradients: Array, slack: float, first: int, step: int
) -> None:
    """Fill the parameters' gradients (parameters, batch, n) of pairs, for neurons first, first + step, ..."""
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
