"""Smooth functions that bend no faster than their input varies: the trapezoidal rule, the same nodes for all.

For a function that is analytic within a strip |Im x| < d its error is exp(-2 pi d / (step sd)). Beyond the reach
phi is less than 8e-23.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from fastmoments.powers.common import Counts, Moments, Neurons, hermite

REACH = 10.0
STEP = 0.36  # at an sd of one length
WIDEST = 4.0  # sd in lengths
CHUNK = 1 << 17  # function values at a time


def by_grid(neurons: Neurons, counts: Counts, widest: float) -> Moments:
    """Integrate at nodes as dense as an sd of `widest` lengths asks for."""
    octaves = 0.5 * math.ceil(2.0 * math.log2(max(1.0, min(widest, WIDEST))))
    z, weights = _rule(octaves, max(counts))
    lib, shape, size = neurons.library, neurons.shape, math.prod(neurons.shape)
    step = max(8, CHUNK // max(1, size))
    totals: list[Any] = [0.0] * len(counts)
    for start in range(0, len(z), step):
        nodes = lib.constant(z[start : start + step], neurons.mu)
        weight = lib.constant(weights[:, start : start + step], neurons.mu)
        g = neurons.deviations(nodes.reshape(-1, *(1,) * len(shape)))
        power = g
        for p, count in enumerate(counts):
            power = power * g if p else g
            totals[p] = totals[p] + weight[:count] @ power.reshape(len(nodes), size)
    return [total.reshape(count, *shape) for total, count in zip(totals, counts, strict=True)]


@lru_cache
def _rule(octaves: float, count: int) -> tuple[Any, Any]:
    """Nodes (N,), and weights times He_k (count, N)."""
    half = math.ceil(REACH / STEP * 2.0**octaves)
    z = np.linspace(-REACH, REACH, 2 * half + 1)
    weight = np.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi) * (REACH / half)
    return z, np.stack(hermite(z, count)) * weight
