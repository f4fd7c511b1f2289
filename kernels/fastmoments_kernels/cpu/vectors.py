"""LLVM's vectors in a function that is being built: broadcast, shuffle, load, store, functions of vectors."""

from typing import Any

import llvmlite.ir as ir
from numba import types
from numba.core import cgutils

from fastmoments_kernels.cpu.layout import LINE
from fastmoments_kernels.cpu.memory import element


def vector_type(dtype: Any, count: int) -> Any:
    """The type of a vector of `count` float32 or float64."""
    return ir.VectorType(ir.FloatType() if dtype == types.float32 else ir.DoubleType(), count)


def splat(builder: Any, value: Any, count: int) -> Any:
    """The vector whose `count` lanes all hold `value`."""
    nothing = ir.Constant(ir.VectorType(value.type, count), ir.Undefined)
    one = builder.insert_element(nothing, value, ir.IntType(32)(0))
    return shuffled(builder, one, one, [0] * count)


def shuffled(builder: Any, a: Any, b: Any, places: list[int]) -> Any:
    """The vector of lanes `places` of a followed by b."""
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), len(places)), places))


def vector_function(builder: Any, name: str, vector: Any, arguments: int) -> Any:
    """LLVM's function `name` of vectors of this type, such as "llvm.fma" with three arguments."""
    bits = 32 if vector.element == ir.FloatType() else 64
    kind = ir.FunctionType(vector, [vector] * arguments)
    return cgutils.get_or_insert_function(builder.module, kind, f"{name}.v{vector.count}f{bits}")


def plus(builder: Any, index: Any, k: int) -> Any:
    """index + k."""
    return builder.add(index, ir.Constant(index.type, k))


def _address(lowering: Any, builder: Any, kind: Any, array: Any, index: list[Any], count: int) -> Any:
    """The address of the `count` elements from array[index] on."""
    pointer = element(lowering, builder, kind, array, index)
    return builder.bitcast(pointer, vector_type(kind.dtype, count).as_pointer())


def load_vector(
    lowering: Any, builder: Any, kind: Any, array: Any, index: list[Any], dtype: Any, count: int
) -> Any:
    """The `count` elements from array[index] on, converted to `dtype`."""
    values = builder.load(_address(lowering, builder, kind, array, index, count), align=kind.dtype.bitwidth // 8)
    if kind.dtype.bitwidth == dtype.bitwidth:
        return values
    convert = builder.fpext if kind.dtype.bitwidth < dtype.bitwidth else builder.fptrunc
    return convert(values, vector_type(dtype, count))


def store_vector(
    lowering: Any, builder: Any, values: Any, kind: Any, array: Any, index: list[Any], past_caches: bool = False
) -> None:
    """Write a vector to the elements from array[index] on, rounded if the array is float32.

    `past_caches` writes a whole line, at which the elements have to begin, and does not read it first.
    """
    place = _address(lowering, builder, kind, array, index, values.type.count)
    if values.type != place.type.pointee:
        values = builder.fptrunc(values, place.type.pointee)
    if not past_caches:
        builder.store(values, place, align=kind.dtype.bitwidth // 8)
        return
    store = builder.store(values, place, align=LINE)
    store.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)]))
