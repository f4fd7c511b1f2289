"""The exponential, whose moments are elementary, and by which the density beside it is tilted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from fastmoments.composed.base import Composed, Library, Pair
from fastmoments.composed.tilted import shifted
from fastmoments.elementwise import gain, mean
from fastmoments.frameworks.products import finite
from fastmoments.pieces import Side


@dataclass(frozen=True, eq=False)
class Exp(Composed):
    """e^x: mean m = exp(mu + var / 2), covariance m_1 m_2 expm1(cov_12), |error| <= 8 eps (1 + cond) |value|."""

    name = "exp"

    @property
    def lipschitz(self) -> float:
        """Infinite."""
        return math.inf

    def function(self, xp: Any, x: Any) -> Any:
        """Compute f."""
        return xp.exp(x)

    def mean(self, library: Library, mu: Any, var: Any) -> Any:
        """Compute E f(X)."""
        return library.xp.exp(mu + 0.5 * var)

    gain = mean

    def mean_dvar(self, library: Library, mu: Any, var: Any) -> Any:
        """Compute E f''(X) / 2."""
        return 0.5 * self.mean(library, mu, var)

    def var(self, library: Library, mu: Any, var: Any) -> Any:
        """Compute Var f(X)."""
        return self.cov(library, mu, mu, var, var, var)

    def var_partials(self, library: Library, mu: Any, var: Any) -> tuple[Any, Any]:
        """Compute the derivatives of Var f(X) along mu and var."""
        value = self.var(library, mu, var)
        return 2.0 * value, value + library.xp.exp(2.0 * (mu + var))

    def cov(self, library: Library, *pair: Any) -> Any:
        """Compute Cov(f(X_1), f(X_2)), which may be finite where expm1(cov_12) is not."""
        mu_1, mu_2, var_1, var_2, cov_12 = pair
        xp, exponent = library.xp, mu_1 + mu_2 + 0.5 * (var_1 + var_2)
        above, none = cov_12 > 0.0, xp.zeros_like(cov_12)
        up, down = xp.where(above, cov_12, none), xp.where(above, none, cov_12)
        return xp.exp(exponent + up) * xp.where(above, -xp.expm1(-up), xp.expm1(down))

    def cov_partials(self, library: Library, *pair: Any) -> Pair:
        """Compute the derivatives of `cov`: f is its own derivative."""
        mu_1, mu_2, var_1, var_2, cov_12 = pair
        value = self.cov(library, *pair)
        by_cov = library.xp.exp(mu_1 + mu_2 + 0.5 * (var_1 + var_2) + cov_12)
        return value, value, 0.5 * value, 0.5 * value, by_cov

    def cov_beside(self, one: Side, two: Side, cov_12: Any) -> Any:
        """Compute E f(X_1) (E g(X_2 + cov_12) - E g(X_2)), for every g with a known mean."""
        g, var = two.activation, two.var
        moved = shifted(
            one.xp,
            lambda mu: mean(g, mu, var),
            lambda mu: finite(one.xp, gain(g, mu, var + 0.0 * mu)),
            two.mu + 0.0 * cov_12,
            var,
            cov_12,
        )
        return self.mean(one.library, one.mu, one.var) * moved
