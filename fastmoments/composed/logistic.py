"""Sigmoid, tanh, SiLU and softplus: mixtures of normal distributions and their integrals, in closed form."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from fastmoments.composed import by_pairs
from fastmoments.composed.base import Composed, Pair
from fastmoments.composed.logistic_neurons import Scaled, Wanted, integrals
from fastmoments.composed.logistic_pairs import Pairs
from fastmoments.composed.logistic_slopes import CENTRED, SIGMOID, SILU, SOFTPLUS, at, slope

SLOPES = (1, 0), (0, 1), (2, 0), (0, 2)


class Logistic(Composed):
    """Base of functions amplitude * g(rate * x), g sigmoid, softplus or SiLU, up to a constant."""

    tol: ClassVar[float | None] = 1e-10

    @property
    def scaled(self) -> Scaled:
        """The function but for a constant."""
        raise NotImplementedError

    def function(self, xp: Any, x: Any) -> Any:
        """Compute f itself."""
        kind, amplitude, rate = self.scaled
        return amplitude * slope(xp, kind, 0, at(xp, rate * x))

    def mean(self, library: Any, mu: Any, var: Any) -> Any:
        """Compute E f(X)."""
        return self._integrals(library, ((0,),), mu, var)[0]

    def gain(self, library: Any, mu: Any, var: Any) -> Any:
        """Compute E f'(X)."""
        return self._integrals(library, ((1,),), mu, var)[0]

    def mean_dvar(self, library: Any, mu: Any, var: Any) -> Any:
        """Compute E f''(X) / 2."""
        return 0.5 * self._integrals(library, ((2,),), mu, var)[0]

    def var(self, library: Any, mu: Any, var: Any) -> Any:
        """Compute Var f(X)."""
        return self._integrals(library, ((0, 0),), mu, var)[0]

    def var_partials(self, library: Any, mu: Any, var: Any) -> tuple[Any, Any]:
        """Compute the derivatives of Var f(X) along mu and var: 2 Cov(f, f') and E f'^2 + Cov(f, f'')."""
        gain, product, across, bent = self._integrals(library, ((1,), (1, 1), (0, 1), (0, 2)), mu, var)
        return 2.0 * across, product + gain * gain + bent

    def _integrals(self, library: Any, wanted: Wanted, mu: Any, var: Any) -> list[Any]:
        """Compute E f^(k)(X) for (k,), and Cov(f^(k)(X), f^(n)(X)) for (k, n)."""
        kind, scaled = self.kind, self.scaled
        found = integrals(library, kind, wanted, *scaled.of(mu, var))
        return [math.prod(map(scaled.factor, orders)) * x for orders, x in zip(wanted, found, strict=True)]

    @property
    def kind(self) -> str:
        """The kind of the integrals."""
        return self.scaled.kind

    def cov(self, library: Any, *pair: Any) -> Any:
        """Compute Cov(f(X_1), f(X_2))."""
        return self._pairs(library).covs(((0, 0),), pair, _neurons(pair))[0]

    def cov_partials(self, library: Any, *pair: Any) -> Pair:
        """Compute the derivatives of `cov` along its five arguments."""
        pairs, beside = self._pairs(library), _neurons(pair)
        by_mu_1, by_mu_2, by_var_1, by_var_2, product = pairs.covs((*SLOPES, (1, 1)), pair, beside)
        product = product + pairs.gains(0, (1,), beside)[1] * pairs.gains(1, (1,), beside)[1]
        return by_mu_1, by_mu_2, 0.5 * by_var_1, 0.5 * by_var_2, product

    def _pairs(self, library: Any, is_matrix: bool = False) -> Pairs:
        return Pairs(library, self.scaled, self.scaled, is_matrix)

    def moments(self, library: Any, mu: Any, cov: Any) -> tuple[Any, Any]:
        """Compute the mean (..., n) and the symmetric covariance (..., n, n)."""
        (full,) = self._of_matrix(library, ((0, 0),), mu, cov)
        mean, own = self._integrals(library, ((0,), (0, 0)), mu, by_pairs.diagonal(library.xp, cov))
        return mean, library.xp.where(by_pairs.on_diagonal(library, mu, cov), own[..., None], full)

    def moments_vjp(self, library: Any, mu: Any, cov: Any, mean_bar: Any, cov_bar: Any) -> tuple[Any, Any]:
        """Compute the gradients along mu and cov."""
        by_mu, by_var, product = self._of_matrix(library, ((1, 0), (2, 0), (1, 1)), mu, cov)
        gain = self.gain(library, mu, by_pairs.diagonal(library.xp, cov))
        partials = by_mu, 0.5 * by_var, product + gain[..., :, None] * gain[..., None, :]
        return by_pairs.gathered(self, library, mu, cov, mean_bar, cov_bar, partials)

    def _of_matrix(self, library: Any, orders: Any, mu: Any, cov: Any) -> tuple[Any, ...]:
        """Compute covariances of derivatives of all pairs; 0 of a neuron with itself, whose series may be long."""
        xp, var = library.xp, by_pairs.diagonal(library.xp, cov)
        apart = xp.where(by_pairs.on_diagonal(library, mu, cov), 0.0 * cov, cov)
        pair = by_pairs.pairs(xp, mu, var, apart)
        return self._pairs(library, is_matrix=True).covs(orders, pair, (mu, var))


