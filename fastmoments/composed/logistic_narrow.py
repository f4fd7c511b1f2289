"""Neurons of sd <= 3.2: integrals over Z by trapezoids, which converge as fast as the poles at +-i pi / sd are far.

The error of step h is 2 exp(-(2 pi^2 - pi^2 h / (2 sd)) / (h sd)) beside the integral, below 1e-15 where h sd < 0.5.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastmoments.composed.logistic_slopes import at, rise, slope

Array = NDArray[Any]

STEPS = (0.8, 0.5), (1.8, 0.25), (3.2, 0.125)  # the largest sd, and the step for it
WIDEST = STEPS[-1][0]


def step_for(widest: float | None) -> float:
    """Return the step for neurons of up to this sd, None if it is not known."""
    fitting = [step for limit, step in STEPS if widest is not None and widest <= limit]
    return fitting[0] if fitting else STEPS[-1][1]


@lru_cache(maxsize=8)
def nodes(step: float) -> tuple[Array, Array]:
    """Return z and the weights step * phi(z), (J,)."""
    # f^2 may grow like exp(2 sd z), which moves the integrand's middle to 2 sd = 1 / step
    count = math.ceil((12.0 + 1.0 / step) / step)
    z = step * np.arange(-count, count + 1)
    return z, step * np.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)


@lru_cache(maxsize=16)
def table(step: float, terms: int) -> Array:
    """Return weight He_(n-1)(z) / sqrt(n!) for n = 1 ... terms, (J, terms)."""
    z, weight = nodes(step)
    before, now, columns = 0.0 * z, weight, []
    for n in range(1, terms + 1):
        columns.append(now / math.sqrt(n))
        before, now = now, (z * now - math.sqrt(n - 1) * before) / math.sqrt(n)
    return np.stack(columns, axis=-1)


def mean(library: Any, kind: str, order: int, mu: Any, sd: Any, step: float) -> Any:
    """Compute E f^(order)(X)."""
    xp, (z, weight) = library.xp, nodes(step)
    m, p, t, weight = _points(library, mu, sd, z, weight)
    if order:
        return (weight * slope(xp, kind, order, p)).sum(-1)
    return slope(xp, kind, 0, m)[..., 0] + (weight * rise(xp, kind, 0, m, p, t)).sum(-1)


def cov(library: Any, kind: str, order_1: int, order_2: int, mu: Any, sd: Any, step: float) -> Any:
    """Compute Cov(f^(order_1)(X), f^(order_2)(X))."""
    xp, (z, weight) = library.xp, nodes(step)
    m, p, t, weight = _points(library, mu, sd, z, weight)
    one = rise(xp, kind, order_1, m, p, t)
    two = one if order_2 == order_1 else rise(xp, kind, order_2, m, p, t)
    return (weight * one * two).sum(-1) - (weight * one).sum(-1) * (weight * two).sum(-1)


def coefficients(
    library: Any, kind: str, orders: tuple[int, ...], mu: Any, sd: Any, terms: int, step: float
) -> Any:
    """Compute E f^(order)(mu + sd Z) He_n(Z) / sqrt(n!) for n = 1 ... terms, (orders, terms, ...).

    By parts they are sd / sqrt(n) times those of the next derivative at n - 1: a small sd costs no digits.
    """
    xp, (z, weight) = library.xp, nodes(step)
    _, p, _, _ = _points(library, mu, sd, z, weight)
    columns = library.constant(table(step, terms), mu)
    return sd * xp.moveaxis(xp.stack([slope(xp, kind, order + 1, p) @ columns for order in orders]), -1, 1)


def _points(library: Any, mu: Any, sd: Any, z: Array, weight: Array) -> tuple[Any, Any, Any, Any]:
    """Return mu and the nodes as points, (..., 1) and (..., J), the nodes less mu, and the weights."""
    xp = library.xp
    t = sd[..., None] * library.constant(z, mu)
    return at(xp, mu[..., None]), at(xp, mu[..., None] + t), t, library.constant(weight, mu)
