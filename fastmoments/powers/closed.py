"""Functions whose powers have Gaussian means in closed form: exponentials, waves, and a stochastic neuron."""

from __future__ import annotations

import math
from typing import Any

from fastmoments.powers.common import Counts, Moments, Neurons, hermite, of_polynomials

WIDE = 0.7  # sd from which the binomial theorem costs few digits, and quadrature's reach too little of e^(4 X)


def of_exp(neurons: Neurons, counts: Counts) -> Moments:
    """E e^(j X) He_k(Z) = (j sd)^k exp(j mu + j^2 var / 2); 1 / scale is a shift of mu."""
    xp, mu, sd = neurons.xp, neurons.mu - neurons.xp.log(neurons.scale), neurons.sd
    powers = [_one(neurons, max(counts))]
    for j in range(1, 5):
        mean = xp.exp(j * mu + 0.5 * (j * sd) ** 2)
        powers.append(xp.stack([mean * (j * sd) ** k for k in range(max(counts))]))
    return of_polynomials(powers, neurons.centre / neurons.scale, counts)


def of_wave(neurons: Neurons, counts: Counts) -> Moments:
    """sin^j is a sum of waves, E exp(i n (omega X + phase)) He_k(Z) = (i n omega sd)^k times the mean."""
    xp, (omega, phase) = neurons.xp, neurons.parameters
    angle, spread = omega * neurons.mu + phase, omega * neurons.sd

    def wave(function: Any, n: int) -> Any:
        size = xp.exp(-0.5 * (n * spread) ** 2)
        rows = (size * (n * spread) ** k * function(n * angle + 0.5 * math.pi * k) for k in range(max(counts)))
        return xp.stack(list(rows))

    sin_1, sin_3 = wave(xp.sin, 1), wave(xp.sin, 3)
    cos_2, cos_4, one = wave(xp.cos, 2), wave(xp.cos, 4), _one(neurons, max(counts))
    powers = [one, sin_1, (one - cos_2) / 2.0, (3.0 * sin_1 - sin_3) / 4.0, (3.0 * one - 4.0 * cos_2 + cos_4) / 8.0]
    found = of_polynomials(powers, neurons.centre, counts)
    return [moments / neurons.scale**p for p, moments in enumerate(found, 1)]


def of_bernoulli(neurons: Neurons, counts: Counts) -> Moments:
    """f(X) is 1 with probability Phi(X), else 0; E Phi(X) He_k(Z) = -(-sd / S)^k He_{k - 1}(b) phi(b), S b = mu.

    S^2 = 1 + var.
    """
    xp, mu, sd, scale = neurons.xp, neurons.mu, neurons.sd, neurons.scale
    root = xp.sqrt(1.0 + sd * sd)
    b, share = mu / root, -sd / root
    cdf = neurons.library.function_of("probit", mu)
    density = xp.exp(-0.5 * b * b) / math.sqrt(2.0 * math.pi)
    rows = [-(share ** (k + 1)) * he * density for k, he in enumerate(hermite(b, max(counts) - 1))]
    yes, no = xp.stack([cdf(b), *rows]), xp.stack([cdf(-b), *(-row for row in rows)])
    above, below = (1.0 - neurons.centre) / scale, -neurons.centre / scale
    return [above**p * yes[:count] + below**p * no[:count] for p, count in enumerate(counts, 1)]


def _one(neurons: Neurons, count: int) -> Any:
    """E He_k: 1 for k = 0, else 0."""
    zero = 0.0 * neurons.mu
    return neurons.xp.stack([1.0 + zero, *(zero for _ in range(count - 1))])
