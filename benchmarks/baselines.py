"""Other methods to time beside the kernels: the published quadrature in NumPy, and SciPy one pair at a time."""

import math
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.polynomial.legendre import leggauss
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.special import ndtr
from scipy.stats import multivariate_normal

Array = NDArray[np.float64]

NODES, WEIGHTS = leggauss(20)
ROOT_TWO_PI = math.sqrt(2 * math.pi)


def _density(x: Array) -> Array:
    return np.exp(-x * x / 2) / ROOT_TWO_PI


def plackett(h: Array, k: Array, rho: Array, power: int) -> Array:
    """Integrate (rho - r)^power phi2(h, k; r) for r from 0 to rho, by 20-node Gauss-Legendre in r."""
    total = np.zeros_like(rho)
    squares, product = h * h + k * k, h * k
    for node, weight in zip(NODES, WEIGHTS, strict=True):
        r = rho * (0.5 + 0.5 * node)
        one_minus = 1 - r * r
        density = np.exp((r * product - squares / 2) / one_minus) / np.sqrt(one_minus)
        total += weight * (rho - r) ** power * density
    return total * rho / (4 * np.pi)


def _standardise(mu: Array, cov: Array) -> tuple[Array, Array, Array]:
    sigma = np.sqrt(np.diag(cov))
    rho = cov / np.outer(sigma, sigma)
    return sigma, mu / sigma, rho


def relu_quadrature(mu: Array, cov: Array) -> tuple[Array, Array]:
    """Mean and covariance of relu: cov_ij Phi(h) Phi(k) plus the integral with weight rho - r."""
    mean, out, own = relu_pairs(mu, cov)
    np.fill_diagonal(out, own)
    return mean, out


def relu_pairs(mu: Array, cov: Array) -> tuple[Array, Array, Array]:
    """Means, covariances of all pairs (the diagonal too), and variances; `np` may be another library."""
    sigma, a, rho = _standardise(mu, cov)
    gain = ndtr(a)
    mean = mu * gain + sigma * _density(a)
    out = cov * np.outer(gain, gain)
    out += np.outer(sigma, sigma) * plackett(a[:, None], a[None, :], rho, power=1)
    second = (mu * mu + sigma * sigma) * gain + mu * sigma * _density(a)
    return mean, out, second - mean * mean


def heaviside_quadrature(mu: Array, cov: Array) -> tuple[Array, Array]:
    """Mean and covariance of the unit step: the integral with weight 1."""
    _, a, rho = _standardise(mu, cov)
    mean = ndtr(a)
    out = plackett(a[:, None], a[None, :], rho, power=0)
    np.fill_diagonal(out, mean * ndtr(-a))
    return mean, out


def bivariate_cdf(h: float, k: float, rho: float) -> float:
    return float(multivariate_normal.cdf([h, k], cov=[[1.0, rho], [rho, 1.0]], allow_singular=True))


def by_owens_t(owens_t: Callable[[Array, Array], Any]) -> Callable[[Array, Array, Array], Array]:
    """The distribution function by Owen's T (Owen 1956), where neither h nor k is 0."""

    def cdf(h: Array, k: Array, rho: Array) -> Array:
        root = np.sqrt((1 - rho) * (1 + rho))
        with np.errstate(divide="ignore"):
            own = [owens_t(x, (y - rho * x) / (x * root)) for x, y in ((h, k), (k, h))]
        return (ndtr(h) + ndtr(k)) / 2 - np.asarray(own[0]) - np.asarray(own[1]) - np.where(h * k > 0, 0.0, 0.5)

    return cdf


def jax_owens_t() -> Callable[[Array, Array], Array] | None:
    """JAX's function in float64, where it is installed and has it."""
    if find_spec("jax") is None:
        return None
    import jax

    if not hasattr(jax.scipy.special, "owens_t"):
        return None
    jitted = jax.jit(jax.scipy.special.owens_t)

    def owens_t(h: Array, a: Array) -> Array:
        with jax.enable_x64(True):
            return np.asarray(jitted(h, a))

    return owens_t


