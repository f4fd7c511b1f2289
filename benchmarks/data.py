"""Random inputs for the timings: a kernel's time depends on the correlations of its neurons."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Layer(NamedTuple):
    """A linear layer's weight and input covariance, and the Gaussian (mu, cov) that its activation sees."""

    weight: Array
    cov_in: Array
    mu: Array
    cov: Array


def _means(rng: np.random.Generator, cov: Array) -> Array:
    # One standard deviation either side of zero: neither saturated nor all at the kink.
    return rng.normal(size=len(cov)) * np.sqrt(np.diag(cov))


def _linear_layer(rng: np.random.Generator, n: int) -> tuple[Array, Array]:
    weight = rng.normal(size=(n, n)) / np.sqrt(n)
    factors = rng.normal(size=(n, 8 * n)) / np.sqrt(8 * n)
    return weight, factors @ factors.T


def typical(n: int) -> Layer:
    """The covariance after a wide random linear layer: nearly every |rho| is a few 1/sqrt(n) or less."""
    rng = np.random.default_rng(n)
    weight, cov_in = _linear_layer(rng, n)
    cov = weight @ cov_in @ weight.T
    cov = (cov + cov.T) / 2
    return Layer(weight, cov_in, _means(rng, cov), cov)


def strong(n: int) -> Layer:
    """One common factor with random loadings and signs: |rho| spreads over 0 to .95."""
    rng = np.random.default_rng(n)
    weight, cov_in = _linear_layer(rng, n)
    loading = np.sqrt(0.95) * rng.uniform(-1.0, 1.0, size=n)
    rho = np.outer(loading, loading)
    np.fill_diagonal(rho, 1.0)
    sigma = rng.uniform(0.5, 2.0, size=n)
    cov = rho * np.outer(sigma, sigma)
    return Layer(weight, cov_in, _means(rng, cov), cov)


DATA = {"typical": typical, "strong": strong}
