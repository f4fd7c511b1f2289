"""Covariance matrices: tiles of the upper triangle, mirrored, each pair of rows by the cheapest routes.

Per neuron once: features and the first Hermite coefficients, in float64. Per two rows of a tile the series, with
as many terms as their correlations ask for: in the matrix's dtype where few do, in float64 beyond, where rounding
would add up. The few pairs that would ask for many more by the pair formula. Every truncation is positive
semidefinite.
"""

import math
from typing import Any

import numpy as np

from fastmoments_kernels.cpu.memory import column
from fastmoments_kernels.cpu.series import (
    BASE,
    NEURON,
    SWEEP,
    TERMS,
    cheapest,
    coefficients,
    log_rests,
    neuron_at,
    two_rows,
)
from fastmoments_kernels.cpu.tiles import PADDING, TILE, aligned, correlations, extent, filled, read, write
from fastmoments_kernels.formulas import identity as formula

Array = Any

PARAMETERS: tuple[float, ...] = ()  # as long as the tuple of them that formula.neuron takes
PAIR = 5000.0  # what the formula of one pair costs, in terms of its series; gelu's four times as much
HAS_SERIES = True


def neurons(mu: Array, var: Array, parameters: Array) -> tuple[Array, Array, Array, Array, Array, Array]:
    """What is known of every neuron (batch, n): mean and variance of f(X), features, and for the series.

    That is 1 / sd, 0 for one without variance, whose rho is 0; the first coefficients; and `log_rests`, by blocks.
    """
    batch, n = mu.shape
    blocks, orders = (n + TILE - 1) // TILE, BASE // SWEEP + 1
    mean, variance, inverse_sd = np.empty((batch, n)), np.empty((batch, n)), np.empty((batch, n))
    features, rests = np.empty((batch, len(NEURON), n)), np.empty((batch, blocks, orders))
    table = aligned((batch, blocks, BASE + 2, min(TILE, filled(n))), mu)
    for m in range(batch):
        for i in range(n):
            neuron = formula.neuron(mu[m, i], var[m, i], column(PARAMETERS, parameters[:, m], 0, 1, i))
            mean[m, i], variance[m, i] = formula.mean(neuron), formula.var(neuron)
            inverse_sd[m, i] = 0.0 if var[m, i] == 0.0 else 1.0 / math.sqrt(var[m, i])
            for f in range(len(neuron)):
                features[m, f, i] = neuron[f]
        for block in range(blocks):
            if HAS_SERIES:
                coefficients(features[m], block * TILE, BASE, table[m, block])
                log_rests(table[m, block], variance[m], block * TILE, rests[m, block])
            else:
                rests[m, block] = math.inf
    return mean, variance, features, inverse_sd, table, rests


def pairs(
    variance: Array,
    features: Array,
    inverse_sd: Array,
    table: Array,
    rests: Array,
    cov: Array,
    cov_out: Array,
    start: int,
    slack: float,
    log_tolerance: float,
    first: int,
    step: int,
) -> None:
    """Every matrix; of all its tiles this call does first, first + step, ...

    The columns' neurons begin at `start`: at 0 they are the rows', the upper triangle is read and mirrored; at the
    first whole tile beyond the rows' they are others, and the matrix is a rectangle off the diagonal.
    """
    (batch, rows_all, columns_all), n = cov.shape, inverse_sd.shape[1]
    side = min(TILE, filled(n))
    rho, out = aligned((side, side), cov), aligned((side, side + PADDING), cov)
    wide_rho, wide_out = aligned((side, side), rests), aligned((side, side + PADDING), rests)
    rows, columns, block = aligned((2, TILE), rests), aligned((2, TILE), rests), np.empty((side, side))
    plan, limits = np.empty(TILE, np.int64), np.empty(TILE)
    task = 0
    for m in range(batch):
        for i in range(0, rows_all, TILE):
            for j in range(i if start == 0 else 0, columns_all, TILE):
                if task % step == first:
                    k, (height, width) = start + j, extent(cov[m], i, j)
                    correlations(cov[m], i, j, start, inverse_sd[m], rho)
                    both = rests[m, i // TILE] + rests[m, k // TILE]
                    most, all_in = routes(rho, height, filled(width), both, log_tolerance, PAIR, plan, limits)
                    if most <= BASE and all_in:
                        by_series(rho, table[m, i // TILE], table[m, k // TILE], plan, height, filled(width), out)
                        write(out, cov_out[m], i, j, start)
                    else:
                        if len(rows) < TERMS:
                            rows, columns = aligned((TERMS + 2, TILE), rests), aligned((TERMS + 2, TILE), rests)
                        coefficients(features[m], i, most, rows)
                        coefficients(features[m], k, most, columns)
                        read(cov[m], i, j, block)
                        correlations(cov[m], i, j, start, inverse_sd[m], wide_rho)
                        by_series(wide_rho, rows, columns, plan, height, filled(width), wide_out)
                        by_formula(features[m], i, k, block[:height, :width], wide_rho, limits, slack, wide_out)
                        write(wide_out, cov_out[m], i, j, start)
                    if i == k:
                        for a in range(i, i + height):
                            cov_out[m, a, a] = variance[m, a]
                task += 1


def routes(
    rho: Array,
    height: int,
    width: int,
    rests: Array,
    log_tolerance: float,
    pair: float,
    plan: Array,
    limits: Array,
) -> tuple[int, bool]:
    """For every two rows how many terms and up to which |rho|; the most terms, whether they serve all pairs."""
    most, all_in = 0, True
    for i in range(0, height, 2):
        plan[i], limits[i], beyond = cheapest(rho, i, width, rests, log_tolerance, pair)
        most, all_in = max(most, plan[i]), all_in & (beyond == 0)
    return most, all_in


def by_series(rho: Array, rows: Array, columns: Array, plan: Array, height: int, width: int, out: Array) -> None:
    """The covariances of a block by as many terms as planned."""
    for i in range(0, height, 2):
        two_rows(rho, i, rows, columns, plan[i], width, out)


def by_formula(
    features: Array, i: int, j: int, block: Array, rho: Array, limits: Array, slack: float, out: Array
) -> None:
    """Those of neurons i, i + 1, ... with j, j + 1, ... that the series does not serve."""
    height, width = block.shape
    for a in range(height):
        for b in range(width):
            if abs(rho[a, b]) > limits[a // 2 * 2]:
                one, two = neuron_at(features, i + a), neuron_at(features, j + b)
                out[a, b] = formula.cov(one, two, block[a, b], slack)
