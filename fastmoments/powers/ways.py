"""How the moments of an activation's powers are computed: by which closed form or quadrature."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

from fastmoments.composed.base import Composed
from fastmoments.composed.elu import Exponential
from fastmoments.composed.exp import Exp
from fastmoments.composed.kinked import Kinked, Sections
from fastmoments.composed.logistic import Logistic
from fastmoments.composed.polynomial import Polynomial
from fastmoments.parameters import kinks_of
from fastmoments.powers import closed, lines
from fastmoments.powers.common import Counts, Moments, Neurons
from fastmoments.powers.custom import settled
from fastmoments.powers.grid import WIDEST, by_grid
from fastmoments.powers.panels import Centres, by_panels, ends_of
from fastmoments_kernels.custom import Custom

STRAIGHT = ("relu", "leaky_relu", "abs", "heaviside")
WAVES = ("sin", "cos")


def moments_of(neurons: Neurons, name: str | Custom | Composed, counts: Counts) -> Moments:
    """Return the moments for what `parameters.of_neurons` returns."""
    if name == "bernoulli_probit":
        return closed.of_bernoulli(neurons, counts)
    if isinstance(name, str) and name in STRAIGHT:
        return lines.by_lines(neurons, _sections(name, neurons.parameters), counts)
    if isinstance(name, Kinked):
        return _of_kinked(neurons, name.sections, counts)
    if isinstance(name, Custom):
        return settled(neurons, name, counts)
    return _by_quadrature(neurons, name, counts)


def _sections(name: str, parameters: tuple[Any, ...]) -> Sections:
    """Return the straight sections of a function of the catalogue."""
    slopes = {"relu": (0.0, 1.0), "abs": (-1.0, 1.0), "heaviside": (0.0, 0.0)}
    return Sections((0.0,), slopes.get(name) or (parameters[0], 1.0), (float(name == "heaviside"),), 0.0)


def _of_kinked(neurons: Neurons, sections: Sections, counts: Counts) -> Moments:
    found = lines.by_lines(neurons, sections, counts)
    if len(sections.knots) == 1:
        return found
    gap = min(two - one for one, two in pairwise(sections.knots))

    def panels(some: Neurons) -> Moments:
        return by_panels(some, counts, ends_of(some, sections.knots, (), None))

    limit = lines.WIDEST if neurons.xp.finfo(neurons.mu.dtype).bits == 64 else lines.WIDEST_32
    return neurons.replaced(neurons.sd > limit * gap, panels, found)


def _by_quadrature(neurons: Neurons, name: Any, counts: Counts) -> Moments:
    kinks, ratio = kinks_of(name), _ratio(neurons, name)
    widest = neurons.library.largest(ratio)

    def panels(some: Neurons) -> Moments:
        return by_panels(some, counts, ends_of(some, kinks, _centres(name, some.parameters), widest))

    if kinks:
        return panels(neurons)
    if isinstance(name, Exp):
        # so that nothing overflows where the closed form stands
        sd = neurons.xp.where(neurons.sd > closed.WIDE, closed.WIDE, neurons.sd)
        found = by_grid(replace(neurons, sd=sd), counts, closed.WIDE)
        return neurons.replaced(neurons.sd > closed.WIDE, lambda some: closed.of_exp(some, counts), found)
    found = by_grid(neurons, counts, math.inf if widest is None else widest)
    if name in WAVES:
        return neurons.replaced(ratio > 1.0, lambda some: _of_wave(some, name, counts), found)
    return neurons.replaced(ratio > WIDEST, panels, found)


def _of_wave(neurons: Neurons, name: str, counts: Counts) -> Moments:
    if name == "sin":
        return closed.of_wave(neurons, counts)
    omega, phase = neurons.parameters
    turned = omega, phase + 0.5 * math.pi
    return closed.of_wave(replace(neurons, parameters=turned), counts)


def _ratio(neurons: Neurons, name: Any) -> Any:
    """Return the sd in units of the least length on which f bends."""
    sd, parameters = neurons.sd, neurons.parameters
    if name in WAVES:
        return neurons.library.detached(sd * neurons.xp.abs(parameters[0]))
    first, *others = (sd / length for _, length in _centres(name, parameters))
    for other in others:
        first = neurons.xp.where(other > first, other, first)
    return neurons.library.detached(first)


def _centres(name: Any, parameters: tuple[Any, ...]) -> Centres:
    """Return where a function bends, and on which length: a pole is 1.9 lengths away at least."""
    match name:
        case "gaussian":
            return [_bump(parameters[0], parameters[1])]
        case "npn" | "npn_linear":
            return [_bump(parameters[-2], parameters[-1])]
        case "gaussian_mixture":
            return [_bump(*pair) for pair in zip(parameters[1::3], parameters[2::3], strict=True)]
        case "erf":
            return [(0.0, math.sqrt(0.5))]
        case Logistic():
            return [(0.0, 1.6 / abs(name.scaled.rate))]
        case Exponential():
            return [(0.0, 1.0 / abs(name.numbers.scale))]
        case Polynomial():
            return [(0.0, math.inf)]
    return [(0.0, 1.0)]


def _bump(tau: Any, centre: Any) -> tuple[Any, Any]:
    return centre, 1.0 / abs(tau) ** 0.5
