"""The start and the points, each with the weight that its error leaves it, and the error of their sum.

Replicates are unbiased and independent, so that they tell their average's standard error, and of the start its
squared bias without a bias: |average - start|^2 - SE^2.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtri

from fastmoments.checked.arrays import FloatArray
from fastmoments.checked.statistics import Estimates

LEVEL = 0.975  # of points' claims
# Points that all sequences together may miss behind a jump: eight of n points each agree by chance on their number,
# with a probability of 5 %, where it is .31 off
MISSED = 2.5
GUESS = 0.3  # a corrected answer's error over its distance from the closure: the median on random networks


class Start(NamedTuple):
    """One input's answer without points: mean (m,), cov (m, m) or variances (m,), and a guess at its error.

    The guess is one of the mean in sds, the sds, and the covariance; infinite where nothing is known.
    """

    mean: FloatArray
    cov: FloatArray
    guess: FloatArray


class Weighed(NamedTuple):
    """Mean and covariance or variances, their claimed errors, and the start's weights in both.

    The error is of the mean in sds, of the sds relative to them, and of the covariance in Frobenius norms.
    """

    mean: FloatArray
    cov: FloatArray
    error: FloatArray
    weight: FloatArray


def weighed(found: Estimates, start: Start | None) -> Weighed:
    """Return the weighed sum of the points and the start, and what may be claimed of it.

    Outputs that have one value at all points count as constant. No claim is below 1 / count: what happens more
    rarely has not been seen; and none is below what `MISSED` points make of it. Claims are infinite where outputs
    are.
    """
    mean, cov = found.means.mean(0), found.covs.mean(0)
    if not (np.isfinite(mean).all() and np.isfinite(cov).all()):
        return Weighed(mean, cov, np.full(2 if cov.ndim == 1 else 3, np.inf), np.zeros(2))
    scales = _scales_of(mean, cov, found.eps)
    if start is not None:
        start = _with_constant(start, mean, ~np.isfinite(scales.sd))
    scatters = _scatters(found, start, scales)
    if not all(math.isfinite(x.doubt) for x in scatters):  # of a start so far off that its square is infinite
        start, scatters = None, _scatters(found, None, scales)
    w, v = _weights(scatters, start)
    weights = np.array([w, v, v][: len(scatters)])
    errors = np.array([scatter.error(x) for scatter, x in zip(scatters, weights, strict=True)])
    least = np.maximum(1.0, (1.0 - weights) * MISSED * _moves(found, scales)) / found.points
    if start is not None:
        mean, cov = w * start.mean + (1.0 - w) * mean, v * start.cov + (1.0 - v) * cov
    claims = np.where(np.isfinite(errors), np.maximum(errors, least), np.inf)
    return Weighed(mean, cov, claims, np.array([w, v]))


class _Scales(NamedTuple):
    """Standard deviations (m,), infinite for constant outputs; the same times the root of the number of others.

    And the Frobenius norm of the covariance, None where there are variances alone.
    """

    sd: FloatArray
    of_all: FloatArray
    size: float | None


def _scales_of(mean: FloatArray, cov: FloatArray, eps: float) -> _Scales:
    var = _variances(cov, mean)
    # the model rounds, perhaps not always alike
    varies = var > (8.0 * eps * mean) ** 2
    sd = np.where(varies, np.sqrt(np.maximum(var, 0.0)), np.inf)
    count = max(int(np.sum(varies)), 1)
    return _Scales(sd, sd * math.sqrt(count), _norm(cov) if cov.ndim > mean.ndim else None)


def _scatters(found: Estimates, start: Start | None, scales: _Scales) -> list[_Scatter]:
    """The errors of means in sds, of sds, and of covariances, each relative to all outputs'."""
    per_var = 0.5 / scales.sd / scales.of_all
    with np.errstate(over="ignore", invalid="ignore"):
        of_mean = _scatter(found.means / scales.of_all, start and start.mean / scales.of_all)
        of_sd = _scatter(
            _variances(found.covs, found.means) * per_var, start and _variances(start.cov, start.mean) * per_var
        )
        if scales.size is None:
            return [of_mean, of_sd]
        covs = found.covs.reshape(len(found.covs), -1) / scales.size
        return [of_mean, of_sd, _scatter(covs, start and start.cov.ravel() / scales.size)]


def _weights(scatters: list[_Scatter], start: Start | None) -> tuple[float, float]:
    """The start's weights in the mean and in the covariance or variances."""
    if start is None:
        return 0.0, 0.0
    w, *spreads = (x.weight(guess) for x, guess in zip(scatters, start.guess, strict=False))
    of_sd = scatters[1]
    # one weight for sds and covariances, so that the sum stays positive semidefinite: that of covariances, unless
    # the start is worse than the points at the sds of outputs that vary little
    return w, spreads[-1] if of_sd.error(spreads[-1]) <= of_sd.error(0.0) else min(spreads)


