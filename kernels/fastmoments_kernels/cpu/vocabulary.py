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
    """a b + c with one rounding."""

    def emit(_: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fma(*arguments)

    return types.float64(types.float64, types.float64, types.float64), emit


@intrinsic
def as_integer(context: Any, x: Any) -> Any:
    return types.int64(types.float64), lambda _, b, s, a: b.bitcast(a[0], ir.IntType(64))


@intrinsic
def as_float(context: Any, x: Any) -> Any:
    return types.float64(types.int64), lambda _, b, s, a: b.bitcast(a[0], ir.DoubleType())


LOG2_E = 1.4426950408889634
LN2_HIGH, LN2_LOW = 0.6931471803691238, 1.9082149292705877e-10
MAGIC = 6755399441055744.0  # 1.5 * 2^52: adding it rounds to an integer held in the low bits
LOWEST, HIGHEST = -708.396, 709.782  # exp leaves the normal numbers beyond


@inline
def exp(x: float) -> float:
    y = LOWEST if x < LOWEST else (HIGHEST if x > HIGHEST else x)
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
    scale = as_float((as_integer(shifted) + 1023) << 52)
    value = fma(scale, p, scale)
    return 0.0 if x < LOWEST else (math.inf if x > HIGHEST else value)


@inline
def expm1(x: float) -> float:
    return math.expm1(x)


@inline
def log(x: float) -> float:
    return math.log(x)


@inline
def log1p(x: float) -> float:
    return math.log1p(x)


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
def minimum(a: float, b: float) -> float:
    return a if (a < b or a != a) else b


@inline
def maximum(a: float, b: float) -> float:
    return a if (a > b or a != a) else b


@inline
def where(condition: bool, a: float, b: float) -> float:
    return a if condition else b


@inline
def difference_of_products(a: float, b: float, c: float, d: float) -> float:
    product = c * d
    result: float = fma(a, b, -product) + fma(-c, d, product)
    return result


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
