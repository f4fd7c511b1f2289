"""Covariance matrices: tiles of the upper triangle, each of which is also written mirrored.

Once per neuron, in float64: marginals, features and Hermite coefficients. Per tile the series computes the pairs
within its reach and lists the others (beyond.py), which the pair formula computes one per thread: a formula needs
more registers per pair than the series, and few pairs need it.
"""

import triton.language as tl

from fastmoments_kernels.formulas import identity as formula  # `bind` exchanges it for an activation's
from fastmoments_kernels.gpu.beyond import list_beyond, list_none, listed, load_share
from fastmoments_kernels.gpu.series import load_remainders, reach, series, store_coefficients, terms_for
from fastmoments_kernels.gpu.tiles import (
    columns_of,
    largest_of,
    load_correlations,
    number_of,
    place_edge,
    place_whole,
    row_stride,
    store_both,
)
from fastmoments_kernels.vocabulary import Real, Reals, sqrt, where


def neurons(
    mu_ptr: Real,
    cov_ptr: Real,
    parameters_ptr: Real,
    mean_ptr: Real,
    out_ptr: Real,
    features_ptr: Real,
    coefficients_ptr: Real,
    remainders_ptr: Real,
    n: Real,
    blocks: Real,
    terms: Real,
    PARAMETERS: tl.constexpr,
    FEATURES: tl.constexpr,
    SWEEP: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Write means, and variances on the diagonal of `out`; and what pairs need, in blocks as long as tiles.

    That is features (FEATURES + 2, stride) with 1 / sd and the gain last, coefficients b_1 .. b_(terms + 2), and
    the remainders of `store_coefficients`; stride is `row_stride(n)`.
    """
    block = tl.program_id(0)
    m, i = block.to(tl.int64) // blocks, block % blocks * BLOCK + tl.arange(0, BLOCK)
    inside, stride = i < n, row_stride(n)
    in_row = i < stride
    neuron = load_neuron(mu_ptr, cov_ptr, parameters_ptr, m, i, n, PARAMETERS)
    var, spread = neuron[1], formula.var(neuron)
    tl.store(mean_ptr + m * n + i, formula.mean(neuron), mask=inside)
    tl.store(out_ptr + m * n * n + i.to(tl.int64) * (n + 1), spread, mask=inside)
    row_ptr = features_ptr + m * (FEATURES + 2) * stride + i
    for f in tl.static_range(FEATURES):
        tl.store(row_ptr + f * stride, neuron[f], mask=in_row)
    # a neuron without variance has rho = 0
    alive = var != 0.0
    inverse_sd = where(alive, 1.0 / sqrt(where(alive, var, 1.0)), 0.0 * var)
    tl.store(row_ptr + FEATURES * stride, inverse_sd, mask=in_row)
    tl.store(row_ptr + (FEATURES + 1) * stride, formula.gain(neuron), mask=in_row)
    row_ptr = coefficients_ptr + m * (terms + 2) * stride + i
    remainders_ptr += block * (terms // SWEEP)
    store_coefficients(row_ptr, remainders_ptr, neuron, spread, stride, inside, in_row, terms, SWEEP)


def load_neuron(
    mu_ptr: Real, cov_ptr: Real, parameters_ptr: Real, m: Real, i: Real, n: Real, PARAMETERS: tl.constexpr
) -> Reals:
    """The features of neurons i of matrix m in float64; the parameters are (batch, PARAMETERS, n)."""
    inside = i < n
    mu = tl.load(mu_ptr + m * n + i, mask=inside, other=0.0).to(tl.float64)
    var = tl.load(cov_ptr + m * n * n + i.to(tl.int64) * (n + 1), mask=inside, other=1.0).to(tl.float64)
    parameters: Reals = ()
    for k in tl.static_range(PARAMETERS):
        row_ptr = parameters_ptr + (m * PARAMETERS + k) * n
        parameters = parameters + (tl.load(row_ptr + i, mask=inside, other=1.0).to(tl.float64),)
    return formula.neuron(mu, var, parameters)


def pairs_whole(
    features_ptr: Real,
    coefficients_ptr: Real,
    remainders_ptr: Real,
    positions_ptr: Real,
    counts_ptr: Real,
    cov_ptr: Real,
    out_ptr: Real,
    n: Real,
    tiles: Real,
    terms: Real,
    segment: Real,
    FEATURES: tl.constexpr,
    LOG_TOLERANCE: tl.constexpr,
    SWEEP: tl.constexpr,
    UNROLL: tl.constexpr,
    MOST: tl.constexpr,
    TILE: tl.constexpr,
    WIDTH: tl.constexpr,
) -> None:
    """Write a tile wholly inside the matrix and above its diagonal, and its mirror image, by the series.

    Values of pairs beyond the series' reach mean nothing; they are listed in the tile's segment.
    """
    tables = features_ptr, coefficients_ptr, remainders_ptr, terms
    listing = positions_ptr, counts_ptr, segment
    place = place_whole(n, TILE)
    arrays = cov_ptr, out_ptr, n
    write_tile(tables, listing, arrays, place, tiles, FEATURES, LOG_TOLERANCE, SWEEP, UNROLL, MOST, TILE, WIDTH, 0)


def pairs_edges(
    features_ptr: Real,
    coefficients_ptr: Real,
    remainders_ptr: Real,
    positions_ptr: Real,
    counts_ptr: Real,
    cov_ptr: Real,
    out_ptr: Real,
    n: Real,
    tiles: Real,
    terms: Real,
    segment: Real,
    FEATURES: tl.constexpr,
    LOG_TOLERANCE: tl.constexpr,
    SWEEP: tl.constexpr,
    UNROLL: tl.constexpr,
    MOST: tl.constexpr,
    TILE: tl.constexpr,
    WIDTH: tl.constexpr,
) -> None:
    """The same for a tile on the diagonal or at the matrix's edge, of which it writes what is above and inside."""
    tables = features_ptr, coefficients_ptr, remainders_ptr, terms
    listing = positions_ptr, counts_ptr, segment
    place = place_edge(n, TILE)
    arrays = cov_ptr, out_ptr, n
    write_tile(tables, listing, arrays, place, tiles, FEATURES, LOG_TOLERANCE, SWEEP, UNROLL, MOST, TILE, WIDTH, 1)


def write_tile(
    tables: Reals,
    listing: Reals,
    arrays: Reals,
    place: Reals,
    tiles: Real,
    FEATURES: tl.constexpr,
    LOG_TOLERANCE: tl.constexpr,
    SWEEP: tl.constexpr,
    UNROLL: tl.constexpr,
    MOST: tl.constexpr,
    TILE: tl.constexpr,
    WIDTH: tl.constexpr,
    EDGE: tl.constexpr,
) -> None:
    """Write the series of a tile's pairs, and list those that it does not reach."""
    features_ptr, coefficients_ptr, remainders_ptr, terms = tables
    cov_ptr, out_ptr, n = arrays
    m, tile_i, tile_j = place
    stride, tile = row_stride(n), number_of(m, tile_i, tile_j, tiles)
    i, j, r, c = tile_i * TILE, tile_j * TILE, tl.arange(0, TILE), columns_of(TILE, WIDTH)
    inverse_ptr = features_ptr + (m * (FEATURES + 2) + FEATURES) * stride
    remainders_ptr += m * tiles * (terms // SWEEP)
    remainders = load_remainders(remainders_ptr, tile_i, tile_j, terms, SWEEP, MOST)
    rho = load_correlations(inverse_ptr, cov_ptr + m * n * n, i, j, r, c, n, EDGE)
    count = terms_for(largest_of(rho), remainders, LOG_TOLERANCE, SWEEP, MOST)
    if count > MOST:
        limit = reach(remainders, LOG_TOLERANCE, SWEEP, MOST)
        list_beyond(listing, inverse_ptr, cov_ptr + m * n * n, tile, i, j, limit, n, TILE, WIDTH, EDGE)
        rho = tl.where(tl.abs(rho) < limit, rho, 0.0)
        # the limit may be rounded up
        count = tl.minimum(terms_for(largest_of(rho), remainders, LOG_TOLERANCE, SWEEP, MOST), terms)
    else:
        list_none(listing, tile)
    value = series(coefficients_ptr + m * (terms + 2) * stride, rho, i, j, r, c, stride, count, UNROLL, EDGE)
    # n, which the compiler does not know: it would keep addresses in registers while the series is summed
    side = n + (count >> 20) * 16
    store_both(out_ptr + m * n * n, value, i, j, r, c, side, EDGE)


def pairs_beyond(
    features_ptr: Real,
    positions_ptr: Real,
    counts_ptr: Real,
    cov_ptr: Real,
    out_ptr: Real,
    n: Real,
    tiles: Real,
    count: Real,
    segment: Real,
    slack: Real,
    FEATURES: tl.constexpr,
    TILE: tl.constexpr,
    GROUP: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Write the listed pairs by the formula, a pair per thread; `count` is the number of tiles of all matrices."""
    listing, stride = (positions_ptr, counts_ptr, segment), row_stride(n)
    program, programs = tl.program_id(0), tl.num_programs(0)
    share, first, total, step = load_share(listing, program, programs, count, GROUP, TILE * TILE, BLOCK)
    for block in tl.range(first, total, step, num_stages=1, disable_licm=True):
        inside, m, i, j, _, _ = listed(listing, share, block + tl.arange(0, BLOCK), n, tiles, TILE)
        straight = m * n * n + i.to(tl.int64) * n + j
        cov_12 = tl.load(cov_ptr + straight, mask=inside, other=0.0)
        one = load_features(features_ptr + m * (FEATURES + 2) * stride + i, inside, stride, FEATURES)
        two = load_features(features_ptr + m * (FEATURES + 2) * stride + j, inside, stride, FEATURES)
        value = formula.cov(one, two, cov_12, slack)
        tl.store(out_ptr + straight, value, mask=inside)
        tl.store(out_ptr + m * n * n + j.to(tl.int64) * n + i, value, mask=inside)


def load_features(row_ptr: Real, inside: Real, stride: Real, FEATURES: tl.constexpr) -> Reals:
    """The features of neurons from the pointers to their first ones.

    There is one load, in a loop that LLVM unrolls, from a pointer that moves: for each load from a pointer that
    Triton can follow, its compilation takes a time that grows like the square of a formula's length.
    """
    neuron: Reals = ()
    for _ in tl.static_range(FEATURES):
        neuron = neuron + (tl.zeros(row_ptr.shape, row_ptr.dtype.element_ty),)
    for f in tl.range(FEATURES, num_stages=1):
        neuron = exchanged(neuron, f, tl.load(row_ptr, mask=inside, other=1.0))
        row_ptr += stride
    return neuron


def exchanged(values: Reals, position: Real, value: Real) -> Reals:
    """The tuple with `value` at `position`."""
    result: Reals = ()
    for k in tl.static_range(len(values)):
        result = result + (tl.where(position == k, value, values[k]),)
    return result