def _moves(found: Estimates, scales: _Scales) -> FloatArray:
    """Return how far a point moves mean, sds and covariance, relative to them, times the number of points.

    It is one of those that make the variance: of a step that few points take, one behind the step.
    """
    moves = [np.sqrt(found.share) / scales.of_all, 0.5 * found.share / scales.sd / scales.of_all]
    return np.array([
        *map(np.linalg.norm, moves), *([] if scales.size is None else [found.share_of_point / scales.size])
    ])  # fmt: skip


def apart(mean: FloatArray, cov: FloatArray, mean_0: FloatArray, cov_0: FloatArray) -> FloatArray:
    """Return how far moments are from others, mean_0 and cov_0, in what claims are of: of mean, sds, covariance."""
    var, var_0 = _variances(cov, mean), _variances(cov_0, mean_0)
    sd_0 = np.where(var_0 > 0.0, np.sqrt(np.maximum(var_0, 0.0)), np.inf)
    by_mean, by_sd = (mean - mean_0) / sd_0, np.sqrt(np.maximum(var, 0.0)) / sd_0 - (var_0 > 0.0)
    by_cov = [] if cov is var else [float(np.linalg.norm((cov - cov_0) / _norm(cov_0)))]
    return np.array([_rms(by_mean), _rms(by_sd), *by_cov])


class _Scatter(NamedTuple):
    """The squared errors of a start and of the replicates' average, as the replicates tell them.

    `bias` estimates the start's distance from what replicates are unbiased for, and `doubt` is twice the
    jackknife error of that; `spread` is the average's squared standard error. An average whose error has
    `parts` independent parts of equal size would scatter likewise.
    """

    bias: float
    doubt: float
    spread: float
    parts: float

    def error(self, w: float) -> float:
        """Return the error of w * start + (1 - w) * average that is exceeded with a probability of 1 - LEVEL."""
        factor = float(fdtri(self.parts, 7.0 * self.parts, LEVEL))
        return math.sqrt(w**2 * (max(self.bias, 0.0) + self.doubt) + (1.0 - w) ** 2 * factor * self.spread)

    def weight(self, guess: float) -> float:
        """Return the start's weight: by the guess at its error, unless points contradict that."""
        at_most = max(self.bias, 0.0) + self.doubt
        expected = at_most if self.bias > self.doubt else min(at_most, guess**2)
        return self.spread / (self.spread + expected) if self.spread > 0.0 else 0.0


def _scatter(found: FloatArray, start: FloatArray | None) -> _Scatter:
    """Return what replicates (8, k) say of a start (k,), if there is one, and of their average."""
    count, average = len(found), found.mean(0)
    centred = found - average
    # of the centred ones: of outputs far from 0, or from the start, differences of large squares would be left
    products = centred @ centred.T
    own, trace, size = np.diag(products), float(np.trace(products)), float(np.sum(products**2))
    spread = trace / (count * (count - 1))
    # by the scatter of replicates, which shows at most 7 parts: without this bias claims held for 94 %, not 97 %
    parts = trace**2 / size if size > 0.0 else 1.0
    if start is None:
        return _Scatter(0.0, 0.0, spread, parts)
    off = average - start
    distance, moves = float(off @ off), centred @ off / (count - 1)
    # the same without each of the replicates
    distances = distance - 2.0 * moves + own / (count - 1) ** 2
    spreads = (trace - own * count / (count - 1)) / ((count - 1) * (count - 2))
    doubt = 2.0 * math.sqrt((count - 1) * np.var(distances - spreads))
    return _Scatter(distance - spread, doubt, spread, parts)


def _with_constant(start: Start, mean: FloatArray, constant: NDArray[np.bool_]) -> Start:
    """Return the start with the values of outputs that are constant."""
    kept = np.where(constant, 0.0, 1.0)
    of_cov = kept if start.cov.ndim == 1 else kept[:, None] * kept
    return Start(np.where(constant, mean, start.mean), start.cov * of_cov, start.guess)


def _variances(cov: FloatArray, mean: FloatArray) -> FloatArray:
    """Variances (..., m) beside means (..., m): those of covariances (..., m, m), or what is given."""
    variances: FloatArray = np.einsum("...ii->...i", cov) if cov.ndim > mean.ndim else cov
    return variances


def _norm(cov: FloatArray) -> float:
    """The Frobenius norm of a covariance, whose squares may be too small or too large; infinite for that of 0."""
    largest = float(np.abs(cov).max(initial=0.0))
    return largest * float(np.linalg.norm(cov / largest)) if largest > 0.0 else math.inf


def _rms(x: FloatArray) -> float:
    return math.sqrt(float(np.mean(np.square(x)))) if x.size else 0.0
