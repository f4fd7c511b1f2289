"""The kinked line f(x) = x for x > 0, slope x below, of standardised pairs, for relu, leaky_relu and abs.

f = slope x + bend relu(x), bend = 1 - slope. A covariance is that of the lines with the mean slopes E f' plus the
kinks' part, which `kink_cov` and `step_kink_cov` integrate directly, without a difference from rho Phi Phi. 0
counts as positive throughout, as in the derivative of |x|.
"""

from fastmoments_kernels.bind import bind
from fastmoments_kernels.formulas.bivariate import RAMP_REACHES, fitted_integral
from fastmoments_kernels.formulas.bivariate_panels import corner, remaining
from fastmoments_kernels.formulas.correlation import conditional
from fastmoments_kernels.formulas.near_one import is_near_one, near_one
from fastmoments_kernels.formulas.normal import (
    cdf,
    cdf_difference,
    cdf_excess,
    inside,
    mills_0,
    mills_1,
    pdf,
    ramp_mean,
    ramp_tail_square,
)
from fastmoments_kernels.formulas.orthant import rules, sizes
from fastmoments_kernels.tables import LEGENDRE_8
from fastmoments_kernels.vocabulary import (
    Real,
    Reals,
    absolute,
    either,
    exp,
    expm1,
    gauss_legendre,
    maximum,
    minimum,
    where,
)

# both forms of kink_cov at rho = 1 lose a factor 2.8 at this y, and less on the side where each is taken
ONE_SIDE = 0.5
# up to this x the forms of `tails` around 0 are as good as those of the tails
CENTRAL = 0.5


def kinked_line(x: Real, slope: Real) -> Real:
    """f(x)."""
    return where(x < 0.0, slope * x, x)


def mean_slope(h: Real, slope: Real) -> Real:
    """E f'(h + Z) = Phi(h) + slope Phi(-h), for slope -1 with a small relative error near its zero h = 0 too."""
    within = inside(h)
    return where(h < 0.0, slope, 1.0) * within + (1.0 + slope) * _tail(absolute(h), within)


def _tail(x: Real, within: Real) -> Real:
    """Phi(-x) for x >= 0, near 0 from within = 1 - 2 Phi(-x), which has more digits there."""
    return where(x < CENTRAL, 0.5 - 0.5 * within, cdf(-x))


def tails(x: Real) -> Reals:
    """(Phi(-x), A(-x), E max(-x + Z, 0)^2, 1 - 2 Phi(-x)) for x >= 0, near 0 from their values at 0."""
    within, central = inside(x), x < CENTRAL
    tail = _tail(x, within)
    mean = where(central, pdf(x) - x * tail, ramp_mean(-x))
    return tail, mean, where(central, tail - x * mean, ramp_tail_square(x)), within


def side_variances(x: Real) -> Reals:
    """(Var max(x + Z, 0), Var max(-x + Z, 0), -Cov of the two) for x >= 0, without E relu^2 - (E relu)^2."""
    tail, mean, square, within = tails(x)
    product = mean * (x + mean)
    return (within + tail) - product, square - mean * mean, product


def kink_cov(h: Real, k: Real, rho: Real, eta: Real, rest: Real) -> Real:
    """int_0^rho (rho - r) phi_2(h, k; r) dr, rho >= 0; even in (h, k)."""
    return either(is_near_one(h, k, eta), _kink_cov_near_one, _kink_cov_apart, (h, k, rho, eta, rest))


def _kink_cov_apart(h: Real, k: Real, rho: Real, eta: Real, rest: Real) -> Real:
    far, _ = corner(h, k)
    return ramp_integral((h, k), pdf(far), h, k, eta, rest)


