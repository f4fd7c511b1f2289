"""The inner loops that NumPy calls, for any function: gather a chunk of inputs, compute, scatter the outputs."""

from typing import Any

import numpy as np
from numba import carray, types

from fastmoments_kernels.cpu.memory import LOAD, STORE
from fastmoments_kernels.cpu.packs import LANES
from fastmoments_kernels.formulas.identity import ROUTES

Array = Any  # an array in code that Numba compiles

CHUNK = 128  # elements of every operand: they stay in the first cache level
LONG_CHUNK = 8192  # elements with routes: they stay in the second, and few packs have several routes
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
    clear_flags()


def loop_by_routes(args: Array, dims: Array, steps: Array, data: Array) -> None:
    """`loop` over long chunks, each computed by `by_routes`."""
    address, step = carray(args, OPERANDS), carray(steps, OPERANDS)
    width = width_of(dims[0], LONG_CHUNK)
    x, room = np.empty((OPERANDS, width)), room_of(width)
    for start in range(0, dims[0], width):
        count = min(width, dims[0] - start)
        for operand in range(INPUTS):
            _gather(address[operand] + start * step[operand], step[operand], count, x[operand])
        by_routes(x, count, SLACK, room)
        for operand in range(INPUTS, OPERANDS):
            _scatter(x[operand], count, address[operand] + start * step[operand], step[operand])
    clear_flags()


def width_of(count: int, most: int) -> int:
    """The elements of a chunk of `count` elements, `most` at most: whole packs."""
    return max(LANES, min(most, to_pack(count)))


def room_of(width: int) -> Any:
    """Room for `by_routes`: the elements in their order, the order, and their routes."""
    # unsigned: Numba tests a signed index for being negative
    return np.empty((OPERANDS, width)), np.empty(width, np.uint32), np.empty(width, np.uint8)


def by_routes(x: Array, count: int, slack: float, room: Any) -> None:
    """`body` with the elements of a chunk in the order of their routes: few packs have more than one."""
    if count <= LANES:
        body(x, count, slack)
        return
    ordered, order, route_of = room
    routes(x, count, slack)
    for i in range(count):
        route_of[i] = int(x[INPUTS, i])
    _sort(order, route_of, count)
    for operand in range(INPUTS):
        for i in range(to_pack(count)):
            ordered[operand, i] = x[operand, order[i]]
    body(ordered, count, slack)
    for operand in range(INPUTS, OPERANDS):
        for i in range(count):
            x[operand, order[i]] = ordered[operand, i]


def in_turn(x: Array, count: int, slack: float, room: Any) -> None:
    """`body` of a chunk as it is, for formulas without routes."""
    body(x, count, slack)


def clear_flags() -> None:
    """Clear the flags of floating-point errors, which NumPy would report."""
    # a test costs less than clearing
    if fetestexcept(EVERY):
        feclearexcept(EVERY)


def _sort(order: Array, route_of: Array, count: int) -> None:
    """Fill `order` with the elements by route, the last one repeated to the end of its pack."""
    places, total = np.zeros((COUNTERS, ROUTES), np.uint32), 0
    for i in range(count):
        places[i % COUNTERS, route_of[i]] += 1
    for route in range(ROUTES):
        for j in range(COUNTERS):
            places[j, route], total = total, total + places[j, route]
    for i in range(count):
        place = places[i % COUNTERS, route_of[i]]
        order[place] = i
        places[i % COUNTERS, route_of[i]] = place + 1
    for i in range(count, to_pack(count)):
        order[i] = order[count - 1]


# contiguous numbers have a loop of their own, which LLVM makes one of vectors
def _gather(address: int, step: int, count: int, x: Array) -> None:
    """Read `count` numbers, `step` bytes apart, into x, and repeat the last to the end of its pack."""
    if step == SIZE:
        for i in range(count):
            x[i] = load(address, i)
    else:
        for i in range(count):
            x[i] = load(address + i * step, 0)
    for i in range(count, to_pack(count)):
        x[i] = x[count - 1]


def _scatter(x: Array, count: int, address: int, step: int) -> None:
    """Write `count` numbers of x to an address, `step` bytes apart."""
    if step == SIZE:
        for i in range(count):
            store(address, i, x[i])
    else:
        for i in range(count):
            store(address + i * step, 0, x[i])


def to_pack(count: int) -> int:
    """`count` rounded up to whole packs."""
    return (count + LANES - 1) // LANES * LANES
