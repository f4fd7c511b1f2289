"""An activation as a line, kinks and bumps: a sum of few functions, any two of which have a known covariance."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from fastmoments.composed.base import Composed
from fastmoments.dispatch import Named
from fastmoments.frameworks import Framework
from fastmoments.parameters import by_name
from fastmoments_kernels.catalogue import row_of
from fastmoments_kernels.custom import Custom

DENSITY_AT_0 = 1.0 / math.sqrt(2.0 * math.pi)
WAVES = ("sin", "cos")


class Side(NamedTuple):
    """One of the two functions, and the moments of its input.

    `parameters` are arrays, by the names that `parameters.of_neurons` gives them; `library` is their module of
    `frameworks`.
    """

    library: Framework[Any]
    name: str | Custom | Composed
    parameters: Named
    mu: Any
    var: Any

    @property
    def xp(self) -> Any:
        """The library's functions."""
        return self.library.xp

    @property
    def of_neuron(self) -> Named:
        """The parameters with a mixture's components along the last axis."""
        return by_name(self.parameters, self.xp.stack)

    @property
    def activation(self) -> Any:
        """The activation object."""
        return row_of(self.name).activation(**self.of_neuron) if isinstance(self.name, str) else self.name

    @property
    def has_pieces(self) -> bool:
        """Whether the function is a sum of a line, kinks and bumps."""
        if isinstance(self.name, Composed):
            return self.name.pieces(self) is not None
        return isinstance(self.name, str) and self.name not in WAVES


def pair_of(one: Side, two: Side) -> Any:
    """Return the activation of two neurons of one class, each with its own parameters."""
    if not isinstance(one.name, str):
        return one.name
    p, q = one.of_neuron, two.of_neuron
    return row_of(one.name).activation(**{name: (p[name], q[name]) for name in p})


class Kink(NamedTuple):
    """weight E F(scale (x - knot) + N), N ~ N(0, noise); F is relu for order 2, step for 1, delta for 0.

    `noise` is 0 or 1, and 1 for a delta.
    """

    order: int
    weight: Any = 1.0
    scale: Any = 1.0
    knot: Any = 0.0
    noise: float = 0.0


class Bump(NamedTuple):
    """weight exp(-tau (x - center)^2 / 2)."""

    weight: Any
    tau: Any
    center: Any

    def as_kink(self, xp: Any) -> Kink:
        """Return the delta that noise makes this bump of."""
        # the least normal number gives the root a derivative at tau = 0, which the other factors make finite
        tau = xp.where(self.tau >= 0.0, self.tau, math.nan) + float(xp.finfo(self.tau.dtype).tiny)
        return Kink(0, self.weight / DENSITY_AT_0, xp.sqrt(tau), self.center, 1.0)


class Pieces(NamedTuple):
    """slope x, unless that is None, plus kinks plus bumps: a function less a constant, which covariances lack."""

    slope: Any | None
    kinks: tuple[Kink, ...]
    bumps: tuple[Bump, ...]


def pieces_of(side: Side) -> Pieces:
    """Return the pieces of a function that has them.

    The lines of abs and leaky relu are those on mu's side of the kink, which turns away from mu: where the function
    is straight, nothing is subtracted.
    """
    xp, p = side.xp, side.parameters
    if isinstance(side.name, Composed):
        found: Pieces = side.name.pieces(side)
        return found
    match side.name:
        case "relu":
            return Pieces(None, (Kink(2),), ())
        case "leaky_relu" | "abs":
            below = p["negative_slope"] if p else -xp.ones_like(side.mu)
            above = side.mu > 0.0
            one = xp.ones_like(side.mu)
            return Pieces(xp.where(above, one, below), (Kink(2, 1.0 - below, xp.where(above, -one, one)),), ())
        case "heaviside":
            return Pieces(None, (Kink(1),), ())
        case "probit":
            return Pieces(None, (Kink(1, noise=1.0),), ())
        case "erf":
            return Pieces(None, (Kink(1, 2.0, math.sqrt(2.0), noise=1.0),), ())
        case "gelu":
            one = xp.ones_like(side.mu)
            return Pieces(None, (Kink(2, noise=1.0),), (Bump(-DENSITY_AT_0 * one, one, 0.0),))
        case "gaussian":
            return Pieces(None, (), (Bump(xp.ones_like(side.mu), p["tau"], p["center"]),))
        case "npn":
            return Pieces(None, (), (_dip(p, p["q"]),))
        case "npn_linear":
            return Pieces(p["alpha"], (), (_dip(p, (1.0 - p["alpha"]) * p["q"]),))
        case "gaussian_mixture":
            k = len(p) // 3
            values = list(p.values())
            return Pieces(None, (), tuple(Bump(*values[i::k]) for i in range(k)))
    raise NotImplementedError(f"{side.name} is no sum of kinks and bumps")


def _dip(p: Named, depth: Any) -> Bump:
    # r moves the function up and down; 0 r keeps its shape, and its gradient of 0
    return Bump(-depth + 0.0 * p["r"], p["tau"], p["center"])
