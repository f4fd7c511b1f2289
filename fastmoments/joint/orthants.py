"""Probabilities that Gaussian vectors of up to three elements are negative, in closed form but for one integral.

Three dimensions by Plackett's formula (Genz 2004): the derivative of the distribution function along a correlation
is the density of that pair times a conditional probability. With r_23 the largest correlation and the other two
from 0 to their values, t r_12 and t r_13, one integral over t stays behind, of exponentials and Phi alone. What is
steep in it is steep at t = 1, where the matrix may turn singular: nodes crowd there doubly exponentially.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from fastmoments.dispatch import plan_of
from fastmoments.elementwise import mean
from fastmoments.frameworks import Words
from fastmoments.normal import bivariate_normal_cdf, bivariate_normal_cdf_partials
from fastmoments_kernels.catalogue import Heaviside

Array = Any  # of the library whose words are given

SURE = 40.0  # standard deviations: Phi(-40) is 0 in float64


def _nodes(step: float) -> list[tuple[Any, Any]]:
    """1 - t and weights of the integral over t, in parts: trapezoids in u, 2 t - 1 = tanh(pi/2 sinh u)."""
    # the ends leave out 1e-13 of the integral, on the right also of one that grows like 1 / sqrt(1 - t)
    u = np.arange(-2.9375, 3.6251, step)
    inner = 0.5 * math.pi * np.sinh(u)
    left = 1.0 / (1.0 + np.exp(2.0 * inner))
    weights = step * 0.25 * math.pi * np.cosh(u) / np.cosh(inner) ** 2
    return list(zip(np.array_split(left, PARTS), np.array_split(weights, PARTS), strict=True))


PARTS = 5  # of the nodes: one array has a fifth of them
NODES = _nodes(0.0625)


def constant(words: Words[Any], values: Any, like: Array) -> Array:
    """Return numbers as an array of the other's library, dtype and device."""
    return words.to_arrays(plan_of({"like": like}), {"values": values})["values"]


def normal_cdf(xp: Any, x: Array) -> Array:
    """Compute Phi(x)."""
    return mean(Heaviside, x, xp.ones_like(x))


def density(xp: Any, x: Array) -> Array:
    """Compute phi(x)."""
    return xp.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)


def standardised(xp: Any, m: Array, s: Array) -> Array:
    """Return -m / s, what a standard normal has to stay below; +-40 where s is 0."""
    sure = s == 0.0
    h = -m / xp.where(sure, xp.ones_like(s), s)
    bound = SURE * xp.ones_like(h)
    by_sign = xp.where(m > 0.0, -bound, xp.where(m <= 0.0, bound, m))  # nan stays nan
    return xp.where(sure, by_sign, xp.clip(h, -SURE, SURE))


def orthant(words: Words[Any], h: Array, rho: Array) -> Array:
    """Compute P(Z_l < h_l for all l), Z standard normal, of d <= 3 elements.

    `h` is (..., d), `rho` the correlations (..., d, d). Of three elements the error is below 1e-12 for |rho| up to
    1 - 1e-3, 1e-11 up to 1 - 1e-5, and 3e-9 beyond. Rounding of rho counts for eps / sqrt(1 - |rho|) in all.
    """
    xp, d = words.xp, h.shape[-1]
    if d == 0:
        return xp.ones_like(h.sum(-1))
    if d == 1:
        return normal_cdf(xp, h[..., 0])
    if d == 2:
        return bivariate_normal_cdf(h[..., 0], h[..., 1], rho[..., 0, 1])
    return trivariate_normal_cdf(
        words, *(h[..., i] for i in range(3)), rho[..., 0, 1], rho[..., 0, 2], rho[..., 1, 2]
    )


def trivariate_normal_cdf(words: Words[Any], *arrays: Array) -> Array:
    """Compute P(Z_1 <= h_1, Z_2 <= h_2, Z_3 <= h_3), element by element, for h_1, h_2, h_3, r_12, r_13, r_23.

    The h are within +-40. Derivatives are closed: phi(h_1) Phi_2(h_2, h_3 given Z_1 = h_1), and along r_12 the
    density of the pair times Phi(h_3 given both); one that is infinite, at |r| = 1, is returned as 0.
    """
    return words.with_partials(partial(_value, words), partial(_partials, words.xp), arrays)


