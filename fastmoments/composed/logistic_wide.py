"""Neurons of sd > 3.2: the function as a sum of steps or ramps, by trapezoids in x; and its Hermite coefficients.

A function whose derivative of some order decays on both sides is the integral of that derivative times step(x - t),
relu(x - t) or relu(x - t)^2 / 2, whose means are known. Beside so wide a density trapezoids of step 0.4 are exact
to exp(-5 pi^2). Hermite coefficients are those of the mixture of normal distributions.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastmoments.composed.logistic_mixture import mixture
from fastmoments.composed.logistic_slopes import CENTRED, SIGMOID, SOFTPLUS, slopes_on_numpy
from fastmoments.dispatch import plan_of

Array = NDArray[Any]

STEP = 0.4
# exp(t), at which slopes fall to the left, is far below anything there, and exp(-t) below rounding to the right
POINTS = STEP * np.arange(-300, 101)
DENSE = 0.06  # step of the mixture: right to 1e-10 of sigmoid(x) at x = -60


def _degree(kind: str, order: int) -> int:
    """Return the power of x as which a derivative grows to the right, -1 if it falls."""
    return max((0 if kind == SIGMOID else 1) - order, -1)


@lru_cache(maxsize=64)
def _weights(kind: str, orders: tuple[int, ...]) -> tuple[int, Array]:
    """Return how the product of derivatives grows, and its first derivative that falls on both sides, weighted."""
    degrees = [_degree(kind, order) for order in orders]
    power = -1 if min(degrees) < 0 else sum(degrees)
    slopes = {k: slopes_on_numpy(kind, k, POINTS) for k in range(max(orders) + power + 2)}
    if len(orders) == 1:
        return power, STEP * slopes[orders[0] + power + 1]
    one, two = orders
    terms = (
        math.comb(power + 1, i) * slopes[one + i] * slopes[two + power + 1 - i] for i in range(power + 2)
    )  # Leibniz
    return power, STEP * sum(terms)


class Wide:
    """Integrals of a function of a kind, for neurons (...,) of mean mu and standard deviation sd."""

    def __init__(self, library: Any, kind: str, mu: Any, sd: Any) -> None:
        self.library, self.mu, self.sd = library, mu, sd
        self.kind, self.constant = (SIGMOID, 0.5) if kind == CENTRED else (kind, 0.0)
        self.is_right = mu > 0.0
        self._kernels: dict[tuple[int, bool], Any] = {}

    def mean(self, order: int) -> Any:
        """Compute E f^(order)(X), of an even or odd derivative by that at -|mu|."""
        kind, xp = self.kind, self.library.xp
        if _degree(kind, order) >= 0:
            return self._expected((order,), False) - (0.0 if order else self.constant)
        value = self._expected((order,), True)
        return xp.where(self.is_right, _sign(order + (kind == SIGMOID)) * value, value)

    def cov(self, one: int, two: int) -> Any:
        """Compute Cov(f^(one)(X), f^(two)(X)) by that at -|mu|, where nothing cancels.

        sigmoid(x) is 1 - sigmoid(-x), and the others x + f(-x): Cov(X, f(-X)) = -var E f'(-X).
        """
        one, two = sorted((one, two))
        means = self._expected((one,), True) * self._expected((two,), True)
        value = self._expected((one, two), True) - means
        across: Any = 0.0
        if self.kind != SIGMOID and one == 0:
            var, slope = self.sd * self.sd, self._expected((two + 1,), True)
            across = var - 2.0 * var * slope if two == 0 else -var * slope
        return self.library.xp.where(self.is_right, _sign(one + two) * (value + across), value)

    def _expected(self, orders: tuple[int, ...], is_mirrored: bool) -> Any:
        """Compute the mean of a derivative, or of the product of two, at mu or at -|mu|."""
        power, weight = _weights(self.kind, orders)
        key = power, is_mirrored
        if key not in self._kernels:
            mu = self.library.xp.where(self.is_right, -self.mu, self.mu) if is_mirrored else self.mu
            self._kernels[key] = _kernel(self.library, power, mu, self.sd)
        return self._kernels[key] @ self.library.constant(weight, self.mu)

    def coefficients(self, orders: tuple[int, ...], terms: int) -> Any:
        """Compute E f^(order)(mu + sd Z) He_n(Z) / sqrt(n!) for n = 1 ... terms, (orders, terms, ...)."""
        xp, mu = self.library.xp, self.mu
        of_sigmoid = self._of_sigmoid(terms + 2, max(orders))
        if self.kind == SOFTPLUS:
            return xp.stack([of_sigmoid[order - 1][1 : terms + 1] for order in orders])
        found = xp.stack([of_sigmoid[order][: terms + 2] for order in orders])
        if self.kind == SIGMOID:
            return found[:, 1 : terms + 1]
        # x times a derivative of sigmoid: X = mu + sd Z, and Z He_n = He_(n+1) + n He_(n-1)
        root = _column(self.library, np.sqrt(np.arange(1.0, terms + 2)), mu)
        product = mu * found[:, 1:-1] + self.sd * (root[1:] * found[:, 2:] + root[:-1] * found[:, :-2])
        return product + xp.stack([order * of_sigmoid[order - 1][1 : terms + 1] for order in orders])

    def _of_sigmoid(self, terms: int, highest: int) -> dict[int, Any]:
        """Compute those of sigmoid's integral, sigmoid and its derivatives up to `highest`, n = 0 ... terms."""
        library, mu, sd = self.library, self.mu, self.sd
        root = _column(library, np.sqrt(np.arange(terms + highest + 1.0)), mu)
        slope = _normal_densities(library, mu, sd, terms + highest)
        found = {1: slope[: terms + 1]}
        for order in range(2, highest + 1):
            slope = root[1 : len(slope)] / sd * slope[1:]
            found[order] = slope[: terms + 1]
        # n = 0 of the integral is not asked for
        for order, first in ((0, Wide(library, SIGMOID, mu, sd).mean(0)), (-1, 0.0 * mu)):
            others = sd / root[1 : terms + 1] * found[order + 1][:terms]
            found[order] = library.xp.concatenate((first[None], others))
        return found


