"""Moments of a function of a Gaussian by samples, so exact for small spreads that one dropped covariance shows.

X = mu + l z and -z beside every z split f(X) into an odd part o and an even part e, which are uncorrelated:
E f(X) = E e and Cov f(X) = E o o^T + Cov e. A linear part J l z of o, whose covariance is known, is taken from
o o^T in every sample, so that the samples estimate only what is not linear: of f, not of any closure. J is f's
Jacobian by differences; whatever J is, the estimates are unbiased.
"""

from typing import NamedTuple

import numpy as np
from scipy.stats import norm

LEVEL = 1e-3  # that right moments are taken for wrong ones, over all networks, means and covariances of a test
CHUNK = 2**13
# What the closure may be off, in the output's standard deviation and in the product of two: it takes what comes out
# of an activation as Gaussian. For inputs of standard deviation sd it errs in means and covariances by terms of the
# order sd^4, times the network's curvatures: for 0.01 that is 1e-6 of an sd and 1e-4 of an sd^2.
OF_MEAN, OF_COV = 1e-5, 1e-3


class Sampled(NamedTuple):
    """Estimates of f(X)'s mean (m,) and covariance (m, m), and the standard errors of both."""

    mean: np.ndarray
    cov: np.ndarray
    mean_error: np.ndarray
    cov_error: np.ndarray


def gaussian(n, sd, seed=0):
    """Mean of order 1 and correlated covariance of n values, of standard deviations about sd."""
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(n, n + 2)) * sd / np.sqrt(n + 2)
    return rng.normal(size=n), root @ root.T


def sampled(f, mu, cov, count, seed=1, smooth=None):
    """Estimate the moments of f, (points, n) to (points, m), at 2 count points, CHUNK at a time.

    `smooth` is f without the noise that f may draw at every point, of which J is taken.
    """
    rng, root = np.random.default_rng(seed), np.linalg.cholesky(cov)
    centre, jacobian = _line(smooth or f, mu)
    parts = []
    for _ in range(count // CHUNK):
        off = rng.standard_normal((CHUNK, len(mu))) @ root.T
        above, below = f(mu + off) - centre, f(mu - off) - centre
        parts.append(((above - below) / 2.0, (above + below) / 2.0, off @ jacobian.T))
    shift = np.mean([even.mean(0) for _, even, _ in parts], 0)
    square = np.mean([((even - shift) ** 2).mean(0) for _, even, _ in parts], 0)
    products = [_pairs(odd) + _pairs(even - shift) - _pairs(line) for odd, even, line in parts]
    product = np.mean([values.mean(0) for values in products], 0)
    spread = np.mean([((values - product) ** 2).mean(0) for values in products], 0)
    return Sampled(
        centre + shift,
        jacobian @ cov @ jacobian.T + _matrix(product, len(centre)),
        np.sqrt(square / count),
        _matrix(np.sqrt(spread / count), len(centre)),
    )


def _line(f, mu, step=1e-5):
    """f(mu) (m,) and its Jacobian (m, n), to about 1e-10: of third derivatives, and of rounding."""
    n = len(mu)
    steps = step * np.concatenate([np.zeros((1, n)), np.eye(n), -np.eye(n)])
    values = f(mu + steps)
    return values[0], (values[1 : n + 1] - values[n + 1 :]).T / (2.0 * step)


def _pairs(x):
    """Products of two columns, those of the upper triangle."""
    rows, columns = np.triu_indices(x.shape[1])
    return x[:, rows] * x[:, columns]


def _matrix(upper, m):
    full = np.zeros((m, m))
    full[np.triu_indices(m)] = upper
    return full + np.triu(full, 1).T


def excess(mean, cov, truth, of_mean, of_cov, networks):
    """How far moments are from the truth, by what they may be off: at most 1 where they are right.

    They may be off by the closure's error, of_mean standard deviations and of_cov products of two, and by as many
    standard errors as make LEVEL that of `networks` such comparisons, by Bonferroni's inequality.
    """
    sd = np.sqrt(np.diag(truth.cov))
    sd = np.maximum(sd, 1e-6 * sd.max())  # known outputs, of sd 0, are right to rounding
    m = len(sd)
    errors = norm.isf(LEVEL / 2 / networks / (m + m * (m + 1) // 2))
    off_means, off_covs = np.abs(mean - truth.mean), np.abs(cov - truth.cov)
    with np.errstate(invalid="ignore"):  # of outputs that are all known, 0 / 0 is 0
        of_means = np.where(off_means == 0.0, 0.0, off_means / (of_mean * sd + errors * truth.mean_error))
        of_covs = np.where(off_covs == 0.0, 0.0, off_covs / (of_cov * np.outer(sd, sd) + errors * truth.cov_error))
    return max(of_means.max(), of_covs.max())
