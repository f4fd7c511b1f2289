"""How far two Gaussians are apart."""

from __future__ import annotations

from typing import Any

from fastmoments.cumulants.definite import inverse
from fastmoments.cumulants.slices import diagonal
from fastmoments.frameworks.products import root

Array = Any  # of the library whose functions are given


def are_near(xp: Any, one: tuple[Array, Array], other: tuple[Array, Array], most: float) -> Array:
    """Whether two Gaussians (mean, cov) are at most so far apart, (batch,); False for nan.

    Every mean counts in standard deviations, every standard deviation relative, and the covariance in the Frobenius
    norm, relative: all to the larger of both. What has no size counts for nothing.
    """
    (mean, cov), (mean_0, cov_0) = one, other
    sd, sd_0 = (root(xp, diagonal(xp, x)) for x in (cov, cov_0))
    larger = _larger(xp, sd, sd_0)
    moves = [xp.abs(x * inverse(xp, larger)) for x in (mean - mean_0, sd - sd_0)]
    # squares of covariances may leave the numbers of a dtype
    unit = inverse(xp, (larger * larger).sum(-1))[:, None, None]
    norm, norm_0, between = (
        root(xp, (x * x).sum((-2, -1))) for x in (cov * unit, cov_0 * unit, (cov - cov_0) * unit)
    )
    near = between * inverse(xp, _larger(xp, norm, norm_0)) <= most
    return near & (moves[0] <= most).all(-1) & (moves[1] <= most).all(-1)


def _larger(xp: Any, a: Array, b: Array) -> Array:
    return xp.where(a > b, a, b)
