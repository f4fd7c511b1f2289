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

LEVEL = 0.97  # of points' claims
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
    rarely has not been seen. Claims are infinite where outputs are.
    """
    mean, cov = found.means.mean(0), found.covs.mean(0)
    diagonal = cov.ndim == 1
    if not (np.isfinite(mean).all() and np.isfinite(cov).all()):
        return Weighed(mean, cov, np.full(2 if diagonal else 3, np.inf), np.zeros(2))
    constant = _variances(cov, mean) <= 0.0
    if start is not None:
        start = _with_constant(start, mean, constant)
    sd = np.where(constant, np.inf, np.sqrt(np.maximum(_variances(cov, mean), 0.0)))
    scale = sd * math.sqrt(max(int(np.sum(~constant)), 1))
    w, mean_error = _weight(found.means / scale, start and start.mean / scale, start and start.guess[0])
    variances = _variances(found.covs, found.means) / (2.0 * sd * scale)
    of_start = start and _variances(start.cov, start.mean) / (2.0 * sd * scale)
    if diagonal:
        v, sd_error = _weight(variances, of_start, start and start.guess[1])
        errors = [mean_error, sd_error]
    else:
        size = np.linalg.norm(cov) or np.inf
        flat = found.covs.reshape(len(found.covs), -1) / size
        v, cov_error = _weight(flat, start and start.cov.ravel() / size, start and start.guess[2])
        errors = [mean_error, _error(variances, of_start, v), cov_error]
    if start is not None:
        mean, cov = w * start.mean + (1.0 - w) * mean, v * start.cov + (1.0 - v) * cov
    return Weighed(mean, cov, np.maximum(errors, 1.0 / found.points), np.array([w, v]))


def guess_of(mean: FloatArray, cov: FloatArray, mean_0: FloatArray, cov_0: FloatArray) -> FloatArray:
    """Return a guess at the error of moments that correct others, mean_0 and cov_0."""
    var, var_0 = _variances(cov, mean), _variances(cov_0, mean)
    sd_0 = np.where(var_0 > 0.0, np.sqrt(np.maximum(var_0, 0.0)), np.inf)
    by_mean, by_sd = (mean - mean_0) / sd_0, np.sqrt(np.maximum(var, 0.0)) / sd_0 - (var_0 > 0.0)
    size = np.linalg.norm(cov_0) or np.inf
    return GUESS * np.array([_rms(by_mean), _rms(by_sd), np.linalg.norm(cov - cov_0) / size])


def _weight(found: FloatArray, start: FloatArray | None, guess: float | None) -> tuple[float, float]:
    """Return the start's weight and the weighed sum's error: found (replicates, k) are unbiased, start is not."""
    if start is None or guess is None:
        return 0.0, _error(found, None, 0.0)
    bias, doubt, spread, _ = _bias(found - start)
    at_most = max(bias, 0.0) + doubt
    # by the guess, unless points contradict it; the error stays by what points say
    expected = at_most if bias > doubt else min(at_most, guess**2)
    w = spread / (spread + expected) if spread > 0.0 else 0.0
    return w, _error(found, start, w)


def _error(found: FloatArray, start: FloatArray | None, w: float) -> float:
    """Return the error of w * start + (1 - w) * the average of found, which holds at the level LEVEL."""
    bias, doubt, spread, parts = _bias(found if start is None else found - start)
    factor = float(fdtri(parts, (len(found) - 1) * parts, LEVEL))
    return math.sqrt(w**2 * (max(bias, 0.0) + doubt) + (1.0 - w) ** 2 * factor * spread)


def _bias(off: FloatArray) -> tuple[float, float, float, float]:
    """Return what replicates (r, k) less a constant say of its squared distance from their expectation.

    That is: its estimate, twice the estimate's jackknife error, the squared standard error of their average, and
    the number of independent parts of equal size that would scatter as their average does.
    """
    products = off @ off.T
    count = len(off)
    bias, spread = _squares(products)
    kept = [np.delete(np.arange(count), k) for k in range(count)]
    without = [_squares(products[np.ix_(k, k)])[0] for k in kept]
    doubt = 2.0 * math.sqrt((count - 1) * float(np.var(without)))
    return bias, doubt, spread, _parts(products - products.mean(0) - products.mean(1)[:, None] + products.mean())


def _squares(products: FloatArray) -> tuple[float, float]:
    """Return the unbiased squared distance, and the squared standard error, by scalar products of replicates."""
    count = len(products)
    whole = products.sum() / count
    spread = max((np.trace(products) - whole) / (count * (count - 1)), 0.0)
    return float(whole / count - spread), float(spread)


def _parts(products: FloatArray) -> float:
    """Return (tr S)^2 / tr S^2 of the covariance S whose scalar products of centred replicates are known."""
    # by S of the replicates, which finds at most 7 parts: claims without this bias held for 94 %, not 97 %
    squares = float(np.sum(products**2))
    return float(np.trace(products)) ** 2 / squares if squares > 0.0 else 1.0


def _with_constant(start: Start, mean: FloatArray, constant: NDArray[np.bool_]) -> Start:
    """Return the start with the values of outputs that are constant."""
    kept = np.where(constant, 0.0, 1.0)
    of_cov = kept if start.cov.ndim == 1 else kept[:, None] * kept
    return Start(np.where(constant, mean, start.mean), start.cov * of_cov, start.guess)


def _variances(cov: FloatArray, mean: FloatArray) -> FloatArray:
    """Variances (..., m) beside means (..., m): those of covariances (..., m, m), or what is given."""
    variances: FloatArray = np.einsum("...ii->...i", cov) if cov.ndim > mean.ndim else cov
    return variances


def _rms(x: FloatArray) -> float:
    return math.sqrt(float(np.mean(np.square(x)))) if x.size else 0.0
