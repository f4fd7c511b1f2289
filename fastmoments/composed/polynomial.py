"""Polynomials: Mehler's series ends, so that all moments are sums of few terms."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from fastmoments.composed.base import Composed, Library, Pair
from fastmoments.composed.piecewise import number
from fastmoments.elementwise import curvature, gain
from fastmoments.frameworks.products import finite
from fastmoments.pieces import Side


@dataclass(frozen=True, eq=False)
class Polynomial(Composed):
    """sum_k weights_k x^k, of degree at least 1.

    Parameters
    ----------
    weights : numbers, that of x^0 first, the same for all neurons.

    Raises
    ------
    TypeError : weights that are no numbers.
    ValueError : weights that are not finite, or none but the first that is not 0.

    Notes
    -----
    E p^(n)(X) = sum_j (var / 2)^j p^(n + 2 j)(mu) / j! and Cov(p(X_1), p(X_2)) = sum_{n >= 1} E p^(n)(X_1)
    E p^(n)(X_2) cov_12^n / n! (Mehler), exact at every rho; for a square 4 mu_1 mu_2 cov_12 + 2 cov_12^2. Variances
    are sums of squares, in which nothing cancels; |error| <= 1e-14 sqrt(K_ii K_jj) for degrees up to 6.
    """

    name = "polynomial"

    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        try:
            given = tuple(number("weights", x) for x in self.weights)
        except TypeError:
            raise TypeError(f"weights: expected a tuple of numbers, got {self.weights!r}") from None
        while given and given[-1] == 0.0:
            given = given[:-1]
        if len(given) < 2:
            raise ValueError(f"weights: expected one of x or of a power that is not 0, got {self.weights}")
        object.__setattr__(self, "weights", given)

    @property
    def degree(self) -> int:
        """The highest power."""
        return len(self.weights) - 1

    @property
    def lipschitz(self) -> float:
        """The slope of a line, else infinite."""
        return abs(self.weights[1]) if self.degree == 1 else math.inf

    def function(self, xp: Any, x: Any) -> Any:
        """Compute f itself."""
        return self._derivative(x, 0)

    def mean(self, library: Library, mu: Any, var: Any) -> Any:
        """Compute E f(X)."""
        return self._mean(mu, var, 0)

    def gain(self, library: Library, mu: Any, var: Any) -> Any:
        """Compute E f'(X)."""
        return self._mean(mu, var, 1)

    def mean_dvar(self, library: Library, mu: Any, var: Any) -> Any:
        """Compute E f''(X) / 2."""
        return 0.5 * self._mean(mu, var, 2)

    def var(self, library: Library, mu: Any, var: Any) -> Any:
        """Compute Var f(X)."""
        return self.cov(library, mu, mu, var, var, var)

    def var_partials(self, library: Library, mu: Any, var: Any) -> tuple[Any, Any]:
        """Compute the derivatives of Var f(X) along mu and var."""
        by_mu_1, by_mu_2, by_var_1, by_var_2, by_cov = self.cov_partials(library, mu, mu, var, var, var)
        return by_mu_1 + by_mu_2, by_var_1 + by_var_2 + by_cov

    def cov(self, library: Library, *pair: Any) -> Any:
        """Compute Cov(f(X_1), f(X_2))."""
        return self._series(pair, 0, 0, first=1)

    def cov_partials(self, library: Library, *pair: Any) -> Pair:
        """Compute the derivatives of `cov` (Price)."""
        return (
            self._series(pair, 1, 0, first=1),
            self._series(pair, 0, 1, first=1),
            0.5 * self._series(pair, 2, 0, first=1),
            0.5 * self._series(pair, 0, 2, first=1),
            self._series(pair, 1, 1, first=0),
        )

    def _series(self, pair: tuple[Any, ...], a: int, b: int, first: int) -> Any:
        """Sum E f^(n + a) E f^(n + b) cov_12^n / n! over n >= first."""
        mu_1, mu_2, var_1, var_2, cov_12 = pair
        total = 0.0 * (mu_1 + mu_2 + var_1 + var_2 + cov_12)
        for n in range(self.degree - max(a, b), first - 1, -1):
            term = self._mean(mu_1, var_1, n + a) * self._mean(mu_2, var_2, n + b)
            total = total * cov_12 / (n + 1.0) + term
        return total * cov_12 if first else total

    def _mean(self, mu: Any, var: Any, order: int) -> Any:
        """E f^(order)(X)."""
        total = 0.0 * (mu + var)
        for j in range((self.degree - order) // 2, -1, -1):
            total = total * (0.5 * var / (j + 1.0)) + self._derivative(mu, order + 2 * j)
        return total

    def _derivative(self, x: Any, order: int) -> Any:
        """f^(order)(x), by Horner's rule."""
        total = 0.0 * x
        for k in range(self.degree, order - 1, -1):
            total = total * x + self.weights[k] * math.perm(k, order)
        return total

    def cov_beside(self, one: Side, two: Side, cov_12: Any) -> Any:
        """Compute the terms beside another polynomial, or up to degree 2 beside every g with a known curvature."""
        other = two.name
        if isinstance(other, Polynomial):
            means = [other._mean(two.mu, two.var, n) for n in range(1, min(self.degree, other.degree) + 1)]
        elif self.degree <= 2:
            means = [finite(two.xp, of(two.activation, two.mu, two.var)) for of in (gain, curvature)[: self.degree]]
        else:
            return None
        total = 0.0 * cov_12
        for n in range(len(means), 0, -1):
            total = (total + self._mean(one.mu, one.var, n) * means[n - 1]) * cov_12 / n
        return total
