"""Elementary functions without branches, so that LLVM vectorises loops over them; float64, or float32 by binding.

No fast-math: reassociation breaks exp's rounding by a magic constant, contraction breaks the symmetry of pairs.
Comparisons are written so that nan passes through.
"""

import math

from fastmoments_kernels.cpu.intrinsics import (
    fma,
    polynomial,
    power_of_2,
    split,
    square_root,
    where,
)
from fastmoments_kernels.expansions import (
    COS_32,
    COS_64,
    EXP_32,
    EXP_64,
    HALF_PI,
    LN2_32,
    LN2_64,
    LOG2_E,
    LOG_32,
    LOG_64,
    MAGIC_32,
    MAGIC_64,
    SIN_32,
    SIN_64,
    TWO_OVER_PI,
)
from fastmoments_kernels.tables import EXP2
from fastmoments_kernels.vocabulary import Real, Reals

LN2_HIGH, LN2_LOW = LN2_64
MAGIC, EXP, LOG, SIN, COS = MAGIC_64, EXP_64, LOG_64, SIN_64, COS_64
# below LOWEST, exp(x) is smaller than the normal numbers and 2^n is set to 0; above HIGHEST, 2^n overflows
LOWEST, HIGHEST = -709.0, 709.436
LEAST_POWER = -1022.0
SMALLEST, RAISED, RAISE = 2.0**-1022, 54.0, 2.0**54  # the smallest normal number; below it 2^54 x is one
INF, NAN = math.inf, math.nan
HALF_PI_1, HALF_PI_2, HALF_PI_3 = HALF_PI
# even and odd powers in two polynomials side by side, so that one need not wait for the other
EXP2_EVEN, EXP2_ODD = EXP2[0::2], EXP2[1::2]

# the constants that differ in float32
SINGLE: dict[str, float | tuple[float, ...]] = {
    "LN2_HIGH": LN2_32[0],
    "LN2_LOW": LN2_32[1],
    "MAGIC": MAGIC_32,
    "EXP": EXP_32,
    "LOG": LOG_32,
    "SIN": SIN_32,
    "COS": COS_32,
    "LOWEST": -88.0,
    "LEAST_POWER": -126.0,
    "HIGHEST": 88.37,
    "SMALLEST": 2.0**-126,
    "RAISED": 25.0,
    "RAISE": 2.0**25,
    "EXP2_EVEN": EXP2[-7::2],
    "EXP2_ODD": EXP2[-6::2],
}


def _reduced(x: Real) -> Reals:
    """(exp(r) - 1, 2^n) with x = n ln 2 + r, |r| <= ln(2) / 2; below the normal numbers 2^n is 0."""
    y = where(x > HIGHEST, HIGHEST, x)
    y = where(y < LOWEST, LOWEST, y)
    shifted = fma(y, LOG2_E, MAGIC)
    n = shifted - MAGIC
    r = fma(n, -LN2_LOW, fma(n, -LN2_HIGH, y))
    return fma(polynomial(EXP, r) * r, r, r), power_of_2(shifted)


def exp(x: Real) -> Real:
    p, scale = _reduced(x)
    return where(x > HIGHEST, INF, fma(scale, p, scale))


def exp2(x: Real) -> Real:
    """2^x for x up to the largest exponent; at least the smallest normal number."""
    y = where(x < LEAST_POWER, LEAST_POWER, x)
    shifted = y + MAGIC
    r = y - (shifted - MAGIC)
    square = r * r
    p = fma(polynomial(EXP2_ODD, square), r, polynomial(EXP2_EVEN, square))
    scale = power_of_2(shifted)
    return fma(scale * r, p, scale)


def expm1(x: Real) -> Real:
    p, scale = _reduced(x)
    return where(x > HIGHEST, INF, fma(scale, p, scale - 1.0))


def log(x: Real) -> Real:
    small = x < SMALLEST
    n, m, _ = split(where(small, x * RAISE, x))
    value = _of_parts(n - where(small, RAISED, 0.0), m - 1.0)
    value = where(x == 0.0, -INF, where(x < 0.0, NAN, value))
    return where(x < INF, value, x)


def log1p(x: Real) -> Real:
    u = 1.0 + x
    n, m, scale = split(u)
    # plus the rounding error of 1 + x; for n = 0 the sum is x itself
    value = _of_parts(n, (m - 1.0) + scale * (x - (u - 1.0)))
    value = where(u == 0.0, -INF, where(u < 0.0, NAN, value))
    return where(x < INF, value, x)


def _of_parts(n: Real, f: Real) -> Real:
    """log(2^n (1 + f)); log(1 + f) = 2 s + 2 s^3 (1/3 + s^2/5 + ...) and 2 s = f - s f: f is not rounded."""
    s = f / (2.0 + f)
    square = s * s
    tail = s * (2.0 * square * polynomial(LOG, square) - f)
    return n * LN2_HIGH + (f + (tail + n * LN2_LOW))


def sqrt(x: Real) -> Real:
    return square_root(x)


def absolute(x: Real) -> Real:
    return abs(x)


def minimum(a: Real, b: Real) -> Real:
    return where((b < a) | (b != b), b, a)


def maximum(a: Real, b: Real) -> Real:
    return where((b > a) | (b != b), b, a)


def difference_of_products(a: Real, b: Real, c: Real, d: Real) -> Real:
    product = c * d
    return fma(a, b, -product) + fma(-c, d, product)


def quarter_turns(x: Real) -> Reals:
    """(r, n in the low bits of a number) with x = n pi / 2 + r, |r| <= pi / 4, in float64.

    Beyond 2^51 the last digit of n is unknown, as that of x is; r is clamped, so that sine and cosine stay on the
    circle.
    """
    shifted = fma(x, TWO_OVER_PI, MAGIC)
    n = shifted - MAGIC
    r = fma(n, -HALF_PI_3, fma(n, -HALF_PI_2, fma(n, -HALF_PI_1, x)))
    return minimum(maximum(r, -1.0), 1.0), shifted


def turned(r: Real, quarters: Real) -> Real:
    """sin(r + quarters pi / 2)."""
    square = r * r
    sine, cosine = fma(r * square, polynomial(SIN, square), r), fma(square, polynomial(COS, square), 1.0)
    value = where((quarters & 1) == 1, cosine, sine)
    return where((quarters & 2) == 2, -value, value)
