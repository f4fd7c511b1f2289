"""The backward pass of the covariance matrix: one visit to each pair gives its part of all gradients.

The series has every derivative: f' has coefficients b'_n = sqrt(n + 1) b_{n+1} / sd (Price), so d K/d cov =
sum n rho^(n-1) b_n b_n / (sd_1 sd_2), d K/d mu_1 = sum rho^n b'_n b_n, d K/d var_1 = sum rho^n b''_n b_n / 2.
A neuron's gradients are sums over n of b'_n and b''_n times the sums over the other neurons of bar rho^n b_n: those
are what a visit adds up. They are kept per tile and added in the tiles' order: the same input gives the same bits.
"""

from typing import Any

import numpy as np

from fastmoments_kernels.cpu.dense import routes
from fastmoments_kernels.cpu.series import (
    BASE,
    ROOT,
    TERMS,
    coefficients,
    neuron_at,
    reversed_rows,
    two_rows_vjp,
)
from fastmoments_kernels.cpu.tiles import (
    PADDING,
    TILE,
    aligned,
    both_sides,
    correlations,
    extent,
    filled,
    read,
    write,
)
from fastmoments_kernels.formulas import identity as formula

Array = Any

PARAMETERS: tuple[float, ...] = ()  # as long as the tuple of them that formula.neuron takes
PAIR = 10000.0  # what the five formulas of one pair cost, in terms of the series here
ABOVE = 2  # orders beyond N that f'' asks for
LONGEST = TERMS + ABOVE + 2  # rows of a table
SMALL = 1e-290  # below it only the series' first term is left, and |rho| may not be divided by


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
) -> None:
    """cov_grad off the diagonal, and each tile's share of the mu and var gradients: (batch, blocks, n) parts.

    `start` is what it is to `dense.pairs`; of a rectangle cov_bar is the sum with its mirror image's.
    """
    (batch, rows_all, columns_all), n = cov.shape, inverse_sd.shape[1]
    side = min(TILE, filled(n))
    rho, weight, power = aligned((side, side), rests), aligned((side, side), rests), aligned((side, side), rests)
    slope, block = aligned((side, side + PADDING), rests), np.empty((side, side))
    sums, upward = aligned((BASE, TILE), rests), aligned((BASE, TILE), rests)
    rows, columns = aligned((2, TILE), rests), aligned((2, TILE), rests)
    plan, limits = np.empty(TILE, np.int64), np.empty(TILE)
    task = 0
    for m in range(batch):
        for i in range(0, rows_all, TILE):
            for j in range(i if start == 0 else 0, columns_all, TILE):
                if task % step == first:
                    k, (height, width) = start + j, extent(cov[m], i, j)
                    a, b = i // TILE, k // TILE
                    mu_1, mu_2, var_1, var_2 = mu_part[m, b], mu_part[m, a], var_part[m, b], var_part[m, a]
                    correlations(cov[m], i, j, start, inverse_sd[m], rho)
                    both_sides(cov_bar[m], i, j, start, weight)
                    both = rests[m, a] + rests[m, b]
                    most, all_in = routes(rho, height, filled(width), both, log_tolerance, PAIR, plan, limits)
                    powers(rho, weight, limits, height, width, power)
                    if most + ABOVE <= BASE:
                        of_1, of_2 = table[m, a], table[m, b]
                    else:
                        if len(rows) < TERMS:
                            rows, columns = aligned((LONGEST, TILE), rests), aligned((LONGEST, TILE), rests)
                            sums, upward = aligned((TERMS, TILE), rests), aligned((TERMS, TILE), rests)
                        coefficients(features[m], i, most + ABOVE, rows)
                        coefficients(features[m], k, most + ABOVE, columns)
                        of_1, of_2 = rows, columns
                    reversed_rows(of_2, most, upward)
                    sums[:most] = 0.0
                    for r in range(0, height, 2):
                        found = two_rows_vjp(rho, r, of_1, upward, plan[r], filled(width), power, slope, sums)
                        add_row(found[:2], inverse_sd[m], i + r, mu_1, var_1)
                        if r + 1 < height:
                            add_row(found[2:], inverse_sd[m], i + r + 1, mu_1, var_1)
                    add_columns(sums, of_2, most, inverse_sd[m], k, width, mu_2, var_2)
                    scale(slope, rho, weight, inverse_sd[m], gains[m], i, k, height, width)
                    if not all_in:
                        read(cov[m], i, j, block)
                        correlations(cov[m], i, j, start, inverse_sd[m], rho)
                        own, parts = block[:height, :width], (mu_1, mu_2, var_1, var_2)
                        by_formula(features[m], i, k, own, rho, limits, slack, weight, slope, *parts)
                    write(slope, cov_grad[m], i, j, start)
                task += 1


