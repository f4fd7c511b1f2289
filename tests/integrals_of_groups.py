"""Truth for functions of Gaussian groups X = mu + factors z + noise: integrals of the definition."""

import numpy as np
from scipy.special import ndtr

LEGENDRE = np.polynomial.legendre.leggauss(16)


def panels(ends):
    """Gauss-Legendre nodes and weights of the panels between sorted ends."""
    step = np.diff(ends)[:, None]
    nodes = ends[:-1, None] + 0.5 * step * (LEGENDRE[0] + 1.0)
    return nodes.ravel(), (0.5 * step * LEGENDRE[1]).ravel()


def independent_maximum(mu, sd):
    """E max, E max^2 and probabilities that each is largest, of independent X (n,), sd > 0."""
    low, high = np.max(mu - 9.0 * sd), np.max(mu + 9.0 * sd)
    ends = [mu + z * sd for z in np.linspace(-9.0, 9.0, 25)]
    x, w = panels(np.unique(np.clip(np.concatenate([*ends, [low, high]]), low, high)))
    h = (x - mu[:, None]) / sd[:, None]
    below = ndtr(h)
    density = np.exp(-0.5 * h * h) / np.sqrt(2.0 * np.pi) / sd[:, None]
    others = np.array([np.prod(np.delete(below, i, 0), 0) for i in range(len(mu))])
    p = (density * others) @ w
    total = w * (density * others).sum(0)
    return total @ x, total @ (x * x), p


def one_factor_maximum(mu, factor, sd):
    """Mean, variance and probabilities of the maximum of mu + factor z + sd noise, z a standard normal number."""
    z, w = panels(np.linspace(-9.0, 9.0, 49))
    w = w * np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)
    found = [independent_maximum(mu + factor * x, sd) for x in z]
    mean, square = w @ [f[0] for f in found], w @ [f[1] for f in found]
    return mean, square - mean * mean, w @ [f[2] for f in found]


def of_factors(function, mu, factors, nodes=60):
    """Mean and covariance of function(X), (points, n) -> (points, m), X = mu + factors z, z of one to three."""
    z, w = np.polynomial.hermite_e.hermegauss(nodes)
    rank = factors.shape[1]
    grid = np.stack(np.meshgrid(*[z] * rank, indexing="ij"), -1).reshape(-1, rank)
    weights = np.prod(np.stack(np.meshgrid(*[w / w.sum()] * rank, indexing="ij"), -1).reshape(-1, rank), -1)
    y = function(mu + grid @ factors.T)
    mean = weights @ y
    return mean, ((y - mean) * weights[:, None]).T @ (y - mean)
