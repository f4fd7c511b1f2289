"""relu(x) = max(x, 0). With h = mu / sd, A(h) = E max(h + Z, 0):

mean = sd A(h), gain = Phi(h), var = sd^2 (E max(h + Z, 0)^2 - A(h)^2),
cov = sd_1 sd_2 (rho Phi(h) Phi(k) + int_0^rho (rho - r) phi_2(h, k; r) dr)          (Kuang & Lin 2026).
"""

from fastmoments_kernels.bind import bind
from fastmoments_kernels.formulas.correlation import correlate, over_sd, standardise
from fastmoments_kernels.formulas.near_one import is_near_one, near_one
from fastmoments_kernels.formulas.normal import (
    cdf,
    cdf_difference,
    mills_1,
    mills_2,
    ramp_mean,
)
from fastmoments_kernels.formulas.orthant import orthant
from fastmoments_kernels.formulas.ramp import conditional_shift, ramp_integral, side_variances, step_ramp_cov
from fastmoments_kernels.formulas.ramp import route as ramp_route
from fastmoments_kernels.vocabulary import (
    Real,
    Reals,
    absolute,
    either,
    exp,
    maximum,
    minimum,
    where,
)


def function(x: Real) -> Real:
    """max(x, 0)."""
    return maximum(x, 0.0)


def lipschitz() -> Real:
    """sup |f'|."""
    return 1.0


def neuron(mu: Real, var: Real, parameters: Reals) -> Reals:
    """(mu, var, sd, h, Phi(h), phi(h), Phi(-|h|))."""
    mu, var, sd, h, cdf_h, pdf_h = standardise(mu, var)
    return mu, var, sd, h, cdf_h, pdf_h, cdf(-absolute(h))


def mean(neuron: Reals) -> Real:
    """E relu(X) = sd A(h)."""
    mu, _, sd, h, _, pdf_h, _ = neuron
    # above 0 not by h: mu / sd may overflow
    return maximum(mu, 0.0) + sd * pdf_h * mills_1(absolute(h))


def gain(neuron: Reals) -> Real:
    """E relu'(X) = Phi(h); at zero variance the step, 1/2 on the kink."""
    return neuron[4]


def var(neuron: Reals) -> Real:
    """Var relu(X)."""
    _, var, _, h, _, _, _ = neuron
    upper, lower, _ = side_variances(absolute(h))
    return var * where(h < 0.0, lower, upper)


def var_partials(neuron: Reals) -> Reals:
    """(dVar/dmu, dVar/dvar) = (2 sd A(h) Phi(-h), Phi(h) - A(h) phi(h)); at zero variance (0, gain^2)."""
    _, var, sd, h, cdf_h, pdf_h, _ = neuron
    mean_h = ramp_mean(h)
    return 2.0 * sd * mean_h * cdf(-h), where(var == 0.0, cdf_h * cdf_h, cdf_h - mean_h * pdf_h)


def mean_dvar(neuron: Reals) -> Real:
    """d mean / d var = E relu''(X) / 2 = phi(h) / (2 sd); at zero variance 0, inf on the kink."""
    _, _, sd, _, _, pdf_h, _ = neuron
    return 0.5 * over_sd(pdf_h, sd)


def series(neuron: Reals) -> Reals:
    """(0, b_1, b_2) of the Hermite coefficients b_n = E[f(mu + sd Z) He_n(Z)] / sqrt(n!)."""
    _, _, sd, _, cdf_h, pdf_h, _ = neuron
    return 0.0 * sd, sd * cdf_h, sd * pdf_h * 0.7071067811865476


def series_step(order: Reals, neuron: Reals, last: Real, before: Real) -> Real:
    """b_n from b_{n-1} and b_{n-2}, n >= 3: He_n(h) = h He_{n-1} - (n-1) He_{n-2} with 1/sqrt(n!) inside."""
    n, per_root, per_root_before = order
    return -(neuron[3] * per_root) * last - (n - 3.0) * per_root_before * per_root * before


