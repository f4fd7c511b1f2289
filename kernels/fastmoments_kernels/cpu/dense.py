"""Covariance matrices: tiles of the upper triangle, mirrored, each pair of rows by the cheapest routes.

Per neuron once: features and the first Hermite coefficients (in float64, as all arithmetic here). Per two rows of
a tile the series, with as many terms as their correlations ask for; the few pairs that would ask for many more by
the pair formula. Every truncation is positive semidefinite.
"""

import math
from typing import Any

import numpy as np

from fastmoments_kernels.cpu.memory import column
from fastmoments_kernels.cpu.series import (
    BASE,
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


def neurons(
    mu: Array,
    var: Array,
    parameters: Array,
    variance: Array,
    features: Array,
    table: Array,
    rests: Array,
    first: int,
    step: int,
) -> None:
    """Features and first coefficients of every neuron of matrices first, first + step, ..., by blocks."""
    batch, n = mu.shape
    for m in range(first, batch, step):
        for i in range(n):
            feature = formula.neuron(mu[m, i], var[m, i], column(PARAMETERS, parameters[:, m], 0, 1, i))
            for f in range(len(feature)):
                features[m, f, i] = feature[f]
        for block in range(table.shape[1]):
            if HAS_SERIES:
                coefficients(features[m], block * TILE, BASE, table[m, block])
                log_rests(table[m, block], variance[m], block * TILE, rests[m, block])
            else:
                rests[m, block] = math.inf


def pairs(
    features: Array,
    table: Array,
    rests: Array,
    inverse_sd: Array,
    cov: Array,
    cov_out: Array,
    slack: float,
    log_tolerance: float,
    first: int,
    step: int,
) -> None:
    """Off-diagonal entries of every matrix; of all its tiles this call does first, first + step, ..."""
    batch, n = inverse_sd.shape
    side = min(TILE, filled(n))
    rho, out, block = aligned((side, side)), aligned((side, side + PADDING)), np.empty((side, side))
    rows, columns = aligned((2, TILE)), aligned((2, TILE))
    plan, limits = np.empty(TILE, np.int64), np.empty(TILE)
    task = 0
    for m in range(batch):
        for i in range(0, n, TILE):
            for j in range(i, n, TILE):
                if task % step == first:
                    height, width = extent(cov[m], i, j)
                    correlations(cov[m], i, j, inverse_sd[m], rho)
                    both = rests[m, i // TILE] + rests[m, j // TILE]
                    most, all_in = routes(rho, height, filled(width), both, log_tolerance, PAIR, plan, limits)
                    if most <= BASE:
                        by_series(rho, table[m, i // TILE], table[m, j // TILE], plan, height, filled(width), out)
                    else:
                        if len(rows) < TERMS:
                            rows, columns = aligned((TERMS + 2, TILE)), aligned((TERMS + 2, TILE))
                        coefficients(features[m], i, most, rows)
                        coefficients(features[m], j, most, columns)
                        by_series(rho, rows, columns, plan, height, filled(width), out)
                    if not all_in:
                        read(cov[m], i, j, block)
                        by_formula(features[m], i, j, block, rho, limits, slack, out)
                    write(out, cov_out[m], i, j)
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
    """Those that the series does not serve."""
    n = features.shape[1]
    for a in range(min(TILE, n - i)):
        for b in range(min(TILE, n - j)):
            if not abs(rho[a, b]) <= limits[a // 2 * 2]:
                one, two = neuron_at(features, i + a), neuron_at(features, j + b)
                out[a, b] = formula.cov(one, two, block[a, b], slack)
