"""Slopes of pairs for which a series is too long: listed over tiles and matrices, computed in packs of one route.

A lane's bits do not depend on the others, and pairs are added to the gradients in the order of the list.
"""

from typing import Any, NamedTuple

import numpy as np

from fastmoments_kernels.cpu.beyond import is_beyond, pair_at
from fastmoments_kernels.cpu.hard_slopes import is_pair
from fastmoments_kernels.cpu.layout import TILE
from fastmoments_kernels.cpu.loops import by_routes, room_of, to_pack
from fastmoments_kernels.cpu.memory import at, put
from fastmoments_kernels.cpu.packs import LANES, store_pack
from fastmoments_kernels.cpu.patches import HEIGHT, WIDE
from fastmoments_kernels.cpu.tiles import Tile
from fastmoments_kernels.formulas import identity as formula  # `bind` exchanges it for an activation's

Array = Any  # an array in code that Numba compiles

AT_ONCE = 512  # pairs of a list
SLOPES = 5
# bound per activation
NEURON = (0.0, 0.0, 0.0)
INPUTS, OPERANDS = 7, 12  # the features of two neurons and their covariance; and the slopes


class Far(NamedTuple):
    """A list of pairs."""

    x: Array  # for each the inputs, and room for the slopes, (OPERANDS, AT_ONCE)
    weights: Array  # the gradients along both of a pair's places in the matrix
    places: Array  # matrix and both neurons
    count: Array  # the number of pairs
    ordered: Any  # room for `loops.by_routes`


def slopes_of_pairs(x: Array, count: int, slack: float) -> None:
    """The body of `by_routes`."""
    for i in range(0, count, LANES):
        one, two, cov_12 = pair_at(x, i)
        store_pack(x, INPUTS, i, formula.product_11(one, two, cov_12, slack))
        store_pack(x, INPUTS + 1, i, formula.cov_10(one, two, cov_12, slack))
        store_pack(x, INPUTS + 2, i, formula.cov_10(two, one, cov_12, slack))
        store_pack(x, INPUTS + 3, i, formula.cov_20(one, two, cov_12, slack))
        store_pack(x, INPUTS + 4, i, formula.cov_20(two, one, cov_12, slack))


def far_room() -> Any:
    """Return an empty list."""
    ordered = room_of(AT_ONCE)
    return Far(
        np.empty((OPERANDS, AT_ONCE)),
        np.empty(AT_ONCE),
        np.empty((AT_ONCE, 3), np.int64),
        np.zeros(1, np.int64),
        ordered,
    )


def append(
    tile_cov: Array,
    weight: Array,
    features: Array,
    m: int,
    tile: Tile,
    inverse_sd: Array,
    patch: Array,
    limit: float,
    far: Far,
) -> None:
    """Put the pairs of a hard patch beyond its limit, or nan, on a list with room for all."""
    x, weights, places, counter, _ = far
    q, size, r, s = counter[0], len(NEURON), patch[0], patch[1]
    for a in range(r, r + HEIGHT):
        for b in range(s, s + WIDE):
            if is_pair(tile, a, b):
                i, k, cov_12 = tile.i + a, tile.k + b, float(tile_cov[a, b])
                if not abs(cov_12 * inverse_sd[i] * inverse_sd[k]) <= limit:
                    for f in range(size):
                        put(x, (f, q), at(features, (f, i)))
                        put(x, (size + f, q), at(features, (f, k)))
                    x[2 * size, q], weights[q] = cov_12, weight[a, b]
                    places[q, 0], places[q, 1], places[q, 2] = m, i, k
                    q += 1
    counter[0] = q


def settle(far: Far, slack: float, inverse_sd: Array, start: int, cov_grad: Array, parts: Array) -> bool:
    """Write the gradients along the listed covariances, add the others to `parts`, and empty the list.

    Returns whether a pair `is_beyond`. `start` and `parts` are those of `covariance_vjp.pair_gradients`.
    """
    x, weights, places, counter, ordered = far
    count, beyond = counter[0], False
    if count == 0:
        return False
    for row in range(INPUTS):
        for q in range(count, to_pack(count)):
            x[row, q] = x[row, count - 1]
    by_routes(x, count, slack, ordered)
    for q in range(count):
        m, i, k, w, slope = places[q, 0], places[q, 1], places[q, 2], weights[q], x[INPUTS, q]
        beyond |= is_beyond(x[INPUTS - 1, q] * inverse_sd[m, i] * inverse_sd[m, k], slope, slack)
        cov_grad[m, i, k - start] = 0.5 * w * slope
        if start == 0:
            cov_grad[m, k, i] = 0.5 * w * slope
        of_rows, of_columns = parts[m, k // TILE], parts[m, i // TILE]
        of_rows[0, i] += w * x[INPUTS + 1, q]
        of_columns[0, k] += w * x[INPUTS + 2, q]
        of_rows[1, i] += 0.5 * w * x[INPUTS + 3, q]
        of_columns[1, k] += 0.5 * w * x[INPUTS + 4, q]
    counter[0] = 0
    return beyond
