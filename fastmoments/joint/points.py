"""Softmax and log-sum-exp of Gaussian logits by means over fixed points, Sobol's and their mirror images.

What the points miss is known of the second-order term of a mean's Taylor series, and of the linear part of a
covariance, K = G C G^T + Cov(s - G X) with G = E Ds. It is put right (control variates), so that the error falls
with the logits' variance.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from fastmoments.frameworks import Words
from fastmoments.joint.masks import unmasked
from fastmoments.joint.orthants import constant

Array = Any  # of the library whose words are given

PAIRS = 1024  # points and their mirror images
PARTS = 4  # computed one after the other: one array has a part's numbers


class Sums(NamedTuple):
    """Mean and covariance of the softmax, (..., n) and (..., n, n); mean and variance of the log-sum-exp, (...)."""

    mean: Array
    cov: Array
    log_mean: Array
    log_var: Array


@cache
def _points(n: int) -> Any:
    """Standard normal points (PAIRS, n), scrambled once and for all."""
    from scipy.special import ndtri
    from scipy.stats import qmc  # half a second

    return ndtri(qmc.Sobol(n, seed=0).random(PAIRS).clip(1e-12, 1.0 - 1e-12))


def square_root(words: Words[Any], cov: Array) -> Array:
    """Return lower triangles L (..., n, n) with L L^T = cov, by Cholesky's steps; cov may be singular.

    A column whose pivot is rounding is 0. Entries are kept within what Cauchy and Schwarz allow, so that a matrix
    with negative eigenvalues gives one near it and no large numbers.
    """
    xp, n = words.xp, cov.shape[-1]
    rounding = 8.0 * n * float(xp.finfo(cov.dtype).eps) * xp.einsum("...ii->...i", cov)
    columns = []
    for j in range(n):
        left = xp.einsum("...ii->...i", cov)
        limit = xp.sqrt(xp.where(left < 0.0, xp.zeros_like(left), left))
        pivot = cov[..., 0, 0]
        known = pivot <= rounding[..., j]
        s = xp.sqrt(xp.where(known, xp.ones_like(pivot), pivot))[..., None]
        column = xp.where(known[..., None], xp.zeros_like(left), cov[..., 0] / s)
        column = xp.where(column > limit, limit, xp.where(column < -limit, -limit, column))
        columns.append(xp.concatenate([xp.zeros_like(rounding[..., :j]), column], -1))
        column = column[..., 1:]
        cov = cov[..., 1:, 1:] - column[..., :, None] * column[..., None, :]
    return xp.stack(columns, -1)


def sums_by_points(words: Words[Any], mu: Array, cov: Array) -> Sums:
    """Compute the moments for mu (..., n) and cov (..., n, n): 2048 n exponentials, arrays of 512 (..., n) numbers.

    First derivatives are those of the truth in means over the same points, along cov those of half the Hessian
    (Price): the root's own fail where cov is singular.
    """
    xp = words.xp
    logits = unmasked(words, mu)
    cov = cov * (logits.alive[..., :, None] * logits.alive[..., None, :])
    fixed = words.detached(cov)
    points = _Points(words, logits.mu, logits.alive, fixed)
    change = None if fixed is cov else cov - fixed
    root, normal = square_root(words, fixed), _points(mu.shape[-1])
    total: list[Array] = []
    for part in np.array_split(normal, PARTS):
        e = constant(words, part, mu) @ root.mT
        for deviations in (e, -e):
            terms = points.terms(deviations, change)
            total = [a + b for a, b in zip(total, terms, strict=True)] if total else terms
    spread = constant(words, normal.T @ normal / PAIRS, mu)
    found = points.corrected([x / (2.0 * PAIRS) for x in total], root @ spread @ root.mT)
    some = logits.alive.sum(-1) > 0.0
    log_mean = xp.where(some, found.log_mean + logits.top[..., 0], -float("inf") * xp.ones_like(found.log_mean))
    return found._replace(log_mean=log_mean)


def _values(words: Words[Any], x: Array, alive: Array) -> tuple[Array, Array]:
    """Softmax and log-sum-exp of values."""
    xp = words.xp
    top = words.detached(xp.amax(x, -1))[..., None]
    y = xp.exp(x - top) * alive
    total = y.sum(-1)[..., None]
    total = xp.where(total > 0.0, total, xp.ones_like(total))
    return y / total, (top + xp.log(total))[..., 0]


class _Points:
    """Means over points of Gaussian logits, as deviations from the values at mu, s_0 and l_0."""

    def __init__(self, words: Words[Any], mu: Array, alive: Array, cov: Array) -> None:
        self.words, self.mu, self.alive, self.cov = words, mu, alive, cov
        self.s_0, self.l_0 = (words.detached(x) for x in _values(words, mu, alive))
        moved = (cov @ self.s_0[..., None])[..., 0]
        own = words.xp.einsum("...ii->...i", cov)
        self.squares = own - 2.0 * moved + (self.s_0 * moved).sum(-1)[..., None]  # E of g^2 below

    def terms(self, e: Array, change: Array | None) -> list[Array]:
        """Sums over deviations e (..., t, n) from mu: those of `corrected`."""
        words = self.words
        s, log_sum = _values(words, self.mu[..., None, :] + e, self.alive[..., None, :])
        d, r = s - self.s_0[..., None, :], log_sum - self.l_0[..., None]
        g = e - (e * self.s_0[..., None, :]).sum(-1)[..., None]
        half = 0.5 * self.s_0[..., None, :] * g * g
        bend = half.sum(-1)
        q = half - self.s_0[..., None, :] * bend[..., None]
        fixed_d, fixed_r = words.detached(d), words.detached(r)
        first, second, log_first, log_second = d.sum(-2), d.mT @ d, r.sum(-1), (r * r).sum(-1)
        if change is not None:
            more = _by_cov(words, s, d, r, change)
            first, second, log_first, log_second = (
                x + y for x, y in zip((first, second, log_first, log_second), more, strict=True)
            )
        return [
            first, second, log_first, log_second, e.mT @ fixed_d, (e * fixed_r[..., None]).sum(-2),
            q.sum(-2), (q * q).sum(-2), (q * fixed_d).sum(-2),
            bend.sum(-1), (bend * bend).sum(-1), (bend * fixed_r).sum(-1),
        ]  # fmt: skip

    def corrected(self, means: list[Array], spread: Array) -> Sums:
        """Take away what the points are known to miss; `spread` is their covariance."""
        words, xp = self.words, self.words.xp
        first, second, log_first, log_second, cross, log_cross, *taylor = means
        q, q_square, q_first, bend, bend_square, bend_first = taylor
        want = 0.5 * self.s_0 * self.squares
        want_bend = want.sum(-1)
        missed = _share(words, q, q_square, q_first, first) * (want - self.s_0 * want_bend[..., None] - q)
        log_missed = _share(words, bend, bend_square, bend_first, log_first) * (want_bend - bend)
        p = self.s_0 + first + missed
        p = xp.where(p > 0.0, p, self.s_0 + first)
        total = p.sum(-1)[..., None]
        p = p / xp.where(total > 0.0, total, xp.ones_like(total))
        raw = second - first[..., :, None] * first[..., None, :]
        fixed, base, eye = words.detached(p), words.detached(raw), words.eye(p.shape[-1], p)
        own = xp.einsum("...ii->...i", self.cov)
        # deviations of which rounding leaves less than a linear function is wrong by; derivatives do not notice
        some = xp.where(xp.amax(own, -1) > float(xp.finfo(own.dtype).eps), 1.0 + 0.0 * p.sum(-1), 0.0 * p.sum(-1))
        some = words.detached(some)[..., None, None]
        k = seen = some * base
        cross, spread, log_cross = some * cross, some * spread, some[..., 0] * log_cross
        for _ in range(2):
            slope = fixed[..., None] * eye - fixed[..., :, None] * fixed[..., None, :] - k
            half = slope @ cross
            k = seen + slope @ (self.cov + spread) @ slope.mT - half - half.mT
        along = (fixed * ((self.cov + spread) @ fixed[..., None])[..., 0]).sum(-1) - 2.0 * (fixed * log_cross).sum(
            -1
        )
        log_var = log_second - log_first * log_first
        log_var = log_var - (1.0 - some[..., 0, 0]) * words.detached(log_var)
        log_var = log_var + xp.where(words.detached(log_var) + along > 0.0, along, xp.zeros_like(along))
        return Sums(p, raw + (k - base), self.l_0 + log_first + log_missed, log_var)


def _share(words: Words[Any], q: Array, square: Array, product: Array, first: Array) -> Array:
    """The regression's coefficient of a value on its second-order term."""
    xp = words.xp
    var = square - q * q
    known = var > 0.0
    share = (product - q * words.detached(first)) / xp.where(known, var, xp.ones_like(var))
    return xp.where(known, share, xp.zeros_like(share))


def _by_cov(words: Words[Any], s: Array, d: Array, r: Array, change: Array) -> list[Array]:
    """What a change of cov adds to sums of s, d d^T, l and r^2: E of half the second derivatives (Price)."""
    own, moved = words.xp.einsum("...ii->...i", change)[..., None, :], s @ change
    along, level = (s * moved).sum(-1)[..., None], 0.5 * (s * own).sum(-1)[..., None]
    first = s * (0.5 * own - moved + along - level)
    side = first.mT @ d
    # (Ds) D (Ds)^T with Ds = diag s - s s^T
    left = s * (moved - 0.5 * along)
    inner = left.mT @ s
    second = side + side.mT + change * (s.mT @ s) - inner - inner.mT
    log_first = (level - 0.5 * along)[..., 0]
    log_second = (2.0 * r * log_first + along[..., 0]).sum(-1)
    return [first.sum(-2), second, log_first.sum(-1), log_second]
