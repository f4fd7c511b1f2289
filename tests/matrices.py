"""Random Gaussian vectors of several kinds, and the moments that functions of matrices should return."""

from functools import cache
from typing import NamedTuple

import numpy as np

from tests import series, truth

# one neuron, a few, a tile of 64, one more, several tiles and a part of one
SIZES = (1, 2, 5, 64, 65, 130)
KINDS = ("typical", "tails", "duplicated", "nearly_duplicated", "zero_variance", "strong", "singular")
SHAPES = [("typical", n) for n in SIZES] + [(kind, n) for kind in KINDS[1:] for n in (5, 65)]
DIGITS = 18
REAL = np.longdouble


class Expected(NamedTuple):
    """Mean, covariance and |value| times condition number of each; nan where nothing is expected."""

    mean: np.ndarray
    mean_size: np.ndarray
    cov: np.ndarray
    cov_size: np.ndarray


def draw(kind, n):
    """Return mu and cov of numbers exact in float32; cov is positive semidefinite in exact arithmetic."""
    rng = np.random.default_rng([n, *kind.encode()])
    if kind == "singular":
        # products of small integers: nothing is rounded, and the rank is half
        factors = rng.integers(-15, 16, (n, (n + 1) // 2))
        cov = factors @ factors.T / 64.0
        return single(rng.standard_normal(n) * np.sqrt(np.diag(cov))), cov
    if kind == "duplicated":
        mu, cov = draw("typical", (n + 1) // 2)
        twice = rng.permutation(np.resize(np.arange(len(mu)), n))
        return mu[twice], cov[np.ix_(twice, twice)]
    if kind == "nearly_duplicated":
        # larger variances, rounded up: the matrix stays positive semidefinite
        mu, cov = draw("duplicated", n)
        own = single(np.diag(cov) * (1 + np.exp2(-rng.integers(8, 23, n))))
        return single(mu * (1 + np.exp2(-rng.integers(8, 23, n)))), cov + np.diag(own - np.diag(cov))
    # one common factor: correlations g_i g_j, eigenvalues of at least 1 - max g^2, far above what rounding moves
    strong = np.sqrt(1 - 10 ** rng.uniform(-3.5, -1, n)) * rng.choice([-1, 1], n)
    g = strong if kind == "strong" else rng.uniform(-0.7, 0.7, n)
    sd = np.exp2(rng.uniform(-3, 3, n))
    cov = single((np.outer(g, g) + np.diag(1 - g * g)) * np.outer(sd, sd))
    mu = single(sd * (rng.uniform(-9, 9, n) if kind == "tails" else rng.standard_normal(n)))
    if kind == "zero_variance":
        cov[n // 2] = cov[:, n // 2] = 0
    return mu, cov


def single(x):
    return np.asarray(x, dtype=np.float32).astype(np.float64)


@cache
def expected(row, kind, n, count):
    """Truth of `draw(kind, n)` for every weak correlation, every duplicate, and `count` random other pairs."""
    f, (mu, cov) = truth.activation(row), draw(kind, n)
    mean, mean_size, out, size = (
        np.zeros(n, REAL),
        np.zeros(n, REAL),
        np.zeros((n, n), REAL),
        np.zeros((n, n), REAL),
    )
    alive = np.flatnonzero(np.diag(cov))
    for i in set(range(n)) - set(alive):
        certain = truth.neuron_truth(f, mu[i], 0.0, DIGITS)
        mean[i], out[i, i] = (series.long(certain[name].value) for name in ("mean", "var"))
    some = np.ix_(alive, alive)
    mu, cov = mu[alive], cov[some]
    neurons = alive_neurons(row, kind, n)
    values, pairs = neurons.values(), neurons.pairs(cov)["cov"]
    mean[alive], mean_size[alive] = values["mean"].value, absolute(values["mean"])
    same = (mu == mu[:, None]) & (cov == np.diag(cov)) & (cov == np.diag(cov)[:, None])
    if hasattr(row.formula, "conditional_var"):
        same &= np.eye(len(mu), dtype=bool)  # duplicates of a stochastic neuron draw independently
    value, scale = (
        np.where(same, spread, pair)
        for spread, pair in ((values["var"].value, pairs.value), (absolute(values["var"]), absolute(pairs)))
    )
    missing = np.argwhere(np.triu(np.isnan(value)))
    rng = np.random.default_rng(n)
    for i, j in rng.permutation(missing)[:count]:
        found = truth.cov_truth(f, f, mu[i], mu[j], cov[i, i], cov[j, j], cov[i, j], DIGITS)
        value[i, j] = value[j, i] = series.long(found.value)
        scale[i, j] = scale[j, i] = series.long(found.cond * abs(found.value))
    out[some], size[some] = value, scale
    return Expected(mean, mean_size, out, size)


@cache
def alive_neurons(row, kind, n):
    """Return the series of the neurons of `draw(kind, n)` that have variance."""
    mu, cov = draw(kind, n)
    alive = np.diag(cov) > 0
    return series.Neurons(truth.activation(row), mu[alive], np.diag(cov)[alive])


def absolute(value):
    """The condition number times |value|."""
    return value.cond * np.abs(value.value)
