"""The inner loops that NumPy calls, for any function: gather a chunk of inputs, compute, scatter the outputs."""

from typing import Any

import numpy as np
from numba import carray, types

from fastmoments_kernels.cpu.memory import LOAD, STORE
from fastmoments_kernels.cpu.packs import LANES
from fastmoments_kernels.formulas.identity import ROUTES

Array = Any  # an array in code that Numba compiles

CHUNK = 128  # elements of every operand: they stay in the first cache level
LONG_CHUNK = 8192  # elements with routes: they stay in the second, and few packs are the last of a route
COUNTERS = 8  # counters of a route, taken in turn: two increments of one in a row would wait for each other
# bound per ufunc and dtype
INPUTS, OPERANDS, SLACK, REAL, SIZE = 2, 3, 0.0, np.float64, 8
load, store = LOAD["float64"], STORE["float64"]
# C's functions of the floating-point flags, for which NumPy would warn; values that `where` drops raise them too
fetestexcept, feclearexcept = (
    types.ExternalFunction(name, types.int32(types.int32)) for name in ("fetestexcept", "feclearexcept")
)
EVERY = 31  # all flags but, on x86, that of an inexact result, which is always raised


def _nothing(x: Array, count: int, slack: float) -> None:
    """Compute the outputs, or the routes, of the `count` elements of a chunk x from its inputs; bound per ufunc."""


body = routes = _nothing


def loop(args: Array, dims: Array, steps: Array, data: Array) -> None:
    """NumPy's inner loop: gather a chunk of every input, call `body`, scatter every output."""
    address, step = carray(args, OPERANDS), carray(steps, OPERANDS)
    x = np.empty((OPERANDS, CHUNK), REAL)
    for start in range(0, dims[0], CHUNK):
        count = min(CHUNK, dims[0] - start)
        for operand in range(INPUTS):
            _gather(address[operand] + start * step[operand], step[operand], count, x[operand])
        body(x, count, SLACK)
        for operand in range(INPUTS, OPERANDS):
            _scatter(x[operand], count, address[operand] + start * step[operand], step[operand])
    _clear_flags()


def loop_by_routes(args: Array, dims: Array, steps: Array, data: Array) -> None:
    """`loop` with the elements of a chunk in the order of their routes; each route begins a pack."""
    address, step = carray(args, OPERANDS), carray(steps, OPERANDS)
    width = max(LANES, min(LONG_CHUNK, _to_pack(dims[0])))
    unsorted, x = np.empty((INPUTS + 1, width)), np.empty((OPERANDS, width + ROUTES * LANES))
    # unsigned: Numba tests a signed index for being negative
    route_of, order = np.empty(width, np.uint8), np.empty(width + ROUTES * LANES, np.uint32)
    for start in range(0, dims[0], width):
        count = min(width, dims[0] - start)
        for operand in range(INPUTS):
            _gather(address[operand] + start * step[operand], step[operand], count, unsorted[operand])
        routes(unsorted, count, SLACK)
        for i in range(count):
            route_of[i] = int(unsorted[INPUTS, i])
        total = _sort(order, route_of, count)
        for operand in range(INPUTS):
            for i in range(total):
                x[operand, i] = unsorted[operand, order[i]]
        body(x, total, SLACK)
        for operand in range(INPUTS, OPERANDS):
            for i in range(total):
                store(address[operand] + (start + order[i]) * step[operand], 0, x[operand, i])
    _clear_flags()


def _clear_flags() -> None:
    # a test costs less than clearing
    if fetestexcept(EVERY):
        feclearexcept(EVERY)


def _sort(order: Array, route_of: Array, count: int) -> int:
    """Fill `order` with the elements by route, each route's last repeated to the end of a pack; its length."""
    places, ends, total = np.zeros((COUNTERS, ROUTES), np.uint32), np.empty(ROUTES, np.int64), 0
    for i in range(count):
        places[i % COUNTERS, route_of[i]] += 1
    for route in range(ROUTES):
        for j in range(COUNTERS):
            places[j, route], total = total, total + places[j, route]
        ends[route] = total
        total = _to_pack(total)
    for i in range(count):
        place = places[i % COUNTERS, route_of[i]]
        order[place] = i
        places[i % COUNTERS, route_of[i]] = place + 1
    for route in range(ROUTES):
        for i in range(ends[route], _to_pack(ends[route])):
            order[i] = order[ends[route] - 1]
    return total


# contiguous numbers have a loop of their own, which LLVM makes one of vectors
def _gather(address: int, step: int, count: int, x: Array) -> None:
    """Read `count` numbers, `step` bytes apart, into x, and repeat the last to the end of its pack."""
    if step == SIZE:
        for i in range(count):
            x[i] = load(address, i)
    else:
        for i in range(count):
            x[i] = load(address + i * step, 0)
    for i in range(count, _to_pack(count)):
        x[i] = x[count - 1]


def _scatter(x: Array, count: int, address: int, step: int) -> None:
    """Write `count` numbers of x to an address, `step` bytes apart."""
    if step == SIZE:
        for i in range(count):
            store(address, i, x[i])
    else:
        for i in range(count):
            store(address + i * step, 0, x[i])


def _to_pack(count: int) -> int:
    """`count` rounded up to whole packs."""
    return (count + LANES - 1) // LANES * LANES
