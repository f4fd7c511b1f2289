"""The backward pass of the covariance matrix: one visit to each pair gives all its five derivatives.

The series has every derivative: f' has coefficients b'_n = sqrt(n + 1) b_{n+1} / sd (Price), so
d K/d cov = sum rho^n b'_n b'_n, d K/d mu_1 = sum rho^n b'_n b_n, d K/d var_1 = sum rho^n b''_n b_n / 2.
Sums over a row are kept per tile and added in the tiles' order: the same input gives the same bits.
"""

import math
from typing import Any

import numpy as np
from numba.np.unsafe.ndarray import to_fixed_tuple

from fastmoments_kernels.cpu.dense import (
    SERIES_LIMIT,
    TERMS,
    TILE,
    coefficients,
    correlations,
    largest_in_series,
    read,
    terms_for,
)
from fastmoments_kernels.cpu.vocabulary import fma
from fastmoments_kernels.formulas import identity as formula

Array = Any

FEATURES, PARAMETERS = 3, 0  # lengths of formula.neuron's tuple and of its parameters
D_COV, D_MU_1, D_MU_2, D_VAR_1, D_VAR_2 = range(5)


def pair_gradients(
    features: Array,
    inverse_sd: Array,
    gains: Array,
    cov: Array,
    cov_bar: Array,
    cov_grad: Array,
    mu_part: Array,
    var_part: Array,
    slack: float,
    tolerance: float,
    first: int,
    step: int,
) -> None:
    """cov_grad off the diagonal, and each tile's share of the mu and var gradients: (batch, blocks, n) parts."""
    batch, n = inverse_sd.shape
    rho, block, partials = np.zeros((TILE, TILE)), np.empty((TILE, TILE)), np.zeros((5, TILE, TILE))
    rows, columns = np.zeros((3, TERMS + 2, TILE)), np.zeros((3, TERMS + 2, TILE))
    task = 0
    for m in range(batch):
        for i in range(0, n, TILE):
            for j in range(i, n, TILE):
                if task % step == first:
                    span, across = slice(i, i + TILE), slice(j, j + TILE)
                    read(cov[m, span, across], block)
                    correlations(block, inverse_sd[m, span], inverse_sd[m, across], rho)
                    tables(features[m, across], inverse_sd[m, across], gains[m, across], rho, tolerance, columns)
                    tables(features[m, span], inverse_sd[m, span], gains[m, span], rho, tolerance, rows)
                    tile_partials(
                        features[m, span],
                        features[m, across],
                        block,
                        rho,
                        rows,
                        columns,
                        slack,
                        tolerance,
                        partials,
                    )
                    reduce_tile(partials, cov_bar[m], cov_grad[m], mu_part[m], var_part[m], i, j, n)
                task += 1


def tables(features: Array, inverse_sd: Array, gains: Array, rho: Array, tolerance: float, table: Array) -> None:
    """Coefficients of f, f' and f'' for a tile's neurons, order n in row TERMS - n."""
    largest = 0.0
    for i in range(TILE):
        largest = max(largest, largest_in_series(rho[i], 0, TILE))
    terms = series_terms(largest, tolerance)
    coefficients(features, terms + 2, table[0])
    for j in range(features.shape[0]):
        for n in range(terms, 0, -1):
            following = math.sqrt(n + 1.0) * inverse_sd[j]
            table[1, TERMS - n, j] = following * table[0, TERMS - n - 1, j]
            table[2, TERMS - n, j] = following * math.sqrt(n + 2.0) * inverse_sd[j] * table[0, TERMS - n - 2, j]
        table[1, TERMS, j] = gains[j]


def series_terms(rho: float, tolerance: float) -> int:
    """As for the covariance, two fewer at the most: f'' needs the coefficients two orders up."""
    return min(terms_for(rho, tolerance), TERMS - 4)


