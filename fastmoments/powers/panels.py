"""Functions that break, or bend faster than their input varies: Gauss-Legendre on panels that end there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastmoments.powers.common import Counts, Moments, Neurons, hermite
from fastmoments.powers.grid import CHUNK, REACH
from fastmoments_kernels.tables import LEGENDRE_24

REGULAR = 4  # panels, which alone resolve He_6 phi
BENDS = 8  # on both sides of a centre, at 2, 8, 32 ... lengths: f is a line or a constant beyond 3e4
NODES = np.array(LEGENDRE_24)
Centres = Sequence[tuple[Any, Any]]  # where a function bends, and on which length


def by_panels(neurons: Neurons, counts: Counts, ends: Any, parts: int = 1) -> Moments:
    """Integrate over panels between the sorted ends (E, ...), each in so many parts."""
    sums: list[list[Any]] = [[0.0] * count for count in counts]
    for z, weight in _nodes(neurons, ends, parts):
        g, he = neurons.deviations(z), hermite(z, max(counts))
        weighted = weight
        for p, count in enumerate(counts):
            weighted = weighted * g
            for k in range(count):
                sums[p][k] = sums[p][k] + neurons.xp.einsum("r...,r...->...", weighted, he[k])
    return [neurons.xp.stack(own) for own in sums]


def _nodes(neurons: Neurons, ends: Any, parts: int) -> Any:
    """Yield nodes (N, ...) and weights times phi, few panels at a time."""
    lib, shape = neurons.library, neurons.shape
    column = (-1, *(1,) * len(shape))
    places = np.concatenate([(NODES[:, 0] + i) / parts for i in range(parts)])
    place = lib.constant(places, ends).reshape(column)
    share = lib.constant(np.tile(NODES[:, 1] / parts, parts), ends).reshape(column)
    length = ends[1:] - ends[:-1]
    step = max(1, CHUNK // max(1, len(places) * math.prod(shape)))
    for start in range(0, len(length), step):
        own = length[start : start + step, None]
        z = ends[:-1][start : start + step, None] + own * place
        weight = own * share * neurons.xp.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
        nodes = len(own) * len(places), *shape
        yield z.reshape(nodes), weight.reshape(nodes)


def ends_of(neurons: Neurons, kinks: Sequence[float], centres: Centres, widest: float | None) -> Any:
    """Return the ends of panels in z: regular ones, kinks, and places around every centre.

    `widest` is the largest sd in lengths, None if it is not known.
    """
    xp, lib, mu = neurons.xp, neurons.library, neurons.mu
    count = BENDS if widest is None else _bends(widest)
    lines = lib.constant(np.linspace(-REACH, REACH, REGULAR + 1), mu)
    rows = [xp.broadcast_to(line, neurons.shape) for line in lines]
    # these follow mu and sd, so that derivatives of the sums are right where f jumps
    rows += [neurons.standardised(kink - mu, REACH) for kink in kinks]
    for centre, length in centres:
        bends = (sign * 2.0 * 4.0**k for k in range(count) for sign in (-1.0, 1.0))
        rows += [lib.detached(neurons.standardised(centre + bend * length - mu, REACH)) for bend in bends]
    ends = xp.sort(xp.stack(rows), 0)
    return getattr(ends, "values", ends)  # torch returns indices too


def _bends(widest: float) -> int:
    if not widest > 2.0:
        return 0
    return min(BENDS, 1 + math.ceil(math.log(REACH * min(widest, 1e9) / 2.0, 4.0)))
