"""What callers and compiled loops agree on: sizes, and the arrays of a batch of neurons. It needs no compiler."""

import math
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]

LINE = 64  # bytes of a line of the caches
TILE = 64  # rows and columns: 64 x 64 float64 of scratch stay in the second cache level
BASE = 48  # orders that are tabulated for every neuron, enough for most patches
LARGE = 2**16  # bytes of an array: to put a smaller one at a line takes longer than it saves
PAST = 2**26  # bytes of matrices that no cache holds until they are read: they are written past the caches
LISTED = 8192  # pairs beyond the series of their patch that are computed together
# what the formula of a pair costs, in terms of a series, by itself and together
ALONE, TOGETHER = 8000.0, 2000.0
SINGLES = LINE // 4  # float32 in a line; scratch has whole lines
PACKS = 32  # neurons in whole packs of any processor
PADDING = 16  # more columns: rows a multiple of 512 bytes apart compete for few lines of the first cache level


class Known(NamedTuple):
    """Values per neuron that the kernels of pairs take, for a batch of matrices."""

    variance: Array  # of f(X), (batch, packed(n)); the last neuron is repeated
    features: Array  # of formula.neuron, (batch, features, packed(n)); the last neuron is repeated
    inverse_sd: Array  # 1 / sd, filled up with 0 to whole lines; 0 without variance, so that rho is 0
    table: Array  # Hermite coefficients, (batch, tiles, BASE + 2, columns of `coefficient_columns`)
    remainders: Array  # `series.log_remainders` of every tile, (batch, tiles, BASE + 1)


def lanes(real: str, vector: int) -> int:
    """Numbers in a vector of `vector` bytes."""
    return vector // np.dtype(real).itemsize


def sums(vector: int) -> int:
    """Vectors of means, and of variances, that fit into registers beside those of weights."""
    return 12 if vector == 64 else 4


def room(shape: tuple[int, ...], like: Array) -> Array:
    """An array of the dtype of `like` that begins at a line, not cleared."""
    size = 1
    for length in shape:
        size *= length
    raw = np.empty(size + LINE // like.itemsize, like.dtype)
    offset = (-raw.ctypes.data) % LINE // like.itemsize
    return raw[offset : offset + size].reshape(shape)


def aligned(shape: tuple[int, ...], like: Array) -> Array:
    """Zeros of the dtype of `like` that begin at a line."""
    result = room(shape, like)
    result[...] = 0.0
    return result


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """An array that, if large, begins at a line: to store vectors across two takes a fifth of a matrix's time."""
    size = math.prod(shape)
    if size * dtype.itemsize < LARGE:
        return np.empty(shape, dtype)
    raw = np.empty(size + LINE // dtype.itemsize, dtype)
    offset = -raw.ctypes.data % LINE // dtype.itemsize
    return raw[offset : offset + size].reshape(shape)


def filled(n: int) -> int:
    """n columns, rounded up to whole lines."""
    return (n + SINGLES - 1) // SINGLES * SINGLES


def packed(n: int) -> int:
    """n neurons, rounded up to whole packs."""
    return (n + PACKS - 1) // PACKS * PACKS


def coefficient_columns(n: int) -> int:
    """Columns of a table of coefficients of a tile's neurons, of n in all."""
    return min(TILE, packed(n)) + PADDING


def room_of(mu: Array, features: int) -> tuple[Array, Array, Array, Array, Array]:
    """Arrays for the fields of Known, for mu (batch, n) in float64."""
    batch, n = mu.shape
    tiles = (n + TILE - 1) // TILE
    variance, of_formula, inverse_sd = (
        np.empty((batch, packed(n))),
        np.empty((batch, features, packed(n))),
        np.zeros((batch, filled(n))),
    )
    table = room((batch, tiles, BASE + 2, coefficient_columns(n)), mu)
    return variance, of_formula, inverse_sd, table, np.empty((batch, tiles, BASE + 1))


def list_of_pairs(size: int) -> tuple[Array, Array, Array]:
    """Room for `size` pairs, places and covariances as in `beyond.listed`, and for `progress` of `pairs`."""
    return np.empty((size, 3), np.int32), np.empty(size), np.zeros(2, np.int64)


def matrix_label(loop: str, activation: str, parameters: int, dtype: np.dtype[Any]) -> str:
    """The name of a loop of matrices: everything that it depends on."""
    return f"{activation}_{loop}_{parameters}_{dtype.name}"
