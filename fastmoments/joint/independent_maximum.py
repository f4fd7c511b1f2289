"""The maximum of independent Gaussian elements, by one integral over its distribution function, a product."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastmoments.frameworks import Words
from fastmoments.frameworks.products import root
from fastmoments.joint.orthants import constant, normal_cdf, standardised

Array = Any  # of the library whose words are given

HALVINGS = 12
ENDS = 7.0  # standard deviations of an element beyond which it counts as no longer random: 1e-12


def _logarithmic_nodes(step: float, last: float) -> tuple[Any, Any, Any]:
    """Nodes y in (0, 1] and weights of the integrals of g(y) and of 2 y g(y), trapezoids in log y.

    At y above the lower end of the maximum, which is above all mu - 7 sd, an element has an sd of y / 14 or more,
    or its own lower end would be higher: steps of log y serve narrow and wide. Below the first node g is 1.
    """
    y = np.exp(step * np.arange(math.floor(last / step), 1))
    once, twice = step * y, 2.0 * step * y * y
    once[0] += once[0] / math.expm1(step)
    twice[0] += twice[0] / math.expm1(2.0 * step)
    return y, once, twice


NODES, ONCE, TWICE = _logarithmic_nodes(0.1, math.log(1e-9))


def independent_maximum(words: Words[Any], mu: Array, var: Array) -> tuple[Array, Array]:
    """Compute mean and variance, (..., 1), of the maximum of independent elements (..., n): n times 209 Phi.

    Elements of mean -inf count for nothing, see `Maximum`.
    """
    xp = words.xp
    masked = mu == -float("inf")
    some = ~masked.all(-1)[..., None]
    mu = xp.where(masked & some, float(xp.finfo(mu.dtype).min) * xp.ones_like(mu), mu)
    mu = xp.where(some, mu, xp.zeros_like(mu))
    sd = root(xp, xp.where(masked, xp.zeros_like(var), var))
    low, high = _range(words, words.detached(mu), words.detached(sd))
    width = (high - low)[..., None]
    x = width * constant(words, NODES, mu)
    below = xp.ones_like(x)
    for i in range(mu.shape[-1]):
        gap = (mu[..., i] - low)[..., None] - x
        below = below * normal_cdf(xp, standardised(xp, gap, sd[..., i, None] + 0.0 * x))
    above = 1.0 - below
    rise = (above * constant(words, ONCE, mu)).sum(-1)[..., None] * width
    square = (above * constant(words, TWICE, mu)).sum(-1)[..., None] * width * width
    var_out = square - rise * rise
    mean = low[..., None] + rise
    mean = xp.where(some, mean, -float("inf") * xp.ones_like(mean))
    return mean, xp.where(var_out < 0.0, xp.zeros_like(var_out), var_out)


def _range(words: Words[Any], mu: Array, sd: Array) -> tuple[Array, Array]:
    """Numbers (...) between which the maximum is, the lower one by bisection: it rises with n."""
    xp = words.xp
    low, high = xp.amax(mu - ENDS * sd, -1), xp.amax(mu + ENDS * sd, -1)
    first, last = low, high
    for _ in range(HALVINGS):
        middle = 0.5 * (first + last)
        unlikely = xp.prod(normal_cdf(xp, standardised(xp, mu - middle[..., None], sd)), -1) < 1e-14
        first, last = xp.where(unlikely, middle, first), xp.where(unlikely, last, middle)
    return first, high
