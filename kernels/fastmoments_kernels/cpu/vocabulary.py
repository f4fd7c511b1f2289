"""The vocabulary on Numba: branch-free exp that vectorises, exact products by fma, lazy routes.

No fast-math: reassociation breaks exp's rounding by a magic constant, contraction the symmetry of pairs.
Comparisons are written so that nan passes through.
"""

import math
from collections.abc import Callable
from typing import Any

import llvmlite.ir as ir
import numba
from numba.core import types
from numba.cpython.unsafe.tuple import tuple_setitem
from numba.extending import intrinsic

Array = Any

inline = numba.njit(error_model="numpy", forceinline=True)


@intrinsic
def fma(context: Any, a: Any, b: Any, c: Any) -> Any:
    """a b + c with one rounding, in float32 where all three are."""
    real = types.float32 if (a, b, c) == (types.float32,) * 3 else types.float64

    def emit(_: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fma(*arguments)

    return real(real, real, real), emit


@intrinsic
def as_integer(context: Any, x: Any) -> Any:
    return types.int64(types.float64), lambda _, b, s, a: b.bitcast(a[0], ir.IntType(64))


@intrinsic
def as_float(context: Any, x: Any) -> Any:
    return types.float64(types.int64), lambda _, b, s, a: b.bitcast(a[0], ir.DoubleType())


@intrinsic
def polynomial(context: Any, coefficients: Any, x: Any) -> Any:
    """Horner's rule written out: a loop over the constants would stay a loop and keep others from vectorising."""

    def emit(_: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        tuple_value, x = arguments
        terms = [builder.extract_value(tuple_value, i) for i in range(signature.args[0].count)]
        total = terms[0]
        for term in terms[1:]:
            total = builder.fma(total, x, term)
        return total

    return types.float64(coefficients, types.float64), emit


@intrinsic
def where(context: Any, condition: Any, a: Any, b: Any) -> Any:
    """A selection, not a branch: LLVM would thread branches on one condition into code that has no vectors."""

    def emit(_: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.select(*arguments)

    return types.float64(types.boolean, types.float64, types.float64), emit


LOG2_E = 1.4426950408889634
LN2_HIGH, LN2_LOW = 0.6931471803691238, 1.9082149292705877e-10
MAGIC = 6755399441055744.0  # 1.5 * 2^52: adding it rounds to an integer held in the low bits
TWO_52, TWO_54, SMALLEST, SQRT_2 = 2.0**52, 2.0**54, 2.0**-1022, math.sqrt(2.0)
# (log((1 + s) / (1 - s)) / (2 s) - 1) / s^2 for |s| <= 0.172, highest power first
LOG = tuple(1.0 / (2 * k + 1) for k in range(11, 0, -1))
LOWEST, HIGHEST = -708.396, 709.782  # exp leaves the normal numbers beyond


@inline
def _reduced(x: float) -> tuple[float, float]:
    """(exp(r) - 1, 2^n) with x = n ln 2 + r, |r| <= ln(2) / 2; x is brought to where 2^n is a normal number."""
    y = where(x < LOWEST, LOWEST, where(x > HIGHEST, HIGHEST, x))
    shifted = fma(y, LOG2_E, MAGIC)
    power = shifted - MAGIC
    r = fma(power, -LN2_LOW, fma(power, -LN2_HIGH, y))
    p = fma(1.6059043836821613e-10, r, 2.08767569878681e-9)
    p = fma(p, r, 2.505210838544172e-8)
    p = fma(p, r, 2.755731922398589e-7)
    p = fma(p, r, 2.7557319223985893e-6)
    p = fma(p, r, 2.48015873015873e-5)
    p = fma(p, r, 1.984126984126984e-4)
    p = fma(p, r, 1.388888888888889e-3)
    p = fma(p, r, 8.333333333333333e-3)
    p = fma(p, r, 4.1666666666666664e-2)
    p = fma(p, r, 1.6666666666666666e-1)
    p = fma(p, r, 0.5)
    p = fma(p * r, r, r)
    return p, as_float((as_integer(shifted) + 1023) << 52)


@inline
def exp(x: float) -> Any:
    p, scale = _reduced(x)
    value = fma(scale, p, scale)
    return where(x < LOWEST, 0.0, where(x > HIGHEST, math.inf, value))


@inline
def expm1(x: float) -> Any:
    p, scale = _reduced(x)
    value = fma(scale, p, scale - 1.0)
    return where(x < LOWEST, -1.0, where(x > HIGHEST, math.inf, value))


@inline
def log(x: float) -> Any:
    small = x < SMALLEST
    bits = as_integer(where(small, x * TWO_54, x))
    # 2^52 + the exponent's bits, as a number
    e = as_float((bits >> 52) | 0x4330000000000000) - (TWO_52 + 1023.0) - where(small, 54.0, 0.0)
    m = as_float((bits & 0xFFFFFFFFFFFFF) | 0x3FF0000000000000)
    above = m > SQRT_2
    m, e = where(above, 0.5 * m, m), where(above, e + 1.0, e)
    f = m - 1.0
    s = f / (2.0 + f)
    square = s * s
    # log(1 + f) = 2 s + 2 s^3 (1/3 + s^2/5 + ...) and 2 s = f - s f, so that f itself is not rounded
    tail = s * (2.0 * square * polynomial(LOG, square) - f)
    value = e * LN2_HIGH + (f + (tail + e * LN2_LOW))
    value = where(x == 0.0, -math.inf, where(x < 0.0, math.nan, value))
    return where(x < math.inf, value, x)


@inline
def log1p(x: float) -> Any:
    u = 1.0 + x
    inside = (u > 0.0) & (u < math.inf)
    # what the rounding of 1 + x took away
    return log(u) + where(inside, x - (u - 1.0), 0.0) / where(inside, u, 1.0)


@inline
def sqrt(x: float) -> float:
    return math.sqrt(x)


@inline
def sin(x: float) -> float:
    return math.sin(x)


@inline
def cos(x: float) -> float:
    return math.cos(x)


@inline
def absolute(x: float) -> float:
    return abs(x)


@inline
def minimum(a: float, b: float) -> Any:
    return where((a < b) | (a != a), a, b)


@inline
def maximum(a: float, b: float) -> Any:
    return where((a > b) | (a != a), a, b)


@inline
def difference_of_products(a: float, b: float, c: float, d: float) -> float:
    product = c * d
    result: float = fma(a, b, -product) + fma(-c, d, product)
    return result


@numba.njit(error_model="numpy", forceinline=True, fastmath={"reassoc", "nsz"})
def plus(a: float, b: float) -> float:
    """a + b of a sum that may be reordered, and so be a vector's."""
    return a + b


@numba.njit(error_model="numpy", forceinline=True, fastmath={"reassoc", "nsz"})
def gauss_legendre(rule: Array, integrand: Callable[..., float], context: tuple[Any, ...]) -> float:
    # only this sum may be reordered, so that the nodes can be a vector
    total = 0.0
    for i in range(rule.shape[1]):
        total += rule[1, i] * integrand(rule[0, i], context)
    return total


# What follows is inlined while still Python: it nests, and Numba takes the nesting of one function for recursion.
@numba.njit(error_model="numpy", inline="always")
def either(
    condition: bool, first: Callable[..., Any], second: Callable[..., Any], arguments: tuple[Any, ...]
) -> Any:
    if condition:
        return first(*arguments)
    return second(*arguments)


@numba.njit(error_model="numpy", inline="always")
def summed(components: tuple[Any, ...], term: Callable[..., float], context: tuple[Any, ...]) -> float:
    total = term(0, context)
    for k in range(1, len(components)):
        total += term(k, context)
    return total


@numba.njit(error_model="numpy", inline="always")
def collected(components: tuple[Any, ...], function: Callable[..., float], context: tuple[Any, ...]) -> Any:
    # all numbers: `components` is a tuple of the right type to begin with
    values = components
    for k in range(len(components)):
        values = tuple_setitem(values, k, function(k, context))
    return values


VOCABULARY = {
    "exp": exp,
    "expm1": expm1,
    "log": log,
    "log1p": log1p,
    "sqrt": sqrt,
    "sin": sin,
    "cos": cos,
    "absolute": absolute,
    "minimum": minimum,
    "maximum": maximum,
    "where": where,
    "difference_of_products": difference_of_products,
    "polynomial": polynomial,
    "gauss_legendre": gauss_legendre,
    "either": either,
    "summed": summed,
    "collected": collected,
}