def _kink_cov_near_one(h: Real, k: Real, rho: Real, eta: Real, rest: Real) -> Real:
    """rho Phi(low) Phi(-high) - A(low) A(-high), exact at rho = 1, plus the integral N from there.

    x and y are the distances of low and high from 0, x the farther one where both are on one side. Far out on
    one side Phi(-x) - y A(-x) is formed without the subtraction.
    """
    exponent, _, _, n = near_one(h, k, eta)
    low, high = minimum(h, k), maximum(h, k)
    x = where(low < 0.0, -low, high)
    y = absolute(where(low < 0.0, high, low))
    one_side = (low >= 0.0) | (high < 0.0)
    tail_x, mean_x, square_x, _ = tails(x)
    tail_y, mean_y, _, within_y = tails(y)
    orthant = tail_x * where(one_side, tail_y + within_y, tail_y)
    central = rho * orthant - mean_x * where(one_side, y + mean_y, mean_y)
    far = (square_x + (x - y) * mean_x) - _gap(eta) * orthant - tail_x * tail_y - mean_x * mean_y
    return where(one_side & (y > ONE_SIDE), far, central) + exp(exponent) * n


def step_ramp_cov(h: Real, k: Real, rho: Real, eta: Real, rest: Real) -> Real:
    """phi(h) int_0^rho Phi((k - r h) / sqrt(1 - r^2)) dr; times the correlation's sign it is Cov(step, relu)."""
    return either(is_near_one(h, k, eta), _step_ramp_near_one, _step_ramp_apart, (h, k, rho, eta, rest))


def step_kink_cov(h: Real, k: Real, rho: Real, eta: Real, rest: Real) -> Real:
    """`step_ramp_cov` - rho phi(h) Phi(k); odd in (h, k)."""
    return either(is_near_one(h, k, eta), _step_kink_near_one, _step_kink_apart, (h, k, rho, eta, rest))


def _step_ramp_apart(h: Real, k: Real, rho: Real, eta: Real, rest: Real) -> Real:
    """`step_ramp_cov` by parts: the integrand is elementary; cancellation stays below the condition number."""
    far, _ = corner(h, k)
    return rho * pdf(h) * cdf(k) + slope_integral((h, k), pdf(far), h, k, eta, rest)


def _step_kink_apart(h: Real, k: Real, rho: Real, eta: Real, rest: Real) -> Real:
    far, _ = corner(h, k)
    return slope_integral((h, k), pdf(far), h, k, eta, rest)


def _kappa_slope(node: Reals, eta: Real, context: Reals) -> Real:
    """-(rho - r) d kappa / de in the measure of `integral`; 1 + e^2 is in both factors."""
    h, k = context
    e, over_e, _, beyond = node
    slope = (k - h) * (over_e * over_e) - (k + h)
    return slope * beyond * (e + eta) * (0.5 / (1.0 + eta * eta))


def _step_ramp_near_one(h: Real, k: Real, rho: Real, eta: Real, rest: Real) -> Real:
    """The value at rho = 1 minus phi(h) int_rho^1, by parts."""
    kappa, _ = conditional(h, k, eta, rest)
    return _step_ramp_at_one(h, k) - (_gap(eta) * pdf(h) * cdf(kappa) + _beyond(h, k, eta))


def _step_kink_near_one(h: Real, k: Real, rho: Real, eta: Real, rest: Real) -> Real:
    """`_step_ramp_near_one` with Phi(kappa) - Phi(k) as the integrand."""
    kappa, shift = conditional(h, k, eta, rest)
    central = maximum(absolute(h), absolute(k)) < 1.0
    at_one = where(central, _step_kink_at_one(h, k), _step_ramp_at_one(h, k) - pdf(h) * cdf(k))
    return at_one - (_gap(eta) * pdf(h) * cdf_difference(kappa, k, shift) + _beyond(h, k, eta))


def _gap(eta: Real) -> Real:
    """1 - rho."""
    return 2.0 * eta * eta / (1.0 + eta * eta)


