"""gaussian(x) = exp(-tau (x - center)^2 / 2): the bump itself."""

from fastmoments_kernels.formulas.bump import (
    bend,
    bump,
    height,
    height_dcenter,
    height_dtau,
    log_bump,
    scaled_variance,
    slope,
    steepest,
)
from fastmoments_kernels.formulas.bump import series as bump_series
from fastmoments_kernels.formulas.bump import series_step as bump_series_step
from fastmoments_kernels.formulas.bump_pairs import (
    covariance,
    covariance_10,
    covariance_20,
    covariance_dcenter,
    covariance_dtau,
    expectation_11,
)
from fastmoments_kernels.formulas.common_bumps import remainder_dvar
from fastmoments_kernels.formulas.correlation import (
    link,
    self_link,
)
from fastmoments_kernels.vocabulary import Real, Reals, exp


def function(x: Real, tau: Real, center: Real) -> Real:
    """exp(-tau (x - center)^2 / 2)."""
    return exp(log_bump(x, tau, center))


def lipschitz(tau: Real, center: Real) -> Real:
    """sup |f'|."""
    return steepest(tau)


def neuron(mu: Real, var: Real, parameters: Reals) -> Reals:
    """The features of its bump."""
    tau, center = parameters
    return bump(mu, var, tau, center)


def mean(neuron: Reals) -> Real:
    """E s(X) = exp(-z^2/2) / sqrt(1 + tau var)."""
    return height(neuron)


def gain(neuron: Reals) -> Real:
    """E s'(X)."""
    return slope(neuron)


def var(neuron: Reals) -> Real:
    """Var s(X)."""
    return scaled_variance(neuron, 1.0)


def mean_dvar(neuron: Reals) -> Real:
    """d mean / d var = E s''(X) / 2."""
    return 0.5 * bend(neuron)


def var_partials(neuron: Reals) -> Reals:
    """(dVar/dmu, dVar/dvar)."""
    joined = self_link(neuron)
    d_var = slope(neuron) * slope(neuron) + remainder_dvar(neuron, neuron, joined)
    return 2.0 * covariance_10(neuron, neuron, joined), d_var


def mean_dparameters(neuron: Reals) -> Reals:
    """d mean along (tau, center)."""
    return height_dtau(neuron), height_dcenter(neuron)


def var_dparameters(neuron: Reals) -> Reals:
    """d var along (tau, center)."""
    joined = self_link(neuron)
    return 2.0 * covariance_dtau(neuron, neuron, joined), 2.0 * covariance_dcenter(neuron, neuron, joined)


def series(neuron: Reals) -> Reals:
    """(b_0, b_1, b_2) of the Hermite coefficients."""
    return bump_series(neuron)


def series_step(order: Reals, neuron: Reals, last: Real, before: Real) -> Real:
    """b_n from b_{n-1} and b_{n-2}."""
    return bump_series_step(order, neuron, last, before)


def cov(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """Cov(s_1(X_1), s_2(X_2))."""
    return covariance(neuron_1, neuron_2, link(neuron_1, neuron_2, cov_12, slack))


def cov_10(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """Cov(s_1'(X_1), s_2(X_2)) = d cov / d mu_1."""
    return covariance_10(neuron_1, neuron_2, link(neuron_1, neuron_2, cov_12, slack))


def cov_20(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """Cov(s_1''(X_1), s_2(X_2)) = 2 d cov / d var_1."""
    return covariance_20(neuron_1, neuron_2, link(neuron_1, neuron_2, cov_12, slack))


def product_11(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """E[s_1'(X_1) s_2'(X_2)] = d cov / d cov_12."""
    return expectation_11(neuron_1, neuron_2, link(neuron_1, neuron_2, cov_12, slack))


def cov_dparameters(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Reals:
    """d cov along neuron 1's (tau, center)."""
    joined = link(neuron_1, neuron_2, cov_12, slack)
    return covariance_dtau(neuron_1, neuron_2, joined), covariance_dcenter(neuron_1, neuron_2, joined)
