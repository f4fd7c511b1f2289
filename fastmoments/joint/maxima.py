"""The maximum of a Gaussian group of any size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fastmoments.frameworks import Words
from fastmoments.joint.exact_maximum import LARGEST, exact_maximum
from fastmoments.joint.groups import GroupMoments
from fastmoments.joint.independent_maximum import independent_maximum
from fastmoments.joint.masks import candidates
from fastmoments.joint.orthants import constant
from fastmoments.joint.truncation import truncated_maximum

Array = Any  # of the library whose words are given
MOST = 256  # elements of one pass of truncations


@dataclass(frozen=True)
class Maximum:
    """max(X_1, ..., X_n) of each group, (..., 1).

    Up to four elements mean, variance, slope (the probabilities that each is largest) and curvature are exact:
    within 1e-12 where differences of two elements are correlated by 1 - 1e-3 or less, see `orthants.orthant`. Equal
    elements share slope and curvature. A group of four costs 4 times 2 times 106 exponentials and Phi.

    Beyond, `closure` says what is approximated. A group costs 48 n^3 multiplications and 48 n Phi, and holds 15 n^2
    numbers or more. Under JAX's jit the n steps are unrolled. Groups of more than 256 elements are divided, and
    have no curvature.

    Elements of mean -inf, as masks make them, count for nothing whatever their covariance. The maximum of a group
    in which all are masked is -inf, without variance and slopes.

    Parameters
    ----------
    n : the number of elements, at least 1.
    """

    n: int

    name: ClassVar[str] = "maximum"

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ValueError(f"n: expected at least one element, got {self.n}")

    @property
    def exact(self) -> bool:
        """Whether nothing is approximated."""
        return self.n <= LARGEST

    @property
    def curved(self) -> bool:
        """Whether the curvature is known."""
        return self.n <= MOST

    @property
    def closure(self) -> str:
        """What is approximated, and by how much."""
        return "" if self.exact else CLOSURE if self.n <= MOST else DIVIDED

    def moments(self, words: Words[Any], mu: Array, cov: Array) -> GroupMoments:
        """Compute the moments for mu (..., n) and cov (..., n, n)."""
        of = exact_maximum if self.n <= LARGEST else truncated_maximum if self.n <= MOST else _in_parts
        given = candidates(words, mu, cov)
        return _of_some(words.xp, given.some, of(words, given.mu, given.cov))

    def marginals(self, words: Words[Any], mu: Array, var: Array) -> tuple[Array, Array]:
        """Compute mean and variance, (..., 1), for independent elements.

        Exact: within 1e-9 beyond four of them, if their standard deviations are within a factor 1e6.
        """
        if self.n <= LARGEST:
            found = self.moments(words, mu, var[..., None] * words.eye(self.n, var))
            return found.mean, found.cov[..., 0]
        return independent_maximum(words, mu, var)


CLOSURE = (
    "truncated Gaussians count as Gaussian: errors against samples of 5 to 196 elements are 1e-2 of the sd in the "
    "mean (5e-2 for hundreds of correlated ones), variance 2e-2, slope 2e-2 and curvature 1e-1; for covariances of "
    "rank 3 mean and variance 2e-1; exact for independent elements"
)
DIVIDED = (
    "maxima of parts of up to 256 elements count as Gaussian: errors against samples are 5e-2 of the sd in the "
    "mean and 3e-1 of the variance"
)


def _of_some(xp: Any, some: Array, found: GroupMoments) -> GroupMoments:
    """Return the moments, those of a constant -inf for groups without any element."""
    mean = xp.where(some[..., None], found.mean, -float("inf") * xp.ones_like(found.mean))
    bent = found.curvature
    cov, slope = (xp.where(some[..., None, None], x, xp.zeros_like(x)) for x in (found.cov, found.slope))
    if bent is not None:
        bent = xp.where(some[..., None, None, None], bent, xp.zeros_like(bent))
    return GroupMoments(mean, cov, slope, bent)


def _in_parts(words: Words[Any], mu: Array, cov: Array) -> GroupMoments:
    """The maximum of the maxima of parts; slopes by the chain rule, without curvature."""
    n = mu.shape[-1]
    parts = np.array_split(np.arange(n), -(-n // MOST))
    rows = np.array([np.pad(part, (0, len(parts[0]) - len(part)), mode="edge") for part in parts])
    found = truncated_maximum(words, mu[..., rows], cov[..., rows[:, :, None], rows[:, None, :]])
    # an element that fills up a part has its slope twice
    slope = words.xp.einsum("...gw,gwn->...gn", found.slope[..., 0, :], constant(words, np.eye(n)[rows], mu))
    eye = words.eye(len(parts), mu)
    full = (slope @ cov @ slope.mT) * (1.0 - eye) + found.cov[..., 0] * eye
    last = Maximum(len(parts)).moments(words, found.mean[..., 0], full)
    return GroupMoments(last.mean, last.cov, last.slope @ slope)
