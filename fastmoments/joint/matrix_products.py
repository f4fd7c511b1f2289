"""Products of two matrices that are values of a network, as Q K^T is in attention: exact for Gaussian values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastmoments.frameworks import Words
from fastmoments.joint.values import Array, Covs, ValueMoments


@dataclass(frozen=True)
class MatrixProduct:
    """Products of `count` pairs of matrices, X (count, p, d) and Y (count, d, q), by Isserlis' theorem.

        mean_pq      = sum_d E X_pd E Y_dq + Cov(X_pd, Y_dq)
        cov_(pq, rs) = linear + sum_de Cov(X_pd, X_re) Cov(Y_dq, Y_es) + Cov(X_pd, Y_es) Cov(Y_dq, X_re)

    where the linear part is D S D^T, D = E Df. Both parts are positive semidefinite. The work is
    (count p q d)^2 products, the memory (count p q)^2 and the two inputs' covariance.
    """

    count: int
    p: int
    d: int
    q: int
    name = "matrix product"
    closure = ""

    def moments(self, words: Words[Any], means: Sequence[Array], cov: Covs) -> ValueMoments:
        """Compute the moments."""
        count, p, d, q = self.count, self.p, self.d, self.q
        batch, n = len(means[0]), count * p * q
        left, right = means[0].reshape(batch, count, p, d), means[1].reshape(batch, count, d, q)

        def along_left(rows: Array) -> Array:
            return (rows.reshape(*rows.shape[:2], count, p, d) @ right[:, None]).reshape(*rows.shape[:2], n)

        def along_right(rows: Array) -> Array:
            return (left[:, None] @ rows.reshape(*rows.shape[:2], count, d, q)).reshape(*rows.shape[:2], n)

        einsum = words.xp.einsum
        xx = cov(0, 0).reshape(batch, count, p, d, count, p, d)
        xy = cov(0, 1).reshape(batch, count, p, d, count, d, q)
        yy = cov(1, 1).reshape(batch, count, d, q, count, d, q)
        mean = (left @ right + einsum("bhpdhdq->bhpq", xy)).reshape(batch, n)
        # rows of Cov(X, f) and Cov(Y, f) to first order
        of_x = along_left(cov(0, 0)) + along_right(cov(0, 1))
        of_y = along_left(cov(0, 1).mT) + along_right(cov(1, 1))
        linear = along_left(of_x.mT) + along_right(of_y.mT)
        second = einsum("bhpdgre,bhdqges->bhpqgrs", xx, yy) + einsum("bhpdges,bgrehdq->bhpqgrs", xy, xy)
        return ValueMoments(mean, linear + second.reshape(batch, n, n), (along_left, along_right))

    def marginals(
        self, words: Words[Any], means: Sequence[Array], variances: Sequence[Array]
    ) -> tuple[Array, Array]:
        """Compute mean and variance of products of independent elements."""
        batch = len(means[0])
        (x, var_x), (y, var_y) = (
            tuple(values.reshape(batch, self.count, *shape) for values in pair)
            for pair, shape in zip(
                zip(means, variances, strict=True), ((self.p, self.d), (self.d, self.q)), strict=True
            )
        )
        var = (x * x + var_x) @ var_y + var_x @ (y * y)
        shape = batch, self.count * self.p * self.q
        return (x @ y).reshape(shape), var.reshape(shape)
