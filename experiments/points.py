"""Values of networks at points: Sobol points, samples, and the truth that they give."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri
from scipy.stats import qmc

import fastmoments as fm
from experiments.methods import Layers
from experiments.suites import Problem
from fastmoments.compare import Affine

# The fastest that NumPy and SciPy have: the rivals' times are at their best.
FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "relu": lambda x: np.maximum(x, 0.0),
    "gelu": lambda x: x * ndtr(x),
    "heaviside": lambda x: (x > 0) * 1.0,
    "probit": ndtr,
}
SCRAMBLES = 4  # of the truth; their scatter says its error
CHUNK = 2**17  # numbers in a chunk's widest array, 1 MiB: more than that leaves the cache
OPEN = 2.0**-54  # Sobol points may be 0


class Truth(NamedTuple):
    """Mean and covariance, and the standard errors of means, sds and the covariance, as `errors` measures them."""

    mean: Any
    cov: Any
    own: Any


def values(layers: Layers, x: Any) -> Any:
    """Outputs at the points x (rows, n)."""
    for layer in layers:
        if isinstance(layer, Affine):
            x = x @ np.asarray(layer.weight).T + layer.bias
        else:
            y = FUNCTIONS[layer.activation](x @ np.asarray(layer.A).T + layer.b)
            x = y if layer.C is None else y + x
    return x


def root(cov: Any) -> Any:
    """A square root of a covariance, what varies most first."""
    eigenvalues, vectors = np.linalg.eigh(cov)
    return (vectors * np.sqrt(np.maximum(eigenvalues, 0.0)))[:, ::-1]


def moments(problem: Problem, blocks: Iterator[Any]) -> fm.Moments:
    """Mean and covariance of the outputs at blocks of standard normal points."""
    half, count, total, second, centre = root(problem.cov), 0, 0.0, 0.0, None
    for z in blocks:
        y = values(problem.layers, problem.mu + z @ half.T)
        # around a mean that is nearly the right one nothing cancels
        centre = y.mean(0) if centre is None else centre
        y = y - centre
        count, total, second = count + len(y), total + y.sum(0), second + y.T @ y
    mean = total / count
    return fm.Moments(centre + mean, second / count - np.outer(mean, mean))


def sobol(problem: Problem, count: int, seed: int) -> fm.Moments:
    """Moments of one scrambled Sobol sequence, mapped by the quantile function and a root of the covariance."""
    engine = qmc.Sobol(len(problem.mu), rng=np.random.default_rng(seed))
    return moments(problem, (ndtri(np.maximum(engine.random(rows), OPEN)) for rows in _rows(problem, count)))


def monte_carlo(problem: Problem, count: int, seed: int) -> fm.Moments:
    """Moments of independent samples."""
    rng, n = np.random.default_rng(seed), len(problem.mu)
    return moments(problem, (rng.normal(size=(rows, n)) for rows in _rows(problem, count)))


def claimed(problem: Problem, count: int, seed: int) -> Any:
    """Two standard errors of means, sds and the covariance of `count` samples, from their fourth moments."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(count, len(problem.mu)))
    y = values(problem.layers, problem.mu + z @ root(problem.cov).T)
    y = y - y.mean(0)
    cov = y.T @ y / count
    var = np.diagonal(cov)
    fourth, whole = np.mean(y**4, axis=0), np.mean(np.sum(y**2, axis=1) ** 2)
    by_sd = np.sqrt(np.mean(fourth / var**2 - 1)) / 2
    by_cov = np.sqrt(whole - np.sum(cov**2)) / np.linalg.norm(cov)
    return 2 * np.array([1.0, by_sd, by_cov]) / np.sqrt(count)


def _rows(problem: Problem, count: int) -> Iterator[int]:
    widest = max(
        len(problem.mu), *(len(layer[0] if isinstance(layer, Affine) else layer.A) for layer in problem[0])
    )
    # a power of two: Sobol points are balanced in blocks of that size
    rows = 1 << (max(CHUNK // widest, 1).bit_length() - 1)
    return (min(rows, count - start) for start in range(0, count, rows))


def truth(problem: Problem, count: int, seed: int = 10**6, scrambles: int = SCRAMBLES) -> Truth:
    """Moments of `count` Sobol points in a few scrambles."""
    found = [sobol(problem, count // scrambles, seed + scramble) for scramble in range(scrambles)]
    means, covs = (np.array(part) for part in zip(*found, strict=True))
    mean, cov = means.mean(0), covs.mean(0)
    scatter = [errors(fm.Moments(*each), Truth(mean, cov, None)) for each in found]
    return Truth(mean, cov, np.sqrt(np.sum(np.square(scatter), axis=0) / scrambles / (scrambles - 1)))


def errors(answer: Any, true: Truth) -> Any:
    """Root mean square errors of means over sds and of sds over themselves, of the covariance in Frobenius norm.

    Outputs that do not vary have no such errors and are left out.
    """
    sd = np.sqrt(np.diagonal(true.cov))
    varies = sd > 0
    by_mean = (answer.mean - true.mean)[varies] / sd[varies]
    by_sd = np.sqrt(np.diagonal(answer.cov))[varies] / sd[varies] - 1
    by_cov = np.linalg.norm(answer.cov - true.cov) / np.linalg.norm(true.cov)
    return np.array([np.sqrt(np.mean(by_mean**2)), np.sqrt(np.mean(by_sd**2)), by_cov])
