"""What pairs need of their neurons: means and covariances of derivatives of f(X), and Hermite coefficients."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from fastmoments.composed import logistic_narrow as narrow
from fastmoments.composed import logistic_wide as wide

CHUNK = 1 << 13  # neurons at a time, whose nodes fit a cache


def expectation(library: Any, kind: str, order: int, mu: Any, var: Any) -> Any:
    """Compute E f^(order)(X); derivatives of any order are such means again (Price)."""

    def partials(mu: Any, var: Any) -> tuple[Any, Any]:
        return (
            expectation(library, kind, order + 1, mu, var),
            0.5 * expectation(library, kind, order + 2, mu, var),
        )

    return library.with_partials(partial(_mean, library, kind, order), partials, (mu, var))


def spread(library: Any, kind: str, one: int, two: int, mu: Any, var: Any) -> Any:
    """Compute Cov(f^(one)(X), f^(two)(X)); derivatives are sums of such covariances again (Price)."""

    def partials(mu: Any, var: Any) -> tuple[Any, Any]:
        of = partial(spread, library, kind, mu=mu, var=var)
        gains = [expectation(library, kind, order + 1, mu, var) for order in (one, two)]
        by_var = of(one + 1, two + 1) + gains[0] * gains[1] + 0.5 * (of(one + 2, two) + of(one, two + 2))
        return of(one + 1, two) + of(one, two + 1), by_var

    return library.with_partials(partial(spread_value, library, kind, one, two), partials, (mu, var))


def _mean(library: Any, kind: str, order: int, mu: Any, var: Any) -> Any:
    return _by_width(
        library,
        lambda mu, sd, step: narrow.mean(library, kind, order, mu, sd, step),
        lambda mu, sd: wide.mean(library, kind, order, mu, sd),
        mu,
        var,
    )


def spread_value(library: Any, kind: str, one: int, two: int, mu: Any, var: Any) -> Any:
    """Compute Cov(f^(one)(X), f^(two)(X)), which nothing may differentiate."""
    return _by_width(
        library,
        lambda mu, sd, step: narrow.cov(library, kind, one, two, mu, sd, step),
        lambda mu, sd: wide.cov(library, kind, one, two, mu, sd),
        mu,
        var,
    )


def coefficients(library: Any, kind: str, orders: tuple[int, ...], mu: Any, var: Any, terms: int) -> Any:
    """Compute E f^(order)(mu + sd Z) He_n(Z) / sqrt(n!) for n = 1 ... terms, (orders, terms, ...)."""
    return _by_width(
        library,
        lambda mu, sd, step: narrow.coefficients(library, kind, orders, mu, sd, terms, step),
        lambda mu, sd: wide.coefficients(library, kind, orders, mu, sd, terms),
        mu,
        var,
    )


def _by_width(library: Any, of_narrow: Callable[..., Any], of_wide: Callable[..., Any], mu: Any, var: Any) -> Any:
    """Call the functions for narrow and wide neurons; results (..., *mu.shape) are nan where mu or var is not finite."""
    xp, size = library.xp, math.prod(mu.shape)
    widest = library.largest(var)
    if widest is not None and size > CHUNK:
        flat = mu.reshape(-1), var.reshape(-1)
        parts = [
            _by_width(library, of_narrow, of_wide, *(x[start : start + CHUNK] for x in flat))
            for start in range(0, size, CHUNK)
        ]
        whole = xp.concatenate(parts, -1)
        return whole.reshape(*whole.shape[:-1], *mu.shape)
    finite = xp.isfinite(mu) & xp.isfinite(var)
    mu, sd = xp.where(finite, mu, math.nan), xp.sqrt(xp.where(finite, var, math.nan))
    is_wide = sd > narrow.WIDEST
    step = narrow.step_for(None if widest is None else math.sqrt(widest))
    found = of_narrow(mu, xp.where(is_wide, 1.0, sd), step)
    if widest is not None and widest <= narrow.WIDEST**2:
        return found
    return library.replaced(is_wide, of_wide, (mu, xp.where(is_wide, sd, 2.0 * narrow.WIDEST)), found)
