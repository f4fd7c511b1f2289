"""Tiles of a matrix's upper triangle: which one a program has, and what it loads and stores.

Tiles are numbered column by column, (0, 0), (0, 1), (1, 1), (0, 2) ..., and matrix after matrix.
"""

import triton.language as tl

from fastmoments_kernels.vocabulary import Real, Reals


def place(tiles: Real) -> Reals:
    """(matrix, tile row, tile column) of this program, one per tile."""
    return place_of(tl.program_id(0), tiles)


def place_of(tile: Real, tiles: Real) -> Reals:
    """(matrix, tile row, tile column) of a tile, for matrices with `tiles` tiles a side."""
    per_matrix = tiles * (tiles + 1) // 2
    m = tile // per_matrix
    task = tile % per_matrix
    column = triangular_root(task)
    return m.to(tl.int64), task - column * (column + 1) // 2, column


def number_of(m: Real, tile_i: Real, tile_j: Real, tiles: Real) -> Real:
    """The number of a tile: `place_of` inverted."""
    return m * (tiles * (tiles + 1) // 2) + tile_j * (tile_j + 1) // 2 + tile_i


def place_whole(n: Real, TILE: tl.constexpr) -> Reals:
    """(matrix, tile row, tile column) of this program, one per tile inside the matrix and above its diagonal."""
    whole = n // TILE
    per_matrix = whole * (whole - 1) // 2
    m = tl.program_id(0) // per_matrix
    task = tl.program_id(0) % per_matrix
    before = triangular_root(task)
    return m.to(tl.int64), task - before * (before + 1) // 2, before + 1


def place_edge(n: Real, TILE: tl.constexpr) -> Reals:
    """The same for the other tiles: those on the diagonal, and a last column that reaches beyond the matrix."""
    whole = n // TILE
    per_matrix = tl.where(n % TILE == 0, whole, 2 * whole + 1)
    m = tl.program_id(0) // per_matrix
    task = tl.program_id(0) % per_matrix
    return m.to(tl.int64), tl.where(task < whole, task, task - whole), tl.minimum(task, whole)


def triangular_root(number: Real) -> Real:
    """The largest k with k (k + 1) / 2 <= number."""
    # this is exact: 8 number + 1 is a float64, and square roots are correctly rounded
    return ((tl.sqrt((8 * number.to(tl.int64) + 1).to(tl.float64)) - 1.0) * 0.5).to(tl.int32)


def row_stride(n: Real) -> Real:
    """The length of a row of n features or coefficients in memory: rows begin at multiples of 16 elements."""
    return (n + 15) // 16 * 16


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


def correlations(inverse_ptr: Real, cov_12: Real, i: Real, j: Real, n: Real) -> Real:
    inverse_1 = tl.load(inverse_ptr + i, mask=i < n, other=0.0)
    inverse_2 = tl.load(inverse_ptr + j, mask=j < n, other=0.0)
    return cov_12 * (inverse_1[:, None] * inverse_2[None, :])


def largest_of(rho: Real) -> Real:
    """The largest |rho| of a tile, without nan, which either route passes on."""
    size = tl.where(rho == rho, tl.abs(rho), 0.0)
    return tl.max(tl.max(size, 1), 0)