def tile_partials(
    one: Array,
    two: Array,
    block: Array,
    rho: Array,
    rows: Array,
    columns: Array,
    slack: float,
    tolerance: float,
    partials: Array,
) -> None:
    """The five derivatives of every pair of a tile."""
    for i in range(len(one)):
        terms = series_terms(largest_in_series(rho[i], 0, TILE), tolerance)
        series_partials(rho[i], rows, i, columns, terms, partials)
        for j in range(len(two)):
            if not abs(rho[i, j]) <= SERIES_LIMIT:
                first, second = to_fixed_tuple(one[i], FEATURES), to_fixed_tuple(two[j], FEATURES)
                c = block[i, j]
                partials[D_COV, i, j] = formula.product_11(first, second, c, slack)
                partials[D_MU_1, i, j] = formula.cov_10(first, second, c, slack)
                partials[D_MU_2, i, j] = formula.cov_10(second, first, c, slack)
                partials[D_VAR_1, i, j] = 0.5 * formula.cov_20(first, second, c, slack)
                partials[D_VAR_2, i, j] = 0.5 * formula.cov_20(second, first, c, slack)


def series_partials(rho: Array, rows: Array, i: int, columns: Array, terms: int, partials: Array) -> None:
    """Row i of the five sums. Their order 0 is 0 but for d K/d cov, where it is the product of the gains."""
    partials[:, i, :] = 0.0
    d_cov, d_mu_1, d_mu_2 = partials[D_COV, i], partials[D_MU_1, i], partials[D_MU_2, i]
    d_var_1, d_var_2 = partials[D_VAR_1, i], partials[D_VAR_2, i]
    for n in range(TERMS - terms, TERMS + 1):
        f, slope, bend = rows[0, n, i], rows[1, n, i], 0.5 * rows[2, n, i]
        for j in range(TILE):
            r = rho[j]
            d_cov[j] = fma(d_cov[j], r, slope * columns[1, n, j])
            d_mu_1[j] = fma(d_mu_1[j], r, slope * columns[0, n, j])
            d_mu_2[j] = fma(d_mu_2[j], r, f * columns[1, n, j])
            d_var_1[j] = fma(d_var_1[j], r, bend * columns[0, n, j])
            d_var_2[j] = fma(d_var_2[j], r, 0.5 * f * columns[2, n, j])


def reduce_tile(
    partials: Array, cov_bar: Array, cov_grad: Array, mu_part: Array, var_part: Array, i: int, j: int, n: int
) -> None:
    """Weigh the derivatives with the incoming gradient; row sums go to part j's block, column sums to part i's."""
    height, width = min(TILE, n - i), min(TILE, n - j)
    of_row, of_column = j // TILE, i // TILE
    for a in range(height):
        for b in range(a + 1 if i == j else 0, width):
            # an asymmetric gradient acts on the symmetric K by both its entries
            bar = 0.5 * (float(cov_bar[i + a, j + b]) + float(cov_bar[j + b, i + a]))
            value = bar * partials[D_COV, a, b]
            cov_grad[i + a, j + b] = value
            cov_grad[j + b, i + a] = value
            mu_part[of_row, i + a] += 2.0 * bar * partials[D_MU_1, a, b]
            var_part[of_row, i + a] += 2.0 * bar * partials[D_VAR_1, a, b]
            mu_part[of_column, j + b] += 2.0 * bar * partials[D_MU_2, a, b]
            var_part[of_column, j + b] += 2.0 * bar * partials[D_VAR_2, a, b]


def parameter_gradients(
    features: Array, cov: Array, cov_bar: Array, gradients: Array, slack: float, first: int, step: int
) -> None:
    """What flows into the parameters (PARAMETERS, batch, n) off the diagonal, neurons first, first + step, ..."""
    batch, n = cov.shape[:2]
    for task in range(first, batch * n, step):
        m, i = task // n, task % n
        one = to_fixed_tuple(features[m, i], FEATURES)
        for j in range(n):
            if j != i:
                two = to_fixed_tuple(features[m, j], FEATURES)
                slopes = formula.cov_dparameters(one, two, float(cov[m, min(i, j), max(i, j)]), slack)
                bar = float(cov_bar[m, i, j]) + float(cov_bar[m, j, i])
                for k in range(PARAMETERS):
                    gradients[k, m, i] += bar * slopes[k]
