"""Loads and stores: at addresses, for loops that NumPy calls with pointers; in arrays, without tests of indices."""

from typing import Any

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


def _place(lowering: Any, builder: Any, arguments: Any, real: Any) -> Any:
    address, index = arguments[:2]
    number = lowering.get_data_type(real)
    return builder.gep(builder.inttoptr(address, number.as_pointer()), [index])


def element(lowering: Any, builder: Any, kind: Any, array: Any, indices: list[Any]) -> Any:
    """The address of array[indices], none of them negative."""
    view = lowering.make_array(kind)(lowering, builder, array)
    return cgutils.get_item_pointer(lowering, builder, kind, view, indices, wraparound=False)


@intrinsic
def column(context: Any, like: Any, array: Any, first: Any, step: Any, j: Any) -> Any:
    """(array[first, j], array[first + step, j], ...), as long as `like`: loads, without a slice between."""
    count = len(like)
    result: Any = types.UniTuple(array.dtype, count) if count else types.Tuple(())

    def emit(lowering: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, matrix, row, stride, index = arguments
        values = []
        for _ in range(count):
            values.append(builder.load(element(lowering, builder, array, matrix, [row, index])))
            row = builder.add(row, stride)
        return lowering.make_tuple(builder, result, values)

    return result(like, array, types.intp, types.intp, types.intp), emit


@intrinsic
def at(context: Any, array: Any, index: Any) -> Any:
    """array[index], index a tuple of numbers >= 0: a test for negative ones would make gathers of vector loads."""

    def emit(lowering: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        indices = cgutils.unpack_tuple(builder, arguments[1])
        return builder.load(element(lowering, builder, array, arguments[0], indices))

    return array.dtype(array, index), emit


@intrinsic
def put(context: Any, array: Any, index: Any, value: Any) -> Any:
    """array[index] = value, index a tuple of numbers >= 0."""

    def emit(lowering: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        indices = cgutils.unpack_tuple(builder, arguments[1])
        builder.store(arguments[2], element(lowering, builder, array, arguments[0], indices))
        return lowering.get_dummy_value()

    return types.void(array, index, array.dtype), emit


@intrinsic
def pointer(context: Any, address: Any) -> Any:
    """The pointer that numba.carray takes, of an address that is a number."""

    def emit(lowering: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], lowering.get_value_type(types.voidptr))

    return types.voidptr(types.int64), emit


def _load(real: Any) -> Any:
    def load(context: Any, address: Any, index: Any) -> Any:
        def emit(lowering: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.load(_place(lowering, builder, arguments, real), align=1)

        return real(types.int64, types.int64), emit

    return intrinsic(load)


def _store(real: Any) -> Any:
    def store(context: Any, address: Any, index: Any, value: Any) -> Any:
        def emit(lowering: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            builder.store(arguments[2], _place(lowering, builder, arguments, real), align=1)
            return lowering.get_dummy_value()

        return types.void(types.int64, types.int64, real), emit

    return intrinsic(store)


# by dtype: load(address, index) reads element `index` of the numbers at an address, store(address, index, value)
# writes it, rounded to the dtype
LOAD = {str(real): _load(real) for real in (types.float32, types.float64)}
STORE = {str(real): _store(real) for real in (types.float32, types.float64)}
