"""Monte Carlo and randomised quasi-Monte Carlo, with standard errors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple, overload

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import qmc

from fastmoments.checked.progress import bar
from fastmoments.compare.gaussians import square_root
from fastmoments.compare.networks import FloatArray, Step, gaussian, is_stochastic, steps, value
from fastmoments.hints import explained
from fastmoments.layer_lists import Layer
from fastmoments.results import Moments

# Repetitions; their scatter gives the standard errors, with a relative error of 1 / sqrt(2 * 15) = 18 %.
_REPLICATES = 16
# Numbers in a chunk's widest array, 1 MiB: measured twice as fast as 16 MiB, which exceeds the cache.
_CHUNK_NUMBERS = 2**17

Method = Literal["random", "sobol"]


class MomentsWithError(NamedTuple):
    """Estimated mean and covariance, and the standard error of every entry."""

    mean: FloatArray
    cov: FloatArray
    mean_error: FloatArray
    cov_error: FloatArray


@overload
def monte_carlo(
    layers: Sequence[Layer],
    mu: ArrayLike,
    cov: ArrayLike,
    samples: int = ...,
    method: Method = ...,
    seed: int | None = ...,
    return_error: Literal[False] = ...,
) -> Moments[FloatArray]: ...
@overload
def monte_carlo(
    layers: Sequence[Layer],
    mu: ArrayLike,
    cov: ArrayLike,
    samples: int = ...,
    method: Method = ...,
    seed: int | None = ...,
    *,
    return_error: Literal[True],
) -> MomentsWithError: ...
@explained
def monte_carlo(
    layers: Sequence[Layer],
    mu: ArrayLike,
    cov: ArrayLike,
    samples: int = 2**20,
    method: Method = "random",
    seed: int | None = None,
    return_error: bool = False,
) -> Moments[FloatArray] | MomentsWithError:
    """Mean and covariance of the network's output over sampled inputs.

    Parameters
    ----------
    layers : sequence of Affine and Residual
        The network, first layer first.
    mu : array, shape (..., n)
        Input mean.
    cov : array, shape (..., n, n)
        Input covariance; singular is allowed.
    samples : int
        Samples for every input, at least 32. For Sobol points 16 times a power of two.
    method : {"random", "sobol"}
        Independent samples, or scrambled Sobol points: more accurate in few dimensions.
    seed : int, optional
        The same seed gives the same result.
    return_error : bool
        Also return standard errors.

    Returns
    -------
    Moments or MomentsWithError
        ``mean`` (..., m) and ``cov`` (..., m, m), in float64; with return_error also ``mean_error`` and
        ``cov_error`` of the same shapes.

    Raises
    ------
    TypeError : an entry of layers is neither Affine nor Residual.
    ValueError : shapes disagree, cov is not symmetric to rounding or not positive semidefinite, method is neither
        of the two, samples is too small or not 16 times a power of two for Sobol points, or an activation is
        stochastic.

    Notes
    -----
    The samples are 16 independent repetitions; for Sobol points 16 scramblings, because one gives no error
    estimate. The result is the average over repetitions, and their scatter gives the standard errors. Memory does
    not grow with samples.

    References
    ----------
    Owen, "Randomly permuted (t,m,s)-nets and (t,s)-sequences", 1995 (scrambling, and error from repetitions).
    """
    _check(samples, method)
    x, cov_x = gaussian(mu, cov)
    network, root = steps(layers, x.shape[-1]), square_root(cov_x)
    _check_certain(network)
    (*batch, n), m = x.shape, len(network[-1].d)
    mean, covariance = np.empty((_REPLICATES, *batch, m)), np.empty((_REPLICATES, *batch, m, m))
    jobs = list(np.ndindex(_REPLICATES, *batch))
    # one stream per repetition and input, so that their errors are independent
    streams = np.random.default_rng(seed).spawn(len(jobs))
    with bar("Monte Carlo", " runs", len(jobs)) as progress:
        for job, rng in zip(jobs, streams, strict=True):
            replicate, index = job[0], job[1:]
            count = samples // _REPLICATES + (replicate < samples % _REPLICATES)
            blocks = _standard_normal(n, count, _chunk_rows(network, n), method, rng)
            mean[job], covariance[job] = _sample_moments(network, (x[index] + z @ root[index].T for z in blocks))
            progress.update()
    return _summary(mean, covariance, return_error)


def _check(samples: int, method: Method) -> None:
    if method not in ("random", "sobol"):
        raise ValueError(f'method: expected "random" or "sobol", got {method!r}')
    if samples < 2 * _REPLICATES:
        raise ValueError(f"samples: expected at least {2 * _REPLICATES}, got {samples}")
    points, rest = divmod(samples, _REPLICATES)
    if method == "sobol" and (rest or points & (points - 1)):
        raise ValueError(f"samples: expected {_REPLICATES} times a power of two for Sobol, got {samples}")


def _check_certain(network: Sequence[Step]) -> None:
    for position, step in enumerate(network):
        if step.A is not None and is_stochastic(step.activation):
            raise ValueError(
                f"layers[{position}]: expected an activation with one value at x, got {step.activation!r}; "
                "sample a stochastic one yourself"
            )


def _chunk_rows(network: Sequence[Step], width: int) -> int:
    widest = max(width, *(len(step.d) for step in network))
    # a power of two: Sobol points are balanced in blocks of that size
    return 1 << (max(_CHUNK_NUMBERS // widest, 1).bit_length() - 1)


def _standard_normal(
    n: int, count: int, rows: int, method: Method, rng: np.random.Generator
) -> Iterator[FloatArray]:
    engine = qmc.Sobol(n, seed=rng) if method == "sobol" else None
    sobol = engine and qmc.MultivariateNormalQMC(np.zeros(n), engine=engine)
    for start in range(0, count, rows):
        size = min(rows, count - start)
        yield sobol.random(size) if sobol else rng.standard_normal((size, n))


def _sample_moments(network: Sequence[Step], chunks: Iterable[FloatArray]) -> tuple[FloatArray, FloatArray]:
    """Merge the chunks' means and scatters without cancellation (Chan, Golub & LeVeque 1979, eq. 2.1)."""
    count, mean, scatter = 0, np.zeros(()), np.zeros(())
    for x in chunks:
        y = value(network, x)
        mean_y = y.mean(axis=0)
        centred = y - mean_y
        shift = mean_y - mean
        total = count + len(y)
        scatter = scatter + centred.T @ centred + np.outer(shift, shift) * (count * len(y) / total)
        mean = mean + shift * (len(y) / total)
        count = total
    return mean, scatter / (count - 1)


def _summary(mean: FloatArray, cov: FloatArray, return_error: bool) -> Moments[FloatArray] | MomentsWithError:
    estimate = mean.mean(axis=0), cov.mean(axis=0)
    if not return_error:
        return Moments(*estimate)
    mean_error, cov_error = (each.std(axis=0, ddof=1) / np.sqrt(_REPLICATES) for each in (mean, cov))
    return MomentsWithError(*estimate, mean_error, cov_error)
