"""heaviside(x) = 1[x > 0], 1/2 at 0. With h = mu / sd:

mean = Phi(h), gain = phi(h) / sd, var = Phi(h) Phi(-h),
cov = int_0^rho phi_2(h, k; r) dr                                                       (Kuang & Lin 2026).
"""

from fastmoments_kernels.formulas.bivariate import density, step_cov
from fastmoments_kernels.formulas.correlation import conditional, correlate, over_sd, standardise
from fastmoments_kernels.formulas.normal import cdf, cdf_difference, cdf_excess
from fastmoments_kernels.formulas.orthant import route as orthant_route
from fastmoments_kernels.vocabulary import Real, Reals, where


def function(x: Real) -> Real:
    """1 for x > 0, 1/2 at 0, 0 below."""
    return where(x > 0.0, 1.0, where(x < 0.0, 0.0, 0.5 + 0.0 * x))


def lipschitz() -> Real:
    """sup |f'|, infinite for a jump."""
    return float("inf")


def neuron(mu: Real, var: Real, parameters: Reals) -> Reals:
    """(mu, var, sd, h, Phi(h), phi(h))."""
    return standardise(mu, var)


def mean(neuron: Reals) -> Real:
    """E heaviside(X) = Phi(h)."""
    mu, var, _, _, cdf_h, _ = neuron
    return where(var == 0.0, function(mu), cdf_h)


def gain(neuron: Reals) -> Real:
    """E heaviside'(X) = phi(h) / sd; at zero variance 0, and inf on the jump."""
    _, _, sd, _, _, pdf_h = neuron
    return over_sd(pdf_h, sd)


def var(neuron: Reals) -> Real:
    """Var heaviside(X) = Phi(h) Phi(-h)."""
    _, var, _, h, cdf_h, _ = neuron
    return where(var == 0.0, 0.0 * cdf_h, cdf_h * cdf(-h))


def mean_dvar(neuron: Reals) -> Real:
    """d mean / d var = E heaviside''(X) / 2 = -h phi(h) / (2 var)."""
    _, var, _, h, _, pdf_h = neuron
    return -0.5 * over_sd(h * pdf_h, var)


def var_partials(neuron: Reals) -> Reals:
    """(dVar/dmu, dVar/dvar): d_mu = phi(h) (Phi(-h) - Phi(h)) / sd, and -h / (2 sd) d_mu."""
    _, _, sd, h, _, pdf_h = neuron
    d_mu = over_sd(pdf_h * cdf_excess(-h), sd)
    return d_mu, -0.5 * over_sd(h * d_mu, sd)


def series(neuron: Reals) -> Reals:
    """(0, b_1, b_2) of the Hermite coefficients b_n = E[f(mu + sd Z) He_n(Z)] / sqrt(n!)."""
    _, _, _, h, _, pdf_h = neuron
    return 0.0 * h, pdf_h, -h * pdf_h * 0.7071067811865476


def series_step(order: Reals, neuron: Reals, last: Real, before: Real) -> Real:
    """b_n = (-1)^(n-1) He_{n-1}(h) phi(h) / sqrt(n!) from b_{n-1} and b_{n-2}, n >= 3."""
    _, _, _, h, _, _ = neuron
    n, per_root, per_root_before = order
    return -(h * per_root) * last - (n - 2.0) * per_root_before * per_root * before


def cov(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """Cov(heaviside(X_1), heaviside(X_2))."""
    sign, h, k, rho, eta, rest = correlate(neuron_1, neuron_2, cov_12, slack)
    return sign * step_cov(h, k, rho, eta, rest)


def route(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """The route of the integral over the correlation."""
    return orthant_route(correlate(neuron_1, neuron_2, cov_12, slack))


def cov_10(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """Cov(heaviside'(X_1), heaviside(X_2)) = phi(h) / sd_1 (Phi(kappa) - Phi(k)) = d cov / d mu_1."""
    pair = correlate(neuron_1, neuron_2, cov_12, slack)
    return over_sd(step_cov_10(pair, neuron_1[5]), neuron_1[2])


def cov_20(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """Cov(heaviside''(X_1), heaviside(X_2)) = 2 d cov / d var_1."""
    pair = correlate(neuron_1, neuron_2, cov_12, slack)
    return over_sd(step_cov_20(pair, neuron_1[5]), neuron_1[1])


def product_11(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """E[heaviside'(X_1) heaviside'(X_2)] = phi_2 / (sd_1 sd_2) = d cov / d cov_12."""
    sign, h, k, rho, eta, rest = correlate(neuron_1, neuron_2, cov_12, slack)
    return over_sd(density(h, k, eta), neuron_1[2] * neuron_2[2])


def step_cov_10(pair: Reals, pdf_h: Real) -> Real:
    """phi(h) (Phi(kappa) - Phi(k)), d/dh of the standardised covariance."""
    _, h, k, _, eta, rest = pair
    kappa, shift = conditional(h, k, eta, rest)
    return pdf_h * cdf_difference(kappa, k, shift)


def step_cov_20(pair: Reals, pdf_h: Real) -> Real:
    """d^2/dh^2 of the standardised covariance: -h phi(h) (Phi(kappa) - Phi(k)) - rho phi_2."""
    sign, h, k, rho, eta, rest = pair
    kappa, shift = conditional(h, k, eta, rest)
    return -(sign * h * pdf_h * cdf_difference(kappa, k, shift) + sign * rho * density(h, k, eta))
