"""npn(x) = r - q exp(-tau (x - center)^2 / 2): r minus q times `gaussian`."""

from fastmoments_kernels.formulas.bump import (
    bump,
    level,
    log_bump,
    scaled_bend,
    scaled_height,
    scaled_slope,
    scaled_variance,
    shortfall,
    steepest,
)
from fastmoments_kernels.formulas.gaussian import cov as bump_cov
from fastmoments_kernels.formulas.gaussian import cov_10 as bump_cov_10
from fastmoments_kernels.formulas.gaussian import cov_20 as bump_cov_20
from fastmoments_kernels.formulas.gaussian import cov_dparameters as bump_cov_dparameters
from fastmoments_kernels.formulas.gaussian import mean as bump_mean
from fastmoments_kernels.formulas.gaussian import mean_dparameters as bump_mean_dparameters
from fastmoments_kernels.formulas.gaussian import product_11 as bump_product_11
from fastmoments_kernels.formulas.gaussian import series as bump_series
from fastmoments_kernels.formulas.gaussian import series_step as bump_series_step
from fastmoments_kernels.formulas.gaussian import var as bump_var
from fastmoments_kernels.formulas.gaussian import var_dparameters as bump_var_dparameters
from fastmoments_kernels.formulas.gaussian import var_partials as bump_var_partials
from fastmoments_kernels.vocabulary import Real, Reals, absolute, exp, expm1


def function(x: Real, r: Real, q: Real, tau: Real, center: Real) -> Real:
    """r - q exp(-tau (x - center)^2 / 2)."""
    exponent = log_bump(x, tau, center)
    return level(r, -q, -q * exp(exponent), -expm1(exponent))


def lipschitz(r: Real, q: Real, tau: Real, center: Real) -> Real:
    """sup |f'|."""
    return absolute(q) * steepest(tau)


def neuron(mu: Real, var: Real, parameters: Reals) -> Reals:
    """The bump's features, then r and q."""
    r, q, tau, center = parameters
    return bump(mu, var, tau, center) + (r, q)


def mean(neuron: Reals) -> Real:
    """E npn(X) = r - q E s(X)."""
    q = neuron[9]
    return level(neuron[8], -q, scaled_height(neuron[:8], -q), shortfall(neuron[:8]))


def gain(neuron: Reals) -> Real:
    """E npn'(X) = -q E s'(X)."""
    return scaled_slope(neuron[:8], -neuron[9])


def var(neuron: Reals) -> Real:
    """Var npn(X) = q^2 Var s(X)."""
    return scaled_variance(neuron[:8], neuron[9])


def mean_dvar(neuron: Reals) -> Real:
    """d mean / d var = E npn''(X) / 2."""
    return scaled_bend(neuron[:8], -0.5 * neuron[9])


def var_partials(neuron: Reals) -> Reals:
    """(dVar/dmu, dVar/dvar)."""
    d_mu, d_var = bump_var_partials(neuron[:8])
    return neuron[9] * neuron[9] * d_mu, neuron[9] * neuron[9] * d_var


def mean_dparameters(neuron: Reals) -> Reals:
    """d mean along (r, q, tau, center)."""
    q = neuron[9]
    d_tau, d_center = bump_mean_dparameters(neuron[:8])
    return 1.0 + 0.0 * q, -bump_mean(neuron[:8]), -q * d_tau, -q * d_center


def var_dparameters(neuron: Reals) -> Reals:
    """d var along (r, q, tau, center)."""
    q = neuron[9]
    d_tau, d_center = bump_var_dparameters(neuron[:8])
    return 0.0 * q, 2.0 * q * bump_var(neuron[:8]), q * q * d_tau, q * q * d_center


def series(neuron: Reals) -> Reals:
    """The start of the Hermite coefficients, -q times those of the bump."""
    b_0, b_1, b_2 = bump_series(neuron[:8])
    return -neuron[9] * b_0, -neuron[9] * b_1, -neuron[9] * b_2


def series_step(order: Reals, neuron: Reals, last: Real, before: Real) -> Real:
    """b_n from b_{n-1} and b_{n-2}."""
    return bump_series_step(order, neuron[:8], last, before)


def cov(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """Cov(npn(X_1), npn(X_2)) = q_1 q_2 Cov(s_1(X_1), s_2(X_2)); derivatives have the factor q_1 q_2 too."""
    return neuron_1[9] * neuron_2[9] * bump_cov(neuron_1[:8], neuron_2[:8], cov_12, slack)


def cov_10(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """Cov(npn'(X_1), npn(X_2)) = d cov / d mu_1."""
    return neuron_1[9] * neuron_2[9] * bump_cov_10(neuron_1[:8], neuron_2[:8], cov_12, slack)


def cov_20(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """Cov(npn''(X_1), npn(X_2)) = 2 d cov / d var_1."""
    return neuron_1[9] * neuron_2[9] * bump_cov_20(neuron_1[:8], neuron_2[:8], cov_12, slack)


def product_11(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """E[npn'(X_1) npn'(X_2)] = d cov / d cov_12."""
    return neuron_1[9] * neuron_2[9] * bump_product_11(neuron_1[:8], neuron_2[:8], cov_12, slack)


def cov_dparameters(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Reals:
    """d cov along neuron 1's (r, q, tau, center)."""
    q_2, amplitudes = neuron_2[9], neuron_1[9] * neuron_2[9]
    d_tau, d_center = bump_cov_dparameters(neuron_1[:8], neuron_2[:8], cov_12, slack)
    d_q = q_2 * bump_cov(neuron_1[:8], neuron_2[:8], cov_12, slack)
    return 0.0 * d_q, d_q, amplitudes * d_tau, amplitudes * d_center