@dataclass(frozen=True, eq=False)
class Sigmoid(Logistic):
    """1 / (1 + exp(-x))."""

    name: ClassVar[str] = "sigmoid"

    @property
    def scaled(self) -> Scaled:
        """The function itself."""
        return Scaled(SIGMOID, 1.0, 1.0)

    @property
    def lipschitz(self) -> float:
        """Sup |f'|."""
        return 0.25


@dataclass(frozen=True, eq=False)
class Tanh(Logistic):
    """tanh(x) = 2 / (1 + exp(-2 x)) - 1."""

    name: ClassVar[str] = "tanh"

    @property
    def scaled(self) -> Scaled:
        """The function but for a constant."""
        return Scaled(SIGMOID, 2.0, 2.0)

    @property
    def lipschitz(self) -> float:
        """Sup |f'|."""
        return 1.0

    def function(self, xp: Any, x: Any) -> Any:
        """Compute f itself."""
        return xp.tanh(x)

    @property
    def kind(self) -> str:
        """The kind of the integrals: without the constant, tanh has its own digits near 0."""
        return CENTRED


@dataclass(frozen=True, eq=False)
class SiLU(Logistic):
    """x / (1 + exp(-x))."""

    name: ClassVar[str] = "silu"

    @property
    def scaled(self) -> Scaled:
        """The function itself."""
        return Scaled(SILU, 1.0, 1.0)

    @property
    def lipschitz(self) -> float:
        """Sup |f'|."""
        return 1.0998393201288670


@dataclass(frozen=True, eq=False)
class Softplus(Logistic):
    """log(1 + exp(beta x)) / beta, beta > 0."""

    beta: float = 1.0

    name: ClassVar[str] = "softplus"

    def __post_init__(self) -> None:
        if not isinstance(self.beta, int | float) or not 0.0 < self.beta < math.inf:
            raise ValueError(f"beta: expected a number > 0, got {self.beta!r}")

    @property
    def scaled(self) -> Scaled:
        """The function itself."""
        return Scaled(SOFTPLUS, 1.0 / self.beta, float(self.beta))

    @property
    def lipschitz(self) -> float:
        """Sup |f'|."""
        return 1.0


@dataclass(frozen=True, eq=False)
class LogSigmoid(Logistic):
    """log(1 / (1 + exp(-x)))."""

    name: ClassVar[str] = "log_sigmoid"

    @property
    def scaled(self) -> Scaled:
        """The function itself."""
        return Scaled(SOFTPLUS, -1.0, -1.0)

    @property
    def lipschitz(self) -> float:
        """Sup |f'|."""
        return 1.0


# by the names under which functions take them
LOGISTIC = {activation.name: activation for activation in (Tanh(), Sigmoid(), SiLU(), Softplus(), LogSigmoid())}


def _neurons(pair: tuple[Any, ...]) -> tuple[Any, ...]:
    mu_1, mu_2, var_1, var_2, _ = pair
    return mu_1, var_1, mu_2, var_2
