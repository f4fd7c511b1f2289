"""Means and covariances of every sequence of points, from sums that grow with the points."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastmoments.checked.arrays import FloatArray, in_double, on_host
from fastmoments.frameworks import Words


class Estimates(NamedTuple):
    """Mean (replicates, m) and covariance (replicates, m, m), or variances (replicates, m), of each sequence.

    Covariances are around the mean of all sequences, so that their average is that of all points. `share` (m,) and
    `share_of_point` are the mean fourth power of distances from the mean over the mean square, of an output and of
    whole points: what one of the points that make the variance adds to it, times the number of points.
    """

    means: FloatArray
    covs: FloatArray
    points: int  # of all sequences together
    eps: float  # of the outputs' dtype
    share: FloatArray
    share_of_point: float


class Statistics:
    """Sums of outputs and of their products around a centre, the mean of the first points, in float64.

    Fourth powers are of outputs in units of the first points' scatter, for they may be too small or too large.
    """

    def __init__(self, words: Words[Any], diagonal: bool) -> None:
        self.words, self.diagonal = words, diagonal
        self.centre: Any = None
        self.unit: Any = None
        self.eps = 0.0
        self.sums: Any = 0.0
        self.products: Any = 0.0
        self.powers: Any = 0.0  # second and fourth ones of the outputs, and of whole points
        self.count = 0

    def add(self, y: Any) -> None:
        """Add outputs (replicates, points, m)."""
        self.eps = float(self.words.xp.finfo(y.dtype).eps)
        xp, y = self.words.xp, in_double(self.words, y)
        if self.centre is None:
            self.centre = xp.einsum("rkm->m", y) / (y.shape[0] * y.shape[1])
        y = y - self.centre
        if self.unit is None:
            scatter = xp.sqrt((y * y).sum((0, 1)) / (y.shape[0] * y.shape[1]))
            self.unit = xp.where(scatter > 0.0, scatter, 1.0 + 0.0 * scatter)
        self.sums = self.sums + y.sum(1)
        self.products = self.products + ((y * y).sum(1) if self.diagonal else y.mT @ y)
        self.powers = self.powers + self._powers(y / self.unit)
        self.count += y.shape[1]

    def _powers(self, y: Any) -> Any:
        """Sums of second and fourth powers, (2, m + 1), those of whole points last."""
        xp, squares = self.words.xp, y * y
        of_points = squares @ (self.unit / xp.sqrt((self.unit * self.unit).sum())) ** 2
        second = xp.concatenate([xp.einsum("rkm->m", squares), of_points.sum()[None]])
        fourth = xp.einsum("rkm,rkm->m", squares, squares), (of_points * of_points).sum()[None]
        return xp.stack([second, xp.concatenate(fourth)])

    def estimates(self) -> Estimates:
        """Return the means and covariances of the points so far."""
        sums, products, centre = (on_host(self.words, x) for x in (self.sums, self.products, self.centre))
        means = sums / self.count
        all_of = means.mean(0)
        if self.diagonal:
            covs = products / self.count + all_of * (all_of - 2.0 * means)
        else:
            # E (y - a)(y - a)^T = E y y^T - E y a^T - a E y^T + a a^T
            cross = means[:, :, None] * all_of
            covs = products / self.count + all_of[:, None] * all_of - cross - cross.swapaxes(1, 2)
        return Estimates(centre + means, covs, len(means) * self.count, self.eps, *self._shares())

    def _shares(self) -> tuple[FloatArray, float]:
        second, fourth = on_host(self.words, self.powers)
        shares = fourth / np.where(second > 0.0, second, np.inf)
        unit = on_host(self.words, self.unit)
        return shares[:-1] * unit**2, float(shares[-1] * np.sum(unit**2))
