"""Blocks of a matrix in aligned scratch: correlations in, covariances and their mirror image out."""

from typing import Any

import numpy as np

from fastmoments_kernels.cpu.memory import at, put
from fastmoments_kernels.cpu.squares import HEIGHT, VECTOR, load, store, store_transposed, to_read, to_write

Array = Any

TILE = 64  # 64 x 64 float64 scratch stays in the second cache level
LANES = VECTOR // 4  # float32 in the widest vector; what a block does not fill of them holds zeros
PADDING = 16  # rows a multiple of 512 bytes apart would share few lines of the first cache level


def aligned(shape: tuple[int, ...], like: Array) -> Array:
    """Zeros of the dtype of `like`, from the beginning of a line on."""
    size = 1
    for length in shape:
        size *= length
    raw = np.zeros(size + VECTOR // like.itemsize, like.dtype)
    offset = (-raw.ctypes.data) % VECTOR // like.itemsize
    return raw[offset : offset + size].reshape(shape)


def filled(n: int) -> int:
    """n columns, rounded up to whole vectors."""
    return (n + LANES - 1) // LANES * LANES


def prepared(matrix: Array, i: int, j: int, start: int, inverse_sd: Array, block: Array) -> None:
    """The block at (i, j), column j being neuron start + j; 0 for constants, whatever it is, and by `clear`."""
    height, width = extent(matrix, i, j)
    read(matrix, i, j, block)
    for a in range(height):
        scale = inverse_sd[i + a]
        for b in range(width):
            constant = scale * at(inverse_sd, (start + j + b,)) == 0.0
            block[a, b] = 0.0 if constant else block[a, b]
    clear(block, height, width, i == start + j)


def both_sides(matrix: Array, i: int, j: int, start: int, image: Array, block: Array) -> None:
    """The block at (i, j) plus its mirror image, if it has one (start = 0); 0 by `clear`."""
    height, width = extent(matrix, i, j)
    if start > 0:
        read(matrix, i, j, block)
    else:
        ahead(matrix, j, i)
        ahead(matrix, i, j)
        read(matrix, j, i, image)
        for b in range(0, width, HEIGHT):
            for a in range(0, height, VECTOR // block.itemsize):
                store_transposed(load(image, b, a), block, a, b)
        for a in range(height):
            for b in range(width):
                block[a, b] += at(matrix, (i + a, j + b))
    clear(block, height, width, i == start + j)


def ahead(matrix: Array, i: int, j: int) -> None:
    """Have the block at (i, j) fetched, which will be read."""
    height, width = extent(matrix, i, j)
    for a in range(0, height, HEIGHT):
        for b in range(0, width, VECTOR // matrix.itemsize):
            to_read(matrix, i + a, j + b)


def clear(block: Array, height: int, width: int, diagonal: bool) -> None:
    """0 in what a block does not fill and, of a diagonal block, up to the diagonal."""
    for a in range(height):
        for b in range(width, block.shape[1]):
            block[a, b] = 0.0
        for b in range(a + 1 if diagonal else 0):
            block[a, b] = 0.0
    for a in range(height, block.shape[0]):
        for b in range(block.shape[1]):
            block[a, b] = 0.0


def read(matrix: Array, i: int, j: int, block: Array) -> None:
    """Copy the block at (i, j)."""
    height, width = extent(matrix, i, j)
    for a in range(height):
        for b in range(width):
            block[a, b] = at(matrix, (i + a, j + b))


def place_made(block: Array, mirror: Array, matrix: Array, i: int, j: int, start: int) -> None:
    """The block at (i, j) and its mirror image, both made; in a rectangle (start > 0) the block alone."""
    if extent(matrix, i, j) == (TILE, TILE) and i != start + j:
        for a in range(0, TILE, HEIGHT):
            for b in range(0, TILE, VECTOR // block.itemsize):
                to_write(matrix, i + a + HEIGHT, j + b)
                store(load(block, a, b), matrix, i + a, j + b)
        place_image(mirror, matrix, i, j, start)
    else:
        place(block, mirror, matrix, i, j, start)


def place(block: Array, mirror: Array, matrix: Array, i: int, j: int, start: int) -> None:
    """The same, the mirror image made; of a diagonal block what lies above the diagonal and its image."""
    height, width = extent(matrix, i, j)
    diagonal = i == start + j
    for a in range(height):
        for b in range(a + 1 if diagonal else 0, width):
            put(matrix, (i + a, j + b), at(block, (a, b)))
    if start == 0:
        for b in range(width):
            for a in range(b if diagonal else height):
                put(matrix, (j + b, i + a), at(mirror, (b, a)))


def place_image(mirror: Array, matrix: Array, i: int, j: int, start: int) -> None:
    """A whole block's mirror image, if it has one, lines asked for ahead: its rows are far apart."""
    if start == 0:
        for b in range(0, TILE, HEIGHT):
            for a in range(0, TILE, VECTOR // mirror.itemsize):
                to_write(matrix, j + b + HEIGHT, i + a)
                store(load(mirror, b, a), matrix, j + b, i + a)


def extent(matrix: Array, i: int, j: int) -> tuple[int, int]:
    """Height and width of the block at (i, j)."""
    return min(TILE, matrix.shape[0] - i), min(TILE, matrix.shape[1] - j)
