"""Covariance matrices: tiles of the upper triangle, each of which is also written mirrored.

Once per neuron, in float64: marginals, features and Hermite coefficients. Per tile the series computes the pairs
within its reach; the pair formula computes the others, part by part of the tile, because a formula needs more
registers per pair than the series.
"""

import triton.language as tl

from fastmoments_kernels.formulas import identity as formula  # `bind` exchanges it for an activation's
from fastmoments_kernels.gpu.series import load_remainders, reach, series, store_coefficients, terms_for
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

    That is features (FEATURES + 2, n) with 1 / sd and the gain last, coefficients b_1 .. b_(terms + 2), and the
    remainders of `store_coefficients`.
    """
    block = tl.program_id(0)
    m, i = block.to(tl.int64) // blocks, block % blocks * BLOCK + tl.arange(0, BLOCK)
    inside = i < n
    neuron = load_neuron(mu_ptr, cov_ptr, parameters_ptr, m, i, n, PARAMETERS)
    var, spread = neuron[1], formula.var(neuron)
    tl.store(mean_ptr + m * n + i, formula.mean(neuron), mask=inside)
    tl.store(out_ptr + m * n * n + i.to(tl.int64) * (n + 1), spread, mask=inside)
    row_ptr = features_ptr + m * (FEATURES + 2) * n + i
    for f in tl.static_range(FEATURES):
        tl.store(row_ptr + f * n, neuron[f], mask=inside)
    # a neuron without variance has rho = 0
    alive = var != 0.0
    inverse_sd = where(alive, 1.0 / sqrt(where(alive, var, 1.0)), 0.0 * var)
    tl.store(row_ptr + FEATURES * n, inverse_sd, mask=inside)
    tl.store(row_ptr + (FEATURES + 1) * n, formula.gain(neuron), mask=inside)
    row_ptr = coefficients_ptr + m * (terms + 2) * n + i
    remainders_ptr += block * (terms // SWEEP)
    store_coefficients(row_ptr, remainders_ptr, neuron, spread, n, inside, terms, SWEEP)


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


def pairs(
    features_ptr: Real,
    coefficients_ptr: Real,
    remainders_ptr: Real,
    cov_ptr: Real,
    out_ptr: Real,
    n: Real,
    tiles: Real,
    terms: Real,
    slack: Real,
    FEATURES: tl.constexpr,
    LOG_TOLERANCE: tl.constexpr,
    SWEEP: tl.constexpr,
    MOST: tl.constexpr,
    TILE: tl.constexpr,
    PART: tl.constexpr,
) -> None:
    """Write the off-diagonal entries of one tile and its mirror image."""
    m, tile_i, tile_j = place(tiles)
    i = tile_i * TILE + tl.arange(0, TILE)
    j = tile_j * TILE + tl.arange(0, TILE)
    features_ptr += m * (FEATURES + 2) * n
    coefficients_ptr += m * (terms + 2) * n
    cov_ptr += m * n * n
    out_ptr += m * n * n
    remainders = load_remainders(remainders_ptr + m * tiles * (terms // SWEEP), tile_i, tile_j, terms, SWEEP, MOST)
    limit = reach(remainders, LOG_TOLERANCE, SWEEP, MOST)
    rho = correlations(features_ptr + FEATURES * n, load_above(cov_ptr, i, j, n), i, j, n)
    # nan takes the formula
    near = tl.abs(rho) < limit
    rho = tl.where(near, rho, 0.0)
    count = terms_for(largest_of(rho), remainders, terms, LOG_TOLERANCE, SWEEP, MOST)
    value = series(coefficients_ptr, rho, i, j, n, count)
    store_both(out_ptr, value, near & is_above(i, j, n), i, j, n)
    if any_of(~near):
        for part in tl.range((TILE // PART) * (TILE // PART), disable_licm=True, num_stages=1):
            rows = tile_i * TILE + part // (TILE // PART) * PART + tl.arange(0, PART)
            columns = tile_j * TILE + part % (TILE // PART) * PART + tl.arange(0, PART)
            pairs_beyond(features_ptr, cov_ptr, out_ptr, rows, columns, n, limit, slack, FEATURES)


def pairs_beyond(
    features_ptr: Real,
    cov_ptr: Real,
    out_ptr: Real,
    i: Real,
    j: Real,
    n: Real,
    limit: Real,
    slack: Real,
    FEATURES: tl.constexpr,
) -> None:
    """Write the entries, in a part of a tile, that the series does not reach."""
    cov_12 = load_above(cov_ptr, i, j, n)
    beyond = ~(tl.abs(correlations(features_ptr + FEATURES * n, cov_12, i, j, n)) < limit)
    beyond = beyond & is_above(i, j, n)
    if any_of(beyond):
        one = load_neurons(features_ptr, i, n, FEATURES, 1)
        two = load_neurons(features_ptr, j, n, FEATURES, 0)
        store_both(out_ptr, formula.cov(one, two, cov_12, slack), beyond, i, j, n)


def is_above(i: Real, j: Real, n: Real) -> Real:
    return (i[:, None] < j[None, :]) & (j < n)[None, :]


def any_of(condition: Real) -> Real:
    return tl.max(tl.max(condition.to(tl.int32), 1), 0) > 0


def load_above(cov_ptr: Real, i: Real, j: Real, n: Real) -> Real:
    """The covariances of a tile, 0 on and below the diagonal and outside the matrix."""
    return tl.load(cov_ptr + i.to(tl.int64)[:, None] * n + j[None, :], mask=is_above(i, j, n), other=0.0)


def store_both(out_ptr: Real, value: Real, mask: Real, i: Real, j: Real, n: Real) -> None:
    """Write entries and their mirror images."""
    tl.store(out_ptr + i.to(tl.int64)[:, None] * n + j[None, :], value, mask=mask)
    tl.store(out_ptr + j.to(tl.int64)[:, None] * n + i[None, :], tl.trans(value), mask=tl.trans(mask))


def place(tiles: Real) -> Reals:
    """(matrix, tile row, tile column) of this program; upper triangles are numbered column by column."""
    per_matrix = tiles * (tiles + 1) // 2
    m = tl.program_id(0) // per_matrix
    task = tl.program_id(0) % per_matrix
    # this is exact: 8 task + 1 is a float64, and square roots are correctly rounded
    tile_j = ((tl.sqrt((8 * task.to(tl.int64) + 1).to(tl.float64)) - 1.0) * 0.5).to(tl.int32)
    return m.to(tl.int64), task - tile_j * (tile_j + 1) // 2, tile_j


def correlations(inverse_ptr: Real, cov_12: Real, i: Real, j: Real, n: Real) -> Real:
    inverse_1 = tl.load(inverse_ptr + i, mask=i < n, other=0.0)
    inverse_2 = tl.load(inverse_ptr + j, mask=j < n, other=0.0)
    return cov_12 * (inverse_1[:, None] * inverse_2[None, :])


def largest_of(rho: Real) -> Real:
    """The largest |rho| of a tile, without nan, which either route passes on."""
    size = tl.where(rho == rho, tl.abs(rho), 0.0)
    return tl.max(tl.max(size, 1), 0)


def load_neurons(features_ptr: Real, i: Real, n: Real, FEATURES: tl.constexpr, AXIS: tl.constexpr) -> Reals:
    """The features of a tile's neurons along its rows (AXIS = 1, the axis that is added) or columns (AXIS = 0).

    There is one load, in a loop that LLVM unrolls, from a pointer that moves: for each load from a pointer that
    Triton can follow, its compilation takes a time that grows like the square of a formula's length.
    """
    row_ptr = features_ptr + i
    neuron: Reals = ()
    for _ in tl.static_range(FEATURES):
        neuron = neuron + (tl.expand_dims(tl.zeros(i.shape, features_ptr.dtype.element_ty), AXIS),)
    for f in tl.range(FEATURES, num_stages=1):
        neuron = exchanged(neuron, f, tl.expand_dims(tl.load(row_ptr, mask=i < n, other=1.0), AXIS))
        row_ptr += n
    return neuron


def exchanged(values: Reals, position: Real, value: Real) -> Reals:
    """The tuple with `value` at `position`."""
    result: Reals = ()
    for k in tl.static_range(len(values)):
        result = result + (tl.where(position == k, value, values[k]),)
    return result
