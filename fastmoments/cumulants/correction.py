"""Edgeworth's correction: what third and fourth cumulants change of the means and covariances of f.

The density of an input is that of a Gaussian times 1 + k3/6 He_3 + k4/24 He_4 + k3^2/72 He_6, and that of a pair
accordingly; E f He_k are known, so that every term is a product of them. Of pairs, the series in rho (Mehler) is
taken to its second order.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from fastmoments.cumulants.slices import Slices, diagonal, outer

Array = Any  # of the library whose functions are given


class Powers(NamedTuple):
    """E ((f - c) / s)^p He_k(Z) of a step's neurons, (orders, batch, n) each: p = 1 to k = 6, others to k = 4.

    c and s are the mean and the standard deviation of f, as the closure has them.
    """

    first: Array
    second: Array
    third: Array
    fourth: Array


def mean_changes(xp: Any, powers: Powers, slices: Slices) -> Array:
    """Compute what the cumulants add to E f, (batch, n)."""
    k3 = diagonal(xp, slices.iij)
    return first_order(xp, powers.first, slices) + k3 * k3 / 72.0 * powers.first[6]


def variance_changes(xp: Any, powers: Powers, slices: Slices) -> Array:
    """Compute what they add to Var f, (batch, n)."""
    # both moments to the same order, so that the centre c does not count
    shift = first_order(xp, powers.first, slices)
    return first_order(xp, powers.second, slices) - 2.0 * powers.first[0] * shift - shift * shift


def first_order(xp: Any, h: Array, slices: Slices) -> Array:
    """Compute what they add to the first order to a mean whose moments with He_k are h, (batch, n)."""
    return diagonal(xp, slices.iij) / 6.0 * h[3] + diagonal(xp, slices.iiij) / 24.0 * h[4]


def covariance_changes(xp: Any, powers: Powers, slices: Slices, rho: Array) -> Array:
    """Compute what they add to Cov(f_i, f_j), i != j, (batch, n, n)."""
    h = powers.first
    k3, k4 = diagonal(xp, slices.iij), diagonal(xp, slices.iiij)
    iij, iiij = slices.iij / 2.0, slices.iiij / 6.0
    half = iij * outer(h[2], h[1]) + iiij * outer(h[3], h[1])
    both = outer(h[2], h[2])
    power = rho
    for k in (1, 2):
        alone = k3 / 6.0 * h[3 + k] + k4 / 24.0 * h[4 + k]
        half = half + power * (
            iij * outer(h[2 + k], h[1 + k]) + iiij * outer(h[3 + k], h[1 + k]) + outer(alone, h[k])
        )
        both = both + power * outer(h[2 + k], h[2 + k])
        power = power * rho / (k + 1.0)
    return half + half.mT + slices.iijj / 4.0 * both
