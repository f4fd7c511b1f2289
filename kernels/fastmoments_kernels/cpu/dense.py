"""Covariance matrices: tiles of the upper triangle, mirrored, each chunk by the cheaper route.

Per neuron once: features (in float64, as all arithmetic here). Per row of a tile: where |rho| <= SERIES_LIMIT
the Hermite series, with as many terms as the row's largest |rho| asks for; elsewhere the pair formula. By
Cauchy-Schwarz the terms beyond N are at most |rho|^(N+1) sqrt(K_ii K_jj), for every activation, so one rule
gives N for all of them. Every truncation is positive semidefinite.

`cov` is any rectangular block's covariance; the dense matrix is the schedule that visits blocks with i <= j.
"""

import math
from typing import Any

import numpy as np
from numba.np.unsafe.ndarray import to_fixed_tuple

from fastmoments_kernels.cpu.vocabulary import fma
from fastmoments_kernels.formulas import identity as formula

Array = Any

TILE = 64  # 64 x 64 float64 scratch stays in the second cache level
SERIES_LIMIT = 0.9  # beyond it the series needs more terms than quadrature nodes cost; < 0 for no series
TERMS = 424  # ln(1e-3 eps / 2) / ln(SERIES_LIMIT), the longest series, rounded up to a multiple of 4
FEATURES, PARAMETERS = 3, 0  # lengths of formula.neuron's tuple and of its parameters


def neurons(mu: Array, var: Array, parameters: Array, features: Array, first: int, step: int) -> None:
    """Features of every neuron of matrices first, first + step, ..."""
    batch, n = mu.shape
    for m in range(first, batch, step):
        for i in range(n):
            feature = formula.neuron(mu[m, i], var[m, i], to_fixed_tuple(parameters[:, m, i], PARAMETERS))
            for f in range(FEATURES):
                features[m, i, f] = feature[f]


def pairs(
    features: Array,
    inverse_sd: Array,
    cov: Array,
    cov_out: Array,
    slack: float,
    tolerance: float,
    first: int,
    step: int,
) -> None:
    """Off-diagonal entries of every matrix; of all its tiles this call does first, first + step, ..."""
    batch, n = inverse_sd.shape
    rho, out, block = np.zeros((TILE, TILE)), np.empty((TILE, TILE)), np.empty((TILE, TILE))
    rows, columns = np.zeros((TERMS + 2, TILE)), np.zeros((TERMS + 2, TILE))
    task = 0
    for m in range(batch):
        for i in range(0, n, TILE):
            for j in range(i, n, TILE):
                if task % step == first:
                    one, two = features[m, i : i + TILE], features[m, j : j + TILE]
                    read(cov[m, i : i + TILE, j : j + TILE], block)
                    correlations(block, inverse_sd[m, i : i + TILE], inverse_sd[m, j : j + TILE], rho)
                    tile(one, two, block, rho, out, rows, columns, slack, tolerance, i == j)
                    write(out, cov_out[m], i, j, len(one), len(two))
                task += 1


def read(part: Array, block: Array) -> None:
    """Copy a part of a matrix of either dtype into float64: what follows is compiled once."""
    for i in range(part.shape[0]):
        for j in range(part.shape[1]):
            block[i, j] = part[i, j]


def correlations(block: Array, inverse_1: Array, inverse_2: Array, rho: Array) -> None:
    """rho of a block; what the neurons do not fill stays 0."""
    rho[:] = 0.0
    for i in range(inverse_1.shape[0]):
        for j in range(inverse_2.shape[0]):
            rho[i, j] = block[i, j] * (inverse_1[i] * inverse_2[j])


