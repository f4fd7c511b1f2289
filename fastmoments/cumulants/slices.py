"""Cumulants of pairs of neurons' inputs, and how large they may be."""

from __future__ import annotations

from typing import Any, NamedTuple

Array = Any  # of the library whose functions are given
# Skewness and kurtosis beyond which Edgeworth's series has no use: larger ones are taken for these
SKEWNESS, KURTOSIS = 0.7, 1.5


class Slices(NamedTuple):
    """Cumulants kappa(i, i, j), (i, i, j, j) and (i, i, i, j) of inputs over their sd, (batch, n, n)."""

    iij: Array
    iijj: Array
    iiij: Array

    def limited(self, xp: Any) -> Slices:
        """Shrink every neuron's cumulants so that its own are no larger than they may be."""
        third, fourth = (xp.abs(diagonal(xp, x)) for x in (self.iij, self.iiij))
        a = (SKEWNESS / xp.where(third > SKEWNESS, third, SKEWNESS + 0.0 * third)) ** (1.0 / 3.0)
        b = (KURTOSIS / xp.where(fourth > KURTOSIS, fourth, KURTOSIS + 0.0 * fourth)) ** 0.25
        return self._scaled(a, b)

    def _scaled(self, third: Array, fourth: Array) -> Slices:
        """Multiply by a factor for every index of a third, and of a fourth cumulant."""
        squared = outer(fourth * fourth, fourth)
        return Slices(
            self.iij * outer(third * third, third),
            self.iijj * outer(fourth * fourth, fourth * fourth),
            self.iiij * squared * fourth[..., None],
        )


def outer(a: Array, b: Array) -> Array:
    """Return a_i b_j, (..., n, m)."""
    return a[..., :, None] * b[..., None, :]


def both_sides(matrix: Array, factors: Array) -> Array:
    """Return factor_i matrix_ij factor_j; the product of two factors alone may leave the numbers of a dtype."""
    return matrix * factors[..., :, None] * factors[..., None, :]


def diagonal(xp: Any, matrix: Array) -> Array:
    """Return the diagonal (batch, n) of (batch, n, n)."""
    return xp.einsum("bii->bi", matrix)


def without_diagonal(matrix: Array, eye: Array) -> Array:
    """Return the matrix with a diagonal of 0."""
    return matrix - matrix * eye
