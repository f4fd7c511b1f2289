"""Negative powers of a quadratic form Q >= 0 as integrals over exp(-t Q), by trapezoids.

Q^(-1/2) = pi^(-1/2) int t^(-1/2) exp(-t Q) dt and 1/Q = int exp(-t Q) dt. Under the weight exp(-t Q) a Gaussian
stays Gaussian, so every moment of X / sqrt Q is an integral of closed forms. Q is scaled so that E Q = 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastmoments.dispatch import plan_of
from fastmoments.frameworks import Words

Array = Any  # of the library whose words are given
LogWeight = Callable[..., Any]  # (xp, t, *arrays) -> log E exp(-t Q), (..., T)


class Nodes(NamedTuple):
    """Nodes t (T,), weights w of int dt, and those of pi^(-1/2) int t^(-1/2) dt, `half`."""

    t: Array
    w: Array
    half: Array


def nodes(words: Words[Any], log_weight: LogWeight, *arrays: Array) -> Nodes:
    """Choose nodes for every element of the batch; `arrays` (..., n) are those that `log_weight` needs.

    t = exp(v - exp(-v)), v in steps of 0.22 (0.4 in float32). What is integrated is analytic in log t between
    -pi/2 and pi/2, so the error falls like exp(-const / step): 1e-15 (6e-8) were measured. v starts where sqrt t is
    eps, and ends where t E exp(-t Q) is. Where values cannot be read, in JAX and on GPUs, it ends where
    t^(-1/2) is, the slowest fall there is.
    """
    like = arrays[0]
    plan, eps = plan_of({"mu": like}), float(words.xp.finfo(like.dtype).eps)
    step, reach = 0.22 if eps < 1e-10 else 0.4, -math.log(eps)
    top = 2.0 * reach
    known = words.values(plan, {str(k): words.detached(array) for k, array in enumerate(arrays)})
    if known is not None:
        top = _end(log_weight, top, reach, *known.values())
    v = np.arange(-math.log(2.0 * reach), top + step, step)
    t = np.exp(v - np.exp(-v))
    w = step * t * (1.0 + np.exp(-v))
    found = words.to_arrays(plan, {"t": t, "w": w, "half": w / np.sqrt(np.pi * t)})
    return Nodes(*found.values())


def quadrature_error(eps: float) -> float:
    """Return the error of `nodes` for a dtype of this eps: a multiple of what is measured."""
    return 1e-13 if eps < 1e-10 else 5e-7


def _end(log_weight: LogWeight, top: float, reach: float, *arrays: NDArray[Any]) -> float:
    """Return the v up to which t E exp(-t Q) matters for one of the elements."""
    v = np.arange(4.0, top, 2.0)
    matters = log_weight(np, np.exp(v), *(array.astype(np.float64) for array in arrays)) + v > -reach
    last = np.flatnonzero(matters.reshape(-1, len(v)).any(0))
    return min(top, float(v[last[-1]]) + 2.0) if len(last) else 4.0


def log_gap(xp: Any, x: Array, log: Array) -> Array:
    """Return x - log(1 + x) for x > -1, where log(1 + x) is given, without cancellation at small x."""
    u = x / (2.0 + x)  # log(1 + x) = 2 artanh u
    s = u * u
    series = x * u - 2.0 * u * s * (1 / 3 + s * (1 / 5 + s * (1 / 7 + s * (1 / 9 + s / 11))))
    return xp.where(xp.abs(x) < 0.1, series, x - log)


class Weights(NamedTuple):
    """a = (E Q)^(-1/2), and weights (..., T) of integrals with E exp(-t Q), exp(-t E Q) and their difference.

    The first three are those of Q^(-1/2). The others are those of (Q^(-1/2) - a)^2, a function of Q which is 0 at
    E Q, as its derivative is: exp(-t Q) may be replaced by itself less exp(-t E Q) (1 - t (Q - E Q)).
    """

    a: Array
    full: Array
    over: Array
    base: Array
    full_2: Array
    over_2: Array
    base_2: Array


def weights(xp: Any, at: Nodes, q: Array, log_weight: Array, gap: Array) -> Weights:
    """Compute the weights for E Q = q (..., 1), log E exp(-t Q) and the gap t E Q beyond its negative, (..., T)."""
    a, full, base = 1.0 / xp.sqrt(q), xp.exp(log_weight), xp.exp(-at.t * q)
    close = gap < 1.0
    over = xp.where(close, base * xp.expm1(xp.where(close, gap, 1.0)), full - base)
    w = at.w - 2.0 * a * at.half
    return Weights(a, at.half * full, at.half * over, at.half * base, w * full, w * over, w * base)
