"""Products of two values element by element, exact for Gaussian values (Isserlis)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastmoments.frameworks import Words
from fastmoments.joint.values import Array, Bend, Covs, ValueMoments


class Product:
    """X * Y of means a and b, element by element, with the blocks S of their joint covariance.

        mean = a b + diag Sxy
        cov  = D S D^T + Sxx * Syy + Sxy * Sxy^T,    D = [diag b, diag a] = E Df

    Both parts are positive semidefinite (Schur), and nothing is subtracted.
    """

    name, closure = "product", ""

    def moments(self, words: Words[Any], means: Sequence[Array], cov: Covs) -> ValueMoments:
        """Compute the moments."""
        (a, b), xx, xy, yy = means, cov(0, 0), cov(0, 1), cov(1, 1)
        yx = xy.mT
        mean = a * b + words.xp.einsum("bii->bi", xy)
        rows_a, rows_b = a[:, :, None], b[:, :, None]
        of_x = xx * b[:, None] + xy * a[:, None]
        of_y = yx * b[:, None] + yy * a[:, None]
        full = rows_b * of_x + rows_a * of_y + xx * yy + xy * yx
        slopes = (lambda rows: rows * b[:, None]), (lambda rows: rows * a[:, None])
        return ValueMoments(mean, full, slopes, (Bend(words.xp.ones_like(mean), 0, 1),))

    def marginals(
        self, words: Words[Any], means: Sequence[Array], variances: Sequence[Array]
    ) -> tuple[Array, Array]:
        """Compute mean and variance of products of independent factors."""
        (a, b), (var_x, var_y) = means, variances
        return a * b, b * b * var_x + a * a * var_y + var_x * var_y
