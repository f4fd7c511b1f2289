"""The integrals of bivariate.py for any pair, in its notation, by panels of 24 nodes where the integrand counts."""

from fastmoments_kernels.formulas.near_one import half_distances
from fastmoments_kernels.formulas.normal import PDF_0, pdf
from fastmoments_kernels.tables import LEGENDRE_24
from fastmoments_kernels.vocabulary import (
    Real,
    Reals,
    absolute,
    either,
    exp,
    gauss_legendre,
    maximum,
    minimum,
    sqrt,
    where,
)

LEAST = 1e-30  # replaces eta = 0
PEAK = -2.0  # an interior peak splits the interval if x at e = 1 is below this


def corner(h: Real, k: Real) -> Reals:
    """(a + b, a - b), which are max(|h|, |k|) and +-min(|h|, |k|), without rounding.

    At h = +-k they take the side of the kink that |h - k| and |h + k| take: the derivative of a sum of them must
    not mix the sides.
    """
    falls, below = h < k, h + k < 0.0
    far = where(falls, where(below, -h, k), where(below, -k, h))
    return far, where(falls, where(below, k, -h), where(below, h, -k))


def at_eta(h: Real, k: Real, eta: Real, rest: Real) -> Real:
    """x at e = eta, as a / eta - b eta or from x at e = 1, whichever sum has the smaller terms."""
    a, b = half_distances(h, k)
    _, end = corner(h, k)
    rise, fall = a / where(eta > 0.0, eta, LEAST), b * eta
    change = rest * (rise + b)
    return where(absolute(end) + change < rise + fall, end + change, rise - fall)


def weight(node: Reals, eta: Real, context: Reals) -> Real:
    """The integrand's weight at a node (e, 1 / e, 1 / (1 + e^2), e - eta), 1 unless another is bound."""
    return 1.0


def cut() -> Real:
    """The integrand counts down to exp(-cut) of its largest value; an activation whose weights grow binds more."""
    return 36.5


def integral(context: Reals, h: Real, k: Real, eta: Real, rest: Real) -> Real:
    """int over r from 0 to rho of weight * phi_2(h, k; r), relative to its own size."""
    excess, value = scaled_integral(context, h, k, eta, rest)
    end = excess < 0.0
    # if the integrand is largest at the upper end, its exponent is that of phi(h) phi(k), which callers add
    a, b = half_distances(h, k)
    front = where(end, pdf(h) * pdf(k), PDF_0 * pdf(a + b))
    return front * where(end, 1.0, exp(-0.5 * excess * excess)) * value


def scaled_integral(context: Reals, h: Real, k: Real, eta: Real, rest: Real) -> Reals:
    """(x, value): `integral` is exp(-(M^2 + x^2) / 2) / (2 pi) value, x the smallest |x| on [eta, 1].

    x is returned as -x if it is that of the upper end e = 1, where M^2 + x^2 = h^2 + k^2. The interval is cut to
    where the integrand exceeds exp(-cut) of its largest value, and split at an interior peak e^2 = a / b. Lengths
    come from differences of x: far out the interval is shorter than the rounding of its ends.
    """
    a, b = half_distances(h, k)
    _, end = corner(h, k)
    start = at_eta(h, k, eta, rest)
    peaked = (start > 0.0) & (end < PEAK)
    falls = (end >= 0.0) | (start > 0.0) & ~peaked
    near, ahead = where(end > 0.0, end, maximum(-start, 0.0)), where(eta > 0.0, eta, 1.0)
    reach = sqrt(near * near + 2.0 * cut())
    lower, upper = interval(a, b, near)
    top = sqrt(where(peaked, a / where(peaked, b, 1.0), 1.0))
    low, high = where(start <= reach, eta, lower), where(-end <= reach, 1.0, upper)
    left, right = between(low, top, minimum(start, reach), a, b), between(top, high, minimum(-end, reach), a, b)
    fallen = 2.0 * cut() / (reach + near)
    down = where(lower > eta, between(lower, 1.0, fallen - minimum(end, 0.0), a, b), rest)
    up = where(upper < 1.0, between(eta, upper, fallen, a, b), rest)
    first_from = where(peaked, low, where(falls, maximum(eta, lower), eta))
    length = where(peaked, left, where(falls, down, up))
    point = where(peaked, top, where(falls, 1.0, ahead))
    above, x_point = where(peaked | falls, 1.0, 0.0), where(falls, end, near)
    first = panel((context, a, b, eta, first_from, first_from - eta, length, (point, x_point, above, 0.0, 0.0)))
    lead = where(start <= reach, left, top - eta)
    beyond_top = (context, a, b, eta, top, lead, where(peaked, right, 0.0), (top, 0.0 * top, 0.0 * top, 0.0, 0.0))
    second = either(peaked, panel, no_panel, (beyond_top,))
    return where(end > 0.0, -near, near), first + second


