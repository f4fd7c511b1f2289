"""Integrals of the bivariate normal density over its correlation, by quadrature, and the density.

With r = (1 - e^2) / (1 + e^2), phi_2(h, k; r) dr = 2 / (1 + e^2) exp(-(M^2 + x^2) / 2) de / (2 pi) where
x = a / e - b e, a = |h - k| / 2, b = |h + k| / 2, M = a + b = max(|h|, |k|): positive squares, no singularity,
|rho| = 1 at e = 0. Callers pass h with the sign of the correlation, so that rho >= 0 here.

Routes: the series of near_one.py where |rho| is near one, quadrature elsewhere, by few nodes where they are enough
(`mild_integral`).
"""

from fastmoments_kernels.formulas.near_one import half_distances, is_near_one, near_one
from fastmoments_kernels.formulas.normal import PDF_0, cdf, pdf
from fastmoments_kernels.tables import LEGENDRE_24, SYMMETRIC
from fastmoments_kernels.vocabulary import (
    Real,
    Reals,
    absolute,
    either,
    exp,
    exp2,
    fitted_legendre,
    gauss_legendre,
    maximum,
    minimum,
    shortcut,
    sqrt,
    where,
)

# the largest `span` at which each rule of SYMMETRIC is off by less than eps, without and with ramp.py's weights
REACHES = (0.28, 0.73, 1.12, 1.5, 2.08, 2.5, 2.8)
RAMP_REACHES = (0.24, 0.59, 0.97, 1.33, 1.96, 2.39, 2.72)
# beyond it exp(-x^2 / 2) may underflow
MILD = 200.0
LEAST = 1e-30  # replaces eta = 0, which is not mild
STEEP = 1e4  # exp(-x^2 / 2) is 0 from here on; a larger x^2 would round by so much that exp of the error overflows
PEAK = -2.0  # an interior peak splits the interval if x at e = 1 is below this
LONGEST = SYMMETRIC[-1]
BELL = 0.8493218002880191  # sqrt(1 / (2 ln 2)): exp(-x^2 / 2) = 2^(-(BELL x)^2)


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


def mild_integral(context: Reals, h: Real, k: Real, eta: Real, rest: Real) -> Real:
    """`integral` divided by phi(M) / sqrt(2 pi), for a span within REACHES, by nodes around sqrt(eta)."""
    root, end, lean, rise, fall, front = _stretch(h, k, eta, rest)
    panel = _about(context, eta, root, end, lean, rise, fall, 0.0)
    return front * fitted_legendre(SYMMETRIC, REACHES, _span(end, rise, fall), _at_both, panel)


def _stretch(h: Real, k: Real, eta: Real, rest: Real) -> Reals:
    """`_about`'s (root, end, lean, rise, fall) for [eta, 1], and the integral's factor, by one division."""
    a, b = half_distances(h, k)
    root = sqrt(maximum(eta, LEAST))
    sum_1 = 1.0 + eta
    sum_2 = sum_1 + 2.0 * root  # (1 + root)^2
    inverse = 1.0 / (sum_1 * sum_2 * root)
    end, lean = rest * (sum_1 * root * inverse), rest * (sum_2 * root * inverse)
    return root, end, lean, a * (sum_1 * sum_2 * inverse), b * root, 4.0 * rest * (eta * inverse)


def _span(end: Real, rise: Real, fall: Real) -> Real:
    """The interval's length times the rate at which the exponent changes on it: it decides the number of nodes."""
    return end * (4.0 + (rise * rise + fall * fall))


def span(h: Real, k: Real, eta: Real, rest: Real) -> Real:
    """`_span` of a pair, inf where the integrand is not mild."""
    _, end, _, rise, fall, _ = _stretch(h, k, eta, rest)
    return where(rise * rise + fall * fall <= MILD, _span(end, rise, fall), float("inf"))


def tail_integral(h: Real, k: Real, eta: Real, rest: Real) -> Reals:
    """(x, integral over r from rho to 1 of phi_2(h, k; r), divided by phi(M) phi(x)), x >= 1 at e = eta > 0.

    The integrand falls all the way to r = 1 and is integrated over the part that counts, to 3e-16 by 24 nodes.
    """
    a, b = half_distances(h, k)
    # the value for other x is not used, but derivatives are taken through it
    a, x = maximum(a, eta * (1.0 + b * eta)), maximum(at_eta(h, k, eta, rest), 1.0)
    near = minimum(x, STEEP)
    lower, gap = fall(a, b, eta, near)
    low, high = sqrt(lower), sqrt(eta)
    root, end = low * high, gap / ((low + high) * (low + high))
    square = root * root
    level = (BELL * near) * (BELL * near)
    share = 1.0 / (1.0 + square)
    panel = _about((), eta, root, end, (1.0 - square) * share, a / root, b * root, level)
    return x, 4.0 * end * root * share * gauss_legendre(LONGEST, _at_both, panel)


