"""The base class of activations that are composed of others."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from fastmoments.composed import by_pairs
from fastmoments_kernels.custom import Custom
from fastmoments_kernels.custom.hermite import neurons_of
from fastmoments_kernels.parameters import Parameters

Library = Any  # a module of `frameworks`
Pair = tuple[Any, Any, Any, Any, Any]  # mu_1, mu_2, var_1, var_2, cov_12


class Composed(Parameters):
    """Base of frozen dataclasses (eq=False), whose fields are numbers shared by all neurons.

    Methods take a framework's module as `library`, and arrays of the computation's dtype that are all of one shape;
    they return arrays of that shape. Variances are not negative. cov_12 is possible, nan, or 0 beside a variance of
    0. There a mean is f(mu), a variance and a covariance 0, a gain f'(mu). Methods are differentiable by autograd
    and JAX, and run under jit: no branches on values. Inputs are not modified.
    """

    name: ClassVar[str]
    tol: ClassVar[float | None] = None  # of covariances over sqrt(Var f Var f) and means over sd; None if exact

    @property
    def kinks(self) -> tuple[float, ...]:
        """The points where f or f' breaks."""
        return ()

    @property
    def jumping(self) -> tuple[tuple[float, float], ...]:
        """The points where f jumps, each with the height."""
        return ()

    @property
    def lipschitz(self) -> float:
        """Sup |f'|, infinite for a jump."""
        raise NotImplementedError

    def function(self, xp: Any, x: Any) -> Any:
        """Compute f itself."""
        raise NotImplementedError

    def mean(self, library: Library, mu: Any, var: Any) -> Any:
        """Compute E f(X)."""
        raise NotImplementedError

    def gain(self, library: Library, mu: Any, var: Any) -> Any:
        """Compute E f'(X)."""
        raise NotImplementedError

    def mean_dvar(self, library: Library, mu: Any, var: Any) -> Any:
        """Compute E f''(X) / 2, the derivative of the mean along the variance."""
        raise NotImplementedError

    def var(self, library: Library, mu: Any, var: Any) -> Any:
        """Compute Var f(X), to its own digits."""
        raise NotImplementedError

    def var_partials(self, library: Library, mu: Any, var: Any) -> tuple[Any, Any]:
        """Compute the derivatives of Var f(X) along mu and var."""
        raise NotImplementedError

    def cov(self, library: Library, *pair: Any) -> Any:
        """Compute Cov(f(X_1), f(X_2)) of mu_1, mu_2, var_1, var_2, cov_12."""
        raise NotImplementedError

    def cov_partials(self, library: Library, *pair: Any) -> Pair:
        """Compute the derivatives of `cov` along its five arguments, 0 in place of infinity."""
        raise NotImplementedError

    def moments(self, library: Library, mu: Any, cov: Any) -> tuple[Any, Any]:
        """Compute the mean (..., n) and the symmetric covariance (..., n, n) for symmetric cov."""
        return by_pairs.moments(self, library, mu, cov)

    def moments_vjp(self, library: Library, mu: Any, cov: Any, mean_bar: Any, cov_bar: Any) -> tuple[Any, Any]:
        """Compute the gradients along mu and cov, as `fm.moments_vjp` does."""
        return by_pairs.moments_vjp(self, library, mu, cov, mean_bar, cov_bar)

    def pieces(self, side: Any) -> Any:
        """Return the `pieces.Pieces` of f for a `pieces.Side`, None if it is no sum of lines, kinks and bumps."""
        return None

    def cov_beside(self, one: Any, two: Any, cov_12: Any) -> Any:
        """Compute Cov(f(X_1), g(X_2)) for the `pieces.Side`s of f and of any other g in closed form, else None.

        It is asked after two functions with `pieces` have been served.
        """
        return None

    def coefficients(self, mu: Any, var: Any, terms: int) -> tuple[Any, Any]:
        """Compute b_n = E f(mu + sd Z) He_n(Z) / sqrt(n!), n = 1 ... terms, (terms, m), and Var f(X), (m,).

        mu and var are NumPy's. These are by quadrature, to the tolerance of `Custom`.
        """
        with np.errstate(all="ignore"):
            neurons = neurons_of(self.as_custom(np), mu, var, terms)
        return neurons.b, neurons.var

    def as_custom(self, xp: Any) -> Custom:
        """Return f by quadrature, on the arrays of a library."""
        return Custom(_Function(self, xp), kinks=self.kinks, lipschitz=self.lipschitz)


class _Function:
    """f of arrays; equal for equal activations, by which results of Custom functions are kept."""

    def __init__(self, activation: Composed, xp: Any) -> None:
        self.key = activation, xp

    def __call__(self, x: Any) -> Any:
        activation, xp = self.key
        return activation.function(xp, x)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Function) and self.key == other.key

    def __hash__(self) -> int:
        return hash((self.key[0], id(self.key[1])))
