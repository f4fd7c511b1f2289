"""Covariances of layers of few neurons, matrix by matrix of a batch: products, sums and rounding in one pass.

A cov A^T is a congruence of cov; a skip connection adds H + H^T, twice the mean of both triangles of H.
"""

from typing import Any

import numpy as np

from fastmoments_kernels.cpu.layout import LINE, aligned
from fastmoments_kernels.cpu.patches import HEIGHT, load, store_transposed
from fastmoments_kernels.cpu.products import multiply

Array = Any  # an array in code that Numba compiles

# bound per dtype: rows and columns of a product done at a time, vectors of these columns, the spacing of numbers
ROWS, WIDTH, VECTORS, EPS = 8, 16, 2, 2.0**-52


def congruences(
    cov: Array, left: Array, gains: Array, right: Array, full: Array, adds: int, first: int, step: int
) -> bool:
    """Write a layer's covariance to every `step`th matrix of full (batch, m, m), from matrix `first` on.

    It is the mean of both triangles of P cov C^T and, if it `adds`, of full. left A and right C are (m, n), cov
    (batch or 1, n, n), of which the upper triangle is read. P is A without gains (0, m); with gains (batch, m) it
    is 2 G A + C for G = diag(gains).

    Returns whether a covariance was beyond sqrt(var_i var_j) or a variance below 0. Those of A cov A^T alone are
    moved there, by as much as rounding may have done.
    """
    (m, n), batch = left.shape, len(full)
    side, inner_side = (m + WIDTH - 1) // WIDTH * WIDTH, (n + WIDTH - 1) // WIDTH * WIDTH
    inner, sums = aligned((2, inner_side, inner_side), full), aligned((2, side, side), full)
    factors, sd = aligned((4, n, side), full), aligned((2, side), full)
    of_left, of_right, weights, product = factors[0], factors[1], factors[2], factors[3]
    for i in range(m):
        for k in range(n):
            of_left[k, i] = weights[k, i] = left[i, k]
            of_right[k, i] = right[i, k]
    beyond, alone = False, n > 0 and not adds
    for b in range(first, batch, step):
        result = full[b]
        if b == first or len(cov) > 1:
            mirror(cov[b if len(cov) > 1 else 0], inner[0], inner[1])
        if len(gains) > 0:
            weigh(of_left, of_right, gains[b], weights)
        fill(inner[0], weights, n, n, m, product)
        fill(of_right, product, n, m, m, sums[0])
        if adds:
            add(result, sums[0])
        transpose(sums[0], m, sums[1])
        if write(sums, sd, result):
            beyond = True
            if alone:
                mend(result, sd, rounding(inner[0], of_left, m, n))
    return beyond


def mirror(cov: Array, out: Array, room: Array) -> None:
    """Write the symmetric matrix of cov's upper triangle, square by square of whole patches."""
    n, length = len(cov), LINE // out.itemsize
    for i in range(n):
        for j in range(n):
            out[i, j] = cov[i, j]
    for first in range(0, n, length):
        for i in range(first, first + length, HEIGHT):
            store_transposed(load(out, i, first), room, first, i)
            for j in range(first + length, n, length):
                store_transposed(load(out, i, j), out, j, i)
        for i in range(first, min(first + length, n)):
            for j in range(first, i):
                out[i, j] = room[i, j]


def transpose(matrix: Array, n: int, out: Array) -> None:
    """Write the transpose of the first n rows and columns."""
    for i in range(0, n, HEIGHT):
        for j in range(0, n, LINE // matrix.itemsize):
            store_transposed(load(matrix, i, j), out, j, i)


def weigh(of_left: Array, of_right: Array, gains: Array, out: Array) -> None:
    """Write (2 G A + C)^T, given A^T and C^T."""
    for k in range(len(out)):
        for i in range(len(gains)):
            out[k, i] = (gains[i] + gains[i]) * of_left[k, i] + of_right[k, i]


def fill(left: Array, right: Array, depth: int, rows: int, columns: int, out: Array) -> None:
    """Write left^T right to so many rows and columns of out, or more columns; left and right have `depth` rows."""
    for i in range(0, rows, ROWS):
        for j in range(0, columns, WIDTH):
            if columns - j > WIDTH // VECTORS:
                multiply(ROWS, VECTORS, left, right, depth, i, j, rows, out)
            else:
                multiply(ROWS, 1, left, right, depth, i, j, rows, out)


def add(full: Array, sums: Array) -> None:
    """Add a matrix to sums."""
    for i in range(len(full)):
        for j in range(len(full)):
            sums[i, j] += full[i, j]


def write(sums: Array, sd: Array, out: Array) -> bool:
    """Write the mean of a matrix and its transpose; return whether one is further out than kernels accept.

    sd becomes the standard deviations, 0 for a variance below 0, and their limits.
    """
    m, count = len(out), 0
    for i in range(m):
        sd[0, i] = root(sums[0, i, i])
        sd[1, i] = (1.0 + 16 * m * EPS) * sd[0, i]
    for i in range(m):
        for j in range(m):
            value = 0.5 * (sums[0, i, j] + sums[1, i, j])
            out[i, j] = value
            count += abs(value) > sd[1, i] * sd[0, j]
    return count > 0


def root(var: float) -> float:
    """The standard deviation, 0 for a variance below 0."""
    return 0.0 if var <= 0.0 else np.sqrt(var)


def rounding(inner: Array, of_left: Array, m: int, n: int) -> float:
    """The rounding that A cov A^T may have, m eps sum_i (sum_k |A_ik| sd_k)^2."""
    total = 0.0
    for i in range(m):
        reach = 0.0
        for k in range(n):
            reach += abs(of_left[k, i]) * root(inner[k, k])
        total += reach * reach
    return m * EPS * total


def mend(full: Array, sd: Array, rounding: float) -> None:
    """Move covariances that are too far out to sd_i sd_j, unless that is further than rounding took them."""
    for i in range(len(full)):
        for j in range(i, len(full)):
            limit, size = sd[0, i] * sd[0, j], abs(full[i, j])
            if size > sd[1, i] * sd[0, j] and size - limit <= rounding:
                full[i, j] = full[j, i] = limit if full[i, j] > 0.0 else -limit
