"""Patches of a matrix in registers, HEIGHT rows of one vector each: load, store, transpose, and a few operations.

A sum over terms that stays in registers costs two operations per term; LLVM vectorises inner loops only, and would
keep the sums in memory.
"""

from typing import Any

import llvmlite.ir as ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

from fastmoments_kernels.cpu.layout import LINE
from fastmoments_kernels.cpu.machine import AVX512
from fastmoments_kernels.cpu.memory import element
from fastmoments_kernels.cpu.vectors import (
    load_vector,
    plus,
    shuffled,
    splat,
    store_vector,
    vector_function,
    vector_type,
)

HEIGHT = 8 if AVX512 else 4  # a patch of sums and one of rho fill half of the registers

WIDE = LINE // 8  # float64 in a vector
LIMITS = 56  # numbers that `how_many_below` takes


class Patch(types.Type):  # type: ignore[misc]
    """HEIGHT vectors of float32 or float64."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        super().__init__(name=f"Patch({dtype})")


def lanes(dtype: Any) -> int:
    """Elements of a vector of LINE bytes."""
    return int(8 * LINE // dtype.bitwidth)


@register_model(Patch)
class _Model(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Patch) -> None:
        super().__init__(manager, kind, ir.ArrayType(vector_type(kind.dtype, lanes(kind.dtype)), HEIGHT))


def rows_of(builder: Any, patch: Any) -> list[Any]:
    return [builder.extract_value(patch, k) for k in range(HEIGHT)]


def patch_of(builder: Any, rows: list[Any]) -> Any:
    result = ir.Constant(ir.ArrayType(rows[0].type, HEIGHT), ir.Undefined)
    for k, row in enumerate(rows):
        result = builder.insert_value(result, row, k)
    return result


def _loader(dtype_of: Any) -> Any:
    @intrinsic
    def load(context: Any, array: Any, i: Any, j: Any) -> Any:
        dtype = dtype_of(array)

        def emit(lowering: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            matrix, row, column = arguments
            places = ([plus(builder, row, k), column] for k in range(HEIGHT))
            rows = [load_vector(lowering, builder, array, matrix, place, dtype, lanes(dtype)) for place in places]
            return patch_of(builder, rows)

        return Patch(dtype)(array, types.intp, types.intp), emit

    return load


# the patch that begins at array[i, j], in the array's dtype or in float64
load, load_wide = _loader(lambda array: array.dtype), _loader(lambda array: types.float64)


def _storer(past_caches: bool) -> Any:
    @intrinsic
    def store(context: Any, patch: Any, array: Any, i: Any, j: Any) -> Any:
        def emit(lowering: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            values, matrix, row, column = arguments
            for k, vector in enumerate(rows_of(builder, values)):
                place = [plus(builder, row, k), column]
                store_vector(lowering, builder, vector, array, matrix, place, past_caches)
            return lowering.get_dummy_value()

        return types.void(patch, array, types.intp, types.intp), emit

    return store


# array[i + k, j + l] = patch[k, l]; the second writes whole lines past the caches, until `written` in no order
store, store_past = _storer(False), _storer(True)


@intrinsic
def written(context: Any) -> Any:
    """Wait until what `store_past` wrote is seen by all."""

    def emit(lowering: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.fence("seq_cst")
        return lowering.get_dummy_value()

    return types.void(), emit


@intrinsic
def store_transposed(context: Any, patch: Any, array: Any, i: Any, j: Any) -> Any:
    """array[i + l, j + k] = patch[k, l]."""

    def emit(lowering: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values, matrix, row, column = arguments
        vectors = rows_of(builder, values)
        for first in range(0, lanes(patch.dtype), HEIGHT):
            part = [shuffled(builder, v, v, list(range(first, first + HEIGHT))) for v in vectors]
            for k, vector in enumerate(_transposed(builder, part)):
                store_vector(lowering, builder, vector, array, matrix, [plus(builder, row, first + k), column])
        return lowering.get_dummy_value()

    return types.void(patch, array, types.intp, types.intp), emit


def _transposed(builder: Any, rows: list[Any]) -> list[Any]:
    """The transpose of a square: exchange its off-diagonal quarters, then those of each quarter, and so on."""
    rows, places, distance = list(rows), range(HEIGHT), HEIGHT // 2
    while distance:
        left = [k if not k & distance else HEIGHT + k - distance for k in places]
        right = [k + distance if not k & distance else HEIGHT + k for k in places]
        for k in places:
            if not k & distance:
                pair = rows[k], rows[k + distance]
                rows[k], rows[k + distance] = (shuffled(builder, *pair, mask) for mask in (left, right))
        distance //= 2
    return rows


def _asker(for_writing: int) -> Any:
    @intrinsic
    def ask(context: Any, array: Any, i: Any, j: Any) -> Any:
        def emit(lowering: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
            kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
            prefetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
            matrix, row, column = arguments
            for k in range(HEIGHT):
                pointer = element(lowering, builder, array, matrix, [plus(builder, row, k), column])
                where = builder.bitcast(pointer, byte)
                builder.call(prefetch, [where, number(for_writing), number(3 if for_writing else 2), number(1)])
            return lowering.get_dummy_value()

        return types.void(array, types.intp, types.intp), emit

    return ask


# fetch the lines at array[i + k, j], k < HEIGHT, into the cache; they may lie outside the array
to_read, to_write = _asker(0), _asker(1)


@intrinsic
def correlated(context: Any, patch: Any, inverse_sd: Any, i: Any, j: Any) -> Any:
    """patch[k, l] * inverse_sd[i + k] * inverse_sd[j + l]."""

    def emit(lowering: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values, per_sd, row, column = arguments
        count, dtype = lanes(patch.dtype), patch.dtype
        across = load_vector(lowering, builder, inverse_sd, per_sd, [column], dtype, count)
        result = []
        for k, vector in enumerate(rows_of(builder, values)):
            scale = builder.load(element(lowering, builder, inverse_sd, per_sd, [plus(builder, row, k)]))
            if dtype != inverse_sd.dtype:
                scale = builder.fptrunc(scale, vector.type.element)
            result.append(builder.fmul(builder.fmul(vector, splat(builder, scale, count)), across))
        return patch_of(builder, result)

    return patch(patch, inverse_sd, types.intp, types.intp), emit


def _sizes(builder: Any, patch: Any) -> list[Any]:
    """The magnitudes of a patch's rows."""
    rows = rows_of(builder, patch)
    absolute = vector_function(builder, "llvm.fabs", rows[0].type, 1)
    return [builder.call(absolute, [row]) for row in rows]