def cov(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """Cov(relu(X_1), relu(X_2))."""
    pair = correlate(neuron_1, neuron_2, cov_12, slack)
    return neuron_1[2] * neuron_2[2] * ramp_cov(pair, bells(neuron_1), bells(neuron_2))


def route(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """The route of the integral over the correlation."""
    return ramp_route(correlate(neuron_1, neuron_2, cov_12, slack))


def bells(neuron: Reals) -> Reals:
    """(phi(h), Phi(-|h|)) of a neuron, for `ramp_cov`."""
    return neuron[5], neuron[6]


def ramp_cov(pair: Reals, bells_1: Reals, bells_2: Reals) -> Real:
    """rho Phi(h) Phi(k) + int_0^rho (rho - r) phi_2(h, k; r) dr = Cov(relu(X_1), relu(X_2)) / (sd_1 sd_2).

    `bells` are (phi(h), Phi(-|h|)) of both.
    """
    _, h, k, _, eta, _ = pair
    return either(is_near_one(h, k, eta), _cov_near_one, _cov_apart, (pair, bells_1, bells_2))


def _cov_apart(pair: Reals, bells_1: Reals, bells_2: Reals) -> Real:
    sign, h, k, rho, eta, rest = pair
    bell_h, tail_h = bells_1
    bell_k, tail_k = bells_2
    bell = where(absolute(h) > absolute(k), bell_h, bell_k)
    line = sign * rho * (_above(sign * h, tail_h) * _above(k, tail_k))
    return line + ramp_integral((h, k), bell, h, k, eta, rest)


def _above(h: Real, tail: Real) -> Real:
    """Phi(h) from Phi(-|h|)."""
    return where(h < 0.0, tail, 1.0 - tail)


def _cov_near_one(pair: Reals, bells_1: Reals, bells_2: Reals) -> Real:
    """The value at |rho| = 1, a term linear in 1 - rho, and a remainder of second order."""
    sign, h, k, _, eta, _ = pair
    exponent, _, _, n = near_one(h, k, eta)
    gap = 2.0 * eta * eta / (1.0 + eta * eta)
    # h is multiplied by the sign: the neuron's own is -h
    return either(sign < 0.0, _opposite, _same, (h, k, gap, bells_1, bells_2)) + exp(exponent) * n


def _same(h: Real, k: Real, gap: Real, bells_1: Reals, bells_2: Reals) -> Real:
    """The value at rho = 1, less 1 - rho times the probability Phi(low) that both are positive there."""
    falls, low, high = h > k, minimum(h, k), maximum(h, k)
    bell, tail = where(falls, bells_2[0], bells_1[0]), where(falls, bells_2[1], bells_1[1])
    beyond_low = bell * mills_1(absolute(low))
    beyond_high = where(falls, bells_1[0], bells_2[0]) * mills_1(absolute(high))
    mean_low, below = maximum(low, 0.0) + beyond_low, _above(low, tail)
    bracket = where(high > 0.0, -low, high - low) - beyond_high
    both_negative = bell * mills_2(absolute(low)) + mean_low * bracket
    at_one = where(low < 0.0, both_negative, below - mean_low * (maximum(-high, 0.0) + beyond_high))
    return at_one - gap * below


def _opposite(h: Real, k: Real, gap: Real, bells_1: Reals, bells_2: Reals) -> Real:
    """The value at rho = -1, plus 1 - |rho| times the probability that both are positive there."""
    overlap = where(k > h, cdf_difference(k, h, k - h), 0.0)
    beyond_h, beyond_k = bells_1[0] * mills_1(absolute(h)), bells_2[0] * mills_1(absolute(k))
    side = where(k > h, 1.0, -1.0)
    product = (maximum(side * h, 0.0) + beyond_h) * (maximum(-side * k, 0.0) + beyond_k)
    return (gap - 1.0) * overlap - product


def cov_10(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """Cov(relu'(X_1), relu(X_2)) = d cov / d mu_1."""
    sign, h, k, rho, eta, rest = correlate(neuron_1, neuron_2, cov_12, slack)
    return neuron_2[2] * sign * step_ramp_cov(h, k, rho, eta, rest)


def cov_20(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """Cov(relu''(X_1), relu(X_2)) = 2 d cov / d var_1 = phi(h) sd_2 / sd_1 (t A(kappa) - A(k))."""
    pair = correlate(neuron_1, neuron_2, cov_12, slack)
    return neuron_2[2] * over_sd(neuron_1[5], neuron_1[2]) * conditional_ramp_shift(pair, 0.0)


def _mean_slope(h: Real, slope: Real) -> Real:
    return cdf(h)


def product_11(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """E[relu'(X_1) relu'(X_2)] = d cov / d cov_12: the orthant probability."""
    return orthant(correlate(neuron_1, neuron_2, cov_12, slack))


conditional_ramp_shift = bind(conditional_shift, {"mean_slope": _mean_slope})
