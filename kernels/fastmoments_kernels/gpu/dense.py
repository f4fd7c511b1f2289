"""Covariance matrices: tiles of the upper triangle, each by the cheaper route, mirrored from the same tile.

Per neuron once, in float64: marginals, features and Hermite coefficients. Per tile: the Hermite series with as
many terms as the tile's largest |rho| asks for, or the pair formula where that is beyond LIMIT. By
Cauchy-Schwarz the terms beyond N are at most |rho|^(N+1) sqrt(K_ii K_jj), for every activation.
"""

import triton.language as tl

from fastmoments_kernels.formulas import identity as formula
from fastmoments_kernels.vocabulary import Real, Reals, log, maximum, minimum, sqrt, where


def neurons(
    mu_ptr: Real,
    cov_ptr: Real,
    parameters_ptr: Real,
    features_ptr: Real,
    coefficients_ptr: Real,
    n: Real,
    blocks: Real,
    PARAMETERS: tl.constexpr,
    FEATURES: tl.constexpr,
    TERMS: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """What pairs need: (FEATURES + 2, n) with 1 / sd and the gain last, and b_1 .. b_TERMS in (TERMS, n)."""
    m, i = tl.program_id(0).to(tl.int64) // blocks, tl.program_id(0) % blocks * BLOCK + tl.arange(0, BLOCK)
    inside = i < n
    neuron = load_neuron(mu_ptr, cov_ptr, parameters_ptr, m, i, n, PARAMETERS)
    var = neuron[1]
    row_ptr = features_ptr + m * (FEATURES + 2) * n + i
    for f in tl.static_range(FEATURES):
        tl.store(row_ptr + f * n, neuron[f], mask=inside)
    # a neuron without variance has rho = 0
    alive = var != 0.0
    inverse_sd = where(alive, 1.0 / sqrt(where(alive, var, 1.0)), 0.0 * var)
    tl.store(row_ptr + FEATURES * n, inverse_sd, mask=inside)
    tl.store(row_ptr + (FEATURES + 1) * n, formula.gain(neuron), mask=inside)
    store_coefficients(coefficients_ptr + m * TERMS * n + i, neuron, n, inside, TERMS)


def marginals(
    mu_ptr: Real,
    cov_ptr: Real,
    parameters_ptr: Real,
    mean_ptr: Real,
    out_ptr: Real,
    n: Real,
    blocks: Real,
    PARAMETERS: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Means, and variances on the diagonal of `out`."""
    m, i = tl.program_id(0).to(tl.int64) // blocks, tl.program_id(0) % blocks * BLOCK + tl.arange(0, BLOCK)
    neuron = load_neuron(mu_ptr, cov_ptr, parameters_ptr, m, i, n, PARAMETERS)
    tl.store(mean_ptr + m * n + i, formula.mean(neuron), mask=i < n)
    tl.store(out_ptr + m * n * n + i.to(tl.int64) * (n + 1), formula.var(neuron), mask=i < n)


def load_neuron(
    mu_ptr: Real, cov_ptr: Real, parameters_ptr: Real, m: Real, i: Real, n: Real, PARAMETERS: tl.constexpr
) -> Reals:
    """Neurons i of matrix m in float64; the parameters are (batch, PARAMETERS, n)."""
    inside = i < n
    mu = tl.load(mu_ptr + m * n + i, mask=inside, other=0.0).to(tl.float64)
    var = tl.load(cov_ptr + m * n * n + i.to(tl.int64) * (n + 1), mask=inside, other=1.0).to(tl.float64)
    parameters: Reals = ()
    for k in tl.static_range(PARAMETERS):
        row_ptr = parameters_ptr + (m * PARAMETERS + k) * n
        parameters = parameters + (tl.load(row_ptr + i, mask=inside, other=1.0).to(tl.float64),)
    return formula.neuron(mu, var, parameters)


def store_coefficients(row_ptr: Real, neuron: Reals, n: Real, inside: Real, TERMS: tl.constexpr) -> None:
    """b_1 .. b_TERMS, each from the three numbers of the recurrence that end there."""
    before, last, this = formula.series(neuron)
    order = tl.full((), 1.0, tl.float64)
    tl.store(row_ptr, formula.coefficient(order, neuron, last, before, 0.0 * last), mask=inside)
    for k in range(1, TERMS):
        order += 1.0
        tl.store(row_ptr + k * n, formula.coefficient(order, neuron, this, last, before), mask=inside)
        before = last
        last = this
        this = formula.series_step(order + 1.0, neuron, last, before)


def pairs(
    features_ptr: Real,
    coefficients_ptr: Real,
    cov_ptr: Real,
    out_ptr: Real,
    n: Real,
    tiles: Real,
    slack: Real,
    FEATURES: tl.constexpr,
    TERMS: tl.constexpr,
    LOG_TOLERANCE: tl.constexpr,
    LIMIT: tl.constexpr,
    TILE: tl.constexpr,
) -> None:
    """Off-diagonal entries of one tile and its mirror image."""
    m, tile_i, tile_j = place(tiles)
    i = tile_i * TILE + tl.arange(0, TILE)
    j = tile_j * TILE + tl.arange(0, TILE)
    features_ptr += m * (FEATURES + 2) * n
    coefficients_ptr += m * TERMS * n
    above = (i[:, None] < j[None, :]) & (j < n)[None, :]
    straight = m * n * n + i.to(tl.int64)[:, None] * n + j[None, :]
    mirrored = m * n * n + j.to(tl.int64)[:, None] * n + i[None, :]
    cov_12 = tl.load(cov_ptr + straight, mask=above, other=0.0)
    rho = correlations(features_ptr + FEATURES * n, cov_12, i, j, n)
    largest = largest_of(rho)
    if largest <= LIMIT:
        value = series(coefficients_ptr, rho, i, j, n, terms_for(largest, LOG_TOLERANCE, TERMS))
    else:
        one = load_neurons(features_ptr, i, n, FEATURES, 1)
        two = load_neurons(features_ptr, j, n, FEATURES, 0)
        value = formula.cov(one, two, cov_12, slack)
    tl.store(out_ptr + straight, value, mask=above)
    tl.store(out_ptr + mirrored, tl.trans(value), mask=(i[None, :] < j[:, None]) & (j < n)[:, None])


def place(tiles: Real) -> Reals:
    """(matrix, tile row, tile column) of this program; upper triangles are numbered column by column."""
    per_matrix = tiles * (tiles + 1) // 2
    m = tl.program_id(0) // per_matrix
    task = tl.program_id(0) % per_matrix
    # exact: 8 task + 1 is a float64 and square roots are correctly rounded
    tile_j = ((tl.sqrt((8 * task.to(tl.int64) + 1).to(tl.float64)) - 1.0) * 0.5).to(tl.int32)
    return m.to(tl.int64), task - tile_j * (tile_j + 1) // 2, tile_j


def correlations(inverse_ptr: Real, cov_12: Real, i: Real, j: Real, n: Real) -> Real:
    inverse_1 = tl.load(inverse_ptr + i, mask=i < n, other=0.0)
    inverse_2 = tl.load(inverse_ptr + j, mask=j < n, other=0.0)
    return cov_12 * (inverse_1[:, None] * inverse_2[None, :])


def largest_of(rho: Real) -> Real:
    """The tile's largest |rho|; nan, which either route passes on, chooses none."""
    size = tl.where(rho == rho, tl.abs(rho), 0.0)
    return tl.max(tl.max(size, 1), 0)


def terms_for(largest: Real, LOG_TOLERANCE: tl.constexpr, TERMS: tl.constexpr) -> Real:
    """The N with largest^(N+1) <= tolerance."""
    exact = LOG_TOLERANCE / log(maximum(largest, 1e-30))
    return minimum(exact.to(tl.int32) + 1, TERMS)


def load_neurons(features_ptr: Real, i: Real, n: Real, FEATURES: tl.constexpr, AXIS: tl.constexpr) -> Reals:
    """The features of a tile's neurons along its rows (AXIS 1 is missing) or columns."""
    neuron: Reals = ()
    for f in tl.static_range(FEATURES):
        neuron = neuron + (tl.expand_dims(tl.load(features_ptr + f * n + i, mask=i < n, other=1.0), AXIS),)
    return neuron


def series(coefficients_ptr: Real, rho: Real, i: Real, j: Real, n: Real, terms: Real) -> Real:
    """sum over k of rho^k b_k b_k by Horner."""
    total = tl.zeros_like(rho)
    for k in range(terms):
        row_ptr = coefficients_ptr + (terms - 1 - k) * n
        b_1 = tl.load(row_ptr + i, mask=i < n, other=0.0)
        b_2 = tl.load(row_ptr + j, mask=j < n, other=0.0)
        total = tl.fma(total, rho, b_1[:, None] * b_2[None, :])
    return total * rho
