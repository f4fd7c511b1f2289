"""Single instructions that Python has no words for, on packs or numbers; in float32 if all numbers are float32."""

from typing import Any

import llvmlite.ir as ir
import numpy as np
from numba import types
from numba.extending import intrinsic

from fastmoments_kernels.cpu.packs import BITS as PACK_BITS
from fastmoments_kernels.cpu.packs import DOUBLES, LANES, Packed, emit_fma, emit_sqrt, mask, pack
from fastmoments_kernels.cpu.vectors import splat

SQRT_HALF = 0.7071067811865476
RUN = 8  # coefficients of one of the polynomials that a pack's polynomial is made of
# by float type: the integer type of its size, the bits of the mantissa, the bias of the exponent
BITS = {types.float32: (types.int32, 23, 127), types.float64: (types.int64, 52, 1023)}


def _real(*numbers: Any) -> Any:
    if any(isinstance(number, Packed) for number in numbers):
        return pack
    return types.float32 if all(number == types.float32 for number in numbers) else types.float64


def _integer(bits: Any) -> Any:
    return ir.IntType(bits.bitwidth)


def _number(real: Any) -> Any:
    return types.float64 if real == pack else real


def _patterns(value: Any, bits: Any) -> Any:
    return PACK_BITS if value.type == DOUBLES else _integer(bits)


def _all(kind: Any, number: Any) -> Any:
    """The constant, in every lane if `kind` is a vector."""
    return ir.Constant(kind, [number] * kind.count if isinstance(kind, ir.VectorType) else number)


@intrinsic
def fma(context: Any, a: Any, b: Any, c: Any) -> Any:
    """a b + c with one rounding."""
    real = _real(a, b, c)
    return real(real, real, real), lambda _, builder, s, arguments: emit_fma(builder, *arguments)


@intrinsic
def where(context: Any, condition: Any, a: Any, b: Any) -> Any:
    """a where the condition holds, else b, by a selection: LLVM would merge branches into code without vectors."""
    real = _real(a, b) if condition != mask else pack
    return real(
        mask if condition == mask else types.boolean, real, real
    ), lambda _, builder, s, arguments: builder.select(*arguments)


@intrinsic
def polynomial(context: Any, coefficients: Any, x: Any) -> Any:
    """Horner's rule written out: a loop over the constants would keep the loop around it from vectorising.

    For packs, RUN coefficients at a time side by side, so that one step need not wait for the one before; the high
    coefficients hardly count.
    """
    real = _real(*coefficients, x)
    count = len(coefficients)
    number, run = (types.float64, RUN) if real == pack else (real, count)

    def emit(_: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values, x = arguments
        terms = [builder.extract_value(values, i) for i in range(count)]
        if real == pack:
            terms = [splat(builder, term, LANES) for term in terms]
        runs = [_horner(builder, terms[max(end - run, 0) : end], x) for end in range(count, 0, -run)][::-1]
        power = x
        for _ in range(3 if len(runs) > 1 else 0):  # x^RUN
            power = builder.fmul(power, power)
        return _horner(builder, runs, power)

    return real(types.UniTuple(number, count), real), emit


def _horner(builder: Any, terms: Any, x: Any) -> Any:
    total, *others = terms
    for term in others:
        total = emit_fma(builder, total, x, term)
    return total


@intrinsic
def square_root(context: Any, x: Any) -> Any:
    """sqrt(x)."""
    real = _real(x)
    return real(real), lambda _, builder, s, arguments: emit_sqrt(builder, *arguments)


@intrinsic
def as_integer(context: Any, x: Any) -> Any:
    """The bits of a number."""
    integer, _, _ = BITS[x]
    return integer(x), lambda _, builder, s, arguments: builder.bitcast(arguments[0], _integer(integer))


@intrinsic
def power_of_2(context: Any, x: Any) -> Any:
    """2^n, a normal number, for the integer n in the low bits of x."""
    integer, mantissa, bias = BITS[_number(x)]

    def emit(_: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = _patterns(arguments[0], integer)
        exponent = builder.add(builder.bitcast(arguments[0], kind), _all(kind, bias))
        return builder.bitcast(builder.shl(exponent, _all(kind, mantissa)), arguments[0].type)

    return x(x), emit


@intrinsic
def unit(context: Any, x: Any) -> Any:
    """A power of two whose square times x > 0 is from 1 up to 4, or less where x is subnormal."""
    integer, mantissa, bias = BITS[_number(x)]

    def emit(_: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = _patterns(arguments[0], integer)
        exponent = builder.lshr(builder.bitcast(arguments[0], kind), _all(kind, mantissa))
        exponent = builder.and_(exponent, _all(kind, 2 * bias + 1))
        exponent = builder.lshr(builder.sub(_all(kind, 3 * bias + 1), exponent), _all(kind, 1))
        return builder.bitcast(builder.shl(exponent, _all(kind, mantissa)), arguments[0].type)

    return x(x), emit


@intrinsic
def split(context: Any, x: Any) -> Any:
    """(n, m, 2^-n) of x = m 2^n, m from sqrt(1/2) to sqrt(2), for a positive normal number."""
    real = _number(x)
    integer, mantissa, bias = BITS[real]
    lowest, magic = (
        int(np.array(number, str(real)).view(str(integer))) for number in (SQRT_HALF, 1.5 * 2.0**mantissa)
    )

    def emit(lowering: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (value,) = arguments
        kind = _patterns(value, integer)
        above = builder.sub(builder.bitcast(value, kind), _all(kind, lowest))
        power = builder.ashr(above, _all(kind, mantissa))
        # n added to the last bits of a number whose last bit is 1: AVX2 has no conversion of 64 bits
        n = builder.bitcast(builder.add(power, _all(kind, magic)), value.type)
        n = builder.fsub(n, _all(value.type, 1.5 * 2.0**mantissa))
        m = builder.add(builder.and_(above, _all(kind, (1 << mantissa) - 1)), _all(kind, lowest))
        inverse = builder.shl(builder.sub(_all(kind, bias), power), _all(kind, mantissa))
        parts = n, builder.bitcast(m, value.type), builder.bitcast(inverse, value.type)
        return lowering.make_tuple(builder, signature.return_type, parts)

    return types.UniTuple(x, 3)(x), emit


@intrinsic
def single(context: Any, x: Any) -> Any:
    """A float64 rounded to float32."""
    return types.float32(types.float64), lambda _, builder, s, arguments: builder.fptrunc(
        arguments[0], ir.FloatType()
    )
