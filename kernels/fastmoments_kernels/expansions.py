"""Constants of the elementary functions, for backends that write their own: of reductions and of series.

A name ends in its dtype's bits where dtypes differ. Coefficients have the highest power first.
"""

from math import factorial

LOG2_E = 1.4426950408889634
# ln 2 in two parts; the first has few bits, so that its product with an exponent is exact
LN2_64 = 0.6931471803691238, 1.9082149292705877e-10
LN2_32 = 0.693145751953125, 1.4286068203094172e-06
# 1.5 * 2^52 and 1.5 * 2^23: adding one rounds to an integer held in the low bits
MAGIC_64, MAGIC_32 = 6755399441055744.0, 12582912.0
TWO_OVER_PI = 0.6366197723675814
# pi / 2 in three parts: products of the first two with 20 bits of quarter turns are exact, 1e-37 is left out
HALF_PI = 1.5707963267341256, 6.077100506303966e-11, 2.0222662487959506e-21

# (exp(r) - 1 - r) / r^2 for |r| <= ln(2) / 2: 1/14! and 1/8! are the first terms left out
EXP_64 = tuple(1.0 / factorial(k) for k in range(13, 1, -1))
EXP_32 = EXP_64[-6:]
# (log((1 + s) / (1 - s)) / (2 s) - 1) / s^2 for |s| <= 0.172: s^24/25 and s^12/13 are the first terms left out
LOG_64 = tuple(1.0 / (2 * k + 1) for k in range(11, 0, -1))
LOG_32 = LOG_64[-5:]
# (sin(r) - r) / r^3 and (cos(r) - 1) / r^2 in r^2 for |r| <= pi / 4: 1/19! and 1/20!, 1/11! and 1/12! are the
# first terms left out
SIN_64 = tuple((-1.0) ** k / factorial(2 * k + 1) for k in range(8, 0, -1))
COS_64 = tuple((-1.0) ** k / factorial(2 * k) for k in range(9, 0, -1))
SIN_32, COS_32 = SIN_64[-4:], COS_64[-5:]
