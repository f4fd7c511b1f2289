"""Softmax and log-sum-exp of independent Gaussian logits, by one integral over one-dimensional tables.

With t = e^-u and the sum S of the e^X_j, 1 / S and 1 / S^2 are integrals of e^-tS and t e^-tS, whose means are
products:

    E s_i = int f_i prod_{j != i} F_j du,    E s_i^2 = int g_i prod_{j != i} F_j du,
    F = E exp(-y), f = E y exp(-y), g = E y^2 exp(-y),    y = e^(X - u)

prod F is the distribution function of log S + G, G of Gumbel's law (mean 0.577, variance pi^2 / 6), and F that of
X + G: E s_i is the probability that X_i + G_i is largest. For sd < 1 the tables are sums over X, else over G, with
f = F' and g = F' + F''.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from fastmoments.dispatch import plan_of
from fastmoments.frameworks import Words
from fastmoments.frameworks.products import root
from fastmoments.joint.masks import unmasked
from fastmoments.joint.orthants import constant, density, normal_cdf

Array = Any  # of the library whose words are given

NUMBER = 128  # of values of u
STEP = 0.45  # of the tables' sums, in sd of X and in G: trapezoids with an error of exp(-pi^2 / 0.45) = 3e-10
SMALL = 1e-4  # variance of all logits below which variances are linear in theirs
EULER = 0.5772156649015329


class IndependentSums(NamedTuple):
    """Mean and variance of the softmax, (..., n), and of the log-sum-exp, (..., 1)."""

    mean: Array
    var: Array
    log_mean: Array
    log_var: Array


def _weights() -> tuple[Any, Any, Any]:
    z = STEP * np.arange(-14, 15)
    g = STEP * np.arange(-7, 47)
    normal, gumbel = np.exp(-0.5 * z * z), np.exp(-g - np.exp(-g))
    return z, normal / normal.sum(), np.stack([g, gumbel / gumbel.sum()])


Z, NORMAL, GUMBEL = _weights()


def independent_sums(words: Words[Any], mu: Array, var: Array) -> IndependentSums:
    """Compute the moments for independent logits (..., n): n times 128 times 83 exponentials, n times 128 numbers.

    Means are within 1e-8, of the log-sum-exp 1e-7. So are variances; where no logit has one above 1e-4, they are
    linear in the logits', within 1e-3 of themselves.
    """
    xp = words.xp
    logits = unmasked(words, mu)
    mu, var = logits.mu, xp.where((logits.alive > 0.0) & ~(var < 0.0), var, xp.zeros_like(var))
    sd = root(xp, var)
    low = words.detached(xp.amax(mu - 6.0 * sd, -1))[..., None] - 3.4
    high = words.detached(xp.amax(mu + 6.0 * sd, -1))[..., None] + 21.0
    step = (high - low) / (NUMBER - 1)
    u = low + step * constant(words, np.arange(NUMBER), mu)
    whole, first, second = _tables(words, mu, sd, u)
    product = xp.exp(xp.log(whole).sum(-2))
    weights = product[..., None, :] * step[..., None] / whole
    p, square = ((x * weights).sum(-1) * logits.alive for x in (first, second))
    above = (1.0 - product) * step
    # trapezoids, and what they leave out at the lower end, where 1 - product is 1 (Euler and Maclaurin)
    rise = above.sum(-1) - 0.5 * step[..., 0]
    spread = 2.0 * (above * (u - low)).sum(-1) + step[..., 0] ** 2 / 6.0 - rise * rise
    linear = p * p * ((1.0 - 2.0 * p) * var + (p * p * var).sum(-1)[..., None])
    small = (xp.amax(var, -1) < max(SMALL, math.sqrt(float(xp.finfo(mu.dtype).eps))))[..., None]
    log_var = xp.where(small[..., 0], (p * p * var).sum(-1), spread - math.pi**2 / 6.0)
    log_mean = low + (rise - EULER)[..., None] + logits.top
    any_alive = logits.alive.sum(-1)[..., None] > 0.0
    log_mean = xp.where(any_alive, log_mean, -float("inf") * xp.ones_like(log_mean))
    return IndependentSums(
        p, _not_negative(xp, xp.where(small, linear, square - p * p)), log_mean, log_var[..., None]
    )


def _not_negative(xp: Any, var: Array) -> Array:
    return xp.where(var < 0.0, xp.zeros_like(var), var)


def _tables(words: Words[Any], mu: Array, sd: Array, u: Array) -> tuple[Array, Array, Array]:
    """F, f and g of every logit at u, (..., n, t)."""
    xp = words.xp
    wide = sd >= 1.0
    narrow_sd = xp.where(wide, xp.zeros_like(sd), sd)[..., None]
    wide_sd = xp.where(wide, sd, xp.ones_like(sd))[..., None]
    gap = u[..., None, :] - mu[..., None]
    narrow, broad = [0.0 * gap] * 3, [0.0 * gap] * 3
    known = words.values(plan_of({"sd": sd}), {"sd": sd})
    some_wide = known is None or bool((known["sd"] >= 1.0).any())
    for z, w in zip(Z.tolist(), NORMAL.tolist(), strict=True):
        y = xp.exp(xp.clip(narrow_sd * z - gap, -800.0, 40.0))
        once = w * xp.exp(-y)
        narrow = [narrow[0] + once, narrow[1] + y * once, narrow[2] + y * (y * once)]
    for g, w in GUMBEL.T.tolist() if some_wide else []:
        h = (gap - g) / wide_sd
        bump = w * density(xp, h) / wide_sd
        broad = [broad[0] + w * normal_cdf(xp, h), broad[1] + bump, broad[2] + bump * (1.0 - h / wide_sd)]
    whole, first, second = (xp.where(wide[..., None], b, a) for a, b in zip(narrow, broad, strict=True))
    least = float(xp.finfo(u.dtype).tiny) * xp.ones_like(whole)
    return xp.where(whole < least, least, whole), first, second