def tile(
    one: Array,
    two: Array,
    block: Array,
    rho: Array,
    out: Array,
    rows: Array,
    columns: Array,
    slack: float,
    tolerance: float,
    diagonal: bool,
) -> None:
    """Covariances of a block's neurons into `out`; above the diagonal only where it is a diagonal block."""
    height, width = len(one), len(two)
    largest = 0.0
    for i in range(height):
        largest = max(largest, largest_in_series(rho[i], i + 1 if diagonal else 0, width))
    terms = terms_for(largest, tolerance)
    coefficients(two, terms, columns)
    if not diagonal:
        coefficients(one, terms, rows)
    for i in range(height):
        start = i + 1 if diagonal else 0
        terms = terms_for(largest_in_series(rho[i], start, width), tolerance)
        series(rho[i], columns if diagonal else rows, i, columns, terms, start, width, out[i])
        for j in range(start, width):
            if not abs(rho[i, j]) <= SERIES_LIMIT:
                neuron_1, neuron_2 = to_fixed_tuple(one[i], FEATURES), to_fixed_tuple(two[j], FEATURES)
                out[i, j] = formula.cov(neuron_1, neuron_2, block[i, j], slack)


def largest_in_series(rho: Array, start: int, stop: int) -> float:
    """The largest |rho| of a row from start to stop that the series serves."""
    largest = 0.0
    for j in range(start, stop):
        size = abs(rho[j])
        largest = size if (size <= SERIES_LIMIT) & (size > largest) else largest
    return largest


def terms_for(rho: float, tolerance: float) -> int:
    """The N, a multiple of 4, with rho^(N+1) <= tolerance."""
    if rho == 0.0:
        return 4
    exact = math.log(tolerance) / math.log(rho) - 1.0
    return min(TERMS, 4 * max(1, math.ceil(exact / 4.0)))


def coefficients(features: Array, terms: int, table: Array) -> None:
    """Hermite coefficients b_n of a block's neurons, n = 1..terms, in row TERMS - n: series run upwards.

    A descending loop over rows would stay scalar, LLVM's alias check rejects the negative stride. Row TERMS has
    a_0 on the way and 0 in the end, row TERMS + 1 zeros.
    """
    for j in range(features.shape[0]):
        start = formula.series(to_fixed_tuple(features[j], FEATURES))
        table[TERMS, j], table[TERMS - 1, j], table[TERMS - 2, j] = start
    for n in range(3, terms + 1):
        for j in range(features.shape[0]):
            neuron = to_fixed_tuple(features[j], FEATURES)
            table[TERMS - n, j] = formula.series_step(
                float(n), neuron, table[TERMS - n + 1, j], table[TERMS - n + 2, j]
            )
    # in place: b_n needs no a_k with k > n
    for row in range(TERMS - max(terms, 2), TERMS):
        for j in range(features.shape[0]):
            neuron = to_fixed_tuple(features[j], FEATURES)
            a_n, a_1, a_2 = table[row, j], table[row + 1, j], table[row + 2, j]
            table[row, j] = formula.coefficient(float(TERMS - row), neuron, a_n, a_1, a_2)
    table[TERMS] = 0.0


def series(rho: Array, rows: Array, i: int, columns: Array, terms: int, start: int, stop: int, out: Array) -> None:
    """out_j = sum over n of rho_j^n b_n(i) b_n(j) by Horner, four terms a sweep from start to stop."""
    for j in range(start, stop):
        out[j] = 0.0
    for n in range(TERMS - terms, TERMS, 4):
        b_4, b_3, b_2, b_1 = rows[n, i], rows[n + 1, i], rows[n + 2, i], rows[n + 3, i]
        for j in range(start, stop):
            r, total = rho[j], out[j]
            total = fma(total, r, b_4 * columns[n, j])
            total = fma(total, r, b_3 * columns[n + 1, j])
            total = fma(total, r, b_2 * columns[n + 2, j])
            out[j] = fma(total, r, b_1 * columns[n + 3, j])
    for j in range(start, stop):
        out[j] *= rho[j]


def write(out: Array, matrix: Array, i: int, j: int, height: int, width: int) -> None:
    """A block and its mirror image; of a diagonal block what lies above the diagonal, mirrored."""
    for a in range(height):
        for b in range(a + 1 if i == j else 0, width):
            matrix[i + a, j + b] = out[a, b]
    for b in range(width):
        for a in range(min(b, height) if i == j else height):
            matrix[j + b, i + a] = out[a, b]
