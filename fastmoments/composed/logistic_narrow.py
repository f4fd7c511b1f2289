"""Neurons of sd <= 3.2: integrals over Z by trapezoids, whose error falls with the poles' distance pi / sd.

For a step h it is about 2 exp(-2 pi^2 / (h sd) + pi^2 / (2 sd^2)), below 1e-16 for the steps here.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastmoments.composed.logistic_slopes import at, rise, slope, step_between

Array = NDArray[Any]

STEPS = (0.8, 0.5), (1.8, 0.25), (3.2, 0.125)  # the largest sd, and the step for it


def limit_of(step: float, terms: int) -> float:
    """Return the largest sd for which a step is short enough, for up to so many Hermite coefficients.

    He_n(z) oscillates like cos(sqrt(n) z), which moves the slopes' spectrum exp(-pi k / sd) by sqrt(n) towards that
    of the nodes, 2 pi / step: the coefficients are off by exp(-32) of E f', beside factors that are larger.
    """
    own = next(limit for limit, other in STEPS if other == step)
    return min(own, math.pi * (2.0 * math.pi / step - math.sqrt(terms)) / 32.0) if terms else own


@lru_cache(maxsize=8)
def nodes(step: float) -> tuple[Array, Array]:
    """Return z and the weights step * phi(z), (J,)."""
    # f^2 may grow like exp(2 sd z), which moves the middle of what is integrated to 2 sd
    count = math.ceil((10.5 + 2.0 * limit_of(step, 0)) / step)
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


class Narrow:
    """Integrals of a function of a kind, for neurons (...,) of mean mu and standard deviation sd."""

    def __init__(self, library: Any, kind: str, mu: Any, sd: Any, step: float) -> None:
        z, weight = nodes(step)
        self.library, self.kind, self.sd, self.step = library, kind, sd, step
        t, self.weight = sd[..., None] * library.constant(z, mu), library.constant(weight, mu)
        self.middle, self.points = at(library.xp, mu[..., None]), at(library.xp, mu[..., None] + t)
        self._step = step_between(library.xp, self.middle, self.points, t)
        self._rises: dict[int, tuple[Any, Any]] = {}

    def mean(self, order: int) -> Any:
        """Compute E f^(order)(X)."""
        if order:
            return (self.weight * slope(self.library.xp, self.kind, order, self.points)).sum(-1)
        return slope(self.library.xp, self.kind, 0, self.middle)[..., 0] + self._rise(0)[1]

    def cov(self, one: int, two: int) -> Any:
        """Compute Cov(f^(one)(X), f^(two)(X))."""
        (rise_1, mean_1), (rise_2, mean_2) = self._rise(one), self._rise(two)
        return (self.weight * rise_1 * rise_2).sum(-1) - mean_1 * mean_2

    def _rise(self, order: int) -> tuple[Any, Any]:
        """Return f^(order) less its value at mu at the nodes, and the mean of that."""
        if order not in self._rises:
            found = rise(self.library.xp, self.kind, order, self._step)
            self._rises[order] = found, (self.weight * found).sum(-1)
        return self._rises[order]

    def coefficients(self, orders: tuple[int, ...], terms: int) -> Any:
        """Compute E f^(order)(mu + sd Z) He_n(Z) / sqrt(n!) for n = 1 ... terms, (orders, terms, ...).

        By parts they are sd / sqrt(n) times those of the next derivative at n - 1: a small sd costs no digits.
        """
        xp, columns = self.library.xp, self.library.constant(table(self.step, terms), self.sd)
        products = [slope(xp, self.kind, order + 1, self.points) @ columns for order in orders]
        return self.sd * xp.moveaxis(xp.stack(products), -1, 1)
