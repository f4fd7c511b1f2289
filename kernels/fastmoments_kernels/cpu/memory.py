"""Reading and writing at addresses, for a loop that NumPy calls with pointers and strides; columns as tuples."""

from typing import Any

import llvmlite.ir as ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


def _pointer(builder: Any, address: Any, real: Any) -> Any:
    return builder.inttoptr(address, real.as_pointer())


@intrinsic
def column(context: Any, like: Any, array: Any, first: Any, step: Any, j: Any) -> Any:
    """A tuple as long as `like` of array[first, j], array[first + step, j], ...: loads, and no slice on the way."""
    count = len(like)
    result: Any = types.UniTuple(types.float64, count) if count else types.Tuple(())

    def emit(lowering: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, matrix, row, stride, index = arguments
        view = lowering.make_array(array)(lowering, builder, matrix)
        values = []
        for _ in range(count):
            pointer = cgutils.get_item_pointer(lowering, builder, array, view, [row, index], wraparound=False)
            values.append(builder.load(pointer))
            row = builder.add(row, stride)
        return lowering.make_tuple(builder, result, values)

    return result(like, array, types.intp, types.intp, types.intp), emit


@intrinsic
def load32(context: Any, address: Any) -> Any:
    """The float32 at an address, as float64."""

    def emit(_: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value = builder.load(_pointer(builder, arguments[0], ir.FloatType()), align=1)
        return builder.fpext(value, ir.DoubleType())

    return types.float64(types.int64), emit


@intrinsic
def load64(context: Any, address: Any) -> Any:
    """The float64 at an address."""

    def emit(_: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_pointer(builder, arguments[0], ir.DoubleType()), align=1)

    return types.float64(types.int64), emit


@intrinsic
def store32(context: Any, address: Any, value: Any) -> Any:
    """Round a float64 to float32 and write it."""

    def emit(lowering: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        rounded = builder.fptrunc(arguments[1], ir.FloatType())
        builder.store(rounded, _pointer(builder, arguments[0], ir.FloatType()), align=1)
        return lowering.get_dummy_value()

    return types.void(types.int64, types.float64), emit


@intrinsic
def store64(context: Any, address: Any, value: Any) -> Any:
    """Write a float64."""

    def emit(lowering: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[1], _pointer(builder, arguments[0], ir.DoubleType()), align=1)
        return lowering.get_dummy_value()

    return types.void(types.int64, types.float64), emit
