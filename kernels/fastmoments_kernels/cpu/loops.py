"""NumPy's inner loops, for any function: inputs to chunks of packs, what is computed back to where it belongs."""

from typing import Any

import numpy as np
from numba import carray, types

from fastmoments_kernels.cpu.memory import LOAD, STORE
from fastmoments_kernels.cpu.packs import LANES
from fastmoments_kernels.formulas.identity import ROUTES

Array = Any

CHUNK = 128  # elements of every operand in the first cache level
LONG_CHUNK = 8192  # in the second, so that the last packs of all routes are few among them
APART = 8  # how many neighbours are counted apart
# bound per ufunc and dtype
INPUTS, OPERANDS, SLACK, REAL, SIZE = 2, 3, 0.0, np.float64, 8
load, store = LOAD["float64"], STORE["float64"]
# C's, of the flags by which NumPy would warn of what happens in branches that `where` does not choose
fetestexcept, feclearexcept = (
    types.ExternalFunction(name, types.int32(types.int32)) for name in ("fetestexcept", "feclearexcept")
)
EVERY = 31  # flag there is but, on x86, that of an inexact result, which is always up


def _nothing(x: Array, count: int, slack: float) -> None:
    """The function of the chunk x, inputs in its first rows and outputs in the others; and that of its routes."""


body = routes = _nothing


def loop(args: Array, dims: Array, steps: Array, data: Array) -> None:
    """NumPy's inner loop: gather a chunk of every input, compute, scatter every output."""
    address, step = carray(args, OPERANDS), carray(steps, OPERANDS)
    x = np.empty((OPERANDS, CHUNK), REAL)
    for start in range(0, dims[0], CHUNK):
        count = min(CHUNK, dims[0] - start)
        for operand in range(INPUTS):
            _gather(address[operand] + start * step[operand], step[operand], count, x[operand])
        body(x, count, SLACK)
        for operand in range(INPUTS, OPERANDS):
            _scatter(x[operand], count, address[operand] + start * step[operand], step[operand])
    _say_nothing()


def loop_by_routes(args: Array, dims: Array, steps: Array, data: Array) -> None:
    """The same with the elements of a chunk in the order of their routes, each of which begins a pack."""
    address, step = carray(args, OPERANDS), carray(steps, OPERANDS)
    width = max(LANES, min(LONG_CHUNK, _to_pack(dims[0])))
    given, x = np.empty((INPUTS + 1, width)), np.empty((OPERANDS, width + ROUTES * LANES))
    # unsigned: an index that may be negative is looked at first
    kinds, order = np.empty(width, np.uint8), np.empty(width + ROUTES * LANES, np.uint32)
    for start in range(0, dims[0], width):
        count = min(width, dims[0] - start)
        for operand in range(INPUTS):
            _gather(address[operand] + start * step[operand], step[operand], count, given[operand])
        routes(given, count, SLACK)
        for i in range(count):
            kinds[i] = int(given[INPUTS, i])
        total = _sort(order, kinds, count)
        for operand in range(INPUTS):
            for i in range(total):
                x[operand, i] = given[operand, order[i]]
        body(x, total, SLACK)
        for operand in range(INPUTS, OPERANDS):
            for i in range(total):
                store(address[operand] + (start + order[i]) * step[operand], 0, x[operand, i])
    _say_nothing()


def _say_nothing() -> None:
    # to look costs less than to clear
    if fetestexcept(EVERY):
        feclearexcept(EVERY)


def _sort(order: Array, kinds: Array, count: int) -> int:
    """Elements in the order of their routes, the last of a route again to the end of its pack; how many in all."""
    # to count one route twice in a row is to wait
    places, ends, total = np.zeros((APART, ROUTES), np.uint32), np.empty(ROUTES, np.int64), 0
    for i in range(count):
        places[i % APART, kinds[i]] += 1
    for route in range(ROUTES):
        for j in range(APART):
            places[j, route], total = total, total + places[j, route]
        ends[route] = total
        total = _to_pack(total)
    for i in range(count):
        place = places[i % APART, kinds[i]]
        order[place] = i
        places[i % APART, kinds[i]] = place + 1
    for route in range(ROUTES):
        for i in range(ends[route], _to_pack(ends[route])):
            order[i] = order[ends[route] - 1]
    return total


# Of neighbours in memory vectors are made
def _gather(address: int, step: int, count: int, x: Array) -> None:
    """Read so many numbers, and the last again to the end of its pack."""
    if step == SIZE:
        for i in range(count):
            x[i] = load(address, i)
    else:
        for i in range(count):
            x[i] = load(address + i * step, 0)
    for i in range(count, _to_pack(count)):
        x[i] = x[count - 1]


def _scatter(x: Array, count: int, address: int, step: int) -> None:
    """Write so many numbers."""
    if step == SIZE:
        for i in range(count):
            store(address, i, x[i])
    else:
        for i in range(count):
            store(address + i * step, 0, x[i])


def _to_pack(count: int) -> int:
    """The end of the pack that many elements end in."""
    return (count + LANES - 1) // LANES * LANES
