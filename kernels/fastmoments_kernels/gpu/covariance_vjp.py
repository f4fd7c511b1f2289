"""The backward pass of the covariance matrix: a kernel for each kind of derivative, tiles as in the forward pass.

The series has every derivative: f' has coefficients b'_n = sqrt(n + 1) b_{n+1} / sd (Price). Gradients of mu and
var are row sums over all tiles, kept per tile and added in the tiles' order, so that their bits do not depend on
the order of programs. One kernel with all derivatives of a pair would spill registers.
"""

import triton.language as tl

from fastmoments_kernels.formulas import identity as formula  # `bind` exchanges it for an activation's
from fastmoments_kernels.gpu.covariance import load_features, load_neuron
from fastmoments_kernels.gpu.series import load_remainders, reach, terms_for
from fastmoments_kernels.gpu.tiles import largest_of, place, row_stride
from fastmoments_kernels.vocabulary import Real, sqrt, where


def along_cov(
    features_ptr: Real,
    coefficients_ptr: Real,
    remainders_ptr: Real,
    cov_ptr: Real,
    cov_bar_ptr: Real,
    cov_grad_ptr: Real,
    n: Real,
    tiles: Real,
    terms: Real,
    slack: Real,
    FEATURES: tl.constexpr,
    LOG_TOLERANCE: tl.constexpr,
    SWEEP: tl.constexpr,
    MOST: tl.constexpr,
    TILE: tl.constexpr,
) -> None:
    """Write the gradient of cov off the diagonal, for one tile and its mirror image."""
    m, tile_i, tile_j = place(tiles)
    i = tile_i * TILE + tl.arange(0, TILE)
    j = tile_j * TILE + tl.arange(0, TILE)
    features_ptr += m * (FEATURES + 2) * row_stride(n)
    coefficients_ptr += m * (terms + 2) * row_stride(n)
    cov_12 = load_both(cov_ptr + m * n * n, i, j, n)
    rho = correlations(features_ptr + FEATURES * row_stride(n), cov_12, i, j, n)
    largest = largest_of(rho)
    remainders = load_remainders(remainders_ptr + m * tiles * (terms // SWEEP), tile_i, tile_j, terms, SWEEP, MOST)
    if largest < reach(remainders, LOG_TOLERANCE, SWEEP, MOST):
        count = tl.minimum(terms_for(largest, remainders, LOG_TOLERANCE, SWEEP, MOST), terms)
        value = series_11(features_ptr + FEATURES * row_stride(n), coefficients_ptr, rho, i, j, n, count)
    else:
        one = load_features(features_ptr + i[:, None], (i < n)[:, None], row_stride(n), FEATURES)
        two = load_features(features_ptr + j[None, :], (j < n)[None, :], row_stride(n), FEATURES)
        value = formula.product_11(one, two, cov_12, slack)
    bar = load_weights(cov_bar_ptr + m * n * n, i, j, n)
    above = (i[:, None] < j[None, :]) & (j < n)[None, :]
    mirrored = (i[None, :] < j[:, None]) & (j < n)[:, None]
    cov_grad_ptr += m * n * n
    tl.store(cov_grad_ptr + i.to(tl.int64)[:, None] * n + j[None, :], bar * value, mask=above)
    tl.store(cov_grad_ptr + j.to(tl.int64)[:, None] * n + i[None, :], tl.trans(bar * value), mask=mirrored)


def along_neuron(
    features_ptr: Real,
    coefficients_ptr: Real,
    remainders_ptr: Real,
    cov_ptr: Real,
    cov_bar_ptr: Real,
    part_ptr: Real,
    n: Real,
    tiles: Real,
    terms: Real,
    slack: Real,
    BODY: tl.constexpr,
    ORDER: tl.constexpr,
    FEATURES: tl.constexpr,
    LOG_TOLERANCE: tl.constexpr,
    SWEEP: tl.constexpr,
    MOST: tl.constexpr,
    TILE: tl.constexpr,
) -> None:
    """Write a tile's share of its rows' mu (ORDER 1) or var (ORDER 2) gradients to row `tile_j` of (tiles, n)."""
    tile = tl.program_id(0) % (tiles * tiles)
    m = tl.program_id(0).to(tl.int64) // (tiles * tiles)
    i = tile // tiles * TILE + tl.arange(0, TILE)
    j = tile % tiles * TILE + tl.arange(0, TILE)
    features_ptr += m * (FEATURES + 2) * row_stride(n)
    coefficients_ptr += m * (terms + 2) * row_stride(n)
    cov_12 = load_both(cov_ptr + m * n * n, i, j, n)
    rho = correlations(features_ptr + FEATURES * row_stride(n), cov_12, i, j, n)
    largest = largest_of(rho)
    remainders = load_remainders(
        remainders_ptr + m * tiles * (terms // SWEEP), tile // tiles, tile % tiles, terms, SWEEP, MOST
    )
    if largest < reach(remainders, LOG_TOLERANCE, SWEEP, MOST):
        count = tl.minimum(terms_for(largest, remainders, LOG_TOLERANCE, SWEEP, MOST), terms)
        value = raised_series(features_ptr + FEATURES * row_stride(n), coefficients_ptr, rho, i, j, n, count, ORDER)
    else:
        one = load_features(features_ptr + i[:, None], (i < n)[:, None], row_stride(n), FEATURES)
        two = load_features(features_ptr + j[None, :], (j < n)[None, :], row_stride(n), FEATURES)
        value = BODY(one, two, cov_12, slack)
    if ORDER == 1:  # an entry has a mirror image; for var the factor 2 meets the 1/2 of d / d var
        value = 2.0 * value
    bar = load_weights(cov_bar_ptr + m * n * n, i, j, n)
    inside = (i[:, None] != j[None, :]) & (i < n)[:, None] & (j < n)[None, :]
    share = tl.sum(where(inside, bar * value, 0.0), 1)
    tl.store(part_ptr + (m * tiles + tile % tiles) * n + i, share, mask=i < n)


def pair_10(one: Real, two: Real, cov_12: Real, slack: Real) -> Real:
    return formula.cov_10(one, two, cov_12, slack)


def pair_20(one: Real, two: Real, cov_12: Real, slack: Real) -> Real:
    return formula.cov_20(one, two, cov_12, slack)


def correlations(inverse_ptr: Real, cov_12: Real, i: Real, j: Real, n: Real) -> Real:
    inverse_1 = tl.load(inverse_ptr + i, mask=i < n, other=0.0)
    inverse_2 = tl.load(inverse_ptr + j, mask=j < n, other=0.0)
    return cov_12 * (inverse_1[:, None] * inverse_2[None, :])


def load_both(cov_ptr: Real, i: Real, j: Real, n: Real) -> Real:
    """A tile's covariances, read from the upper triangle; a tile below the diagonal is mirrored."""
    straight = i.to(tl.int64)[:, None] * n + j[None, :]
    mirrored = j.to(tl.int64)[:, None] * n + i[None, :]
    mask = (i < n)[:, None] & (j < n)[None, :] & (i[:, None] < j[None, :])
    above = tl.load(cov_ptr + straight, mask=mask, other=0.0)
    mask = (j < n)[:, None] & (i < n)[None, :] & (j[:, None] < i[None, :])
    below = tl.load(cov_ptr + mirrored, mask=mask, other=0.0)
    return above + tl.trans(below)


def load_weights(cov_bar_ptr: Real, i: Real, j: Real, n: Real) -> Real:
    """The symmetric part of a tile of cov_bar."""
    straight = i.to(tl.int64)[:, None] * n + j[None, :]
    mirrored = j.to(tl.int64)[:, None] * n + i[None, :]
    bar = tl.load(cov_bar_ptr + straight, mask=(i < n)[:, None] & (j < n)[None, :], other=0.0)
    bar_mirrored = tl.load(cov_bar_ptr + mirrored, mask=(j < n)[:, None] & (i < n)[None, :], other=0.0)
    return 0.5 * (bar + tl.trans(bar_mirrored))


def series_11(slopes_ptr: Real, coefficients_ptr: Real, rho: Real, i: Real, j: Real, n: Real, terms: Real) -> Real:
    """sum over k >= 0 of rho^k b'_k b'_k; the term k = 0 is the product of the gains."""
    inverse_1 = tl.load(slopes_ptr + i, mask=i < n, other=0.0)
    inverse_2 = tl.load(slopes_ptr + j, mask=j < n, other=0.0)
    gain_1 = tl.load(slopes_ptr + row_stride(n) + i, mask=i < n, other=0.0)
    gain_2 = tl.load(slopes_ptr + row_stride(n) + j, mask=j < n, other=0.0)
    total = tl.zeros_like(rho)
    order = terms.to(rho.dtype)
    row_1_ptr = coefficients_ptr + terms * row_stride(n) + i
    row_2_ptr = coefficients_ptr + terms * row_stride(n) + j
    for _ in range(terms):
        slope_1 = tl.load(row_1_ptr, mask=i < n, other=0.0) * inverse_1
        slope_2 = tl.load(row_2_ptr, mask=j < n, other=0.0) * inverse_2
        total = tl.fma(total, rho, (order + 1.0) * (slope_1[:, None] * slope_2[None, :]))
        order -= 1.0
        row_1_ptr -= row_stride(n)
        row_2_ptr -= row_stride(n)
    return tl.fma(total, rho, gain_1[:, None] * gain_2[None, :])


def raised_series(
    slopes_ptr: Real,
    coefficients_ptr: Real,
    rho: Real,
    i: Real,
    j: Real,
    n: Real,
    terms: Real,
    ORDER: tl.constexpr,
) -> Real:
    """sum over k >= 1 of rho^k b'_k b_k (ORDER 1) or rho^k b''_k b_k (ORDER 2), the first neuron's derivatives."""
    inverse = tl.load(slopes_ptr + i, mask=i < n, other=0.0)
    total = tl.zeros_like(rho)
    order = terms.to(rho.dtype)
    row_1_ptr = coefficients_ptr + (terms - 1 + ORDER) * row_stride(n) + i
    row_2_ptr = coefficients_ptr + (terms - 1) * row_stride(n) + j
    for _ in range(terms):
        raised = tl.load(row_1_ptr, mask=i < n, other=0.0) * (sqrt(order + 1.0) * inverse)
        if ORDER == 2:
            raised = raised * (sqrt(order + 2.0) * inverse)
        b_2 = tl.load(row_2_ptr, mask=j < n, other=0.0)
        total = tl.fma(total, rho, raised[:, None] * b_2[None, :])
        order -= 1.0
        row_1_ptr -= row_stride(n)
        row_2_ptr -= row_stride(n)
    return total * rho


def collect(
    mu_ptr: Real,
    cov_ptr: Real,
    parameters_ptr: Real,
    mean_bar_ptr: Real,
    cov_bar_ptr: Real,
    mu_part_ptr: Real,
    var_part_ptr: Real,
    mu_grad_ptr: Real,
    cov_grad_ptr: Real,
    n: Real,
    blocks: Real,
    tiles: Real,
    PARAMETERS: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Write the gradients of mu and, on the diagonal, of var: through mean and variance, plus the tiles' shares."""
    m, i = tl.program_id(0).to(tl.int64) // blocks, tl.program_id(0) % blocks * BLOCK + tl.arange(0, BLOCK)
    inside = i < n
    diagonal = m * n * n + i.to(tl.int64) * (n + 1)
    neuron = load_neuron(mu_ptr, cov_ptr, parameters_ptr, m, i, n, PARAMETERS)
    mean_bar = tl.load(mean_bar_ptr + m * n + i, mask=inside, other=0.0).to(tl.float64)
    bar = tl.load(cov_bar_ptr + diagonal, mask=inside, other=0.0).to(tl.float64)
    var_dmu, var_dvar = formula.var_partials(neuron)
    mu_grad = weigh(mean_bar, formula.gain(neuron)) + weigh(bar, var_dmu)
    var_grad = weigh(mean_bar, formula.mean_dvar(neuron)) + weigh(bar, var_dvar)
    for tile in range(tiles):
        part = (m * tiles + tile) * n + i
        mu_grad += tl.load(mu_part_ptr + part, mask=inside, other=0.0).to(tl.float64)
        var_grad += tl.load(var_part_ptr + part, mask=inside, other=0.0).to(tl.float64)
    tl.store(mu_grad_ptr + m * n + i, mu_grad, mask=inside)
    tl.store(cov_grad_ptr + diagonal, var_grad, mask=inside)


def weigh(weight: Real, slope: Real) -> Real:
    """weight * slope, and 0 where the weight is 0 and the slope infinite or nan."""
    return where(weight == 0.0, 0.0 * weight, weight * slope)
