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
    ramp_mean,
    ramp_tail_square,
)
from fastmoments_kernels.formulas.orthant import orthant
from fastmoments_kernels.formulas.orthant import route as orthant_route
from fastmoments_kernels.formulas.ramp import conditional_shift, ramp_integral, side_variances, step_ramp_cov
from fastmoments_kernels.vocabulary import (
    Real,
    Reals,
    absolute,
    either,
    exp,
    maximum,
    minimum,
    sqrt,
    where,
)


def function(x: Real) -> Real:
    """max(x, 0)."""
    return maximum(x, 0.0)


def lipschitz() -> Real:
    """sup |f'|."""
    return 1.0


def neuron(mu: Real, var: Real, parameters: Reals) -> Reals:
    """(mu, var, sd, h, Phi(h), phi(h))."""
    return standardise(mu, var)


def mean(neuron: Reals) -> Real:
    """E relu(X) = sd A(h)."""
    mu, _, sd, h, _, pdf_h = neuron
    # above 0 not by h: mu / sd may overflow
    return maximum(mu, 0.0) + sd * pdf_h * mills_1(absolute(h))


def gain(neuron: Reals) -> Real:
    """E relu'(X) = Phi(h); at zero variance the step, 1/2 on the kink."""
    return neuron[4]


def var(neuron: Reals) -> Real:
    """Var relu(X)."""
    _, var, _, h, _, _ = neuron
    upper, lower, _ = side_variances(absolute(h))
    return var * where(h < 0.0, lower, upper)


def var_partials(neuron: Reals) -> Reals:
    """(dVar/dmu, dVar/dvar) = (2 sd A(h) Phi(-h), Phi(h) - A(h) phi(h)); at zero variance (0, gain^2)."""
    _, var, sd, h, cdf_h, pdf_h = neuron
    mean_h = ramp_mean(h)
    return 2.0 * sd * mean_h * cdf(-h), where(var == 0.0, cdf_h * cdf_h, cdf_h - mean_h * pdf_h)


def mean_dvar(neuron: Reals) -> Real:
    """d mean / d var = E relu''(X) / 2 = phi(h) / (2 sd); at zero variance 0, inf on the kink."""
    _, _, sd, _, _, pdf_h = neuron
    return 0.5 * over_sd(pdf_h, sd)


def series(neuron: Reals) -> Reals:
    """(0, b_1, b_2) of the Hermite coefficients b_n = E[f(mu + sd Z) He_n(Z)] / sqrt(n!)."""
    _, _, sd, _, cdf_h, pdf_h = neuron
    return 0.0 * sd, sd * cdf_h, sd * pdf_h * 0.7071067811865476


def series_step(order: Real, neuron: Reals, last: Real, before: Real) -> Real:
    """b_n from b_{n-1} and b_{n-2}, n >= 3: He_n(h) = h He_{n-1} - (n-1) He_{n-2} with 1/sqrt(n!) inside."""
    return -(neuron[3] * last + (order - 3.0) / sqrt(order - 1.0) * before) * (1.0 / sqrt(order))


def cov(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """Cov(relu(X_1), relu(X_2))."""
    pair = correlate(neuron_1, neuron_2, cov_12, slack)
    return neuron_1[2] * neuron_2[2] * ramp_cov(pair)


def route(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """The route of the integral over the correlation."""
    return orthant_route(correlate(neuron_1, neuron_2, cov_12, slack))


def ramp_cov(pair: Reals) -> Real:
    """rho Phi(h) Phi(k) + int_0^rho (rho - r) phi_2(h, k; r) dr = Cov(relu(X_1), relu(X_2)) / (sd_1 sd_2)."""
    _, h, k, _, eta, _ = pair
    return either(is_near_one(h, k, eta), _cov_near_one, _cov_apart, pair)


def _cov_apart(sign: Real, h: Real, k: Real, rho: Real, eta: Real, rest: Real) -> Real:
    return sign * rho * (cdf(sign * h) * cdf(k)) + ramp_integral((h, k), h, k, eta, rest)


def _cov_near_one(sign: Real, h: Real, k: Real, rho: Real, eta: Real, rest: Real) -> Real:
    """The value at |rho| = 1, a term linear in 1 - rho, and a remainder of second order."""
    exponent, _, _, n = near_one(h, k, eta)
    n = exp(exponent) * n
    gap = 2.0 * eta * eta / (1.0 + eta * eta)
    low, high = minimum(h, k), maximum(h, k)
    mean_low, mean_high = ramp_mean(low), ramp_mean(high)
    mean_minus_high = ramp_mean(-high)
    bracket = where(high > 0.0, -low - mean_minus_high, (high - low) - mean_high)
    both_negative = ramp_tail_square(absolute(low)) + mean_low * bracket
    at_one = where(low < 0.0, both_negative, cdf(low) - mean_low * mean_minus_high)
    same = at_one - gap * cdf(low) + n
    # h is multiplied by the sign: the neuron's own is -h
    overlap = where(k > h, cdf_difference(k, h, k - h), 0.0)
    product = where(k > h, ramp_mean(h) * ramp_mean(-k), ramp_mean(-h) * ramp_mean(k))
    opposite = (gap - 1.0) * overlap - product + n
    return where(sign < 0.0, opposite, same)


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
