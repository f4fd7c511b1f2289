"""Softmax, log-sum-exp and log-softmax of a Gaussian group of logits.

All follow from mean p and covariance K of the softmax and mean and variance of the log-sum-exp, whose gradient is
the softmax:

    E D softmax = E D^2 log-sum-exp = diag p - p p^T - K,    E D log-sum-exp = p,    Cov(X, log-sum-exp) = C p
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from fastmoments.elementwise import gain, marginals
from fastmoments.frameworks import Words
from fastmoments.joint.groups import GroupMoments
from fastmoments.joint.independent_softmax import IndependentSums, independent_sums
from fastmoments.joint.masks import unmasked
from fastmoments.joint.points import Sums, sums_by_points

Array = Any  # of the library whose words are given

POINTS = (
    "means over 2048 fixed points, measured on 3 to 64 logits of full rank and sd 0.03, 0.3, 1 and 3: "
    "errors of means {}, of {} of the largest; tenfold less for logits that depend on three or fewer numbers"
)
CLOSURE = POINTS.format("1e-6, 5e-5, 1e-3 and 5e-3", "covariances 1e-4, 1e-2, 1e-1 and 1e-1")
LOG_CLOSURE = POINTS.format("1e-4, 1e-3, 3e-3 and 2e-2 of the sd", "variances 1e-3, 2e-2, 3e-2 and 3e-2")


@dataclass(frozen=True)
class _OfLogits:
    """A function of n logits; for two exact, within the error of the sigmoid's and softplus's functions.

    Logits of mean -inf, as masks make them, have probability 0 and no covariance whatever theirs is. A group in
    which all are masked has probabilities 0 and the log-sum-exp -inf.

    A group costs 2048 n exponentials and 2048 n^2 multiplications, its memory is 512 n numbers and a few matrices.
    """

    n: int

    name: ClassVar[str]
    closure_beyond: ClassVar[str] = CLOSURE
    curved: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ValueError(f"n: expected at least one logit, got {self.n}")

    @property
    def exact(self) -> bool:
        """Whether nothing is approximated."""
        return self.n <= 2

    @property
    def closure(self) -> str:
        """What is approximated, and by how much."""
        return "" if self.exact else self.closure_beyond

    def _sums(self, words: Words[Any], mu: Array, cov: Array) -> Sums:
        return sums_of_two(words, mu, cov) if self.n == 2 else sums_by_points(words, mu, cov)

    def _independent(self, words: Words[Any], mu: Array, var: Array) -> IndependentSums:
        if self.n > 2:
            return independent_sums(words, mu, var)
        found = self._sums(words, mu, var[..., None] * words.eye(self.n, var))
        own = words.xp.einsum("...ii->...i", found.cov)
        return IndependentSums(found.mean, own, found.log_mean[..., None], found.log_var[..., None])


class Softmax(_OfLogits):
    """exp(X_i) / sum_j exp(X_j), (..., n): probabilities of classes, attention's weights. See `_OfLogits`."""

    name = "softmax"

    def moments(self, words: Words[Any], mu: Array, cov: Array) -> GroupMoments:
        """Compute the moments for mu (..., n) and cov (..., n, n)."""
        found = self._sums(words, mu, cov)
        return GroupMoments(found.mean, found.cov, _slope(words, found))

    def marginals(self, words: Words[Any], mu: Array, var: Array) -> tuple[Array, Array]:
        """Compute mean and variance, (..., n), for independent logits: within 1e-8, see `independent_sums`."""
        found = self._independent(words, mu, var)
        return found.mean, found.var


class LogSumExp(_OfLogits):
    """log(sum_j exp(X_j)), (..., 1). See `_OfLogits`."""

    name = "logsumexp"
    closure_beyond = LOG_CLOSURE
    curved = True

    def moments(self, words: Words[Any], mu: Array, cov: Array) -> GroupMoments:
        """Compute the moments for mu (..., n) and cov (..., n, n)."""
        found = self._sums(words, mu, cov)
        curvature = _slope(words, found)[..., None, :, :]
        slope = found.mean[..., None, :]
        return GroupMoments(found.log_mean[..., None], found.log_var[..., None, None], slope, curvature)

    def marginals(self, words: Words[Any], mu: Array, var: Array) -> tuple[Array, Array]:
        """Compute mean and variance, (..., 1), for independent logits: within 1e-7, see `independent_sums`."""
        found = self._independent(words, mu, var)
        return found.log_mean, found.log_var