def powers(rho: Array, weight: Array, limits: Array, height: int, width: int, power: Array) -> None:
    """Weights where the series begins; pairs that it does not serve weigh nothing there, nor does their rho."""
    for a in range(height + height % 2):
        for b in range(filled(width)):
            beyond = abs(rho[a, b]) > limits[a // 2 * 2]
            power[a, b] = 0.0 if beyond else weight[a, b]
            rho[a, b] = 0.0 if beyond else rho[a, b]


def add_row(found: tuple[float, float], inverse_sd: Array, i: int, mu_part: Array, var_part: Array) -> None:
    """A row's sums to the gradients of neuron i."""
    mu_part[i] += inverse_sd[i] * found[0]
    var_part[i] += 0.5 * inverse_sd[i] * inverse_sd[i] * found[1]


def add_columns(
    sums: Array, columns: Array, terms: int, inverse_sd: Array, j: int, width: int, mu_part: Array, var_part: Array
) -> None:
    """The columns' sums, order by order, to the gradients of neurons j, j + 1, ..."""
    top = columns.shape[0] - 2
    for n in range(1, terms + 1):
        for b in range(width):
            scaled = inverse_sd[j + b] * ROOT[n + 1] * sums[n - 1, b]
            mu_part[j + b] += scaled * columns[top - n - 1, b]
            var_part[j + b] += 0.5 * inverse_sd[j + b] * ROOT[n + 2] * scaled * columns[top - n - 2, b]


def scale(
    slope: Array,
    rho: Array,
    weight: Array,
    inverse_sd: Array,
    gains: Array,
    i: int,
    j: int,
    height: int,
    width: int,
) -> None:
    """From w rho dK / d rho to bar dK / d cov, w = 2 bar."""
    for a in range(height):
        for b in range(width):
            r = rho[a, b]
            uncorrelated = abs(r) < SMALL
            by_rho = slope[a, b] / (1.0 if uncorrelated else r) * (inverse_sd[i + a] * inverse_sd[j + b])
            slope[a, b] = 0.5 * (weight[a, b] * (gains[i + a] * gains[j + b]) if uncorrelated else by_rho)


def by_formula(
    features: Array,
    i: int,
    j: int,
    block: Array,
    rho: Array,
    limits: Array,
    slack: float,
    weight: Array,
    slope: Array,
    mu_1: Array,
    mu_2: Array,
    var_1: Array,
    var_2: Array,
) -> None:
    """The pairs of neurons i, i + 1, ... with j, j + 1, ... that the series does not serve."""
    height, width = block.shape
    for a in range(height):
        for b in range(width):
            if abs(rho[a, b]) > limits[a // 2 * 2]:
                one, two, c, w = neuron_at(features, i + a), neuron_at(features, j + b), block[a, b], weight[a, b]
                slope[a, b] = 0.5 * w * formula.product_11(one, two, c, slack)
                mu_1[i + a] += w * formula.cov_10(one, two, c, slack)
                mu_2[j + b] += w * formula.cov_10(two, one, c, slack)
                var_1[i + a] += 0.5 * w * formula.cov_20(one, two, c, slack)
                var_2[j + b] += 0.5 * w * formula.cov_20(two, one, c, slack)


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
