"""Means and covariances of every sequence of points, from sums that grow with the points."""

from __future__ import annotations

from typing import Any, NamedTuple

from fastmoments.checked.arrays import FloatArray, in_double, on_host
from fastmoments.frameworks import Words


class Estimates(NamedTuple):
    """Mean (replicates, m) and covariance (replicates, m, m), or variances (replicates, m), of each sequence.

    Covariances are around the mean of all sequences, so that their average is that of all points.
    """

    means: FloatArray
    covs: FloatArray
    points: int  # of all sequences together
    eps: float  # of the outputs' dtype


class Statistics:
    """Sums of outputs and of their products around a centre, the first of them, in float64."""

    def __init__(self, words: Words[Any], diagonal: bool) -> None:
        self.words, self.diagonal = words, diagonal
        self.centre: Any = None
        self.eps = 0.0
        self.sums: Any = 0.0
        self.products: Any = 0.0
        self.count = 0

    def add(self, y: Any) -> None:
        """Add outputs (replicates, points, m)."""
        if self.centre is None:
            # a value that occurs, so that what is constant has a variance of 0
            self.centre = in_double(self.words, y[0, 0])
            self.eps = float(self.words.xp.finfo(y.dtype).eps)
        y = in_double(self.words, y)
        y = y - self.centre
        self.sums = self.sums + y.sum(1)
        self.products = self.products + ((y * y).sum(1) if self.diagonal else y.mT @ y)
        self.count += y.shape[1]

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
        return Estimates(centre + means, covs, len(means) * self.count, self.eps)