def _beyond(h: Real, k: Real, eta: Real) -> Real:
    """int_rho^1 (1 - r) phi(h) phi(kappa) d kappa, in the integrals of `near_one`."""
    exponent, p, q, _ = near_one(h, k, eta)
    return exp(exponent) * (0.5 * (k - h) * p - 0.5 * (k + h) * q)


def _step_ramp_at_one(h: Real, k: Real) -> Real:
    x = absolute(h)
    hazard = mills_1(x) / mills_0(x)  # phi(h) / Phi(h) - |h| for h < 0
    lift = where(k > 0.0, -h + hazard - ramp_mean(-k), (k - h) + hazard - ramp_mean(k))
    above = where(h < 0.0, cdf(h) * lift, pdf(h) - cdf(h) * ramp_mean(-k))
    return where(k > h, above, ramp_mean(k) * cdf(-h))


def _step_kink_at_one(h: Real, k: Real) -> Real:
    """`_step_ramp_at_one` - phi(h) Phi(k), in terms that vanish with h and k, for h and k up to about 1."""
    fall = pdf(h) * expm1(-0.5 * (k - h) * (k + h))  # phi(k) - phi(h)
    odd = cdf_excess(h) * pdf(k) + cdf_excess(k) * pdf(h)
    return k * cdf(minimum(h, k)) * cdf(-maximum(h, k)) - 0.5 * (where(k > h, 1.0, -1.0) * fall + odd)


def route(pair: Reals) -> Real:
    """The number of the route of the integrals, and of `orthant`'s, which differs in tails."""
    sign, h, k, rho, eta, _ = pair
    tail, near, size = sizes(sign, h, k, rho, eta * (1.0 + rho))
    return where(near, 0.0, 1.0 + ramp_rules(size)) + where(tail, 9.0, 0.0)


def conditional_shift(pair: Reals, slope: Real) -> Real:
    """t M(kappa) - M(k), t = sqrt(1 - rho^2), M(x) = E f(x + Z): the change of E f(X_2) / sd_2 given X_1 = 0.

    t kappa - k = -rho h is taken out, with the slope E f'(kappa + Z) where kappa - k is small and by
    M(x) = f(x) + bend A(-|x|) elsewhere: the remaining terms do not cancel.
    """
    _, h, k, rho, eta, rest = pair
    kappa, shift = conditional(h, k, eta, rest)
    small = (absolute(shift) * (1.0 + absolute(k) + absolute(kappa)) < 1.5) & (eta > 0.0)
    near = where(small, kappa, k)
    moved = where(small, shift, 0.0)
    drop = rest * rest / (1.0 + eta * eta)  # 1 - t
    close_kink = -moved * moved * pdf(k) * gauss_legendre(LEGENDRE_8, _moved_density, (k, moved)) - drop * pdf(near)
    line = -rho * h
    beside = where(k < 0.0, slope * line, line)
    # on the side of the kink that |kappa| takes below, however k + line = t kappa is rounded
    across = where(kappa < 0.0, slope * (k + line), k + line) - kinked_line(k, slope)
    same_side = (kappa > 0.0) & (k > 0.0) | (kappa < 0.0) & (k < 0.0)
    t = 2.0 * eta / (1.0 + eta * eta)
    far_kink = where(eta > 0.0, t * ramp_mean(-absolute(kappa)), 0.0) - ramp_mean(-absolute(k))
    slope_part = where(small, mean_slope(near, slope) * line, where(same_side, beside, across))
    return slope_part + (1.0 - slope) * where(small, close_kink, far_kink)


def _moved_density(node: Real, context: Reals) -> Real:
    """t phi(k + t) / phi(k) at t = node moved, divided by moved."""
    k, moved = context
    t = node * moved
    return node * exp(-t * (k + 0.5 * t))


ramp_rules = bind(rules, {"REACHES": RAMP_REACHES})
ramp_integral = bind(fitted_integral, {"weight": remaining, "REACHES": RAMP_REACHES})
slope_integral = bind(fitted_integral, {"weight": _kappa_slope, "REACHES": RAMP_REACHES})
