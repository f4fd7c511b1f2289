"""A pack: a vector of LANES float64 that Numba takes for one number, so that any formula computes with vectors.

LLVM vectorises a loop only if it has no routes, no loops over nodes and no calls. A number beside a pack stands for
all of its lanes. A comparison of packs is a mask.
"""

import operator
from collections.abc import Callable
from typing import Any

import llvmlite.ir as ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import (
    intrinsic,
    lower_builtin,
    lower_cast,
    models,
    register_model,
)

from fastmoments_kernels.cpu.machine import VECTOR
from fastmoments_kernels.cpu.vectors import shuffled, splat, vector_function

LANES = 4 * VECTOR // 8  # four vectors that do not wait for each other
DOUBLES = ir.VectorType(ir.DoubleType(), LANES)
BITS = ir.VectorType(ir.IntType(64), LANES)
FLAGS = ir.VectorType(ir.IntType(1), LANES)


class Packed(types.Type):  # type: ignore[misc]
    """A pack or a mask."""

    def unify(self, typingctx: Any, other: Any) -> Any:
        return self if isinstance(other, types.Number | types.Boolean) else None


class PackType(Packed):
    pass


class MaskType(Packed):
    pass


pack, mask = PackType("pack"), MaskType("mask")


def _model(of: type, representation: Any) -> None:
    class Model(models.PrimitiveModel):  # type: ignore[misc]
        def __init__(self, dmm: Any, fe_type: Any) -> None:
            super().__init__(dmm, fe_type, representation)

    register_model(of)(Model)


_model(PackType, DOUBLES)
_model(MaskType, FLAGS)


@lower_cast(types.Float, pack)
@lower_cast(types.Integer, pack)
@lower_cast(types.Boolean, pack)
def _to_pack(context: Any, builder: Any, kind: Any, wanted: Any, value: Any) -> Any:
    return splat(builder, context.cast(builder, value, kind, types.float64), LANES)


@lower_cast(types.Boolean, mask)
def _to_mask(context: Any, builder: Any, kind: Any, wanted: Any, value: Any) -> Any:
    return splat(builder, builder.trunc(value, ir.IntType(1)), LANES)


Emit = Callable[..., Any]


