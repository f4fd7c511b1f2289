"""Cumulants that the neurons f of a step have themselves, beyond those that come through slopes and bends.

A value behind responds to a neuron i of a step by R f_i. Its cumulants are those of the neurons: to first order in
the inputs' cumulants, of two equal indices alone, and of fourth ones those of the last step alone, which were
measured to be what counts.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from fastmoments.cumulants.correction import Powers, first_order
from fastmoments.cumulants.slices import Slices, diagonal, outer, without_diagonal

Array = Any  # of the library whose functions are given


class Own(NamedTuple):
    """A step's neurons as vertices: f depends on q (z^2 - 1) / 2 of its input z, and has cumulants of its own.

    `iii` are kappa(i, i, i), and `iij` kappa(i, i, j) for i != j, less what slopes g and bends q make of the
    inputs' cumulants and covariances. Those of fourth order are whole: `iiii`, `iijj` and `iiij`.
    """

    q: Array
    iii: Array
    iij: Array
    iiii: Array
    iijj: Array
    iiij: Array


def own_cumulants(xp: Any, powers: Powers, rho: Array, covs: Array, slices: Slices | None, eye: Array) -> Own:
    """Compute the neurons' own cumulants; `covs` are Cov(f_i, f_j)."""
    h, g, q = powers.first, powers.first[1], powers.first[2]
    e1, e2, e3, e4 = (x[0] if slices is None else x[0] + first_order(xp, x, slices) for x in powers)
    kappa2 = e2 - e1 * e1
    kappa3 = e3 - 3.0 * e1 * e2 + 2.0 * e1**3
    kappa4 = e4 - 4.0 * e1 * e3 + 6.0 * e1 * e1 * e2 - 3.0 * e1**4 - 3.0 * kappa2 * kappa2
    # (f - E f)^2, and (f - E f)^3 less what makes a cumulant of it
    squares = [a - 2.0 * e1 * b for a, b in zip(powers.second, h, strict=False)]
    cubes = [
        a - 3.0 * e1 * b + 3.0 * (e1 * e1 - kappa2) * c
        for a, b, c in zip(powers.third, powers.second, h, strict=False)
    ]
    pairs = _Pairs(rho, slices)
    iij = pairs.cov(squares, h) - 2.0 * outer(q * g, g) * rho - outer(g * g, q) * rho * rho
    iii = kappa3 - 3.0 * q * g * g
    if slices is not None:
        iij = iij - outer(g * g, g) * slices.iij
        iii = iii - g**3 * diagonal(xp, slices.iij)
    iijj = pairs.cov(squares, squares) - 2.0 * covs * covs
    iijj, iiij = 0.5 * (iijj + iijj.mT), pairs.cov(cubes, h)
    iij, iijj, iiij = (without_diagonal(x, eye) for x in (iij, iijj, iiij))
    return Own(q, iii, iij, kappa4, iijj, iiij)


class _Pairs:
    """Covariances of two functions of two neurons' inputs, by their Hermite moments."""

    def __init__(self, rho: Array, slices: Slices | None) -> None:
        self.rho, self.half = rho, rho * rho / 2.0
        self.slices = slices
        if slices is not None:
            self.iij, self.iiij = slices.iij / 2.0, slices.iiij / 6.0
            self.twice = self.half + slices.iijj / 4.0

    def cov(self, a: Any, b: Any) -> Array:
        """Compute Cov of a function of i and one of j, i != j, by their E f He_k: a[k] and b[k]."""
        if self.slices is None:
            return self.rho * outer(a[1], b[1]) + self.half * outer(a[2], b[2])
        of_1 = self.rho * a[1][..., None] + self.iij * a[2][..., None] + self.iiij * a[3][..., None]
        of_2 = self.twice * a[2][..., None] + self.iij.mT * a[1][..., None]
        of_3 = self.iiij.mT * a[1][..., None]
        return of_1 * b[1][..., None, :] + of_2 * b[2][..., None, :] + of_3 * b[3][..., None, :]