def complement(context: Reals, h: Real, k: Real, eta: Real) -> Real:
    """The integral over r from rho to 1 of weight * phi_2(h, k; r), divided by phi(h) phi(kappa); x > 1, eta > 0.

    The integrand falls all the way to r = 1 and is integrated over the part that counts, in two panels.
    """
    a, b = half_distances(h, k)
    # the value for other x is not used, but derivatives are taken through it
    a = maximum(a, eta * (1.0 + b * eta))
    x = a / eta - b * eta
    lower, gap = fall(a, b, eta, x)
    low, high = sqrt(lower), sqrt(eta)
    middle, step = low * high, gap / (low + high)
    first = panel((context, a, b, eta, lower, 0.0, low * step, (eta, x, 1.0, high * step, 1.0)))
    second = panel((context, a, b, eta, middle, 0.0, high * step, (eta, x, 1.0, 0.0, 1.0)))
    return first + second


def fall(a: Real, b: Real, eta: Real, x: Real) -> Reals:
    """(lower, eta - lower): exp(-x^2 / 2) counts from e = lower up to e = eta, where x > 0 is given."""
    lower, _ = interval(a, b, x)
    lower = minimum(lower, eta)  # rounding may put it above eta, where the integrand would grow
    change = 2.0 * cut() / (x + sqrt(x * x + 2.0 * cut()))
    return lower, between(lower, eta, change, a, b)


def between(low: Real, high: Real, change: Real, a: Real, b: Real) -> Real:
    """high - low, by the change of x between them where they are near each other."""
    near = low > 0.5 * high
    steep = a / where(near, low * high, 1.0) + b
    seen = near & (steep > 0.0)
    return where(seen, change / where(seen, steep, 1.0), high - low)


def interval(a: Real, b: Real, near: Real) -> Reals:
    """(lower, upper): exp(-x^2 / 2), x = a / e - b e, exceeds exp(-cut) exp(-near^2 / 2) at e between them."""
    reach = sqrt(near * near + 2.0 * cut())
    spread = reach + sqrt(reach * reach + 4.0 * a * b)
    return 2.0 * a / spread, 0.5 * spread / maximum(b, 1e-30)


def panel(bounds: Reals) -> Real:
    """The integral over [lower, lower + length] of weight 2 / (1 + e^2) exp(-x^2 / 2) de, by nodes graded to lower.

    lead = lower - eta. anchor = (point, x at it, 1 if it is above the panel, the distance from the panel's end to
    it, 1 if it is eta, which makes lead unused); a point that is not above is the panel's beginning. The result is
    divided by exp(-x^2 / 2) at the point, and exponents are formed from distances to it, so that large squares are
    never subtracted. A negative x says that the peak, x = 0, lies in the panel: the result is then not divided.
    """
    context, a, b, eta, lower, lead, length, anchor = bounds
    grading = length / (lower + 0.5 * (lower + length))
    total = gauss_legendre(LEGENDRE_24, _at_node, (context, a, b, eta, lower, lead, length, anchor, grading))
    return length * (1.0 + grading) * total


def no_panel(bounds: Reals) -> Real:
    """The integral over an empty interval."""
    return 0.0 * bounds[1]


def _at_node(node: Real, panel: Reals) -> Real:
    context, a, b, eta, lower, lead, length, anchor, grading = panel
    point, x_point, is_above, above, is_eta = anchor
    t = 1.0 / (1.0 + grading * (1.0 - node))
    offset = length * node * t
    e = lower + offset
    distance = where(is_above > 0.0, above + length * (1.0 - node) * (1.0 + grading) * t, offset)
    beyond = where(is_eta > 0.0, -distance, offset + lead)
    rise = distance * (a / (e * point) + b)
    below = minimum(x_point, 0.0)
    exponent = rise * (rise + 2.0 * x_point) + below * below
    share = 1.0 / (1.0 + e * e)
    return weight((e, 1.0 / e, share, beyond), eta, context) * exp(-0.5 * exponent) * (2.0 * share) * t * t


def remaining(node: Reals, eta: Real, context: Reals) -> Real:
    """Weight rho - r."""
    e, _, share, beyond = node
    return beyond * (e + eta) * share * (2.0 / (1.0 + eta * eta))