@intrinsic
def largest_of(context: Any, patch: Any, limit: Any) -> Any:
    """The largest magnitude up to `limit`, without nan."""

    def emit(lowering: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def larger(a: Any, b: Any) -> Any:
            return builder.select(builder.fcmp_ordered(">", a, b), a, b)

        count = lanes(patch.dtype)
        rows, most = _sizes(builder, arguments[0]), arguments[1]
        vector = rows[0].type
        most = splat(
            builder, most if patch.dtype == types.float64 else builder.fptrunc(most, ir.FloatType()), count
        )
        total = zero = ir.Constant(vector, [0.0] * count)
        for row in rows:
            total = larger(builder.select(builder.fcmp_ordered("<=", row, most), row, zero), total)
        while count > 1:
            count //= 2
            halves = (shuffled(builder, total, total, list(range(k, k + count))) for k in (0, count))
            total = larger(*halves)
        value = builder.extract_element(total, ir.IntType(32)(0))
        return value if patch.dtype == types.float64 else builder.fpext(value, ir.DoubleType())

    return types.float64(patch, types.float64), emit


@intrinsic
def how_many_above(context: Any, patch: Any, limit: Any) -> Any:
    """The number of magnitudes above `limit`, without nan, of a patch of float64."""

    def emit(lowering: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        total, number = ir.IntType(64)(0), ir.IntType(WIDE)
        limits = splat(builder, arguments[1], WIDE)
        for row in _sizes(builder, arguments[0]):
            above = builder.bitcast(builder.fcmp_ordered(">", row, limits), number)
            total = builder.add(total, builder.ctpop(builder.zext(above, ir.IntType(64))))
        return total

    return types.int64(patch, types.float64), emit


@intrinsic
def how_many_below(context: Any, ascending: Any, limit: Any) -> Any:
    """The number of those among LIMITS float64 that are less than `limit`."""

    def emit(lowering: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, value = arguments
        values = load_vector(
            lowering, builder, ascending, array, [ir.Constant(ir.IntType(64), 0)], types.float64, LIMITS
        )
        below = builder.fcmp_ordered("<", values, splat(builder, value, LIMITS))
        return builder.ctpop(builder.zext(builder.bitcast(below, ir.IntType(LIMITS)), ir.IntType(64)))

    return types.int64(ascending, types.float64), emit


@intrinsic
def nothing(context: Any, like: Any) -> Any:
    """A patch of zeros."""

    def emit(lowering: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return ir.Constant(arguments[0].type, None)

    return like(like), emit


@intrinsic
def mean_of(context: Any, one: Any, two: Any) -> Any:
    """(one + two) / 2."""

    def emit(lowering: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pairs = list(zip(*(rows_of(builder, patch) for patch in arguments), strict=True))
        half = ir.Constant(pairs[0][0].type, [0.5] * pairs[0][0].type.count)
        return patch_of(builder, [builder.fmul(half, builder.fadd(a, b)) for a, b in pairs])

    return one(one, two), emit
