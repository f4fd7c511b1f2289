"""The maximum of many jointly Gaussian elements, by its distribution function.

P(X_1 <= x, ..., X_n <= x) is a product of n conditional probabilities. After each event the truncated Gaussian is
replaced by the Gaussian with its mean and covariance (Mendell and Elston 1974), which is exact for independent
elements. The same pass gives the derivatives along mu. With h_i the bound in standard deviations s_i at step i,
lambda = phi(h) / Phi(h) and a_i the column i of C^-1 times the covariance at step i,

    grad log P = g = -sum_i lambda_i a_i / s_i,    D^2 P = P (g g^T - sum_i delta_i / s_i^2 a_i a_i^T),

delta = lambda (lambda + h). Integrals over x of 1 - P and of its derivatives are the moments, slope and curvature.

max(X + Z) = Z + max X for one Z for all elements. So a covariance that all share is taken out first, exactly:
the rest is less correlated.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastmoments.frameworks import Words
from fastmoments.joint.groups import GroupMoments
from fastmoments.joint.orthants import constant, density, normal_cdf, standardised

Array = Any  # of the library whose words are given

ENDS = 6.5  # standard deviations of an element beyond which it counts as no longer random
KEPT = 1e-3  # of the covariance that all could share, so that the rest is no singular matrix
ROOM = 2**22  # numbers of one array, more only in large batches
NARROW = 1.5e-3  # of the range of x: the narrowest density that the nodes resolve


def _quadratic_nodes(number: int) -> tuple[Any, Any]:
    """Gauss-Legendre nodes and weights of y = s^2 in (0, 1), closer where narrow elements end."""
    s, w = np.polynomial.legendre.leggauss(number)
    s = 0.5 * (s + 1.0)
    return s * s, w * s


NODES, WEIGHTS = _quadratic_nodes(48)


def truncated_maximum(words: Words[Any], mu: Array, cov: Array) -> GroupMoments:
    """Compute the moments of max X for mu (..., n) and cov (..., n, n) in a pass of n steps and 48 values of x."""
    xp, n = words.xp, mu.shape[-1]
    shift = words.detached(xp.amax(mu, -1))[..., None]
    mu, common = mu - shift, _common(words, cov)
    cov = cov - common[..., None, None]
    low, high = _range(words, mu, cov)
    width = (high - low)[..., None]
    cov = _resolved(words, cov, NARROW * width)
    parts = min(len(NODES) // 4, 1 + math.prod(cov.shape) * len(NODES) // ROOM)
    nodes = zip(np.array_split(NODES, parts), np.array_split(WEIGHTS, parts), strict=True)
    each = [
        _integrals(words, mu, cov, low, width * constant(words, y, mu), width * constant(words, w, mu))
        for y, w in nodes
    ]
    rise, square, p, bend = (sum(terms[1:], terms[0]) for terms in zip(*each, strict=True))
    var = square - rise * rise + common
    p = xp.where(p < 0.0, xp.zeros_like(p), p)
    p = xp.where(width > 0.0, p, xp.where(mu < 0.0, xp.zeros_like(p), xp.ones_like(p)))
    p = p / p.sum(-1)[..., None]
    bend = xp.where(bend > 0.0, xp.zeros_like(bend), bend) * (1.0 - words.eye(n, mu))
    curvature = bend - bend.sum(-1)[..., None] * words.eye(n, mu)
    mean = (low + rise)[..., None] + shift
    return GroupMoments(mean, var[..., None, None], p[..., None, :], curvature[..., None, :, :])


def _integrals(
    words: Words[Any], mu: Array, cov: Array, low: Array, y: Array, weights: Array
) -> tuple[Array, Array, Array, Array]:
    """Parts of the integrals over x = low + y of 1 - P and 2 y (1 - P), and of minus the derivatives of P."""
    n = mu.shape[-1]
    below, gradient, steps, factors = _pass(words, mu, cov, low[..., None] + y)
    above, held = weights * (1.0 - below), weights * below
    shape = *y.shape[:-1], y.shape[-1] * n
    bend = _squares(steps.reshape(*shape, n), (held[..., None] * factors).reshape(shape))
    p = -(held[..., None] * gradient).sum(-2)
    return above.sum(-1), 2.0 * (above * y).sum(-1), p, bend - _squares(gradient, held)


def _range(words: Words[Any], mu: Array, cov: Array) -> tuple[Array, Array]:
    """Numbers (...) between which the maximum is."""
    xp, own = words.xp, words.xp.einsum("...ii->...i", cov)
    reach = ENDS * xp.sqrt(xp.where(own > 0.0, own, xp.zeros_like(own)))
    return words.detached(xp.amax(mu - reach, -1)), words.detached(xp.amax(mu + reach, -1))


def _resolved(words: Words[Any], cov: Array, sd: Array) -> Array:
    """Add noise of this sd to all elements that have less, the same to all, which changes no difference of two."""
    xp, own = words.xp, words.xp.einsum("...ii->...i", cov)
    noise = xp.where(own < sd * sd, sd + 0.0 * words.detached(own), 0.0 * words.detached(own))
    return cov + noise[..., :, None] * noise[..., None, :]


def _squares(vectors: Array, weights: Array) -> Array:
    """The sum of weighted squares v v^T, of vectors (..., k, n) and weights (..., k)."""
    return (vectors * weights[..., None]).mT @ vectors


def _common(words: Words[Any], cov: Array) -> Array:
    """A variance c such that cov - c 11^T has no negative eigenvalue, at most the mean covariance (...)."""
    xp, n = words.xp, cov.shape[-1]
    cov = words.detached(cov)
    trace = xp.einsum("...ii->...", cov)
    mean = (cov.sum(-1).sum(-1) - trace) / (n * (n - 1))
    scale = xp.where(trace > 0.0, trace, xp.ones_like(trace))[..., None, None] / n
    # c = 1 / (1^T cov^-1 1): in correlations to their mean variance, with what keeps a singular matrix regular
    ridge = KEPT * words.eye(n, cov)
    inverse = xp.linalg.solve(cov / scale + ridge, xp.ones_like(cov[..., :1]))
    most = scale[..., 0, 0] / inverse.sum(-2)[..., 0]
    most = most - KEPT / n * scale[..., 0, 0]
    common = xp.where(mean < most, mean, most)
    return xp.where((common > 0.0) & (trace > 0.0), common, xp.zeros_like(common))


def _pass(words: Words[Any], mu: Array, cov: Array, x: Array) -> tuple[Array, Array, Array, Array]:
    """P(X <= x), its logarithm's gradient (..., t, n), a_i (..., t, i, n) and delta_i / s_i^2 (..., t, i)."""
    xp, n = words.xp, mu.shape[-1]
    rounding = n * float(xp.finfo(mu.dtype).eps) * xp.einsum("...ii->...i", cov)
    spread = xp.zeros_like(x)
    mean = mu[..., None, :] - x[..., None]
    cov = cov[..., None, :, :] + spread[..., None, None]
    columns = words.eye(n, mu) + spread[..., None, None]
    below, gradient, steps, factors = xp.ones_like(x), spread[..., None], [], []
    for i in range(n):
        var = cov[..., 0, 0]
        known = ~(var > rounding[..., i, None])
        var = xp.where(known, xp.ones_like(var), var)
        s = xp.sqrt(var)
        h = standardised(xp, mean[..., 0], xp.where(known, xp.zeros_like(var), s))
        p = normal_cdf(xp, h)
        ratio = _inverse_mills(xp, h, p)
        pull = xp.where(known, xp.zeros_like(s), ratio / s)
        factor = xp.where(known, xp.zeros_like(s), ratio * (ratio + h) / var)
        column, step = cov[..., 1:, 0], columns[..., :, 0]
        below, gradient = below * p, gradient - pull[..., None] * step
        steps.append(step)
        factors.append(factor)
        mean = mean[..., 1:] - pull[..., None] * column
        moved = factor[..., None] * column
        cov = cov[..., 1:, 1:] - column[..., :, None] * moved[..., None, :]
        columns = columns[..., :, 1:] - step[..., :, None] * moved[..., None, :]
    return below, gradient, xp.stack(steps, -2), xp.stack(factors, -1)


def _inverse_mills(xp: Any, h: Array, p: Array) -> Array:
    """phi(h) / Phi(h)."""
    far = h < -10.0
    safe = xp.where(far, xp.ones_like(p), p)
    # the continued fraction is right to 1e-9 there
    x = xp.where(far, -h, 10.0 + 0.0 * h)
    tail = x + 1.0 / (x + 2.0 / (x + 3.0 / (x + 4.0 / (x + 5.0 / x))))
    return xp.where(far, tail, density(xp, h) / safe)
