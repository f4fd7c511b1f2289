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


def columns_of(TILE: tl.constexpr, WIDTH: tl.constexpr) -> Real:
    """The numbers of a tile's columns, (TILE / WIDTH, WIDTH).

    A tile of pairs is (TILE / WIDTH, TILE, WIDTH), rows in the middle. Triton then gives a thread a few rows and a
    few columns, for whose pairs it loads few coefficients; with a WIDTH of TILE and scalar loads one column.
    """
    return tl.arange(0, TILE // WIDTH)[:, None] * WIDTH + tl.arange(0, WIDTH)[None, :]


def outer(rows: Real, columns: Real) -> Real:
    """The products of a tile's rows (TILE,) and columns (TILE / WIDTH, WIDTH)."""
    return rows[None, :, None] * columns[:, None, :]


def corner(matrix_ptr: Real, i: Real, j: Real, n: Real) -> Real:
    """The pointer to entry (i, j) of an n x n matrix, from which 32 bits reach every entry of a tile."""
    return matrix_ptr + i.to(tl.int64) * n + j


def is_above(i: Real, j: Real, n: Real) -> Real:
    """Whether the pairs of a tile's rows i and columns j are above the diagonal and inside the matrix."""
    return (i[None, :, None] < j[:, None, :]) & (j < n)[:, None, :]


def load_correlations(
    inverse_ptr: Real, cov_ptr: Real, i: Real, j: Real, r: Real, c: Real, n: Real, EDGE: tl.constexpr
) -> Real:
    """The correlations of rows i + r and columns j + c; at an EDGE 0 on and below the diagonal and outside."""
    at = corner(cov_ptr, i, j, n) + r[None, :, None] * n + c[:, None, :]
    if EDGE:
        inverse_1 = tl.load(inverse_ptr + i + r, mask=i + r < n, other=0.0)
        inverse_2 = tl.load(inverse_ptr + j + c, mask=j + c < n, other=0.0)
        return tl.load(at, mask=is_above(i + r, j + c, n), other=0.0) * outer(inverse_1, inverse_2)
    else:
        return tl.load(at) * outer(tl.load(inverse_ptr + i + r), tl.load(inverse_ptr + j + c))


def store_both(out_ptr: Real, value: Real, i: Real, j: Real, r: Real, c: Real, n: Real, EDGE: tl.constexpr) -> None:
    """Write entries and their mirror images; at an EDGE those above the diagonal and inside the matrix."""
    straight = corner(out_ptr, i, j, n) + r[None, :, None] * n + c[:, None, :]
    mirrored = corner(out_ptr, j, i, n) + c[:, :, None] * n + r[None, None, :]
    if EDGE:
        tl.store(straight, value, mask=is_above(i + r, j + c, n))
        mask = ((i + r)[None, None, :] < (j + c)[:, :, None]) & (j + c < n)[:, :, None]
        tl.store(mirrored, tl.permute(value, (0, 2, 1)), mask=mask)
    else:
        tl.store(straight, value)
        tl.store(mirrored, tl.permute(value, (0, 2, 1)))


def largest_of(rho: Real) -> Real:
    """The largest |rho| of a tile, nan if one is nan."""
    # as integers, of which nan's are the largest, and for which one reduction is enough
    if rho.dtype == tl.float64:
        return tl.max(tl.abs(rho).to(tl.int64, bitcast=True)).to(tl.float64, bitcast=True)
    else:
        return tl.max(tl.abs(rho).to(tl.int32, bitcast=True)).to(tl.float32, bitcast=True)
