"""Pairs beyond the series of their patch: listed, then computed by the pair formula, one by one or together.

A pack takes the routes of all its lanes: sorted by route, the pairs of many tiles and matrices take a third of the
time that single ones take. The few of a small matrix would not fill packs.
"""

import math
from typing import Any

import numpy as np

from fastmoments_kernels.cpu.layout import LINE
from fastmoments_kernels.cpu.loops import by_routes, room_of, to_pack, width_of
from fastmoments_kernels.cpu.packs import LANES, load_pack, load_packs, store_pack
from fastmoments_kernels.cpu.patches import HEIGHT
from fastmoments_kernels.cpu.series import neuron_at
from fastmoments_kernels.cpu.tiles import Tile
from fastmoments_kernels.formulas import identity as formula  # `bind` exchanges it for an activation's

Array = Any  # an array in code that Numba compiles

CHUNK = 2048  # pairs that are sorted at a time: their features stay in the second cache level
# bound per activation
NEURON = (0.0, 0.0, 0.0)
INPUTS, OPERANDS = 7, 8  # the features of both neurons and the covariance; and the result


def listed(
    m: int,
    tile: Tile,
    count: int,
    hard: Array,
    limits: Array,
    rho: Array,
    tile_cov: Array,
    places: Array,
    covs: Array,
    last: int,
) -> int:
    """List the pairs of a tile's hard patches that are beyond the limits, from `last` on; return the new number.

    places[q] is matrix, row and column, covs[q] the covariance.
    """
    lanes = LINE // tile_cov.itemsize
    for q in range(count):
        if hard[q, 3] == 0:
            continue
        r, s = hard[q, 0], hard[q, 1]
        for a in range(min(HEIGHT, tile.height - r)):
            for b in range(min(lanes, tile.width - s)):
                if abs(rho[q * HEIGHT + a, b]) > limits[q]:
                    places[last, 0], places[last, 1], places[last, 2] = m, tile.i + r + a, tile.j + s + b
                    covs[last] = tile_cov[r + a, s + b]
                    last += 1
    return last


def one_by_one(features: Array, slack: float, places: Array, covs: Array, count: int, cov_out: Array) -> bool:
    """Write the covariances of the first `count` listed pairs of symmetric matrices; whether one `is_beyond`."""
    beyond = False
    for q in range(count):
        m, i, j = places[q, 0], places[q, 1], places[q, 2]
        one, two = neuron_at(features[m], i), neuron_at(features[m], j)
        value = formula.cov(one, two, covs[q], slack)
        cov_out[m, i, j] = cov_out[m, j, i] = value
        beyond |= is_beyond(correlation(one[1], two[1], covs[q]), value, slack)
    return beyond


def correlation(var_1: float, var_2: float, cov: float) -> float:
    """cov / (sd_1 sd_2)."""
    return cov / math.sqrt(var_1) / math.sqrt(var_2)


def is_beyond(rho: float, value: float, slack: float) -> bool:
    """Whether a value is nan because its correlation is beyond 1, not because an input was nan."""
    return value != value and rho * rho > 1.0 + slack


def together(features: Array, start: int, slack: float, places: Array, covs: Array, count: int) -> bool:
    """`one_by_one` by packs of one route, into `covs`; `start` is that of `covariance.pairs`."""
    width, beyond = width_of(count, CHUNK), False
    x, room = np.empty((OPERANDS, width)), room_of(width)
    for begin in range(0, count, width):
        size = min(width, count - begin)
        gather(features, start, places[begin:], covs[begin:], size, x)
        by_routes(x, size, slack, room)
        for q in range(size):
            value = x[INPUTS, q]
            beyond |= is_beyond(correlation(x[1, q], x[len(NEURON) + 1, q], covs[begin + q]), value, slack)
            covs[begin + q] = value
    return beyond


def placed(start: int, places: Array, covs: Array, count: int, cov_out: Array) -> None:
    """Write what `together` computed to the matrices."""
    for q in range(count):
        m, i, j = places[q, 0], places[q, 1], places[q, 2]
        cov_out[m, i, j] = covs[q]
        if start == 0:
            cov_out[m, j, i] = covs[q]


def gather(features: Array, start: int, places: Array, covs: Array, count: int, x: Array) -> None:
    """Fill the columns of x with the inputs of the pairs, the last one repeated to the end of its pack."""
    for q in range(to_pack(count)):
        pair = min(q, count - 1)
        m, i, k = places[pair, 0], places[pair, 1], start + places[pair, 2]
        for f in range(len(NEURON)):
            x[f, q], x[len(NEURON) + f, q] = features[m, f, i], features[m, f, k]
        x[INPUTS - 1, q] = covs[pair]


def pair_at(x: Array, i: int) -> Any:
    """(neuron, neuron, covariance) of the pack of pairs from column i on."""
    one, two = load_packs(NEURON, x, 0, 1, i), load_packs(NEURON, x, len(NEURON), 1, i)
    return one, two, load_pack(x, INPUTS - 1, i)


def covariances(x: Array, count: int, slack: float) -> None:
    """The body of `by_routes`."""
    for i in range(0, count, LANES):
        one, two, cov_12 = pair_at(x, i)
        store_pack(x, INPUTS, i, formula.cov(one, two, cov_12, slack))


def routes(x: Array, count: int, slack: float) -> None:
    """The routes of `by_routes`."""
    for i in range(0, count, LANES):
        one, two, cov_12 = pair_at(x, i)
        store_pack(x, INPUTS, i, formula.route(one, two, cov_12, slack))
