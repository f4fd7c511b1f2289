"""Pairs that no series reaches, listed over tiles and matrices, so that the formula computes packs of like pairs.

A list is an array `x` with a pair in each column: the features of both neurons, the covariance, the results; and its
places (matrix, row, column). A pair's result does not depend on the others of its list.
"""

import math
from typing import Any

import numpy as np

from fastmoments_kernels.cpu.loops import by_routes, room_of
from fastmoments_kernels.cpu.memory import at, put
from fastmoments_kernels.cpu.packs import LANES, load_pack, load_packs, store_pack
from fastmoments_kernels.formulas import identity as formula  # `bind` exchanges it for an activation's

Array = Any  # an array in code that Numba compiles

CAPACITY = 1024  # pairs: twice what is gathered of them stays in the second cache level
NEURON = (0.0, 0.0, 0.0)  # as long as formula.neuron's tuple
# bound per activation
FEATURES, INPUTS, OPERANDS = 3, 7, 8
compute = by_routes  # or `in_turn`


def empty_list(capacity: int) -> Any:
    """Room for `capacity` pairs, and for `by_routes`."""
    return np.empty((OPERANDS, capacity)), np.empty((3, capacity), np.int64), room_of(capacity)


def append(pending: Any, count: int, features: Array, m: int, i: int, j: int, k: int, cov: float) -> int:
    """Put the pair of neurons i and k, in column j of matrix m, on the list after `count` others; their number then."""
    x, places, _ = pending
    for f in range(FEATURES):
        put(x, (f, count), at(features, (f, i)))
        put(x, (FEATURES + f, count), at(features, (f, k)))
    put(x, (2 * FEATURES, count), cov)
    put(places, (0, count), m)
    put(places, (1, count), i)
    put(places, (2, count), j)
    return count + 1


def finish(pending: Any, count: int, start: int, slack: float, result: Array) -> bool:
    """Compute the listed pairs and write them to their matrices; return whether one `is_beyond`."""
    x, places, room = pending
    for f in range(INPUTS):
        for p in range(count, (count + LANES - 1) // LANES * LANES):
            put(x, (f, p), at(x, (f, count - 1)))
    compute(x, count, slack, room)
    beyond = False
    for p in range(count):
        m, i, j, value = at(places, (0, p)), at(places, (1, p)), at(places, (2, p)), at(x, (INPUTS, p))
        result[m, i, j] = value
        if start == 0:
            result[m, j, i] = value
        if value != value:
            var_1, var_2 = at(x, (1, p)), at(x, (FEATURES + 1, p))
            beyond |= is_beyond(at(x, (2 * FEATURES, p)) / math.sqrt(var_1) / math.sqrt(var_2), value, slack)
    return beyond


def is_beyond(rho: float, value: float, slack: float) -> bool:
    """Whether a value is nan because its correlation is beyond 1, not because an input was nan."""
    return value != value and rho * rho > 1.0 + slack


def cov_of_features(x: Array, count: int, slack: float) -> None:
    """The covariances of a list in packs."""
    for p in range(0, count, LANES):
        one, two, cov_12 = pair_of_features(x, p)
        store_pack(x, INPUTS, p, formula.cov(one, two, cov_12, slack))


def routes_of_features(x: Array, count: int, slack: float) -> None:
    """The routes of a list in packs."""
    for p in range(0, count, LANES):
        one, two, cov_12 = pair_of_features(x, p)
        store_pack(x, INPUTS, p, formula.route(one, two, cov_12, slack))


def pair_of_features(x: Array, p: int) -> Any:
    """The features of both neurons and the covariances, as packs."""
    return load_packs(NEURON, x, 0, 1, p), load_packs(NEURON, x, FEATURES, 1, p), load_pack(x, 2 * FEATURES, p)