def relu_scipy(mu_1: float, mu_2: float, var_1: float, var_2: float, cov_12: float) -> float:
    """One pair: E[relu relu] in closed form around SciPy's bivariate cdf, minus the product of the means."""
    s_1, s_2 = np.sqrt(var_1), np.sqrt(var_2)
    h, k, rho = mu_1 / s_1, mu_2 / s_2, cov_12 / (s_1 * s_2)
    q = np.sqrt(1 - rho * rho)
    second = (
        (h * k + rho) * bivariate_cdf(h, k, rho)
        + h * _density(k) * ndtr((h - rho * k) / q)
        + k * _density(h) * ndtr((k - rho * h) / q)
        + q * _density(h) * _density((k - rho * h) / q)
    )
    means = (h * ndtr(h) + _density(h)) * (k * ndtr(k) + _density(k))
    return float(s_1 * s_2 * (second - means))


def heaviside_scipy(mu_1: float, mu_2: float, var_1: float, var_2: float, cov_12: float) -> float:
    """One pair: SciPy's bivariate cdf minus the product of the means."""
    s_1, s_2 = np.sqrt(var_1), np.sqrt(var_2)
    h, k = mu_1 / s_1, mu_2 / s_2
    return float(bivariate_cdf(h, k, cov_12 / (s_1 * s_2)) - ndtr(h) * ndtr(k))


def gelu_quadrature(mu: Array, var: Array, cov_12: Array) -> Array:
    """Pairs: cov_12 E f'(X_1) E f'(X_2) plus int_0^cov_12 (cov_12 - r) E_r f''(X_1) f''(X_2) dr, 20 nodes in r.

    mu and var are (2, ...). f'' = phi(x) (2 - x^2): phi phi times the density of X is a Gaussian of covariance W.
    """
    size = 1 + var
    g = mu / np.sqrt(size)
    gain = ndtr(g) + mu * _density(g) / size**1.5
    total = np.zeros_like(cov_12)
    for node, weight in zip(NODES, WEIGHTS, strict=True):
        r = cov_12 * (0.5 + 0.5 * node)
        det = size[0] * size[1] - r * r
        power = (size[1] * mu[0] ** 2 + size[0] * mu[1] ** 2 - 2 * r * mu[0] * mu[1]) / det
        w_11, w_22, w_12 = 1 - size[1] / det, 1 - size[0] / det, r / det
        m_1, m_2 = (size[1] * mu[0] - r * mu[1]) / det, (size[0] * mu[1] - r * mu[0]) / det
        fourth = (m_1**2 + w_11) * (m_2**2 + w_22) + 4 * m_1 * m_2 * w_12 + 2 * w_12**2
        bend = 4 - 2 * (m_1**2 + w_11 + m_2**2 + w_22) + fourth
        total += weight * (cov_12 - r) * np.exp(-power / 2) / (2 * np.pi * np.sqrt(det)) * bend
    return cov_12 * gain[0] * gain[1] + 0.5 * cov_12 * total


def gelu_scipy(mu_1: float, mu_2: float, var_1: float, var_2: float, cov_12: float) -> float:
    """One pair: scipy.integrate.quad over X_1 of f(X_1) E[f(X_2) | X_1], minus the product of the means."""
    slope, rest = cov_12 / var_1, var_2 - cov_12**2 / var_1

    def mean(mu: float, var: float) -> float:
        g = mu / np.sqrt(1 + var)
        return float(mu * ndtr(g) + var / np.sqrt(1 + var) * _density(g))

    def integrand(z: float) -> float:
        x = np.sqrt(var_1) * z
        return float((mu_1 + x) * ndtr(mu_1 + x) * mean(mu_2 + slope * x, rest) * _density(np.float64(z)))

    return quad(integrand, -12, 12, epsabs=0, epsrel=1e-13, limit=200)[0] - mean(mu_1, var_1) * mean(mu_2, var_2)
