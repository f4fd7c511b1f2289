"""The backward pass of the covariance matrix: one visit to each pair gives its part of all gradients.

The series has every derivative: f' has coefficients b'_n = sqrt(n + 1) b_{n+1} / sd (Price), so d K/d cov =
sum rho^n b'_n b'_n from n = 0, d K/d mu_1 = sum rho^n b'_n b_n, d K/d var_1 = sum rho^n b''_n b_n / 2. What flows
into mu and var is kept per tile and added in the tiles' order: the same input gives the same bits.
"""

from typing import Any

import numpy as np

from fastmoments_kernels.cpu.dense import hard_squares, is_beyond
from fastmoments_kernels.cpu.series import BASE, TERMS, coefficients, derivatives, neuron_at, reaches, terms_for
from fastmoments_kernels.cpu.squares import (
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
from fastmoments_kernels.cpu.sums import gradients
from fastmoments_kernels.cpu.tiles import (
    PADDING,
    TILE,
    ahead,
    aligned,
    both_sides,
    extent,
    filled,
    place_made,
    prepared,
)
from fastmoments_kernels.formulas import identity as formula

Array = Any

PARAMETERS: tuple[float, ...] = ()  # as long as the tuple of them that formula.neuron takes
PAIR = 10000.0  # what the five formulas of one pair cost, in terms of the series here
ABOVE = 2  # orders beyond N that f'' asks for


def pair_gradients(
    features: Array,
    inverse_sd: Array,
    table: Array,
    rests: Array,
    gains: Array,
    cov: Array,
    cov_bar: Array,
    cov_grad: Array,
    mu_part: Array,
    var_part: Array,
    start: int,
    slack: float,
    log_tolerance: float,
    first: int,
    step: int,
) -> bool:
    """cov_grad off the diagonal, and each tile's share of the mu and var gradients: (batch, blocks, n) parts.

    `start` and the answer are those of `dense.pairs`; of a rectangle cov_bar is the sum with its mirror image's.
    """
    (batch, rows_all, columns_all), n = cov.shape, features.shape[2]
    side = min(TILE, filled(n))
    most_hard = side * side // (HEIGHT * WIDE)
    block, weight, out = aligned((side, side), cov), aligned((side, side), rests), aligned((side, side), cov)
    image, mirror = aligned((side, side), rests), aligned((side, side + PADDING), cov)
    tables = aligned((table.shape[1], 3, BASE, side), rests)
    long_1, long_2, longer = aligned((3, 1, side), rests), aligned((3, 1, side), rests), aligned((2, side), rests)
    by_row, by_column = aligned((2, side, WIDE), rests), aligned((2, side), rests)
    rho, part = aligned((2, WIDE), rests), aligned((2 * HEIGHT, WIDE), rests)
    served, both, limits = np.empty(LIMITS), np.empty(BASE + 1), np.empty(most_hard)
    hard = np.empty((most_hard, 3), np.int64)
    task, beyond = 0, False
    for m in range(batch):
        given, bar, grad, known, per_sd, gain = (
            cov[m],
            cov_bar[m],
            cov_grad[m],
            features[m],
            inverse_sd[m],
            gains[m],
        )
        for a in range(len(tables)):
            derivatives(table[m, a], BASE - ABOVE, tables[a])
        for i in range(0, rows_all, TILE):
            for j in range(i if start == 0 else 0, columns_all, TILE):
                if task % step == first:
                    k, (height, width) = start + j, extent(given, i, j)
                    both[:] = rests[m, i // TILE] + rests[m, k // TILE]
                    reaches(both, log_tolerance, served)
                    ahead(given, i, j)
                    both_sides(bar, i, j, start, image, weight)
                    prepared(given, i, j, start, per_sd, block)
                    of_1, of_2 = tables[i // TILE], tables[k // TILE]
                    by_row[:], by_column[:] = 0.0, 0.0
                    count = 0
                    for r in range(0, height, HEIGHT):
                        for s in range(r // WIDE * WIDE if i == k else 0, width, WIDE):
                            rhos = correlated(load_wide(block, r, s), per_sd, i + r, k + s)
                            terms = terms_for(largest_of(rhos), served)
                            if terms > BASE - ABOVE:
                                hard[count, 0], hard[count, 1] = r, s
                                count += 1
                            else:
                                weights = load(weight, r, s)
                                slope = gradients(rhos, weights, of_1, of_2, terms, r, s, by_row, by_column)
                                slope = correlated(slope, per_sd, i + r, k + s)
                                values = mean_of(correlated(weights, gain, i + r, k + s), slope)
                                store(values, out, r, s)
                                store_transposed(values, mirror, s, r)
                    if count > 0:
                        if len(longer) < TERMS:
                            longer = aligned((TERMS + ABOVE + 2, side), rests)
                            long_1, long_2 = aligned((3, TERMS, side), rests), aligned((3, TERMS, side), rests)
                            rho = aligned((most_hard * HEIGHT, WIDE), rests)
                        most = hard_squares(
                            block, per_sd, i, k, WIDE, both, log_tolerance, PAIR, count, hard, limits, rho
                        )
                        coefficients(known, i, most + ABOVE, longer)
                        derivatives(longer, most, long_1)
                        if i != k:
                            coefficients(known, k, most + ABOVE, longer)
                            derivatives(longer, most, long_2)
                        across = long_1 if i == k else long_2
                        for q in range(count):
                            r, s, terms = hard[q, 0], hard[q, 1], hard[q, 2]
                            served_part(rho, q, limits[q], weight, r, s, part)
                            rhos, weights = load(part, 0, 0), load(part, HEIGHT, 0)
                            slope = gradients(rhos, weights, long_1, across, terms, r, s, by_row, by_column)
                            slope = correlated(slope, per_sd, i + r, k + s)
                            values = mean_of(correlated(weights, gain, i + r, k + s), slope)
                            store(values, out, r, s)
                            store_transposed(values, mirror, s, r)
                    mu_1, mu_2 = mu_part[m, k // TILE], mu_part[m, i // TILE]
                    var_1, var_2 = var_part[m, k // TILE], var_part[m, i // TILE]
                    collect(by_row, by_column, per_sd, i, k, height, width, mu_1, mu_2, var_1, var_2)
                    for q in range(count):
                        beyond |= by_formula(
                            *(known, i, k, block, rho, q, hard, limits[q], height, width, slack, weight),
                            *(out, mirror, mu_1, mu_2, var_1, var_2),
                        )
                    place_made(out, mirror, grad, i, j, start)
                task += 1
    return beyond


def served_part(rho: Array, q: int, limit: float, weight: Array, r: int, s: int, part: Array) -> None:
    """Correlations and, below, weights of a hard square; of pairs that the series does not serve both are 0."""
    for a in range(HEIGHT):
        for b in range(WIDE):
            beyond = abs(rho[q * HEIGHT + a, b]) > limit
            part[a, b] = 0.0 if beyond else rho[q * HEIGHT + a, b]
            part[HEIGHT + a, b] = 0.0 if beyond else weight[r + a, s + b]


def collect(
    by_row: Array,
    by_column: Array,
    per_sd: Array,
    i: int,
    j: int,
    height: int,
    width: int,
    mu_1: Array,
    mu_2: Array,
    var_1: Array,
    var_2: Array,
) -> None:
    """A tile's sums to the gradients of neurons i, i + 1, ... and j, j + 1, ..."""
    for a in range(height):
        mu, var, scale = 0.0, 0.0, per_sd[i + a]
        for b in range(WIDE):
            mu += by_row[0, a, b]
            var += by_row[1, a, b]
        mu_1[i + a] += scale * mu
        var_1[i + a] += 0.5 * scale * scale * var
    for b in range(width):
        scale = per_sd[j + b]
        mu_2[j + b] += scale * by_column[0, b]
        var_2[j + b] += 0.5 * scale * scale * by_column[1, b]


def by_formula(
    features: Array,
    i: int,
    j: int,
    block: Array,
    rho: Array,
    q: int,
    hard: Array,
    limit: float,
    height: int,
    width: int,
    slack: float,
    weight: Array,
    out: Array,
    mirror: Array,
    mu_1: Array,
    mu_2: Array,
    var_1: Array,
    var_2: Array,
) -> bool:
    """The pairs of a hard square that the series does not serve; whether one `is_beyond`."""
    r, s, beyond = hard[q, 0], hard[q, 1], False
    for a in range(r, min(r + HEIGHT, height)):
        for b in range(s, min(s + WIDE, width)):
            if abs(rho[q * HEIGHT + a - r, b - s]) > limit:
                one, two = neuron_at(features, i + a), neuron_at(features, j + b)
                c, w = float(block[a, b]), weight[a, b]
                slope = formula.product_11(one, two, c, slack)
                beyond |= is_beyond(rho[q * HEIGHT + a - r, b - s], slope, slack)
                out[a, b] = mirror[b, a] = 0.5 * w * slope
                mu_1[i + a] += w * formula.cov_10(one, two, c, slack)
                mu_2[j + b] += w * formula.cov_10(two, one, c, slack)
                var_1[i + a] += 0.5 * w * formula.cov_20(one, two, c, slack)
                var_2[j + b] += 0.5 * w * formula.cov_20(two, one, c, slack)
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
