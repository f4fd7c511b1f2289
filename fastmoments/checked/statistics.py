"""Means and covariances of every sequence of points, from sums that grow with the points."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastmoments.checked.arrays import FloatArray, in_double, on_host
from fastmoments.frameworks import Words


class Estimates(NamedTuple):
    """Mean (replicates, m) and covariance (replicates, m, m), or variances (replicates, m), of each sequence.

    Covariances are around the mean of all sequences, so that their average is that of all points. `farthest` are
    squared distances from the mean, where outputs may jump: each output's largest (m,), and that of a point.
    """

    means: FloatArray
    covs: FloatArray
    points: int  # of all sequences together
    farthest: tuple[FloatArray, float] | None


class Statistics:
    """Sums of outputs and of their products around a centre, the mean of the first points, in float64.

    Of outputs that may jump it keeps how far they get.
    """

    def __init__(self, words: Words[Any], diagonal: bool, jumps: bool) -> None:
        self.words, self.diagonal, self.jumps = words, diagonal, jumps
        self.squares: list[Any] = []  # the largest, of every chunk
        self.centre: Any = None
        self.sums: Any = 0.0
        self.products: Any = 0.0
        self.count = 0

    def add(self, y: Any) -> None:
        """Add outputs (replicates, points, m)."""
        y = in_double(self.words, y)
        if self.centre is None:
            self.centre = self.words.xp.einsum("rkm->m", y) / (y.shape[0] * y.shape[1])
        y = y - self.centre
        self.sums = self.sums + y.sum(1)
        self.products = self.products + ((y * y).sum(1) if self.diagonal else y.mT @ y)
        if self.jumps:
            squares = y * y
            self.squares.append([self.words.xp.amax(x, (0, 1)) for x in (squares, squares.sum(-1))])
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
        return Estimates(centre + means, covs, len(means) * self.count, self._farthest())

    def _farthest(self) -> tuple[FloatArray, float] | None:
        if not self.jumps:
            return None
        of_outputs, of_points = (
            np.max([on_host(self.words, x) for x in chunks], 0) for chunks in zip(*self.squares, strict=True)
        )
        return of_outputs, float(of_points)