def _operation(key: Any, operand: Any, result: Any, emit: Emit) -> None:
    """Define the operator `key` of one operand, or of two, of which one may be a number."""

    def generic(self: Any, args: Any, kws: Any) -> Any:
        others = types.Number | types.Boolean
        if operand in args and all(x == operand or isinstance(x, others) for x in args):
            return signature(result, *(operand,) * len(args))
        return None

    infer_global(key)(type(f"{key.__name__}_{operand}", (AbstractTemplate,), {"key": key, "generic": generic}))
    count = 1 if key in (operator.neg, operator.invert, abs) else 2

    def lowered(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return emit(builder, *args)

    lower_builtin(key, *(operand,) * count)(lowered)


def _absolute(builder: Any, x: Any) -> Any:
    return builder.call(vector_function(builder, "llvm.fabs", DOUBLES, 1), [x])


_arithmetic: dict[Any, Emit] = {
    operator.add: lambda builder, a, b: builder.fadd(a, b),
    operator.iadd: lambda builder, a, b: builder.fadd(a, b),
    operator.sub: lambda builder, a, b: builder.fsub(a, b),
    operator.mul: lambda builder, a, b: builder.fmul(a, b),
    operator.truediv: lambda builder, a, b: builder.fdiv(a, b),
    operator.neg: lambda builder, a: builder.fneg(a),
    abs: _absolute,
}
for _key, _emit in _arithmetic.items():
    _operation(_key, pack, pack, _emit)


def _comparison(sign: str) -> Emit:
    # as for numbers: only "!=" holds for nan
    if sign == "!=":
        return lambda builder, a, b: builder.fcmp_unordered(sign, a, b)
    return lambda builder, a, b: builder.fcmp_ordered(sign, a, b)


for _key, _sign in {
    operator.lt: "<",
    operator.le: "<=",
    operator.gt: ">",
    operator.ge: ">=",
    operator.eq: "==",
    operator.ne: "!=",
}.items():
    _operation(_key, pack, mask, _comparison(_sign))
for _key, _emit in {
    operator.and_: lambda builder, a, b: builder.and_(a, b),
    operator.or_: lambda builder, a, b: builder.or_(a, b),
}.items():
    _operation(_key, mask, mask, _emit)
_operation(operator.invert, mask, mask, lambda builder, a: builder.not_(a))


def emit_fma(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """a b + c with one rounding, of numbers or packs."""
    if a.type == DOUBLES:
        return builder.call(vector_function(builder, "llvm.fma", DOUBLES, 3), [a, b, c])
    return builder.fma(a, b, c)


def emit_sqrt(builder: Any, x: Any) -> Any:
    """sqrt(x) of a number or a pack."""
    if x.type == DOUBLES:
        return builder.call(vector_function(builder, "llvm.sqrt", DOUBLES, 1), [x])
    return builder.call(builder.module.declare_intrinsic("llvm.sqrt", [x.type]), [x])


@intrinsic
def lane(context: Any, x: Any, index: Any) -> Any:
    """The number in a lane of a pack."""
    return types.float64(pack, types.int32), lambda _, builder, s, a: builder.extract_element(*a)


@intrinsic
def with_lane(context: Any, x: Any, index: Any, value: Any) -> Any:
    """The pack with `value` in lane `index`."""

    def emit(_: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector, position, number = arguments
        return builder.insert_element(vector, number, position)

    return pack(pack, types.int32, types.float64), emit


def _reduced_flags(builder: Any, value: Any) -> Any:
    return builder.bitcast(value, ir.IntType(LANES))


@intrinsic
def somewhere(context: Any, condition: Any) -> Any:
    """Whether a mask holds in any lane."""

    def emit(_: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.icmp_unsigned("!=", _reduced_flags(builder, arguments[0]), ir.IntType(LANES)(0))

    return types.boolean(mask), emit


@intrinsic
def largest_lane(context: Any, x: Any, least: Any) -> Any:
    """The largest of a pack's lanes and of `least`, none of them nan."""

    def emit(_: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def larger(a: Any, b: Any) -> Any:
            return builder.select(builder.fcmp_ordered(">", a, b), a, b)

        value, count = arguments[0], LANES
        while count > 1:
            count //= 2
            value = larger(*(shuffled(builder, value, value, list(range(k, k + count))) for k in (0, count)))
        return larger(builder.extract_element(value, ir.IntType(32)(0)), arguments[1])

    return types.float64(pack, types.float64), emit


@intrinsic
def load_pack(context: Any, array: Any, row: Any, start: Any) -> Any:
    """array[row, start : start + LANES]."""

    def emit(lowering: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_address(lowering, builder, array, *arguments), align=8)

    return pack(array, types.intp, types.intp), emit


@intrinsic
def load_packs(context: Any, like: Any, array: Any, row: Any, step: Any, start: Any) -> Any:
    """The packs at array[row, start], array[row + step, start], ..., a tuple as long as `like`."""
    result: Any = types.UniTuple(pack, len(like)) if len(like) else types.Tuple(())

    def emit(lowering: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, matrix, position, stride, first = arguments
        values = []
        for _ in range(len(like)):
            values.append(builder.load(_address(lowering, builder, array, matrix, position, first), align=8))
            position = builder.add(position, stride)
        return lowering.make_tuple(builder, result, values)

    return result(like, array, types.intp, types.intp, types.intp), emit


@intrinsic
def store_pack(context: Any, array: Any, row: Any, start: Any, value: Any) -> Any:
    """array[row, start : start + LANES] = value."""

    def emit(lowering: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[3], _address(lowering, builder, array, *arguments[:3]), align=8)
        return lowering.get_dummy_value()

    return types.void(array, types.intp, types.intp, pack), emit


def _address(lowering: Any, builder: Any, array: Any, matrix: Any, row: Any, start: Any) -> Any:
    view = lowering.make_array(array)(lowering, builder, matrix)
    item = cgutils.get_item_pointer(lowering, builder, array, view, [row, start], wraparound=False)
    return builder.bitcast(item, DOUBLES.as_pointer())


@intrinsic
def chosen(context: Any, condition: Any, yes: Any, no: Any) -> Any:
    """`yes` in the lanes where the condition holds, `no` in the others; of packs or of tuples of packs."""
    tuples = isinstance(yes, types.BaseTuple)
    result: Any = types.UniTuple(pack, len(yes)) if tuples else pack

    def emit(lowering: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        flags, first, second = arguments
        if not tuples:
            return builder.select(flags, first, second)
        pairs = [[builder.extract_value(x, i) for x in (first, second)] for i in range(len(yes))]
        return lowering.make_tuple(builder, result, [builder.select(flags, a, b) for a, b in pairs])

    return result(mask, result, result), emit


@intrinsic
def store_packs(context: Any, array: Any, row: Any, step: Any, start: Any, values: Any) -> Any:
    """Write a tuple of packs to array[row, start : start + LANES], array[row + step, ...], ..."""
    count = len(values)
    packs: Any = types.UniTuple(pack, count) if count else types.Tuple(())

    def emit(lowering: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        matrix, position, stride, first, numbers = arguments
        for i in range(count):
            pointer = _address(lowering, builder, array, matrix, position, first)
            builder.store(builder.extract_value(numbers, i), pointer, align=8)
            position = builder.add(position, stride)
        return lowering.get_dummy_value()

    return types.void(array, types.intp, types.intp, types.intp, packs), emit