def _sign(order: int) -> float:
    return 1.0 if order % 2 == 0 else -1.0


def _column(library: Any, numbers: Array, like: Any) -> Any:
    return library.constant(numbers, like).reshape(-1, *(1,) * like.ndim)


def _kernel(library: Any, power: int, mu: Any, sd: Any) -> Any:
    """Compute E F(X - t) at all points t, F = delta, step, relu or relu^2 / 2 for power = -1 ... 2."""
    mu = mu[..., None] - library.constant(POINTS, mu)
    sd = library.xp.broadcast_to(sd[..., None], tuple(mu.shape))
    if power < 0:
        z = mu / sd
        return library.xp.exp(-0.5 * z * z) / (math.sqrt(2.0 * math.pi) * sd)
    var = sd * sd
    step = None if power == 1 else of_catalogue(library, "heaviside", "mean", mu, var)
    ramp = None if power == 0 else of_catalogue(library, "relu", "mean", mu, var)
    return step if ramp is None else ramp if step is None else 0.5 * (mu * ramp + var * step)


def of_catalogue(library: Any, activation: str, name: str, *arrays: Any) -> Any:
    """Call a function of an activation of the catalogue."""
    arguments = {str(i): array for i, array in enumerate(arrays)}
    return library.elementwise(plan_of(arguments), activation, name, arguments, {})


def _normal_densities(library: Any, mu: Any, sd: Any, terms: int) -> Any:
    """Compute E f'(mu + sd Z) He_n(Z) / sqrt(n!) of sigmoid, n = 0 ... terms: sums of densities' derivatives."""
    xp, (scale, share) = library.xp, mixture(DENSE)
    noise, share = library.constant(scale**-2.0, mu), library.constant(share, mu)
    total = xp.sqrt(sd[..., None] * sd[..., None] + noise)
    r, g = sd[..., None] / total, mu[..., None] / total

    def step(state: tuple[Any, Any], root: Any, next_root: Any) -> tuple[tuple[Any, Any], Any]:
        before, now = state
        return (now, -r * (g * now + root * r * before) / next_root), now @ share

    roots = np.sqrt(np.arange(terms + 2.0))
    start = 0.0 * g, xp.exp(-0.5 * g * g) / (math.sqrt(2.0 * math.pi) * total)
    return library.iterated(step, start, np.stack([roots[:-1], roots[1:]], axis=-1), mu)
