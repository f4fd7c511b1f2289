"""Reading and writing at addresses: what a loop that NumPy calls with pointers and strides needs."""

from typing import Any

import llvmlite.ir as ir
from numba.core import types
from numba.extending import intrinsic


def _pointer(builder: Any, address: Any, real: Any) -> Any:
    return builder.inttoptr(address, real.as_pointer())


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
def prefetch_for_writing(context: Any, address: Any) -> Any:
    """Ask for the cache line at an address, which is about to be written."""

    def emit(lowering: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        byte, integer = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, integer, integer, integer])
        function = builder.module.declare_intrinsic("llvm.prefetch", (byte,), kind)
        builder.call(function, [_pointer(builder, arguments[0], ir.IntType(8)), integer(1), integer(3), integer(1)])
        return lowering.get_dummy_value()

    return types.void(types.int64), emit


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
