"""Neurons with independent Gaussian noise of their own, Y = X + N: a smooth step or ramp of X is a kinked one of Y.

Phi(x / sqrt(noise)) = P(Y > 0 | x). The correlation of the Y stays below 1 in size at any correlation of the X.
"""

from fastmoments_kernels.formulas.correlation import determinant, judged, within
from fastmoments_kernels.formulas.normal import cdf, pdf
from fastmoments_kernels.vocabulary import Real, Reals, absolute, sqrt, where


def standardise(mu: Real, var: Real, noise: Real) -> Reals:
    """(mu, var, S, g, Phi(g), phi(g), v = var / S^2, u = noise / S^2), S^2 = noise + var, g = mu / S.

    Zero variance needs no case of its own.
    """
    var = judged(var)
    square = noise + var
    spread = sqrt(square)
    g = within(mu / spread)
    return mu, var, spread, g, cdf(g), pdf(g), var / square, noise / square


def root(v: Real) -> Real:
    """sqrt(v) = sd / S, differentiable at zero variance."""
    return where(v != 0.0, sqrt(where(v != 0.0, v, 1.0)), v)


def correlate(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Reals:
    """(sign, g_1, g_2, |rho|, eta, 1 - eta) of the noisy pair; `correlation.correlate` has them without noise.

    1 - rho^2 = v_1 v_2 (1 - cov_12^2 / (var_1 var_2)) + u_1 v_2 + v_1 u_2 + u_1 u_2 is a sum of positive terms,
    which keeps its digits at large variances too. A determinant that is negative by rounding means that the X have
    correlation +-1.
    """
    var_1, spread_1, g, v_1, u_1 = neuron_1[1], neuron_1[2], neuron_1[3], neuron_1[6], neuron_1[7]
    var_2, spread_2, k, v_2, u_2 = neuron_2[1], neuron_2[2], neuron_2[3], neuron_2[6], neuron_2[7]
    det, product, scaled_12, unit_1, unit_2 = determinant(var_1, var_2, cov_12, slack)
    alive, beyond = product > 0.0, det < 0.0
    clipped = alive & beyond
    size = where(clipped, sqrt(where(clipped, product, 1.0)), absolute(scaled_12))
    rho = where(alive, size / ((spread_1 * unit_1) * (spread_2 * unit_2)), 0.0 * product)
    apart = where(alive, where(beyond, 0.0, det) / where(alive, product, 1.0), 1.0)  # 1 - correlation^2 of the X
    noise = (u_1 * v_2 + v_1 * u_2) + u_1 * u_2
    eta = sqrt((v_1 * v_2) * apart + noise) / (1.0 + rho)
    sign = where(cov_12 < 0.0, -1.0, 1.0)
    return sign, sign * g, k, rho, eta, 2.0 * rho / ((1.0 + rho) * (1.0 + eta))