def _value(words: Words[Any], h_1: Array, h_2: Array, h_3: Array, r_12: Array, r_13: Array, r_23: Array) -> Array:
    xp = words.xp
    largest_13 = (xp.abs(r_13) > xp.abs(r_23)) & (xp.abs(r_13) >= xp.abs(r_12))
    largest_12 = (xp.abs(r_12) > xp.abs(r_23)) & ~largest_13

    def ordered(kept: Array, for_13: Array, for_12: Array) -> Array:
        return xp.where(largest_13, for_13, xp.where(largest_12, for_12, kept))

    a, b, c = ordered(h_1, h_2, h_3), ordered(h_2, h_1, h_2), ordered(h_3, h_3, h_1)
    r_ab, r_ac, r_bc = ordered(r_12, r_12, r_23), ordered(r_13, r_23, r_13), ordered(r_23, r_13, r_12)
    total = normal_cdf(xp, a) * bivariate_normal_cdf(b, c, r_bc)
    determinant = (1.0 - r_ab * r_ab) * (1.0 - r_bc * r_bc) - (r_ac - r_ab * r_bc) ** 2
    least = _least(xp, determinant)
    determinant = xp.where(determinant > least, determinant, least)
    falls = r_ab * r_ab + r_ac * r_ac - 2.0 * r_ab * r_ac * r_bc  # by (1 - t^2) times this
    sides = [
        _Side(xp, *(x[..., None] for x in (a, *others, determinant, falls)))
        for others in ((b, c, r_ab, r_ac, r_bc), (c, b, r_ac, r_ab, r_bc))
    ]
    for nodes in NODES:
        left, weights = (constant(words, x, a) for x in nodes)
        total = total + (weights * (sides[0].at(left) + sides[1].at(left))).sum(-1)
    return total


class _Side:
    """r_ab times the density of the pair (a, b) times P(third < c) given both, by the distance 1 - t."""

    def __init__(
        self, xp: Any, a: Array, b: Array, c: Array, r_ab: Array, r_ac: Array, r_bc: Array, *of_matrix: Array
    ) -> None:
        self.xp = xp
        self.r, self.square, self.size = r_ab / (2.0 * math.pi), r_ab * r_ab, xp.abs(r_ab)
        self.rest = (1.0 - r_ab) * (1.0 + r_ab)
        other = xp.where(r_ab < 0.0, -b, b)
        self.gap, self.product = -0.5 * (a - other) ** 2, -a * other
        # c less its mean given both, times `free`: as a polynomial about t = 1, where all may cancel
        self.linear = a * (r_ac - r_ab * r_bc)
        last = c * self.rest - self.linear - b * (r_bc - r_ab * r_ac)
        rounding = 4.0 * float(xp.finfo(a.dtype).eps) * (xp.abs(a) + xp.abs(b) + xp.abs(c))
        self.last = xp.where(xp.abs(last) <= rounding, xp.zeros_like(last), last)
        self.bend = r_ab * (c * r_ab - b * r_ac)
        self.determinant, self.falls = of_matrix

    def at(self, left: Array) -> Array:
        xp, t, squares = self.xp, 1.0 - left, left * (2.0 - left)  # squares: 1 - t^2
        free = self.rest + squares * self.square
        narrow = 1.0 / xp.sqrt(free)
        density = xp.exp(self.gap / free + self.product / (1.0 + self.size * t)) * narrow
        third = self.last + self.linear * left + self.bend * squares
        third = third * narrow / xp.sqrt(self.determinant + squares * self.falls)
        return self.r * density * normal_cdf(xp, third)


def _partials(xp: Any, h_1: Array, h_2: Array, h_3: Array, r_12: Array, r_13: Array, r_23: Array) -> Any:
    def by_h(a: Array, b: Array, c: Array, r_ab: Array, r_ac: Array, r_bc: Array) -> Array:
        s_b, s_c = _rest(xp, r_ab), _rest(xp, r_ac)
        rho = xp.clip((r_bc - r_ab * r_ac) / (s_b * s_c), -1.0, 1.0)
        return density(xp, a) * bivariate_normal_cdf((b - r_ab * a) / s_b, (c - r_ac * a) / s_c, rho)

    def by_r(a: Array, b: Array, c: Array, r_ab: Array, r_ac: Array, r_bc: Array) -> Array:
        free = 1.0 - r_ab * r_ab
        determinant = free * (1.0 - r_bc * r_bc) - (r_ac - r_ab * r_bc) ** 2
        pull = a * (r_ac - r_ab * r_bc) + b * (r_bc - r_ab * r_ac)
        room = free * determinant
        third = (c * free - pull) / xp.sqrt(xp.where(room > 0.0, room, _least(xp, room)))
        return bivariate_normal_cdf_partials(a, b, r_ab).d_rho * normal_cdf(xp, third)

    one, two, three = (h_1, h_2, h_3), (h_2, h_1, h_3), (h_3, h_1, h_2)
    return (
        by_h(*one, r_12, r_13, r_23),
        by_h(*two, r_12, r_23, r_13),
        by_h(*three, r_13, r_23, r_12),
        by_r(*one, r_12, r_13, r_23),
        by_r(h_1, h_3, h_2, r_13, r_12, r_23),
        by_r(h_2, h_3, h_1, r_23, r_12, r_13),
    )


def _least(xp: Any, like: Array) -> Array:
    return float(xp.finfo(like.dtype).tiny) * xp.ones_like(like)


def _rest(xp: Any, r: Array) -> Array:
    """Return sqrt(1 - r^2), at least the root of rounding."""
    eps = float(xp.finfo(r.dtype).eps)
    rest = (1.0 - r) * (1.0 + r)
    return xp.sqrt(xp.where(rest > eps * eps, rest, eps * eps * xp.ones_like(r)))
