"""The maximum of up to four jointly Gaussian elements, exactly.

With p_i = P(X_i is largest) and q_ij, the density of X_i - X_j at 0 times the probability that both are then the
largest, s_ij^2 = Var(X_i - X_j):

    slope = p,    curvature_ij = -q_ij, curvature_ii = sum_j q_ij
    E max = sum_i mu_i p_i + sum_{i<j} s_ij^2 q_ij
    E max^2 = sum_i (mu_i e_i + C_ii p_i) + sum_{i<j} s_ij^2 r_ij,
    e_i = E[X_i; i is largest] = mu_i p_i + sum_j C_ij curvature_ij,    r_ij = E[X_i | X_i = X_j are largest] q_ij

by Stein's lemma and Euler's relation for homogeneous functions. The probabilities are `orthants` of differences, of
n - 1 dimensions in p, n - 2 in q, n - 3 in r.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from fastmoments.frameworks import Words
from fastmoments.frameworks.products import root
from fastmoments.joint.groups import GroupMoments
from fastmoments.joint.orthants import constant, density, orthant, standardised

Array = Any  # of the library whose words are given
LARGEST = 4  # elements
NUDGES = np.array([1.0, 0.63, 0.31, 0.11])  # no one a simple mean of others


def exact_maximum(words: Words[Any], mu: Array, cov: Array) -> GroupMoments:
    """Compute the moments of max X for mu (..., n) and cov (..., n, n), n <= 4.

    Equal elements, whose difference has neither mean nor variance, share slope and curvature. Variances of
    differences up to eps (C_ii + C_jj) count as none: rounding of the matrix makes them.
    """
    xp = words.xp
    shift = words.detached(xp.amax(mu, -1))[..., None]
    if mu.shape[-1] == 1:
        return GroupMoments(mu, cov, xp.ones_like(cov), xp.zeros_like(cov)[..., None])
    mu = mu - shift
    pairs = _pairs_of(words, mu, cov)
    p = _largest(words, mu, cov)
    q, r = _meeting(words, mu, cov, pairs)
    edges = np.eye(mu.shape[-1])[pairs.one] - np.eye(mu.shape[-1])[pairs.two]
    curvature = xp.einsum("...p,pij->...ij", q, constant(words, edges[:, :, None] * edges[:, None], mu))
    mean = (mu * p).sum(-1) + (pairs.var * q).sum(-1)
    held = mu * p + (cov * curvature).sum(-1)  # E[X_i; i is largest]
    square = (mu * held + _diagonal(xp, cov) * p).sum(-1) + (pairs.var * r).sum(-1)
    var = square - mean * mean
    var = xp.where(var < 0.0, xp.zeros_like(var), var)
    share = _shares(words, pairs, mu)
    slope, curvature = (share * p[..., None]).sum(-2), share.mT @ curvature @ share
    return GroupMoments(
        mean[..., None] + shift, var[..., None, None], slope[..., None, :], curvature[..., None, :, :]
    )


class _Pairs(NamedTuple):
    """Pairs i < j, (P,): variances of differences, whether there is any, and if not whether the two are equal."""

    one: Any
    two: Any
    var: Array
    apart: Array
    equal: Array


def _pairs_of(words: Words[Any], mu: Array, cov: Array) -> _Pairs:
    xp = words.xp
    one, two = np.array(list(combinations(range(mu.shape[-1]), 2))).T
    own, common = _diagonal(xp, cov), cov[..., one, two]
    # two differences of numbers that are close lose no digits
    var = (own[..., one] - common) + (own[..., two] - common)
    apart = ~(var <= _eps(xp, var) * (own[..., one] + own[..., two]))
    equal = ~apart & (mu[..., one] == mu[..., two])
    return _Pairs(one, two, xp.where(apart, var, xp.zeros_like(var)), apart, equal)


def _diagonal(xp: Any, matrix: Array) -> Array:
    return xp.einsum("...ii->...i", matrix)


def _eps(xp: Any, like: Array) -> float:
    return float(xp.finfo(like.dtype).eps)


def _shares(words: Words[Any], pairs: _Pairs, mu: Array) -> Array:
    """Averages over equal elements, (..., n, n)."""
    xp, n = words.xp, mu.shape[-1]
    units = np.eye(n)[pairs.one][:, :, None] * np.eye(n)[pairs.two][:, None]
    equal = xp.where(pairs.equal, xp.ones_like(pairs.var), xp.zeros_like(pairs.var))
    alike = words.eye(n, mu) + xp.einsum("...p,pij->...ij", equal, constant(words, units + units.mT, mu))
    return alike / alike.sum(-1)[..., None]


class _Vectors(NamedTuple):
    """Gaussian vectors: mean (..., m, d), cov (..., m, d, d).

    `rounding` (..., m, d) is what of the variances may be rounding. `nudge` (..., m, d) is what the mean moves by
    if X_1, X_2, ... move up, each less than the one before: it tells which of several elements is the largest where
    they are all equal for certain.
    """

    mean: Array
    cov: Array
    rounding: Array
    nudge: Array


def _differences(words: Words[Any], mu: Array, cov: Array, base: Any, others: Any) -> _Vectors:
    """X_l - X_base for the l in each row of `others` (m, d), `base` (m, 1)."""
    a, b, c = np.broadcast_arrays(others[:, :, None], others[:, None, :], base[:, :, None])
    full = (cov[..., a, b] - cov[..., a, c]) + (cov[..., c, c] - cov[..., c, b])
    own = _diagonal(words.xp, cov)
    rounding = _eps(words.xp, mu) * (own[..., others] + own[..., base])
    nudge = constant(words, NUDGES[others] - NUDGES[base], mu)
    return _Vectors(mu[..., others] - mu[..., base], full, rounding, nudge + 0.0 * words.detached(rounding))


def _negative(words: Words[Any], v: _Vectors) -> Array:
    """P(V_l < 0 for all l), (..., m)."""
    xp = words.xp
    var = _diagonal(xp, v.cov)
    s = root(xp, xp.where(var <= v.rounding, xp.zeros_like(var), var))
    h = standardised(xp, xp.where((v.mean == 0.0) & (s == 0.0), v.nudge, v.mean), s)
    safe = xp.where(s == 0.0, xp.ones_like(s), s)
    rho = v.cov / (safe[..., :, None] * safe[..., None, :])
    # rounding of 1 would cost half of the digits: the probability changes with sqrt(1 - |rho|)
    certain = xp.abs(rho) >= 1.0 - 4.0 * _eps(xp, rho)
    return orthant(words, h, xp.where(certain, xp.sign(rho), rho))


def _largest(words: Words[Any], mu: Array, cov: Array) -> Array:
    """P(X_i is largest), (..., n)."""
    n = mu.shape[-1]
    others = np.array([[j for j in range(n) if j != i] for i in range(n)])
    base = np.arange(n)[:, None]
    return _negative(words, _differences(words, mu, cov, base, others))


def _meeting(words: Words[Any], mu: Array, cov: Array, pairs: _Pairs) -> tuple[Array, Array]:
    """Return q and r of all pairs, (..., P); 0 where the difference has no variance."""
    xp, own = words.xp, _diagonal(words.xp, cov)
    var = xp.where(pairs.apart, pairs.var, xp.ones_like(pairs.var))
    s, gap = xp.sqrt(var), (mu[..., pairs.one] - mu[..., pairs.two]) / var
    at_0 = xp.where(pairs.apart, density(xp, gap * s) / s, xp.zeros_like(s))
    along = own[..., pairs.one] - cov[..., pairs.one, pairs.two]  # Cov(X_i, X_i - X_j)
    m = mu[..., pairs.one] - along * gap
    others = np.array(
        [[k for k in range(mu.shape[-1]) if k not in (i, j)] for i, j in zip(pairs.one, pairs.two, strict=True)]
    )
    if not others.size:
        return at_0, at_0 * m
    i, j = pairs.one[:, None] + 0 * others, pairs.two[:, None] + 0 * others
    free = _differences(words, mu, cov, pairs.one[:, None], others)
    pull = (cov[..., others, i] - cov[..., others, j]) - along[..., None]  # Cov(X_l - X_i, X_i - X_j)
    moved = pull * gap[..., None]
    mean = free.mean - moved
    rounding = 8.0 * _eps(xp, mu) * (xp.abs(free.mean) + xp.abs(moved))
    mean = xp.where(xp.abs(mean) <= rounding, mean - words.detached(mean), mean)  # 0, with its derivative
    slope = pull / var[..., None]
    nudge = free.nudge - words.detached(slope) * constant(words, NUDGES[i] - NUDGES[j], mu)
    given = _Vectors(mean, free.cov - pull[..., :, None] * slope[..., None, :], 4.0 * free.rounding, nudge)
    q = at_0 * _negative(words, given)
    across = (cov[..., i, others] - own[..., i]) - along[..., None] * slope  # Cov(X_i, X_l - X_i), given
    return q, m * q - at_0 * _edges(words, given, across)


def _edges(words: Words[Any], v: _Vectors, across: Array) -> Array:
    """sum_l across_l f_{V_l}(0) P(other V < 0 | V_l = 0), which V < 0 takes from the mean of X_i (Stein)."""
    xp, var = words.xp, _diagonal(words.xp, v.cov)
    apart = ~(var <= v.rounding)
    safe = xp.where(apart, var, xp.ones_like(var))
    s = xp.sqrt(safe)
    edge = xp.where(apart, across * density(xp, v.mean / s) / s, xp.zeros_like(s))
    if edge.shape[-1] == 2:
        other, own = np.array([1, 0]), np.array([0, 1])
        slope = v.cov[..., other, own] / safe
        mean = v.mean[..., other] - slope * v.mean
        rest = var[..., other] - slope * v.cov[..., other, own]
        nudge = v.nudge[..., other] - words.detached(slope) * v.nudge
        at = (x[..., None] for x in (mean, rest[..., None], v.rounding[..., other], nudge))
        edge = edge * _negative(words, _Vectors(*at))
    return edge.sum(-1)
