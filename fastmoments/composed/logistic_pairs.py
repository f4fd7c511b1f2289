"""Covariances of derivatives of two logistic functions of a Gaussian pair, and their derivatives, of any order.

P(k, l) = Cov(f^(k)(X_1), g^(l)(X_2)) = sum over n >= 1 of rho^n a_n b_n (Mehler), a and b the Hermite coefficients of
the derivatives. What N terms leave out is at most |rho|^(N + 1) sqrt(A B), A the sum of a_n^2 beyond N, which is known
from the variance. Pairs for which that is too much go by `logistic_mixed`. Derivatives of P are P of higher orders.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

from fastmoments.composed.logistic_mixed import mixed_cov
from fastmoments.composed.logistic_neurons import coefficients, expectation, spread_value

TERMS = (16, 32, 64, 128)  # tried in turn
TRACED = 64  # where values cannot be read
TOLERANCE = 1e-11, 32.0  # of a covariance, over both standard deviations: a number, and eps
Orders = tuple[tuple[int, int], ...]


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


class Pairs(NamedTuple):
    """All functions of pairs of a kind: element by element, or of the entries of one vector (...,n) with each other.

    `beside` are mu_1, var_1, mu_2, var_2, the moments of the elements' inputs as they came, or mu and var of the vector.
    """

    library: Any
    one: Scaled
    two: Scaled
    is_matrix: bool = False

    def covs(self, orders: Orders, pair: tuple[Any, ...], beside: tuple[Any, ...]) -> tuple[Any, ...]:
        """Compute P(k, l) for every (k, l) of the orders; `pair` are mu_1, mu_2, var_1, var_2 and cov_12."""
        found: tuple[Any, ...] = self.library.with_partials(
            partial(self._values, orders), partial(self._partials, orders), pair, beside
        )
        return found

    def _partials(self, orders: Orders, *arguments: Any) -> tuple[tuple[Any, ...], ...]:
        """Compute the derivatives of P(k, l) along mu_1, mu_2, var_1, var_2 and cov_12 (Price)."""
        pair, beside = arguments[:5], arguments[5:]
        needed = {(k + i, l + j) for k, l in orders for i, j in ((1, 0), (0, 1), (2, 0), (0, 2), (1, 1))}
        wanted = tuple(sorted(needed))
        p = dict(zip(wanted, self.covs(wanted, pair, beside), strict=True))
        gains_1, gains_2 = ({k: self.gains(i, k, beside) for k in {x[i] + 1 for x in orders}} for i in (0, 1))
        return tuple(
            (
                p[k + 1, l],
                p[k, l + 1],
                0.5 * p[k + 2, l],
                0.5 * p[k, l + 2],
                p[k + 1, l + 1] + gains_1[k + 1] * gains_2[l + 1],
            )
            for k, l in orders
        )

    def gains(self, index: int, order: int, beside: tuple[Any, ...]) -> Any:
        """Compute E f^(order) of the first or second neurons, placed for pairs."""
        side = (self.one, self.two)[index]
        mu, var = beside if self.is_matrix else beside[2 * index : 2 * index + 2]
        value = side.factor(order) * expectation(self.library, side.kind, order, *side.of(mu, var))
        return self._placed(index, value)

    def _placed(self, index: int, value: Any) -> Any:
        """Place what neurons have, (...,), along the rows or columns of a matrix."""
        if not self.is_matrix:
            return value
        return value[..., :, None] if index == 0 else value[..., None, :]

    def _values(self, orders: Orders, *arguments: Any) -> tuple[Any, ...]:
        if self.is_matrix:
            # a covariance matrix is symmetric: P(l, k) is the transpose of P(k, l)
            lower = tuple(sorted({(max(k, l), min(k, l)) for k, l in orders}))
            p = dict(zip(lower, self._computed(lower, *arguments), strict=True))
            return tuple(p[k, l] if k >= l else self.library.xp.swapaxes(p[l, k], -1, -2) + 0.0 for k, l in orders)
        return self._computed(orders, *arguments)

    def _computed(self, orders: Orders, *arguments: Any) -> tuple[Any, ...]:
        """Sum the series with as many terms as needed, and replace what they leave out too much of."""
        library, pair = self.library, arguments[:5]
        rho = correlation(library.xp, *pair[2:])
        limit, roundings = TOLERANCE
        limit = max(limit, roundings * float(library.xp.finfo(rho.dtype).eps))
        for terms in TERMS:
            sides = [self._side(i, tuple(sorted({x[i] for x in orders})), arguments[5:], terms) for i in (0, 1)]
            left = _left_out(library.xp, rho, terms, [sides[0].tail[k] * sides[1].tail[l] for k, l in orders])
            worst = library.largest(left)
            if (worst is None and terms == TRACED) or (worst is not None and worst <= limit):
                break
        sums = library.series(rho, [(sides[0].terms[k], sides[1].terms[l]) for k, l in orders])
        if worst is None or worst > limit:
            own = partial(mixed_cov, library, self.one, self.two, orders)
            sums = library.replaced(left > limit, own, pair, sums)
        return sums

    def _side(self, index: int, orders: tuple[int, ...], beside: tuple[Any, ...], terms: int) -> _Side:
        side, kind = (self.one, self.two)[index], (self.one, self.two)[index].kind
        mu, var = side.of(*(beside if self.is_matrix else beside[2 * index : 2 * index + 2]))
        found = coefficients(self.library, kind, orders, mu, var, terms)
        by_order = {k: side.factor(k) * found[i] for i, k in enumerate(orders)}
        tails = {}
        for i, k in enumerate(orders):
            whole = spread_value(self.library, kind, k, k, mu, var)
            tails[k] = _share(self.library.xp, whole, whole - (found[i] * found[i]).sum(0))
        placed = partial(self._placed, index)
        return _Side({k: placed(x) for k, x in by_order.items()}, {k: placed(x) for k, x in tails.items()})


class _Side(NamedTuple):
    """Hermite coefficients (terms, ...) of the derivatives, and the share of the variance beyond, by order."""

    terms: dict[int, Any]
    tail: dict[int, Any]


def correlation(xp: Any, var_1: Any, var_2: Any, cov_12: Any) -> Any:
    """Compute the correlation, 0 beside a variance of 0."""
    alive = (var_1 > 0.0) & (var_2 > 0.0)
    # their product may be 0
    sd_1, sd_2 = (xp.sqrt(xp.where(alive, var, 1.0)) for var in (var_1, var_2))
    rho = xp.where(alive, cov_12, 0.0 * cov_12) / sd_1 / sd_2
    return xp.where(rho > 1.0, 1.0, xp.where(rho < -1.0, -1.0, rho))


def _share(xp: Any, whole: Any, beyond: Any) -> Any:
    """Compute the share of what is beyond in the whole, 0 where there is nothing."""
    share = beyond / xp.where(whole > 0.0, whole, 1.0)
    return xp.where((whole > 0.0) & (share > 0.0), share, 0.0 * whole)


def _left_out(xp: Any, rho: Any, terms: int, products: list[Any]) -> Any:
    """Bound the share of the standard deviations that N terms leave out of any of the covariances."""
    largest = products[0]
    for product in products[1:]:
        largest = xp.where(product > largest, product, largest)
    return xp.abs(rho) ** (terms + 1) * xp.sqrt(largest)
