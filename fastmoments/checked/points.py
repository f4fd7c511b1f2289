"""Independently scrambled Sobol sequences as standard normal and uniform numbers, block by block."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.special import ndtri
from scipy.stats import qmc

from fastmoments.checked.arrays import FloatArray

REPLICATES = 8  # sequences; their scatter tells the error with 7 degrees of freedom
FIRST = 64  # points of each sequence at first
# Coordinates by Sobol points; pseudo-random numbers serve the rest as well, in half the time and without the .3 ms
# that each takes to begin: 32 of those that matter most, and else, where order tells little, 256
LEADING, COORDINATES = 32, 256
HALF_STEP = 2.0**-31  # of SciPy's points, multiples of 2^-30 from 0 on, whose middles are in (0, 1)
NUMBERS = 2**18  # in a chunk of points: 2 MiB, which caches hold
FEWEST = 8  # points of each sequence in a chunk, however wide: 64 keep a device busy


class Chunk(NamedTuple):
    """Normals (replicates, points, n) and uniforms (replicates, points, draws) in (0, 1), or None without draws."""

    normals: FloatArray
    uniforms: FloatArray | None


class Points:
    """The sequences of a seed: n normal coordinates, the first of which are the most uniform, and `draws` uniforms.

    They are `ordered` if the first coordinates matter most. They are the same whatever asks for them, if as many
    come at a time.
    """

    def __init__(self, n: int, draws: int, seed: int, ordered: bool) -> None:
        self.n, self.draws = n, draws
        self.leading = min(n, LEADING if ordered else COORDINATES)
        self.drawn = min(draws, COORDINATES - self.leading)
        streams = np.random.default_rng(seed).spawn(2 * REPLICATES)
        self.sobol = [qmc.Sobol(max(self.leading + self.drawn, 1), seed=s) for s in streams[:REPLICATES]]
        self.rest = streams[REPLICATES:]

    def next(self, count: int) -> Iterator[Chunk]:
        """Yield the next `count` points of every sequence, a power of two, in chunks."""
        fitting = max(NUMBERS // (REPLICATES * max(self.n + self.draws, 1)), FEWEST)
        rows = min(count, 1 << fitting.bit_length() - 1)
        for _ in range(count // rows):
            yield self._chunk(rows)

    def _chunk(self, rows: int) -> Chunk:
        normals = np.empty((REPLICATES, rows, self.n))
        uniforms = np.empty((REPLICATES, rows, self.draws))
        for k, (sobol, rest) in enumerate(zip(self.sobol, self.rest, strict=True)):
            points = sobol.random(rows) + HALF_STEP
            normals[k, :, : self.leading] = ndtri(points[:, : self.leading])
            uniforms[k, :, : self.drawn] = points[:, self.leading : self.leading + self.drawn]
            if self.n > self.leading:
                normals[k, :, self.leading :] = rest.standard_normal((rows, self.n - self.leading))
            if self.draws > self.drawn:
                uniforms[k, :, self.drawn :] = rest.random((rows, self.draws - self.drawn))
        return Chunk(normals, uniforms if self.draws else None)

    def up_to(self, each: int) -> Iterator[Chunk]:
        """Yield the first `each` points of every sequence, as `doublings` takes them."""
        for more in doublings(each):
            yield from self.next(more)


def doublings(each: int) -> Iterator[int]:
    """Yield how many points a sequence gets more, up to `each`: the first, and then as many as it has."""
    count = FIRST
    yield count
    while 2 * count <= each:
        yield count
        count *= 2


def middle(n: int, draws: int) -> Chunk:
    """Return the middle of all points, once for every sequence."""
    return Chunk(np.zeros((REPLICATES, 1, n)), np.full((REPLICATES, 1, draws), 0.5) if draws else None)
