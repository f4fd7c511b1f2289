"""Means of an activation's powers times Hermite polynomials, E ((f(X) - c) / s)^p He_k(Z) for X = mu + sd Z.

Edgeworth corrections are made of them: by parts, sd^k times the k-th derivative of E ((f(X) - c) / s)^p along mu.
Functions of straight pieces (`lines`) and some others (`closed`) have closed forms. The rest is quadrature: on one
grid for all neurons (`grid`) where a function is smooth beside the sd, else on panels (`panels`), in as many parts
as are needed where nothing is known of it (`custom`). `ways` chooses; all work on `common.Neurons`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from fastmoments.frameworks import Words
from fastmoments.frameworks.products import root
from fastmoments.parameters import of_neurons
from fastmoments.powers.common import COUNTS, Counts, Moments, Neurons
from fastmoments.powers.custom import by_parts
from fastmoments.powers.ways import moments_of
from fastmoments.values import as_arrays, function_of
from fastmoments_kernels.custom import Custom


def hermite_moments(
    words: Words[Any], activation: Any, mu: Any, var: Any, centre: Any, scale: Any = None
) -> Moments:
    """Compute h_p[k] = E ((f(X) - centre) / scale)^p He_k(Z), X = mu + sqrt(var) Z, Z ~ N(0, 1), p = 1, 2, 3, 4.

    He_k are the probabilists' Hermite polynomials, 1, z, z^2 - 1, z^3 - 3 z ... By parts (Stein) h_p[k] is sd^k
    times the k-th derivative of E ((f(X) - centre) / scale)^p along mu.

    Parameters
    ----------
    words : the module of `frameworks` for the arrays.
    activation : an object, a class or a name; parameters are numbers or arrays that broadcast with mu. A stochastic
        activation is random given X.
    mu, var : arrays (..., n), of X; var >= 0, else nan.
    centre : array (..., n) near E f(X), so that powers do not cancel; a constant, which nothing differentiates.
    scale : array (..., n) of positive numbers near the sd of f(X), so that powers do not leave the numbers of the
        dtype; a constant too, 1 if it is None.

    Returns
    -------
    Four arrays (K, ..., n) in the dtype of mu: K = 7 for p = 1, 5 for p = 2, 3, 4. Without variance
    ((f(mu) - centre) / scale)^p for k = 0, and 0 for k > 0.

    Raises
    ------
    ToleranceError : for a Custom function whose integrals do not settle within its tolerance; nan in JAX.

    Notes
    -----
    |error| scale^p <= 1e-10 sqrt(E (f - centre)^2p k!), 1e-5 in float32, besides what f's own rounding and the
    1e-16 of (slope sd)^p that lies beyond 10 standard deviations amount to; for a Custom, 10 times its tolerance.

    Derivatives along mu, var and the parameters are those of the sums, of any order. Without variance those along
    var are 0. A Custom function of tensors, which is NumPy's, is differentiated by parts; without variance all its
    derivatives are 0.
    """
    name, parameters = of_neurons(activation)
    given = tuple(words.xp.broadcast_to(x, tuple(mu.shape)) for x in as_arrays(words, parameters, mu))
    scale = words.xp.ones_like(mu) if scale is None else scale
    arrays = (mu, var, words.detached(centre), words.detached(scale))
    # JAX traces a user's function; NumPy's cannot be differentiated
    if isinstance(name, Custom) and words.xp.__name__ == "torch":
        return by_parts(words, partial(_moments, words, name, given), COUNTS, *arrays)
    return list(words.compiled(_OfActivation(words, name))(*arrays, *given))


@dataclass(frozen=True)
class _OfActivation:
    """The moments of an activation, a function of arrays; those of equal activations are equal."""

    words: Words[Any]
    name: Any

    def __call__(self, mu: Any, var: Any, centre: Any, scale: Any, *given: Any) -> Moments:
        return _moments(self.words, self.name, given, mu, var, centre, scale, COUNTS)


def _moments(
    words: Words[Any],
    name: Any,
    given: tuple[Any, ...],
    mu: Any,
    var: Any,
    centre: Any,
    scale: Any,
    counts: Counts,
) -> Moments:
    # a negative variance must not pass for none
    sd = root(words.xp, var) + words.xp.where(var < 0.0, math.nan, 0.0 * var)
    neurons = Neurons(words, function_of(words, name, mu), mu, sd, centre, scale, given)
    with np.errstate(all="ignore"):
        found = moments_of(neurons, name, counts)
        if name == "bernoulli_probit":
            return found
        return neurons.replaced(var == 0.0, lambda some: _certain(some, counts), found)


def _certain(neurons: Neurons, counts: Counts) -> Moments:
    """Return ((f(mu) - centre) / scale)^p for k = 0, and 0 for k > 0."""
    xp, g = neurons.xp, neurons.deviations(0.0)
    found, power = [], xp.ones_like(g)
    for count in counts:
        power = power * g
        found.append(xp.stack([power, *(xp.zeros_like(g) for _ in range(count - 1))]))
    return found
