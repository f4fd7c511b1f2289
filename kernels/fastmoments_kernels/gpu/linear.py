"""Kernels of layers: a linear map with Gaussian weights and the activation behind it; covariances made symmetric.

They are written against the identity and bound to an activation.
"""

import triton.language as tl

from fastmoments_kernels.formulas import identity as formula  # `bind` exchanges it for an activation's
from fastmoments_kernels.gpu.elementary import IS_INTERPRETED
from fastmoments_kernels.gpu.tiles import place
from fastmoments_kernels.vocabulary import Real, Reals, sqrt, where


def linear_alone(mean: Real, var: Real, parameters: Reals) -> Reals:
    return mean, var


def activated(mean: Real, var: Real, parameters: Reals) -> Reals:
    neuron = formula.neuron(mean, var, parameters)
    return formula.mean(neuron), formula.var(neuron)


def linear(
    mu_ptr: Real,
    var_ptr: Real,
    weight_mean_ptr: Real,
    weight_var_ptr: Real,
    bias_mean_ptr: Real,
    bias_var_ptr: Real,
    parameter_ptrs: Reals,
    mean_sum_ptr: Real,
    var_sum_ptr: Real,
    mean_ptr: Real,
    out_ptr: Real,
    rows: Real,
    columns: Real,
    depth: Real,
    EPILOGUE: tl.constexpr,
    PRECISION: tl.constexpr,
    TILE_I: tl.constexpr,
    TILE_J: tl.constexpr,
    DEPTH: tl.constexpr,
    COLUMNS: tl.constexpr,
    PART: tl.constexpr,
    GROUP: tl.constexpr,
) -> None:
    """Write mean mu M^T + b and variance var (M^2 + V)^T + mu^2 V^T + b_var of a tile, then the activation's.

    mu and var are (rows, depth), M and V (columns, depth), biases (columns,). The sums (rows, columns) and the
    parameters (columns,) are float32 where factors are bfloat16; elsewhere the sums' arrays may be the outputs'.
    Each factor is loaded once for all three products.
    """
    tile_i, tile_j = place_grouped(tl.cdiv(rows, TILE_I), tl.cdiv(columns, TILE_J), GROUP)
    i = tile_i * TILE_I + tl.arange(0, TILE_I)
    j = tile_j * TILE_J + tl.arange(0, TILE_J)
    row = i.to(tl.int64)[:, None] * depth
    column = j.to(tl.int64)[None, :] * depth
    real: tl.constexpr = mean_sum_ptr.dtype.element_ty
    mean = tl.zeros((TILE_I, TILE_J), real)
    var = tl.zeros((TILE_I, TILE_J), real)
    for start in range(0, depth, DEPTH):
        k = start + tl.arange(0, DEPTH)
        of_rows = (i < rows)[:, None] & (k < depth)[None, :]
        of_columns = (k < depth)[:, None] & (j < columns)[None, :]
        x = tl.load(mu_ptr + row + k[None, :], mask=of_rows, other=0.0)
        x_var = tl.load(var_ptr + row + k[None, :], mask=of_rows, other=0.0)
        w = tl.load(weight_mean_ptr + column + k[:, None], mask=of_columns, other=0.0)
        w_var = tl.load(weight_var_ptr + column + k[:, None], mask=of_columns, other=0.0)
        square = (x.to(real) * x.to(real)).to(x.dtype)
        second = (w.to(real) * w.to(real) + w_var.to(real)).to(w.dtype)
        mean = add_product(x, w, mean, PRECISION)
        var = add_product(x_var, second, var, PRECISION)
        var = add_product(square, w_var, var, PRECISION)
    mean += tl.load(bias_mean_ptr + j, mask=j < columns, other=0.0).to(real)[None, :]
    var += tl.load(bias_var_ptr + j, mask=j < columns, other=0.0).to(real)[None, :]
    # a few columns at a time: the addresses of all would not fit beside the sums
    means = tl.reshape(mean, (TILE_I, TILE_J // COLUMNS, COLUMNS))
    variances = tl.reshape(var, (TILE_I, TILE_J // COLUMNS, COLUMNS))
    for part in tl.range(TILE_J // COLUMNS, disable_licm=True):
        chosen = (tl.arange(0, TILE_J // COLUMNS) == part)[None, :, None]
        of_part = tile_j * TILE_J + part * COLUMNS + tl.arange(0, COLUMNS)
        at = i.to(tl.int64)[:, None] * columns + of_part[None, :]
        inside = (i < rows)[:, None] & (of_part < columns)[None, :]
        tl.store(mean_sum_ptr + at, tl.sum(tl.where(chosen, means, 0.0), 1), mask=inside)
        tl.store(var_sum_ptr + at, tl.sum(tl.where(chosen, variances, 0.0), 1), mask=inside)
    # From here on sums are read back from the cache, by other threads: in registers they would leave no room for a
    # formula.
    tl.debug_barrier()
    parameters: Reals = ()
    for p in tl.static_range(len(parameter_ptrs)):
        number = tl.load(parameter_ptrs[p] + j, mask=j < columns, other=1.0)
        parameters = parameters + (number[None, :],)
    for part in tl.range(TILE_I // PART, disable_licm=True):
        of_part = tile_i * TILE_I + part * PART + tl.arange(0, PART)
        finish(mean_sum_ptr, var_sum_ptr, mean_ptr, out_ptr, of_part, j, rows, columns, parameters, EPILOGUE)


def finish(
    mean_sum_ptr: Real,
    var_sum_ptr: Real,
    mean_ptr: Real,
    out_ptr: Real,
    i: Real,
    j: Real,
    rows: Real,
    columns: Real,
    parameters: Reals,
    EPILOGUE: tl.constexpr,
) -> None:
    """Apply the activation to rows i of a tile."""
    at = i.to(tl.int64)[:, None] * columns + j[None, :]
    inside = (i < rows)[:, None] & (j < columns)[None, :]
    mean = tl.load(mean_sum_ptr + at, mask=inside, other=0.0)
    var = tl.load(var_sum_ptr + at, mask=inside, other=1.0)
    values = EPILOGUE(mean, var, parameters)
    tl.store(mean_ptr + at, values[0], mask=inside)
    tl.store(out_ptr + at, values[1], mask=inside)


def add_product(a: Real, b: Real, total: Real, PRECISION: tl.constexpr) -> Real:
    if IS_INTERPRETED:  # the interpreter takes bfloat16's bits for integers
        return tl.dot(a.to(total.dtype), b.to(total.dtype), total, out_dtype=total.dtype)
    else:
        return tl.dot(a, b, total, input_precision=PRECISION, out_dtype=total.dtype)


def place_grouped(tiles_i: Real, tiles_j: Real, GROUP: tl.constexpr) -> Reals:
    """(tile row, tile column) of this program: GROUP rows at a time, so that neighbours load the same factors."""
    group = tl.program_id(0) // (GROUP * tiles_j)
    first = group * GROUP
    height = tl.minimum(tiles_i - first, GROUP)
    task = tl.program_id(0) % (GROUP * tiles_j)
    return first + task % height, task // height


def skip(
    out_ptr: Real,
    gain_ptr: Real,
    mixed_ptr: Real,
    skipped_ptr: Real,
    n: Real,
    tiles: Real,
    TILE: tl.constexpr,
) -> None:
    """Replace K by K + G (A cov C^T) + (A cov C^T)^T G + C cov C^T, in a tile of the upper triangle and its mirror.

    K (`out`) and C cov C^T (`skipped`) are symmetric; G are the gains (n,). All are batches.
    """
    m, tile_i, tile_j = place(tiles)
    i = tile_i * TILE + tl.arange(0, TILE)
    j = tile_j * TILE + tl.arange(0, TILE)
    square = m * n * n
    gain_1 = tl.load(gain_ptr + m * n + i, mask=i < n, other=0.0)
    gain_2 = tl.load(gain_ptr + m * n + j, mask=j < n, other=0.0)
    mixed, mirrored = load_both(mixed_ptr + square, i, j, n)
    value = load_tile(out_ptr + square, i, j, n) + (gain_1[:, None] * mixed + gain_2[None, :] * mirrored)
    value += load_tile(skipped_ptr + square, i, j, n)
    store_tiles(out_ptr + square, value, i, j, n)


def mirror(
    out_ptr: Real,
    var_ptr: Real,
    rounding_ptr: Real,
    n: Real,
    tiles: Real,
    slack: Real,
    TILE: tl.constexpr,
    MEND: tl.constexpr,
) -> None:
    """Replace K (`out`) by the mean of both triangles, in a tile of the upper triangle and its mirror.

    With MEND entries beyond (1 + slack) sqrt(var_i var_j) move to sqrt(var_i var_j), by at most the matrix's
    `rounding`. `var` (n,) is a copy of K's diagonal. All are batches.
    """
    m, tile_i, tile_j = place(tiles)
    i = tile_i * TILE + tl.arange(0, TILE)
    j = tile_j * TILE + tl.arange(0, TILE)
    out_ptr += m * n * n
    value, mirrored = load_both(out_ptr, i, j, n)
    value = 0.5 * (value + mirrored)
    if MEND:
        limit = load_deviations(var_ptr + m * n, i, n)[:, None] * load_deviations(var_ptr + m * n, j, n)[None, :]
        size = tl.abs(value)
        explained = (size > (1.0 + slack) * limit) & (size - limit <= tl.load(rounding_ptr + m))
        value = tl.where(explained, tl.where(value < 0.0, -limit, limit), value)
    store_tiles(out_ptr, value, i, j, n)


def load_tile(ptr: Real, i: Real, j: Real, n: Real) -> Real:
    return tl.load(ptr + i.to(tl.int64)[:, None] * n + j[None, :], mask=is_within(i, j, n), other=0.0)


def load_both(ptr: Real, i: Real, j: Real, n: Real) -> Reals:
    """A tile, and the transpose of its mirror."""
    return load_tile(ptr, i, j, n), tl.trans(load_tile(ptr, j, i, n))


def load_deviations(var_ptr: Real, i: Real, n: Real) -> Real:
    """sqrt(var), 0 where var is negative."""
    var = tl.load(var_ptr + i, mask=i < n, other=0.0)
    return where(var > 0.0, sqrt(where(var > 0.0, var, 1.0)), 0.0 * var)


def store_tiles(ptr: Real, value: Real, i: Real, j: Real, n: Real) -> None:
    """Write a tile and its mirror over what the program has read.

    The tile on the diagonal is its own mirror: every thread has to have read before one writes.
    """
    tl.debug_barrier()
    tl.store(ptr + i.to(tl.int64)[:, None] * n + j[None, :], value, mask=is_within(i, j, n))
    tl.store(ptr + j.to(tl.int64)[:, None] * n + i[None, :], tl.trans(value), mask=is_within(j, i, n))


def is_within(i: Real, j: Real, n: Real) -> Real:
    """Whether entries are in the matrix. No more is asked, so that rows of multiples of 16 move in wide words."""
    return (i < n)[:, None] & (j < n)[None, :]