class LogSoftmax(_OfLogits):
    """X_i - log(sum_j exp(X_j)), (..., n). See `_OfLogits`; masked logits have mean -inf."""

    name = "log_softmax"
    closure_beyond = LOG_CLOSURE

    def moments(self, words: Words[Any], mu: Array, cov: Array) -> GroupMoments:
        """Compute the moments for mu (..., n) and cov (..., n, n)."""
        cov = _beside_the_largest(words, mu, cov)
        found = self._sums(words, mu, cov)
        across = (cov @ found.mean[..., None])[..., 0]
        full = cov - across[..., :, None] - across[..., None, :] + found.log_var[..., None, None]
        slope = words.eye(self.n, mu) - found.mean[..., None, :]
        return GroupMoments(mu - found.log_mean[..., None], full, slope)

    def marginals(self, words: Words[Any], mu: Array, var: Array) -> tuple[Array, Array]:
        """Compute mean and variance, (..., n), for independent logits: within 1e-7, see `independent_sums`."""
        found = self._independent(words, mu, var)
        own = var * (1.0 - 2.0 * found.mean) + found.log_var
        return mu - found.log_mean, words.xp.where(own < 0.0, words.xp.zeros_like(own), own)


def _beside_the_largest(words: Words[Any], mu: Array, cov: Array) -> Array:
    """Return the covariance of all logits less the one of the largest mean, from which its log-softmax is not far.

    What all share cancels in log-softmax. A variance near 0 keeps its digits.
    """
    which = words.eye(mu.shape[-1], mu)[words.xp.argmax(words.detached(mu), -1)]
    row = (which[..., None, :] @ cov)[..., 0, :]
    own = (row * which).sum(-1)[..., None, None]
    return (cov - row[..., None, :]) - (row[..., :, None] - own)


def _slope(words: Words[Any], found: Sums) -> Array:
    p = found.mean
    return p[..., None] * words.eye(p.shape[-1], p) - p[..., :, None] * p[..., None, :] - found.cov


def sums_of_two(words: Words[Any], mu: Array, cov: Array) -> Sums:
    """Compute the moments for two logits: sigmoid(X_1 - X_2), X_1 + softplus(X_2 - X_1) from the larger mean."""
    xp = words.xp
    logits = unmasked(words, mu)
    alive, mu = logits.alive, logits.mu
    cov = cov * (alive[..., :, None] * alive[..., None, :])
    gap = xp.clip(mu[..., 0] - mu[..., 1], -1e9, 1e9)
    common = cov[..., 0, 1]
    rests = cov[..., 0, 0] - common, cov[..., 1, 1] - common
    var = rests[0] + rests[1]
    var = xp.where(var < 0.0, xp.zeros_like(var), var)
    both = xp.stack([gap, -gap], -1)
    p, spread = marginals("sigmoid", both, var[..., None] + 0.0 * both)
    signs = words.eye(2, mu) * 2.0 - 1.0
    first = gap >= 0.0
    own = xp.where(first, cov[..., 0, 0], cov[..., 1, 1])
    rest = xp.where(first, rests[0], rests[1])
    below = xp.where(first, -gap, gap)
    added = marginals("softplus", below, var)
    log_var = own - 2.0 * gain("softplus", below, var) * rest + added.var
    log_mean = logits.top[..., 0] + added.mean
    some = alive.sum(-1) > 0.0
    return Sums(
        p * alive,
        spread[..., :1, None] * signs * (alive[..., :, None] * alive[..., None, :]),
        xp.where(some, log_mean, -float("inf") * xp.ones_like(log_mean)),
        log_var,
    )
