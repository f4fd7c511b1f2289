"""Single instructions that Python has no words for, in float32 where all their numbers are, else in float64."""

from typing import Any

import llvmlite.ir as ir
import numpy as np
from numba import types
from numba.extending import intrinsic

# of a float type: the integer of its size, bits of the mantissa, what is added to the exponent
SQRT_HALF = 0.7071067811865476
BITS = {types.float32: (types.int32, 23, 127), types.float64: (types.int64, 52, 1023)}


def _real(*numbers: Any) -> Any:
    return types.float32 if all(number == types.float32 for number in numbers) else types.float64


def _integer(bits: Any) -> Any:
    return ir.IntType(bits.bitwidth)


@intrinsic
def fma(context: Any, a: Any, b: Any, c: Any) -> Any:
    """a b + c with one rounding."""
    real = _real(a, b, c)
    return real(real, real, real), lambda _, builder, s, arguments: builder.fma(*arguments)


@intrinsic
def where(context: Any, condition: Any, a: Any, b: Any) -> Any:
    """A selection, not a branch: LLVM would thread branches on one condition into code that has no vectors."""
    real = _real(a, b)
    return real(types.boolean, real, real), lambda _, builder, s, arguments: builder.select(*arguments)


@intrinsic
def polynomial(context: Any, coefficients: Any, x: Any) -> Any:
    """Horner's rule written out: a loop over the constants would stay a loop and keep others from vectorising."""
    real = _real(*coefficients, x)

    def emit(_: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        tuple_value, x = arguments
        terms = [builder.extract_value(tuple_value, i) for i in range(signature.args[0].count)]
        total = terms[0]
        for term in terms[1:]:
            total = builder.fma(total, x, term)
        return total

    return real(types.UniTuple(real, len(coefficients)), real), emit


@intrinsic
def as_integer(context: Any, x: Any) -> Any:
    """The bits of a number."""
    integer, _, _ = BITS[x]
    return integer(x), lambda _, builder, s, arguments: builder.bitcast(arguments[0], _integer(integer))


@intrinsic
def as_float(context: Any, x: Any) -> Any:
    """The float64 of these bits."""
    return types.float64(types.int64), lambda _, builder, s, arguments: builder.bitcast(
        arguments[0], ir.DoubleType()
    )


@intrinsic
def power_of_2(context: Any, x: Any) -> Any:
    """2^n for the integer n in the low bits of x, if that is a normal number."""
    integer, mantissa, bias = BITS[x]

    def emit(_: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = _integer(integer)
        exponent = builder.add(builder.bitcast(arguments[0], kind), kind(bias))
        return builder.bitcast(builder.shl(exponent, kind(mantissa)), arguments[0].type)

    return x(x), emit


@intrinsic
def split(context: Any, x: Any) -> Any:
    """(n, m, 2^-n) of x = m 2^n, m from sqrt(1/2) to sqrt(2), for a positive normal number."""
    integer, mantissa, bias = BITS[x]
    lowest, magic = (
        int(np.array(number, str(x)).view(str(integer))) for number in (SQRT_HALF, 1.5 * 2.0**mantissa)
    )

    def emit(lowering: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind, (value,) = _integer(integer), arguments
        above = builder.sub(builder.bitcast(value, kind), kind(lowest))
        power = builder.ashr(above, kind(mantissa))
        # n added to the last bits of a number whose last bit is 1: AVX2 has no conversion of 64 bits
        n = builder.bitcast(builder.add(power, kind(magic)), value.type)
        n = builder.fsub(n, value.type(1.5 * 2.0**mantissa))
        m = builder.add(builder.and_(above, kind((1 << mantissa) - 1)), kind(lowest))
        inverse = builder.shl(builder.sub(kind(bias), power), kind(mantissa))
        parts = n, builder.bitcast(m, value.type), builder.bitcast(inverse, value.type)
        return lowering.make_tuple(builder, signature.return_type, parts)

    return types.UniTuple(x, 3)(x), emit


@intrinsic
def single(context: Any, x: Any) -> Any:
    """A float64 rounded to float32."""
    return types.float32(types.float64), lambda _, builder, s, arguments: builder.fptrunc(
        arguments[0], ir.FloatType()
    )