def _about(
    context: Reals, eta: Real, root: Real, end: Real, lean: Real, rise: Real, fall: Real, level: Real
) -> Reals:
    """The arguments of `_at_both` for e = root (1 + w) / (1 - w), |w| <= end, rise = a / root and fall = b root.

    w = 0 is the middle between e = 0 and e = inf, w = -+1, where the integrand ends; the poles +-i are as far. x =
    ((rise - fall) (1 + w^2) - 2 (rise + fall) w) / (1 - w^2), and the integrand is 4 root / (1 + root^2) times
    exp(-x^2 / 2) dw / (1 + w^2 - 2 lean w), lean = (1 - root^2) / (1 + root^2).
    """
    middle, slope = BELL * (rise - fall), (2.0 * BELL) * end * (rise + fall)
    return context, eta, root, end, middle, slope, 2.0 * end * lean, level


def _at_both(node: Real, panel: Reals) -> Real:
    """The sum of the integrand at w = node end and at -w, by one division."""
    context, eta, root, end, middle, slope, tilt, level = panel
    w = node * end
    square = w * w
    above, below, move, turn = 1.0 + square, 1.0 - square, node * slope, node * tilt
    sum_up, sum_down = above - turn, above + turn
    product = sum_up * sum_down
    inverse = 1.0 / (below * product)
    stretch, centre = product * inverse, middle * above
    x_up, x_down = (centre - move) * stretch, (centre + move) * stretch
    up, down = exp2(level - x_up * x_up), exp2(level - x_down * x_down)
    after, before = (1.0 + w) * (1.0 + w), (1.0 - w) * (1.0 - w)
    e_up, e_down = after * stretch, before * stretch
    scale, over_root, share = root * end / (1.0 + end), 1.0 / root, 1.0 / (1.0 + root * root)
    over_up, over_down = sum_down * (below * inverse), sum_up * (below * inverse)
    node_up = root * e_up, over_root * e_down, share * before * over_up, scale * (1.0 + node) * (1.0 + e_up)
    node_down = root * e_down, over_root * e_up, share * after * over_down, scale * (1.0 - node) * (1.0 + e_down)
    return over_up * (up * weight(node_up, eta, context)) + over_down * (down * weight(node_down, eta, context))


def fitted_integral(context: Reals, bell: Real, h: Real, k: Real, eta: Real, rest: Real) -> Real:
    """`integral`, by no more nodes than it needs on backends that take shortcuts; bell = phi(M)."""
    return shortcut(span(h, k, eta, rest) <= REACHES[-1], _mild, _general, (context, bell, h, k, eta, rest))


def _mild(context: Reals, bell: Real, h: Real, k: Real, eta: Real, rest: Real) -> Real:
    """`integral` where it is mild."""
    return PDF_0 * bell * mild_integral(context, h, k, eta, rest)


def _general(context: Reals, bell: Real, h: Real, k: Real, eta: Real, rest: Real) -> Real:
    return integral(context, h, k, eta, rest)


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


def step_cov(h: Real, k: Real, rho: Real, eta: Real, rest: Real) -> Real:
    """J_0 = Cov(1[Z_1 > -h], 1[Z_2 > -k]) = int_0^rho phi_2(h, k; r) dr, rho >= 0."""
    return either(is_near_one(h, k, eta), _step_cov_near_one, _step_cov_apart, (h, k, eta, rest))


def _step_cov_near_one(h: Real, k: Real, eta: Real, rest: Real) -> Real:
    exponent, p, _, _ = near_one(h, k, eta)
    return cdf(minimum(h, k)) * cdf(-maximum(h, k)) - exp(exponent) * p


def _step_cov_apart(h: Real, k: Real, eta: Real, rest: Real) -> Real:
    far, _ = corner(h, k)
    return fitted_integral((h,), pdf(far), h, k, eta, rest)


def density(h: Real, k: Real, eta: Real) -> Real:
    """phi_2(h, k; rho). At |rho| = 1 it is 0 off h = k and infinite on it; 0 is returned for both.

    It is phi(outer) phi(kappa) / sqrt(1 - rho^2), outer the larger of h and k in size: a large exponent is then no
    difference of two.
    """
    outer = where(absolute(h) > absolute(k), h, k)
    inner = where(absolute(h) > absolute(k), k, h)
    safe = where(eta > 0.0, eta, 1.0)
    kappa = 0.5 * ((inner - outer) / safe + (inner + outer) * eta)
    value = pdf(outer) * pdf(kappa) * (1.0 + eta * eta) / (2.0 * safe)
    return where(eta > 0.0, value, 0.0 * value)
