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
from fastmoments.composed.logistic_slopes import CENTRED, SIGMOID, SOFTPLUS, STEPS, slopes_on_numpy

Array = NDArray[Any]

STEP = 0.4
# exp(t), at which slopes fall to the left, is far below anything there, and exp(-t) below rounding to the right
POINTS = STEP * np.arange(-300, 101)
DENSE = 0.06  # step of the mixture: right to 1e-10 of sigmoid(x) at x = -60


def _degree(kind: str, order: int) -> int:
    """Return the power of x as which a derivative grows to the right, -1 if it falls."""
    return max((0 if kind in STEPS else 1) - order, -1)


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


def _expected(library: Any, kind: str, orders: tuple[int, ...], mu: Any, sd: Any) -> Any:
    """Compute the mean of a derivative, or of the product of two."""
    power, weight = _weights(kind, orders)
    shifted = mu[..., None] - library.constant(POINTS, mu)
    kernel = _kernel(library, power, shifted, library.xp.broadcast_to(sd[..., None], tuple(shifted.shape)))
    return kernel @ library.constant(weight, mu)


def _kernel(library: Any, power: int, mu: Any, sd: Any) -> Any:
    """Compute E F(X) of F = delta, step, relu or relu^2 / 2 for power = -1 ... 2."""
    # the public functions import the activations
    from fastmoments.moments import mean
    from fastmoments_kernels.catalogue import Heaviside, ReLU

    if power < 0:
        z = mu / sd
        return library.xp.exp(-0.5 * z * z) / (math.sqrt(2.0 * math.pi) * sd)
    var = sd * sd
    step = None if power == 1 else mean(Heaviside, mu, var)
    ramp = None if power == 0 else mean(ReLU, mu, var)
    return step if ramp is None else ramp if step is None else 0.5 * (mu * ramp + var * step)


def mean(library: Any, kind: str, order: int, mu: Any, sd: Any) -> Any:
    """Compute E f^(order)(X), of an even or odd derivative by that at -|mu|."""
    if kind == CENTRED and order == 0:
        return mean(library, SIGMOID, 0, mu, sd) - 0.5
    if _degree(kind, order) >= 0:
        return _expected(library, kind, (order,), mu, sd)
    sign = 1.0 if (order + (kind in STEPS)) % 2 == 0 else -1.0
    mirrored = mu > 0.0
    value = _expected(library, kind, (order,), library.xp.where(mirrored, -mu, mu), sd)
    return library.xp.where(mirrored, sign * value, value)


def cov(library: Any, kind: str, order_1: int, order_2: int, mu: Any, sd: Any) -> Any:
    """Compute Cov(f^(order_1)(X), f^(order_2)(X)), mirrored to mu <= 0, where nothing cancels.

    sigmoid(x) is 1 - sigmoid(-x), and the others x + f(-x): Cov(X, f(-X)) = -var E f'(-X).
    """
    xp, one, two = library.xp, *sorted((order_1, order_2))
    mirrored = mu > 0.0
    mu = xp.where(mirrored, -mu, mu)
    means = [mean(library, kind, order, mu, sd) for order in (one, two)]
    value = _expected(library, kind, (one, two), mu, sd) - means[0] * means[1]
    sign = 1.0 if (one + two) % 2 == 0 else -1.0
    across = 0.0 * mu
    if kind not in STEPS and one == 0:
        var = sd * sd
        slope = mean(library, kind, two + 1, mu, sd)
        across = var - 2.0 * var * slope if two == 0 else -var * slope
    return xp.where(mirrored, sign * (value + across), value)


def coefficients(
    library: Any, kind: str, orders: tuple[int, ...], mu: Any, sd: Any, terms: int
) -> Any:
    """Compute E f^(order)(mu + sd Z) He_n(Z) / sqrt(n!) for n = 1 ... terms, (orders, terms, ...)."""
    by_order = _of_sigmoid(library, mu, sd, terms + 2, max(orders))
    if kind == SOFTPLUS:
        return library.xp.stack([by_order[order - 1][1 : terms + 1] for order in orders])
    found = library.xp.stack([by_order[order][: terms + 2] for order in orders])
    if kind in STEPS:
        return found[:, 1 : terms + 1]
    # x times a derivative of sigmoid: X = mu + sd Z, and Z He_n = He_(n+1) + n He_(n-1)
    root = library.constant(np.sqrt(np.arange(1.0, terms + 2)), mu).reshape(-1, *(1,) * mu.ndim)
    product = mu * found[:, 1:-1] + sd * (root[1:] * found[:, 2:] + root[:-1] * found[:, :-2])
    lower = library.xp.stack([order * by_order[order - 1][1 : terms + 1] for order in orders])
    return product + lower


def _of_sigmoid(library: Any, mu: Any, sd: Any, terms: int, highest: int) -> dict[int, Any]:
    """Compute E g(mu + sd Z) He_n(Z) / sqrt(n!) for n = 0 ... terms, g the derivatives of sigmoid from -1 on."""
    xp = library.xp
    counts = np.arange(terms + highest + 1.0)
    root = library.constant(np.sqrt(counts), mu).reshape(-1, *(1,) * mu.ndim)
    slope = _normal_densities(library, mu, sd, terms + highest)
    found = {1: slope[: terms + 1]}
    for order in range(2, highest + 1):
        slope = root[1 : len(slope)] / sd * slope[1:]
        found[order] = slope[: terms + 1]
    for order in (0, -1):
        # the coefficient n = 0 of the integral of sigmoid is not asked for
        first = mean(library, SIGMOID, 0, mu, sd) if order == 0 else 0.0 * mu
        found[order] = xp.concatenate((first[None], sd / root[1 : terms + 1] * found[order + 1][:terms]))
    return found


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
