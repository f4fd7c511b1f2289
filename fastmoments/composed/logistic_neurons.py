"""Moments of single neurons: means and covariances of derivatives of f(X), and Hermite coefficients."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from fastmoments.composed.logistic_narrow import STEPS, Narrow, limit_of
from fastmoments.composed.logistic_wide import Wide

CHUNK = 1 << 10  # neurons at a time, whose nodes fit a cache
# Integrals of one neuron: (k,) is E f^(k)(X), (k, l) is Cov(f^(k)(X), f^(l)(X))
Wanted = tuple[tuple[int, ...], ...]
Orders = tuple[tuple[int, int], ...]  # of the derivatives of two functions


class Scaled(NamedTuple):
    """f(x) = amplitude * g(rate * x), g the function of a kind."""

    kind: str
    amplitude: float
    rate: float

    def factor(self, order: int) -> float:
        """Return what a derivative of g has for that of f."""
        return self.amplitude * self.rate**order

    def of(self, mu: Any, var: Any) -> tuple[Any, Any]:
        """Return the moments of g's input."""
        return self.rate * mu, self.rate**2 * var


def integrals(library: Any, kind: str, wanted: Wanted, mu: Any, var: Any) -> tuple[Any, ...]:
    """Compute integrals of neurons (...,); derivatives of any order are made of such integrals again (Price)."""
    found: tuple[Any, ...] = library.with_partials(
        partial(_values, library, kind, wanted), partial(_partials, library, kind, wanted), (mu, var)
    )
    return found


def _values(library: Any, kind: str, wanted: Wanted, mu: Any, var: Any) -> tuple[Any, ...]:
    def compute(of: Narrow | Wide) -> Any:
        return library.xp.stack([of.mean(*orders) if len(orders) == 1 else of.cov(*orders) for orders in wanted])

    found = _by_width(library, kind, compute, mu, var)
    return tuple(found[i] + 0.0 for i in range(len(wanted)))


def _partials(library: Any, kind: str, wanted: Wanted, mu: Any, var: Any) -> tuple[tuple[Any, Any], ...]:
    """Compute the derivatives along mu and var."""
    needed: set[tuple[int, ...]] = set()
    for k, *others in wanted:
        needed |= {(k + 1,), (k + 2,)}
        for n in others:
            needed |= {(n + 1,), (k + 1, n), (k, n + 1), (k + 1, n + 1), (k + 2, n), (k, n + 2)}
    order = tuple(sorted(needed))
    p = dict(zip(order, integrals(library, kind, order, mu, var), strict=True))

    def along(k: int, n: int | None = None) -> tuple[Any, Any]:
        if n is None:
            return p[k + 1,], 0.5 * p[k + 2,]
        product = p[k + 1, n + 1] + p[k + 1,] * p[n + 1,]
        return p[k + 1, n] + p[k, n + 1], product + 0.5 * (p[k + 2, n] + p[k, n + 2])

    return tuple(along(*orders) for orders in wanted)


def coefficients(
    library: Any, kind: str, orders: tuple[int, ...], mu: Any, var: Any, terms: int
) -> tuple[Any, Any]:
    """Compute Hermite coefficients of derivatives, (orders, terms, ...), and their variances, (orders, ...).

    The coefficients are E f^(order)(mu + sd Z) He_n(Z) / sqrt(n!), n = 1 ... terms. Nothing may differentiate them.
    """

    def compute(of: Narrow | Wide) -> Any:
        spread = library.xp.stack([of.cov(order, order) for order in orders])
        return library.xp.concatenate((spread[:, None], of.coefficients(orders, terms)), 1)

    found = _by_width(library, kind, compute, mu, var, terms)
    return found[:, 1:], found[:, 0]


def _by_width(library: Any, kind: str, compute: Callable[[Any], Any], mu: Any, var: Any, terms: int = 0) -> Any:
    """Compute integrals (..., *mu.shape) of narrow and wide neurons; nan where mu or var is not finite."""
    xp, size = library.xp, math.prod(mu.shape)
    widest = library.largest(var)
    if widest is not None and size > CHUNK:
        cuts = [slice(start, start + CHUNK) for start in range(0, size, CHUNK)]
        flat_mu, flat_var = mu.reshape(-1), var.reshape(-1)
        parts = [_by_width(library, kind, compute, flat_mu[cut], flat_var[cut], terms) for cut in cuts]
        whole = xp.concatenate(parts, -1)
        return whole.reshape(*whole.shape[:-1], *mu.shape)
    finite = xp.isfinite(mu) & xp.isfinite(var)
    mu, sd = xp.where(finite, mu, math.nan), xp.sqrt(xp.where(finite, var, math.nan))
    # where values cannot be read, one step serves all narrow neurons
    steps = [step for _, step in (STEPS[-1:] if widest is None else STEPS)]
    (limit, step), *others = ((limit_of(step, terms), step) for step in steps)
    found = compute(Narrow(library, kind, mu, xp.where(sd > limit, limit, sd), step))
    for wider, step in others:
        found = _replaced(
            library, partial(Narrow, library, kind, step=step), compute, (limit, wider), mu, sd, found
        )
        limit = wider
    return _replaced(library, partial(Wide, library, kind), compute, (limit, math.inf), mu, sd, found)


def _replaced(
    library: Any, of: Any, compute: Callable[[Any], Any], limits: tuple[float, float], mu: Any, sd: Any, found: Any
) -> Any:
    """Return what was found with the integrals of neurons of sd within limits in its place."""
    low, high = limits
    chosen = (sd > low) & (sd <= high)
    # others have harmless numbers, if they are computed at all
    inside = library.xp.where(chosen, sd, min(high, 2.0 * low))
    return library.replaced(chosen, lambda *moments: compute(of(*moments)), (mu, inside), found)
