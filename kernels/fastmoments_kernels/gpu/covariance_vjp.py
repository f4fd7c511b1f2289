"""The backward pass of the covariance matrix by the series: one visit to a tile computes its part of all gradients.

f' has coefficients b'_n = sqrt(n + 1) b_{n+1} / sd (Price), so d K / d cov = sum rho^n b'_n b'_n from n = 0,
d K / d mu_1 = sum rho^n b'_n b_n from n = 1, and d K / d var_1 = sum rho^n b''_n b_n / 2 from n = 1. Gradients of
mu and var are sums over a tile's rows and its columns, kept per tile and added in the tiles' order, so that their
bits do not depend on the order of programs. beyond_vjp.py has the pairs that the series does not reach.
"""

import triton.language as tl

from fastmoments_kernels.formulas import identity as formula  # `bind` exchanges it for an activation's
from fastmoments_kernels.gpu.beyond import list_beyond, list_none
from fastmoments_kernels.gpu.covariance import load_neuron
from fastmoments_kernels.gpu.series import load_remainders, load_row, reach, terms_for
from fastmoments_kernels.gpu.tiles import (
    largest_of,
    number_of,
    place_edge,
    place_whole,
    row_stride,
)
from fastmoments_kernels.vocabulary import Real, Reals, log, sqrt, where


def derivatives(
    features_ptr: Real,
    coefficients_ptr: Real,
    tables_ptr: Real,
    n: Real,
    tiles: Real,
    blocks: Real,
    terms: Real,
    FEATURES: tl.constexpr,
    SWEEP: tl.constexpr,
    TILE: tl.constexpr,
) -> None:
    """Write tables (tiles, terms + 1, 3, TILE) of b_k, b'_k, b''_k / 2 from b_1, b_2, ...; b'_0 is the gain.

    A tile's coefficients lie together and at constant distances, of which the series needs no registers. A program
    has SWEEP orders of a tile; `blocks` are a tile's programs.
    """
    block, task = tl.program_id(0) % blocks, tl.program_id(0) // blocks
    m, tile = task.to(tl.int64) // tiles, task % tiles
    c = tl.arange(0, TILE)
    i, stride = tile * TILE + c, row_stride(n)
    slopes_ptr = features_ptr + (m * (FEATURES + 2) + FEATURES) * stride
    inverse_sd = tl.load(slopes_ptr + i, mask=i < n, other=0.0).to(tl.float64)[None, :]
    gain = tl.load(slopes_ptr + stride + i, mask=i < n, other=0.0).to(tl.float64)[None, :]
    k = (block * SWEEP + tl.arange(0, SWEEP))[:, None]
    order = k.to(tl.float64)
    row_ptr = coefficients_ptr + (m * (terms + 2) + k - 1) * stride + i[None, :]
    inside = (k <= terms) & (i < n)[None, :]
    b = tl.load(row_ptr, mask=inside & (k > 0), other=0.0).to(tl.float64)
    slope = tl.load(row_ptr + stride, mask=inside, other=0.0).to(tl.float64) * (sqrt(order + 1.0) * inverse_sd)
    raised = sqrt((order + 1.0) * (order + 2.0)) * (inverse_sd * inverse_sd)
    bend = tl.load(row_ptr + 2 * stride, mask=inside & (k > 0), other=0.0).to(tl.float64) * (0.5 * raised)
    out_ptr = tables_ptr + ((m * tiles + tile) * (terms + 1) + k) * (3 * TILE) + c[None, :]
    tl.store(out_ptr, b, mask=k <= terms)
    # the slope of a neuron without variance is not b_1 / sd
    tl.store(out_ptr + TILE, where(k > 0, slope, gain), mask=k <= terms)
    tl.store(out_ptr + 2 * TILE, bend, mask=k <= terms)


