"""amplitude Phi(x / sqrt(noise)): a step of x + e averaged over its own Gaussian noise e of that variance.

The noise is independent between neurons, so their moments are heaviside's at variance noise + var and the same
covariance (Kuang & Lin 2026). With S^2 = noise + var, g = mu / S, and times the amplitudes:

mean = Phi(g), gain = phi(g) / S, cov = int_0^rho phi_2(g_1, g_2; r) dr, rho = cov_12 / (S_1 S_2).

|rho| < 1 at any correlation of the inputs: 1 - rho^2 is a sum of positive terms, which keeps its digits at large
variances too.
"""

from fastmoments_kernels.formulas.bivariate import density, step_cov
from fastmoments_kernels.formulas.heaviside import step_cov_10, step_cov_20
from fastmoments_kernels.formulas.noisy import correlate, root, standardise
from fastmoments_kernels.formulas.normal import cdf_difference, pdf
from fastmoments_kernels.formulas.orthant import route as orthant_route
from fastmoments_kernels.vocabulary import Real, Reals


def features(mu: Real, var: Real, noise: Real, amplitude: Real) -> Reals:
    """(mu, var, S, g, Phi(g), phi(g), v = var / S^2, u = noise / S^2, amplitude)."""
    neuron = standardise(mu, var, noise)
    return neuron + (amplitude + 0.0 * neuron[3],)


def mean(neuron: Reals) -> Real:
    """Phi(g)."""
    return neuron[8] * neuron[4]


def gain(neuron: Reals) -> Real:
    """E f'(X) = phi(g) / S."""
    _, _, spread, _, _, pdf_g, _, _, amplitude = neuron
    return amplitude * pdf_g / spread


def var(neuron: Reals) -> Real:
    """Var f(X): the covariance with a duplicate to the last bit, so that matrices stay positive semidefinite."""
    return cov(neuron, neuron, neuron[1], 0.0)


def mean_dvar(neuron: Reals) -> Real:
    """d mean / d var = -g phi(g) / (2 S^2)."""
    _, _, spread, g, _, pdf_g, _, _, amplitude = neuron
    return -0.5 * amplitude * (g / spread) * (pdf_g / spread)


def var_partials(neuron: Reals) -> Reals:
    """(dVar/dmu, dVar/dvar): 2 cov_10 and cov_20 + product_11 of duplicates, the second by two terms of one sign.

    kappa is eta g, and (1 - rho) phi_2(g, g; rho) = eta phi(g) phi(eta g).
    """
    _, var, spread, g, _, pdf_g, _, _, amplitude = neuron
    _, _, _, _, eta, rest = correlate(neuron, neuron, var, 0.0)
    front = amplitude * amplitude * pdf_g / spread
    drop = cdf_difference(eta * g, g, -rest * g)
    return 2.0 * front * drop, front * (eta * pdf(eta * g) - g * drop) / spread


def series(neuron: Reals) -> Reals:
    """(0, b_1, b_2) of the Hermite coefficients b_n = E[f(mu + sd Z) He_n(Z)] / sqrt(n!)."""
    _, _, _, g, _, pdf_g, v, _, amplitude = neuron
    front = amplitude * pdf_g
    return 0.0 * g, root(v) * front, -v * g * front * 0.7071067811865476


def series_step(order: Reals, neuron: Reals, last: Real, before: Real) -> Real:
    """b_n = (sd / S)^n (-1)^(n-1) He_{n-1}(g) phi(g) / sqrt(n!) from b_{n-1} and b_{n-2}, n >= 3."""
    _, _, _, g, _, _, v, _, _ = neuron
    n, per_root, per_root_before = order
    return -(root(v) * g * per_root) * last - v * ((n - 2.0) * per_root_before * per_root) * before


def cov(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """Cov(f(X_1), f(X_2))."""
    sign, g, k, rho, eta, rest = correlate(neuron_1, neuron_2, cov_12, slack)
    return sign * (neuron_1[8] * neuron_2[8]) * step_cov(g, k, rho, eta, rest)


def route(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """The route of the integral over the correlation."""
    return orthant_route(correlate(neuron_1, neuron_2, cov_12, slack))


def cov_10(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """Cov(f'(X_1), f(X_2)) = phi(g_1) / S_1 (Phi(kappa) - Phi(g_2)) = d cov / d mu_1."""
    pair = correlate(neuron_1, neuron_2, cov_12, slack)
    return neuron_1[8] * neuron_2[8] * step_cov_10(pair, neuron_1[5]) / neuron_1[2]


def cov_20(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """Cov(f''(X_1), f(X_2)) = 2 d cov / d var_1."""
    pair = correlate(neuron_1, neuron_2, cov_12, slack)
    return neuron_1[8] * neuron_2[8] * step_cov_20(pair, neuron_1[5]) / neuron_1[2] / neuron_1[2]


def product_11(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """E[f'(X_1) f'(X_2)] = phi_2 / (S_1 S_2) = d cov / d cov_12."""
    _, g, k, _, eta, _ = correlate(neuron_1, neuron_2, cov_12, slack)
    return neuron_1[8] * neuron_2[8] * density(g, k, eta) / (neuron_1[2] * neuron_2[2])
