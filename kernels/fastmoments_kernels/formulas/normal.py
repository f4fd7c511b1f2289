"""The univariate normal: density, distribution, Mills ratios and the moments of a rectified variable.

Errors are relative: tails come from R_n(x) = int_0^inf t^n exp(-x t - t^2/2) dt, never from 1 - Phi.
"""

from math import factorial

from fastmoments_kernels.tables import CENTRE, MILLS_0, MILLS_1, MILLS_2
from fastmoments_kernels.vocabulary import (
    Real,
    Reals,
    absolute,
    difference_of_products,
    exp,
    maximum,
    minimum,
    polynomial,
    where,
)

PDF_0 = 0.3989422804014327  # 1 / sqrt(2 pi)
SQRT_2 = 1.4142135623730951
# (-1/2)^n / (n! (2 n + 1)), highest power first: the term left out is 4e-20 at 1
INSIDE = tuple((-0.5) ** n / (factorial(n) * (2 * n + 1)) for n in range(15, -1, -1))


def pdf(x: Real) -> Real:
    """phi(x) = exp(-x^2/2) / sqrt(2 pi), with the rounding of x^2 put back.

    Tails are sums of terms with the factor phi; with x^2 rounded they would cancel down to x^2 eps.
    """
    y = minimum(absolute(x), 64.0)  # phi is 0 beyond, and x^2 stays finite
    square = y * y
    rounding = difference_of_products(y, y, square, 1.0)
    return PDF_0 * exp(-0.5 * square) * (1.0 - 0.5 * rounding)


def mills_0(x: Real) -> Real:
    """R_0(x), x >= 0: Phi(-x) / phi(x)."""
    u = 1.0 / (x + CENTRE)
    return u * polynomial(MILLS_0, (x - CENTRE) * u)


def mills_1(x: Real) -> Real:
    """R_1(x) = 1 - x R_0(x), x >= 0, without the subtraction, which loses x^2."""
    u = 1.0 / (x + CENTRE)
    return u * u * polynomial(MILLS_1, (x - CENTRE) * u)


def mills_2(x: Real) -> Real:
    """R_2(x) = (1 + x^2) R_0(x) - x, x >= 0, without the subtraction, which loses x^4."""
    u = 1.0 / (x + CENTRE)
    return u * u * u * polynomial(MILLS_2, (x - CENTRE) * u)


def cdf(x: Real) -> Real:
    """Phi(x)."""
    tail = pdf(x) * mills_0(absolute(x))
    return where(x < 0.0, tail, 1.0 - tail)


def inside(x: Real) -> Real:
    """P(-|x| < Z < |x|) = 2 int_0^|x| phi, with a small relative error near 0 too."""
    reach = absolute(x)
    series = 2.0 * PDF_0 * reach * polynomial(INSIDE, reach * reach)
    return where(reach < 1.0, series, 1.0 - 2.0 * cdf(-reach))


def ramp_mean(x: Real) -> Real:
    """A(x) = E max(x + Z, 0) = x Phi(x) + phi(x); A(x) - A(-x) = x."""
    return maximum(x, 0.0) + pdf(x) * mills_1(absolute(x))


def ramp_tail_square(x: Real) -> Real:
    """E max(-x + Z, 0)^2 for x >= 0."""
    return pdf(x) * mills_2(x)


def cdf_excess(x: Real) -> Real:
    """Phi(x) - Phi(-x) = erf(x / sqrt 2), with a small relative error near 0 too."""
    return where(x < 0.0, -1.0, 1.0) * inside(x)


def erf(x: Real) -> Real:
    """erf(x)."""
    return cdf_excess(SQRT_2 * x)


def cdf_difference(high: Real, low: Real, shift: Real) -> Real:
    """Phi(high) - Phi(low), given shift = high - low to its last digits."""
    nearest, value = scaled_cdf_difference(high, low, shift)
    return exp(-0.5 * nearest * nearest) * value


def scaled_cdf_difference(high: Real, low: Real, shift: Real) -> Reals:
    """(nearest, value) with Phi(high) - Phi(low) = exp(-nearest^2 / 2) value.

    Two tails of one side cancel when the shift is small beside their scale; then phi is integrated over the
    shift, by `_mean_density`.
    """
    middle = low + 0.5 * shift
    small = absolute(shift) * (1.0 + absolute(low) + absolute(high)) < 1.5
    step = where(small, shift, 0.0)
    integral = _mean_density(where(small, middle, 0.0), step)
    inner, outer = minimum(absolute(low), absolute(high)), maximum(absolute(low), absolute(high))
    fall = exp(-0.5 * minimum((outer - inner) * (outer + inner), 1400.0))
    # 0 is on the upper side, as it is in the derivative of |x|
    apart = (high < 0.0) & (low >= 0.0) | (high >= 0.0) & (low < 0.0)
    same_side = PDF_0 * (mills_0(inner) - fall * mills_0(outer))
    # from both tails, so that the mirrored interval has the same bits
    tails = where(shift < 0.0, -1.0, 1.0) * where(apart, 1.0 - (cdf(-inner) + cdf(-outer)), same_side)
    nearest = where(small, middle, where(apart, 0.0, inner))
    return nearest, where(small, PDF_0 * step * integral, tails)


def _mean_density(middle: Real, shift: Real) -> Real:
    """The mean of phi over `shift` around the middle, divided by phi(middle), |shift| (1 + 2 |middle|) < 1.5.

    It is the sum over even n of He_n(middle) (shift / 2)^n / (n + 1)!; the last term is 2e-17.
    """
    half = 0.5 * shift
    move, square = middle * half, half * half
    even, odd = 1.0 + 0.0 * move, move
    total = even
    for j in range(1, 13):
        even = (move * odd - square * even) * (1.0 / (2.0 * j))
        odd = (move * even - square * odd) * (1.0 / (2.0 * j + 1.0))
        total = total + even * (1.0 / (2.0 * j + 1.0))
    return total
