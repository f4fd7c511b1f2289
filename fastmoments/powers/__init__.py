"""Means of an activation's powers times Hermite polynomials, E (f(X) - c)^p He_k(Z) for X = mu + sd Z.

They are what Edgeworth corrections are made of: by parts, sd^k times the k-th derivative of E (f(X) - c)^p along mu.
Functions of straight pieces (`lines`) and some others (`closed`) have closed forms. The rest is quadrature: on one
grid for all neurons (`grid`) where a function is smooth beside the sd, else on panels (`panels`).
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np

from fastmoments.composed.base import Composed
from fastmoments.composed.elu import Exponential
from fastmoments.composed.exp import Exp
from fastmoments.composed.kinked import Kinked, Sections
from fastmoments.composed.logistic import Logistic
from fastmoments.composed.polynomial import Polynomial
from fastmoments.frameworks import Words
from fastmoments.frameworks.products import root
from fastmoments.parameters import kinks_of, of_neurons
from fastmoments.powers import closed, lines
from fastmoments.powers.common import COUNTS, Counts, Moments, Neurons
from fastmoments.powers.grid import WIDEST, by_grid
from fastmoments.powers.panels import Centres, by_panels, ends_of
from fastmoments.values import function_of
from fastmoments_kernels.custom import Custom

STRAIGHT = ("relu", "leaky_relu", "abs", "heaviside")
WAVES = ("sin", "cos")


def hermite_moments(
    words: Words[Any], activation: Any, mu: Any, var: Any, centre: Any
) -> tuple[Any, Any, Any, Any]:
    """Compute h_p[k] = E (f(X) - centre)^p He_k(Z), X = mu + sqrt(var) Z, Z ~ N(0, 1)."""
    xp = words.xp
    name, parameters = of_neurons(activation)
    with np.errstate(all="ignore"):
        given = tuple(
            xp.broadcast_to(
                words.constant(value if hasattr(value, "dtype") else np.asarray(value), mu), tuple(mu.shape)
            )
            for value in parameters.values()
        )
        # a negative variance must not pass for none
        sd = root(xp, var) + xp.where(var < 0.0, math.nan, 0.0 * mu)
        neurons = Neurons(words, function_of(words, name, mu), mu, sd, words.detached(centre), given)
        h = _moments(neurons, name, COUNTS)
        if name != "bernoulli_probit":
            h = _without_variance(neurons, h, var)
        return h[0], h[1], h[2], h[3]


def _moments(neurons: Neurons, name: Any, counts: Counts) -> Moments:
    if name == "bernoulli_probit":
        return closed.of_bernoulli(neurons, counts)
    if name in STRAIGHT:
        return lines.by_lines(neurons, _sections(name, neurons.parameters), counts)
    if isinstance(name, Kinked):
        return _of_kinked(neurons, name.sections, counts)
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

    def wide(part: Neurons) -> Moments:
        return by_panels(part, counts, ends_of(part, sections.knots, (), None))

    return neurons.replaced(neurons.sd > lines.WIDEST * gap, wide, found)


def _by_quadrature(neurons: Neurons, name: Any, counts: Counts) -> Moments:
    kinks = name.kinks if isinstance(name, Composed | Custom) else kinks_of(name)
    ratio = _ratio(neurons, name, neurons.parameters)
    widest = neurons.library.largest(ratio)

    def panels(part: Neurons) -> Moments:
        return by_panels(part, counts, ends_of(part, kinks, _centres(name, part.parameters), widest))

    if kinks:
        return panels(neurons)
    found = by_grid(neurons, counts, math.inf if widest is None else widest)
    if isinstance(name, Exp):
        return neurons.replaced(neurons.sd > closed.WIDE, lambda part: closed.of_exp(part, counts), found)
    if name in WAVES:
        return neurons.replaced(ratio > 1.0, lambda part: _of_wave(part, name, counts), found)
    return neurons.replaced(ratio > WIDEST, panels, found)


def _of_wave(neurons: Neurons, name: str, counts: Counts) -> Moments:
    if name == "sin":
        return closed.of_wave(neurons, counts)
    omega, phase = neurons.parameters
    turned = omega, phase + 0.5 * math.pi
    return closed.of_wave(
        Neurons(neurons.library, neurons.f, neurons.mu, neurons.sd, neurons.centre, turned), counts
    )


def _ratio(neurons: Neurons, name: Any, parameters: tuple[Any, ...]) -> Any:
    """Return the sd in units of the least length on which f bends."""
    if name in WAVES:
        return neurons.sd * neurons.xp.abs(parameters[0])
    ratios = [neurons.sd / length for _, length in _centres(name, parameters)]
    found = neurons.library.detached(ratios[0])
    for other in ratios[1:]:
        found = neurons.xp.where(other > found, other, found)
    return found


def _centres(name: Any, parameters: tuple[Any, ...]) -> Centres:
    """Return where a function bends, and on which length: a pole is 1.5 lengths away at least."""
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
            return [(0.0, 2.0 / abs(name.scaled.rate))]
        case Exponential():
            return [(0.0, 1.0 / abs(name.numbers.scale))]
        case Polynomial():
            return [(0.0, math.inf)]
    return [(0.0, 1.0)]


def _bump(tau: Any, centre: Any) -> tuple[Any, Any]:
    return centre, 1.0 / abs(tau) ** 0.5


def _without_variance(neurons: Neurons, h: Moments, var: Any) -> Moments:
    """Return (f(mu) - centre)^p for k = 0 and 0 for k > 0 where the variance is 0."""
    xp = neurons.xp
    at_mu, constant = neurons.deviations(0.0), var == 0.0
    found = []
    for p, own in enumerate(h, 1):
        certain = xp.stack([at_mu**p, *(xp.zeros_like(at_mu) for _ in range(len(own) - 1))])
        found.append(xp.where(constant, certain, own))
    return found
