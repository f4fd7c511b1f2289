"""Elementary functions without branches, so that loops over them are vectors: float64 as written, float32 if bound.

No fast-math: reassociation breaks exp's rounding by a magic constant, contraction the symmetry of pairs.
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
from fastmoments_kernels.tables import EXP2
from fastmoments_kernels.vocabulary import Real, Reals

LOG2_E = 1.4426950408889634
# ln 2 in two parts, the first with so few bits that its product with an exponent is exact
LN2_HIGH, LN2_LOW = 0.6931471803691238, 1.9082149292705877e-10
MAGIC = 6755399441055744.0  # 1.5 * 2^52: adding it rounds to an integer held in the low bits
# where exp(x) is below the normal numbers and 2^n there is 0, and where 2^n is beyond them
LOWEST, HIGHEST = -709.0, 709.436
LEAST_POWER = -1022.0
SMALLEST, RAISED, RAISE = 2.0**-1022, 54.0, 2.0**54  # the smallest normal number; below it 2^54 x is one
INF, NAN = math.inf, math.nan
# (exp(r) - 1 - r) / r^2 for |r| <= ln(2) / 2, highest power first: 1/14! is the first term left out
EXP = (
    1.6059043836821613e-10,
    2.08767569878681e-9,
    2.505210838544172e-8,
    2.755731922398589e-7,
    2.7557319223985893e-6,
    2.48015873015873e-5,
    1.984126984126984e-4,
    1.388888888888889e-3,
    8.333333333333333e-3,
    4.1666666666666664e-2,
    1.6666666666666666e-1,
    0.5,
)
# (log((1 + s) / (1 - s)) / (2 s) - 1) / s^2 for |s| <= 0.172, highest power first
LOG = tuple(1.0 / (2 * k + 1) for k in range(11, 0, -1))


# what is other in float32: 1/8! and s^12/13 are the first terms left out
SINGLE: dict[str, float | tuple[float, ...]] = {
    "LN2_HIGH": 0.693145751953125,
    "LN2_LOW": 1.4286068203094172e-06,
    "MAGIC": 12582912.0,  # 1.5 * 2^23
    "LOWEST": -88.0,
    "LEAST_POWER": -126.0,
    "HIGHEST": 88.37,
    "SMALLEST": 2.0**-126,
    "RAISED": 25.0,
    "RAISE": 2.0**25,
    "EXP": EXP[-6:],
    "EXP2": EXP2[-7:],
    "LOG": LOG[-5:],
}
# pi / 2 in three parts: products of the first two with 20 bits of quarter turns are exact, 1e-37 is left out
HALF_PI_1, HALF_PI_2, HALF_PI_3 = 1.5707963267341256, 6.077100506303966e-11, 2.0222662487959506e-21
TWO_OVER_PI = 0.6366197723675814
# (sin(r) - r) / r^3 and (cos(r) - 1) / r^2 in r^2 for |r| <= pi / 4, highest power first: 1/11! and 1/12! are the
# first terms left out
SIN = tuple((-1.0) ** k / math.factorial(2 * k + 1) for k in range(4, 0, -1))
COS = tuple((-1.0) ** k / math.factorial(2 * k) for k in range(5, 0, -1))


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
    """2^x up to the largest power; below the smallest normal number that."""
    y = where(x < LEAST_POWER, LEAST_POWER, x)
    shifted = y + MAGIC
    r = y - (shifted - MAGIC)
    scale = power_of_2(shifted)
    return fma(scale * r, polynomial(EXP2, r), scale)


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
    # with what the rounding of 1 + x took away: x itself where n = 0
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
    """(r, n in the low bits of a number) with x = n pi / 2 + r, |r| <= pi / 4, in float64 whatever x is.

    Beyond 2^51 n has no last digit, nor has x; clamped, r keeps sine and cosine on the circle.
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
