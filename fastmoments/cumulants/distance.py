"""How far two Gaussians are apart."""

from __future__ import annotations

from typing import Any

from fastmoments.cumulants.definite import inverse
from fastmoments.cumulants.slices import diagonal
from fastmoments.frameworks.products import root

Array = Any  # of the library whose functions are given


def distances(xp: Any, mean: Array, cov: Array, mean_0: Array, cov_0: Array) -> Array:
    """Return three distances between N(mean, cov) and N(mean_0, cov_0), (batch, 3).

    That of means is in standard deviations, and those of standard deviations and covariances are relative, all to
    the larger of both. They are root mean squares over the elements, and Frobenius norms. What has no size counts
    for nothing.
    """
    sd, sd_0 = (root(xp, diagonal(xp, x)) for x in (cov, cov_0))
    larger = _larger(xp, sd, sd_0)
    per = inverse(xp, larger)
    of_mean, of_sd = (mean - mean_0) * per, (sd - sd_0) * per
    means, sds = (root(xp, (x * x).mean(-1)) for x in (of_mean, of_sd))
    # squares of covariances may leave the numbers of a dtype
    unit = inverse(xp, (larger * larger).sum(-1))[:, None, None]
    norm, norm_0, between = (
        root(xp, (x * x).sum((-2, -1))) for x in (cov * unit, cov_0 * unit, (cov - cov_0) * unit)
    )
    return xp.stack([means, sds, between * inverse(xp, _larger(xp, norm, norm_0))], -1)


def _larger(xp: Any, a: Array, b: Array) -> Array:
    return xp.where(a > b, a, b)