def pairs_vjp(
    features_ptr: Real,
    tables_ptr: Real,
    remainders_ptr: Real,
    positions_ptr: Real,
    counts_ptr: Real,
    cov_ptr: Real,
    cov_bar_ptr: Real,
    cov_grad_ptr: Real,
    mu_shares_ptr: Real,
    var_shares_ptr: Real,
    n: Real,
    tiles: Real,
    terms: Real,
    segment: Real,
    FEATURES: tl.constexpr,
    LOG_TOLERANCE: tl.constexpr,
    SWEEP: tl.constexpr,
    MOST: tl.constexpr,
    TILE: tl.constexpr,
    RUN: tl.constexpr,
    STRIDED: tl.constexpr,
    EDGE: tl.constexpr,
) -> None:
    """Write the gradient along a tile of cov and its mirror image, and the tile's shares of those of mu and var.

    It reads the upper triangle of cov, and all of cov_bar. Shares are (batch, tiles, n): those of a tile's rows are
    in row `tile_j`, those of its columns in row `tile_i`. Pairs beyond the series' reach are listed in the tile's
    segment and have no share. An EDGE tile is on the diagonal or at the matrix's edge, the others are neither.
    """
    if EDGE:
        m, tile_i, tile_j = place_edge(n, TILE)
    else:
        m, tile_i, tile_j = place_whole(n, TILE)
    c = tl.arange(0, TILE)
    i, j = tile_i * TILE + c, tile_j * TILE + c
    above = (i[:, None] < j[None, :]) & (j < n)[None, :]
    # within a tile and within its mirror image offsets are the same, and of 32 bits
    at = c[:, None] * n + c[None, :]
    straight = m * n * n + (tile_i.to(tl.int64) * n + tile_j) * TILE
    mirrored = m * n * n + (tile_j.to(tl.int64) * n + tile_i) * TILE
    stride, tile = row_stride(n), number_of(m, tile_i, tile_j, tiles)
    inverse_ptr = features_ptr + (m * (FEATURES + 2) + FEATURES) * stride
    inverse_1 = load_row(inverse_ptr, tile_i * TILE, c, stride, EDGE)
    inverse_2 = load_row(inverse_ptr, tile_j * TILE, c, stride, EDGE)
    rho = load_where(cov_ptr + straight + at, above, EDGE) * (inverse_1[:, None] * inverse_2[None, :])
    remainders = load_remainders(remainders_ptr + m * tiles * (terms // SWEEP), tile_i, tile_j, terms, SWEEP, MOST)
    remainders = of_derivatives(remainders, SWEEP, MOST)
    count = terms_for(largest_of(rho), remainders, LOG_TOLERANCE, SWEEP, MOST)
    listing = positions_ptr, counts_ptr, segment
    if count > MOST:
        limit = reach(remainders, LOG_TOLERANCE, SWEEP, MOST)
        corner_i, corner_j = tile_i * TILE, tile_j * TILE
        list_beyond(listing, inverse_ptr, cov_ptr + m * n * n, tile, corner_i, corner_j, limit, n, TILE, TILE, EDGE)
        # such a pair has no share, and its gradient along cov is written over
        rho = tl.where(tl.abs(rho) < limit, rho, 0.0)
        # the limit may be rounded up
        count = tl.minimum(terms_for(largest_of(rho), remainders, LOG_TOLERANCE, SWEEP, MOST), terms)
    else:
        list_none(listing, tile)
    bar = load_where(cov_bar_ptr + straight + at, above, EDGE)
    bar += tl.trans(load_where(cov_bar_ptr + mirrored + at, tl.trans(above), EDGE))
    tables_ptr += m * tiles * (terms + 1) * (3 * TILE)
    row_ptr = tables_ptr + tile_i * (terms + 1) * (3 * TILE) + c
    column_ptr = tables_ptr + tile_j * (terms + 1) * (3 * TILE) + c
    slope, mu_1, var_1, mu_2, var_2 = gradients(row_ptr, column_ptr, rho, bar, count, TILE, RUN, STRIDED)
    # n, which the compiler does not know: it would keep offsets in registers while the series is summed
    at = c[:, None] * (n + (count >> 20) * 16) + c[None, :]
    store_where(cov_grad_ptr + straight + at, slope, above, EDGE)
    store_where(cov_grad_ptr + mirrored + at, tl.trans(slope), tl.trans(above), EDGE)
    of_rows, of_columns = (m * tiles + tile_j) * n + i, (m * tiles + tile_i) * n + j
    if EDGE:
        on_diagonal = tile_i == tile_j
        mu_1 += tl.where(on_diagonal, mu_2, 0.0)
        var_1 += tl.where(on_diagonal, var_2, 0.0)
        apart = (j < n) & ~on_diagonal
        tl.store(mu_shares_ptr + of_columns, mu_2, mask=apart)
        tl.store(var_shares_ptr + of_columns, var_2, mask=apart)
        tl.store(mu_shares_ptr + of_rows, mu_1, mask=i < n)
        tl.store(var_shares_ptr + of_rows, var_1, mask=i < n)
    else:
        tl.store(mu_shares_ptr + of_columns, mu_2)
        tl.store(var_shares_ptr + of_columns, var_2)
        tl.store(mu_shares_ptr + of_rows, mu_1)
        tl.store(var_shares_ptr + of_rows, var_1)


def gradients(
    row_ptr: Real,
    column_ptr: Real,
    rho: Real,
    weight: Real,
    terms: Real,
    TILE: tl.constexpr,
    RUN: tl.constexpr,
    STRIDED: tl.constexpr,
) -> Reals:
    """The gradient along a tile's covariances, and the sums of those of mu and var over its rows and its columns.

    A thread has RUN rows next to each other and STRIDED columns apart, over which it adds before it takes a sum
    times the coefficient of the row or column; threads add once, at the end.
    """
    rows: tl.constexpr = (TILE // RUN, TILE)
    columns: tl.constexpr = (TILE, TILE // STRIDED)
    power = weight
    gain_1, gain_2 = tl.load(row_ptr + TILE), tl.load(column_ptr + TILE)
    slope = weigh(weight, gain_1[:, None] * gain_2[None, :])
    mu_1, var_1 = tl.zeros(columns, rho.dtype), tl.zeros(columns, rho.dtype)
    mu_2, var_2 = tl.zeros(rows, rho.dtype), tl.zeros(rows, rho.dtype)
    for _ in range(terms):
        row_ptr += 3 * TILE
        column_ptr += 3 * TILE
        b_1, slope_1, bend_1 = tl.load(row_ptr), tl.load(row_ptr + TILE), tl.load(row_ptr + 2 * TILE)
        b_2, slope_2, bend_2 = tl.load(column_ptr), tl.load(column_ptr + TILE), tl.load(column_ptr + 2 * TILE)
        power *= rho
        slope = tl.fma(power, slope_1[:, None] * slope_2[None, :], slope)
        across = tl.sum(tl.reshape(power * b_2[None, :], (TILE, STRIDED, TILE // STRIDED)), 1)
        mu_1 = tl.fma(across, tl.broadcast_to(slope_1[:, None], columns), mu_1)
        var_1 = tl.fma(across, tl.broadcast_to(bend_1[:, None], columns), var_1)
        down = tl.sum(tl.reshape(power * b_1[:, None], (TILE // RUN, RUN, TILE)), 1)
        mu_2 = tl.fma(down, tl.broadcast_to(slope_2[None, :], rows), mu_2)
        var_2 = tl.fma(down, tl.broadcast_to(bend_2[None, :], rows), var_2)
    # an entry and its mirror image share the gradient
    return 0.5 * slope, tl.sum(mu_1, 1), tl.sum(var_1, 1), tl.sum(mu_2, 0), tl.sum(var_2, 0)


def of_derivatives(remainders: Real, SWEEP: tl.constexpr, MOST: tl.constexpr) -> Real:
    """log 4 (N + 2) t_1(N) t_2(N): times |rho|^(N + 1) it bounds what the derivatives' series leave out.

    That is n |rho|^(n - 1) b_n b_n at most for n = N + 2 and on, which falls with n where |rho| < 1 - 1 / n, of a
    scale sqrt(E f_1'^2 E f_2'^2) sd_1 sd_2 that is not below that of K (Poincare). A gradient along mu or var adds
    what n pairs leave out: therefore 4.
    """
    order = SWEEP * (tl.arange(0, MOST // SWEEP) + 1)
    return remainders + log((4 * order + 8).to(remainders.dtype))


def load_where(ptr: Real, mask: Real, EDGE: tl.constexpr) -> Real:
    if EDGE:
        return tl.load(ptr, mask=mask, other=0.0)
    else:
        return tl.load(ptr)


def store_where(ptr: Real, value: Real, mask: Real, EDGE: tl.constexpr) -> None:
    if EDGE:
        tl.store(ptr, value, mask=mask)
    else:
        tl.store(ptr, value)


def collect(
    mu_ptr: Real,
    cov_ptr: Real,
    parameters_ptr: Real,
    mean_bar_ptr: Real,
    cov_bar_ptr: Real,
    mu_shares_ptr: Real,
    var_shares_ptr: Real,
    mu_grad_ptr: Real,
    cov_grad_ptr: Real,
    n: Real,
    blocks: Real,
    tiles: Real,
    PARAMETERS: tl.constexpr,
    BLOCK: tl.constexpr,
    AT_ONCE: tl.constexpr,
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
    mu_grad += sum_of_tiles(mu_shares_ptr + m * tiles * n + i, inside, n, tiles, AT_ONCE)
    var_grad += sum_of_tiles(var_shares_ptr + m * tiles * n + i, inside, n, tiles, AT_ONCE)
    tl.store(mu_grad_ptr + m * n + i, mu_grad, mask=inside)
    tl.store(cov_grad_ptr + diagonal, var_grad, mask=inside)


def sum_of_tiles(ptr: Real, inside: Real, n: Real, tiles: Real, AT_ONCE: tl.constexpr) -> Real:
    """The sums, in float64, of columns of `tiles` numbers, AT_ONCE of which are loaded together."""
    total = tl.zeros((AT_ONCE, inside.shape[0]), tl.float64)
    for first in range(0, tiles, AT_ONCE):
        tile = (first + tl.arange(0, AT_ONCE))[:, None]
        mask = (tile < tiles) & inside[None, :]
        total += tl.load(ptr[None, :] + tile.to(tl.int64) * n, mask=mask, other=0.0).to(tl.float64)
    return tl.sum(total, 0)


def weigh(weight: Real, slope: Real) -> Real:
    """weight * slope, and 0 where the weight is 0 and the slope infinite or nan."""
    return where(weight == 0.0, 0.0 * weight, weight * slope)
