"""Blocks of a matrix in aligned scratch: correlations in, covariances and their mirror image out."""

from typing import Any

import numpy as np

Array = Any

TILE = 64  # 64 x 64 float64 scratch stays in the second cache level
LINE = 64  # bytes of the widest vector and of a line of the caches
LANES = 8  # doubles in it; what a block does not fill of them holds zeros
PADDING = 4  # rows 512 bytes apart would share few lines of the first cache level when they are read by columns


def aligned(shape: tuple[int, ...], like: Array) -> Array:
    """Zeros of the dtype of `like`, from the beginning of a line on."""
    size = 1
    for length in shape:
        size *= length
    raw = np.zeros(size + LINE // like.itemsize, like.dtype)
    offset = (-raw.ctypes.data) % LINE // like.itemsize
    return raw[offset : offset + size].reshape(shape)


def filled(n: int) -> int:
    """n columns, rounded up to whole vectors."""
    return (n + LANES - 1) // LANES * LANES


def correlations(matrix: Array, i: int, j: int, start: int, inverse_sd: Array, rho: Array) -> None:
    """rho of the block at (i, j), column j being neuron start + j; 0 in what fills it up.

    Of a block on the diagonal, 0 up to the diagonal; of a neuron without variance 0, whatever stands in the matrix.
    """
    height, width = extent(matrix, i, j)
    for a in range(height):
        scale = inverse_sd[i + a]
        for b in range(width):
            per_cov = scale * inverse_sd[start + j + b]
            rho[a, b] = matrix[i + a, j + b] * per_cov if per_cov != 0.0 else 0.0
    clear(rho, height, width, i == start + j)


def both_sides(matrix: Array, i: int, j: int, start: int, block: Array) -> None:
    """The block at (i, j) plus its mirror image, if it has one (start = 0); 0 where `correlations` is."""
    height, width = extent(matrix, i, j)
    for b in range(width):
        for a in range(height):
            block[a, b] = matrix[j + b, i + a] if start == 0 else 0.0
    for a in range(height):
        for b in range(width):
            block[a, b] += matrix[i + a, j + b]
    clear(block, height, width, i == start + j)


def clear(block: Array, height: int, width: int, diagonal: bool) -> None:
    """0 in what fills a block up to whole vectors and two rows and, of a diagonal block, up to the diagonal."""
    for a in range(height):
        for b in range(width, filled(width)):
            block[a, b] = 0.0
        for b in range(a + 1 if diagonal else 0):
            block[a, b] = 0.0
    if height % 2:
        for b in range(filled(width)):
            block[height, b] = 0.0


def read(matrix: Array, i: int, j: int, block: Array) -> None:
    """Copy the block at (i, j)."""
    height, width = extent(matrix, i, j)
    for a in range(height):
        for b in range(width):
            block[a, b] = matrix[i + a, j + b]


def write(block: Array, matrix: Array, i: int, j: int, start: int) -> None:
    """The block at (i, j) and its mirror image; of a diagonal block what lies above the diagonal, mirrored.

    In a rectangle (start > 0) the block alone.
    """
    height, width = extent(matrix, i, j)
    if i == start + j:
        for a in range(height):
            for b in range(a + 1, width):
                matrix[i + a, j + b] = block[a, b]
                matrix[j + b, i + a] = block[a, b]
        return
    for a in range(height):
        for b in range(width):
            matrix[i + a, j + b] = block[a, b]
    if start > 0:
        return
    # four columns a visit: the block is read by vectors
    for b in range(0, width - 3, 4):
        for a in range(height):
            matrix[j + b, i + a] = block[a, b]
            matrix[j + b + 1, i + a] = block[a, b + 1]
            matrix[j + b + 2, i + a] = block[a, b + 2]
            matrix[j + b + 3, i + a] = block[a, b + 3]
    for b in range(width // 4 * 4, width):
        for a in range(height):
            matrix[j + b, i + a] = block[a, b]


def extent(matrix: Array, i: int, j: int) -> tuple[int, int]:
    """Height and width of the block at (i, j)."""
    return min(TILE, matrix.shape[0] - i), min(TILE, matrix.shape[1] - j)
