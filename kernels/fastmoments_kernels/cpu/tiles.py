"""Tiles of a matrix: copied into aligned scratch, and results and their mirror image written to a matrix."""

from typing import Any, NamedTuple

from fastmoments_kernels.cpu.layout import LINE, PAST, TILE
from fastmoments_kernels.cpu.memory import at, put
from fastmoments_kernels.cpu.patches import HEIGHT, load, store, store_past, store_transposed, to_read, to_write

Array = Any  # an array in code that Numba compiles


class Tile(NamedTuple):
    """The place of a tile: matrix[i : i + height, j : j + width].

    Rows are neurons i, i + 1, ..., columns are neurons k, k + 1, ... In a symmetric matrix k = j; in a block off
    the diagonal the columns' neurons come after the rows', and there is no mirror image.
    """

    i: int
    j: int
    k: int
    height: int
    width: int


def tile_at(matrix: Array, i: int, j: int, start: int) -> Any:
    """The tile at matrix[i, j], where column 0 is neuron `start`."""
    return Tile(i, j, start + j, min(TILE, matrix.shape[0] - i), min(TILE, matrix.shape[1] - j))


def prepared(matrix: Array, tile: Tile, inverse_sd: Array, out: Array) -> None:
    """Copy a tile to `out`, with 0 for neurons without variance, then `clear` it."""
    read(matrix, tile.i, tile.j, tile.height, tile.width, out)
    for a in range(tile.height):
        scale = inverse_sd[tile.i + a]
        for b in range(tile.width):
            constant = scale * at(inverse_sd, (tile.k + b,)) == 0.0
            out[a, b] = 0.0 if constant else out[a, b]
    clear(out, tile)


def both_sides(matrix: Array, tile: Tile, image: Array, out: Array) -> None:
    """Copy a tile plus its mirror image, if it has one, to `out`, then `clear` it."""
    i, j, _, height, width = tile
    if tile.k != j:
        read(matrix, i, j, height, width, out)
    else:
        ahead(matrix, j, i, width, height)
        ahead(matrix, i, j, height, width)
        read(matrix, j, i, width, height, image)
        for b in range(0, width, HEIGHT):
            for a in range(0, height, LINE // out.itemsize):
                store_transposed(load(image, b, a), out, a, b)
        for a in range(height):
            for b in range(width):
                out[a, b] += at(matrix, (i + a, j + b))
    clear(out, tile)


def ahead(matrix: Array, i: int, j: int, height: int, width: int) -> None:
    """Fetch matrix[i : i + height, j : j + width] into the cache, to be read soon."""
    for a in range(0, height, HEIGHT):
        for b in range(0, width, LINE // matrix.itemsize):
            to_read(matrix, i + a, j + b)


def read(matrix: Array, i: int, j: int, height: int, width: int, out: Array) -> None:
    """Copy matrix[i : i + height, j : j + width] to the beginning of `out`."""
    for a in range(height):
        for b in range(width):
            out[a, b] = at(matrix, (i + a, j + b))


def clear(out: Array, tile: Tile) -> None:
    """Write 0 where a tile does not fill `out`, and up to the diagonal if the tile lies on it."""
    for a in range(tile.height):
        for b in range(tile.width, out.shape[1]):
            out[a, b] = 0.0
        for b in range(a + 1 if tile.i == tile.k else 0):
            out[a, b] = 0.0
    for a in range(tile.height, out.shape[0]):
        for b in range(out.shape[1]):
            out[a, b] = 0.0


def place_made(made: Array, mirror: Array, matrix: Array, tile: Tile) -> None:
    """Write a result and its mirror image, if it has one, to the matrix."""
    i, j = tile.i, tile.j
    if tile.height == TILE and tile.width == TILE and i != tile.k:
        for a in range(0, TILE, HEIGHT):
            for b in range(0, TILE, LINE // made.itemsize):
                to_write(matrix, i + a + HEIGHT, j + b)
                store(load(made, a, b), matrix, i + a, j + b)
        place_image(mirror, matrix, tile)
    else:
        place(made, mirror, matrix, tile)


def place(made: Array, mirror: Array, matrix: Array, tile: Tile) -> None:
    """`place_made` for a tile of any size; on the diagonal only the part above the diagonal and its image."""
    i, j, k, height, width = tile
    for a in range(height):
        for b in range(a + 1 if i == k else 0, width):
            put(matrix, (i + a, j + b), at(made, (a, b)))
    if k == j:
        for b in range(width):
            for a in range(b if i == k else height):
                put(matrix, (j + b, i + a), at(mirror, (b, a)))


def place_image(mirror: Array, matrix: Array, tile: Tile, past: bool = False) -> None:
    """Write a whole tile's mirror image, if it has one; lines are fetched ahead, because its rows are far apart."""
    i, j = tile.i, tile.j
    if tile.k == j:
        for b in range(0, TILE, HEIGHT):
            for a in range(0, TILE, LINE // mirror.itemsize):
                values = load(mirror, b, a)
                if past:
                    store_past(values, matrix, j + b, i + a)
                else:
                    to_write(matrix, j + b + HEIGHT, i + a)
                    store(values, matrix, j + b, i + a)


def is_past_caches(matrix: Array) -> bool:
    """Whether matrices are so large that tiles are written past the caches; every row has to begin at a line."""
    begin, row = matrix.ctypes.data, matrix.shape[-1] * matrix.itemsize
    past: bool = matrix.nbytes >= PAST and begin % LINE == 0 and row % LINE == 0
    return past
