"""Covariances of derivatives of two logistic functions of a Gaussian pair, and their derivatives, of any order.

P(k, n) = Cov(f^(k)(X_1), g^(n)(X_2)) = sum over m >= 1 of rho^m a_m b_m (Mehler), a and b the Hermite coefficients
of the derivatives. What N terms leave out is at most |rho|^(N + 1) sqrt(A B), A the sum of a_m^2 beyond N, which is
known from the variance. Pairs for which that is too much go by `logistic_mixed`. Derivatives of P are P of higher
orders.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

from fastmoments.composed.logistic_mixed import mixed_cov
from fastmoments.composed.logistic_neurons import Orders, Scaled, coefficients, integrals

MOST = 24, 64, 128  # terms, computed in turn
TRACED = (64,)  # where values cannot be read
TERMS = 12, 24, 40, 64, 128  # that may do
TOLERANCE = 1e-11, 32.0  # of a covariance, over both standard deviations: a number, and eps


class Pairs(NamedTuple):
    """Pairs of two functions: element by element, or of the entries of one vector (..., n) with each other.

    `beside` are mu_1, var_1, mu_2, var_2 of the elements as they came, or mu and var of the vector.
    """

    library: Any
    one: Scaled
    two: Scaled
    is_matrix: bool = False

    def covs(self, orders: Orders, pair: tuple[Any, ...], beside: tuple[Any, ...]) -> tuple[Any, ...]:
        """Compute P(k, n) for every (k, n) of the orders; `pair` are mu_1, mu_2, var_1, var_2 and cov_12."""
        found: tuple[Any, ...] = self.library.with_partials(
            partial(self._values, orders), partial(self._partials, orders), pair, beside
        )
        return found

    def _partials(self, orders: Orders, *arguments: Any) -> tuple[tuple[Any, ...], ...]:
        """Compute the derivatives of P(k, n) along mu_1, mu_2, var_1, var_2 and cov_12 (Price)."""
        pair, beside = arguments[:5], arguments[5:]
        wanted = tuple(
            sorted({(k + i, n + j) for k, n in orders for i, j in ((1, 0), (0, 1), (2, 0), (0, 2), (1, 1))})
        )
        p = dict(zip(wanted, self.covs(wanted, pair, beside), strict=True))
        one, two = (self.gains(i, tuple(sorted({x[i] + 1 for x in orders})), beside) for i in (0, 1))
        return tuple(
            (
                p[k + 1, n],
                p[k, n + 1],
                0.5 * p[k + 2, n],
                0.5 * p[k, n + 2],
                p[k + 1, n + 1] + one[k + 1] * two[n + 1],
            )
            for k, n in orders
        )

    def gains(self, index: int, orders: tuple[int, ...], beside: tuple[Any, ...]) -> dict[int, Any]:
        """Compute E f^(order) of the first or second neurons by order, placed for pairs."""
        side, moments = self._inputs(index, beside)
        found = integrals(self.library, side.kind, tuple((order,) for order in orders), *moments)
        return {k: self._placed(index, side.factor(k) * x) for k, x in zip(orders, found, strict=True)}

    def _inputs(self, index: int, beside: tuple[Any, ...]) -> tuple[Scaled, tuple[Any, Any]]:
        """Return the function, and its inputs' moments."""
        side = (self.one, self.two)[index]
        return side, side.of(*(beside if self.is_matrix else beside[2 * index : 2 * index + 2]))

    def _placed(self, index: int, value: Any) -> Any:
        """Place what neurons have, (...,), along the rows or columns of a matrix."""
        if not self.is_matrix:
            return value
        return value[..., :, None] if index == 0 else value[..., None, :]

    def _values(self, orders: Orders, *arguments: Any) -> tuple[Any, ...]:
        if not self.is_matrix:
            return self._computed(orders, *arguments)
        # a covariance matrix is symmetric: P(n, k) is the transpose of P(k, n)
        lower = tuple(sorted({(max(x), min(x)) for x in orders}))
        p = dict(zip(lower, self._computed(lower, *arguments), strict=True))
        # but for rounding of the correlation
        p |= {x: self.library.symmetric(p[x]) for x in p if x[0] == x[1]}
        swapped = self.library.xp.swapaxes
        return tuple(p[k, n] if k >= n else swapped(p[n, k], -1, -2) + 0.0 for k, n in orders)

    def _computed(self, orders: Orders, *arguments: Any) -> tuple[Any, ...]:
        """Sum the series with as many terms as needed, and replace what they leave out too much of."""
        library, pair, beside = self.library, arguments[:5], arguments[5:]
        rho = correlation(library.xp, *pair[2:])
        if self.one.rate * self.two.rate < 0.0:
            rho = -rho
        number, roundings = TOLERANCE
        limit = max(number, roundings * float(library.xp.finfo(rho.dtype).eps))
        for most in self._counts(beside):
            one, two = self._both(orders, beside, most)
            for terms in (terms for terms in TERMS if terms <= most):
                tails = [one.tails[k, terms] * two.tails[n, terms] for k, n in orders]
                left = _left_out(library.xp, rho, terms, tails)
                worst = library.largest(left)
                if worst is not None and worst <= limit:
                    break
            if worst is None or worst <= limit:
                break
        sums = library.series(rho, [(one.terms[k][:terms], two.terms[n][:terms]) for k, n in orders])
        if worst is None or worst > limit:
            own = partial(mixed_cov, library, self.one, self.two, orders)
            sums = library.replaced(left > limit, own, pair, sums)
        found: tuple[Any, ...] = sums
        return found

    def _counts(self, beside: tuple[Any, ...]) -> tuple[int, ...]:
        """Return how many terms to compute in turn; few are seldom enough for wide inputs."""
        widest = [self.library.largest(self._inputs(i, beside)[1][1]) for i in (0, 1)]
        known = [var for var in widest if var is not None]
        return (MOST if max(known) < 1.0 else MOST[1:]) if known else TRACED

    def _both(self, orders: Orders, beside: tuple[Any, ...], terms: int) -> tuple[_Side, _Side]:
        """Return the coefficients of both neurons, which are the same for a matrix."""
        needed = [{x[i] for x in orders} for i in (0, 1)]
        if self.is_matrix:
            needed = [needed[0] | needed[1]] * 2
        of_side = partial(self._side, beside=beside, terms=terms)
        one = of_side(0, tuple(sorted(needed[0])))
        two = one if self.is_matrix else of_side(1, tuple(sorted(needed[1])))
        return self._each_placed(0, one), self._each_placed(1, two)

    def _side(self, index: int, orders: tuple[int, ...], beside: tuple[Any, ...], terms: int) -> _Side:
        side, moments = self._inputs(index, beside)
        found, spread = coefficients(self.library, side.kind, orders, *moments, terms)
        by_order = {k: side.factor(k) * found[i] for i, k in enumerate(orders)}
        tails = {
            (k, n): _share(self.library.xp, spread[i], spread[i] - (found[i, :n] ** 2).sum(0))
            for i, k in enumerate(orders)
            for n in TERMS
            if n <= terms
        }
        return _Side(by_order, tails)

    def _each_placed(self, index: int, side: _Side) -> _Side:
        placed = partial(self._placed, index)
        return _Side({k: placed(x) for k, x in side.terms.items()}, {k: placed(x) for k, x in side.tails.items()})


class _Side(NamedTuple):
    """Hermite coefficients (terms, ...) by order, and the shares of the variances beyond, by order and terms."""

    terms: dict[int, Any]
    tails: dict[tuple[int, int], Any]


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
