"""Neurons, orders, Hermite polynomials: shared by all ways to compute powers' moments."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fastmoments.frameworks import Words

Counts = tuple[int, ...]  # how many orders k = 0, 1, ... of every power p = 1, 2, 3, 4
Moments = list[Any]  # of every power an array (K, ...)

COUNTS: Counts = (7, 5, 5, 5)


@dataclass(frozen=True)
class Neurons:
    """Inputs of neurons: arrays of one shape (...). `parameters` are f's, which `f(x, *parameters)` takes."""

    library: Words[Any]
    f: Callable[..., Any]
    mu: Any
    sd: Any
    centre: Any
    scale: Any
    parameters: tuple[Any, ...] = ()

    @property
    def xp(self) -> Any:
        """The library's functions."""
        return self.library.xp

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the arrays."""
        return tuple(self.mu.shape)

    def deviations(self, z: Any) -> Any:
        """Return (f(mu + sd z) - centre) / scale for nodes (N, ...)."""
        return (self.f(self.mu + self.sd * z, *self.parameters) - self.centre) / self.scale

    def standardised(self, distance: Any, limit: float) -> Any:
        """Return distance / sd, moved to within -limit and limit; its derivatives are finite."""
        xp = self.xp
        near = xp.abs(distance) < limit * self.sd
        ratio = xp.where(near, distance, 0.0) / xp.where(near, self.sd, 1.0)
        return xp.where(near, ratio, limit * xp.sign(self.library.detached(distance)))

    def replaced(self, where: Any, function: Callable[[Neurons], Moments], moments: Moments) -> Moments:
        """Return the moments with those of a function in their place where a condition holds."""

        def of_arrays(mu: Any, sd: Any, centre: Any, scale: Any, *parameters: Any) -> tuple[Any, ...]:
            return tuple(function(Neurons(self.library, self.f, mu, sd, centre, scale, parameters)))

        arrays = self.mu, self.sd, self.centre, self.scale, *self.parameters
        return list(self.library.replaced(where, of_arrays, arrays, tuple(moments)))


def hermite(z: Any, count: int) -> list[Any]:
    """Return He_0(z) ... He_{count - 1}(z), the probabilists' polynomials."""
    found = [1.0 + 0.0 * z, z]
    for k in range(2, count):
        found.append(z * found[-1] - (k - 1) * found[-2])
    return found[:count]


def of_polynomials(powers: Sequence[Moments], centre: Any, counts: Counts) -> Moments:
    """Return E (f - centre)^p He_k from E f^j He_k, powers[j][k], j = 0 ... 4, by the binomial theorem."""
    found = []
    for p, count in enumerate(counts, 1):
        total: Any = 0.0
        for j in range(p + 1):
            total = total + math.comb(p, j) * (-centre) ** (p - j) * powers[j][:count]
        found.append(total)
    return found
