"""Integrals of the bivariate normal density over its correlation, by quadrature, and the density.

With r = (1 - e^2) / (1 + e^2), phi_2(h, k; r) dr = 2 / (1 + e^2) exp(-(M^2 + x^2) / 2) de / (2 pi) where
x = a / e - b e, a = |h - k| / 2, b = |h + k| / 2, M = a + b = max(|h|, |k|): positive squares, no singularity,
|rho| = 1 at e = 0. Callers pass h with the sign of the correlation, so that rho >= 0 here.

Routes: the series of near_one.py where |rho| is near one, quadrature elsewhere, by few nodes where they are enough
(`mild_integral`), else by bivariate_panels.py.
"""

from fastmoments_kernels.formulas.bivariate_panels import LEAST, at_eta, corner, fall, integral, weight
from fastmoments_kernels.formulas.near_one import half_distances, is_near_one, near_one
from fastmoments_kernels.formulas.normal import PDF_0, cdf, pdf
from fastmoments_kernels.tables import SYMMETRIC
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
STEEP = 1e4  # exp(-x^2 / 2) is 0 from here on; a larger x^2 would round by so much that exp of the error overflows
LONGEST = SYMMETRIC[-1]
BELL = 0.8493218002880191  # sqrt(1 / (2 ln 2)): exp(-x^2 / 2) = 2^(-(BELL x)^2)


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
