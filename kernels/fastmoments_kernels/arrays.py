"""The schedule for whole arrays: every function of an activation over an array library's operations.

Both routes of a pair are evaluated and one is chosen, which is what array libraries, tracers and automatic
differentiation ask for. A library brings its vocabulary, a few words on matrices, and its way to attach a
derivative rule; it contains no activation.
"""

from collections.abc import Callable, Mapping
from functools import cached_property
from types import ModuleType
from typing import Any, NamedTuple

from fastmoments_kernels.bind import Binding
from fastmoments_kernels.formulas.identity import INTERFACE

Array = Any
# (function, partials) -> the function with its derivatives; partials(*arguments) returns one array an argument
Rule = Callable[[Callable[..., Array], Callable[..., tuple[Array, ...]]], Callable[..., Array]]


class Words(NamedTuple):
    """An array library: the formulas' vocabulary, three words on matrices, and how it attaches derivatives."""

    vocabulary: Mapping[str, Any]
    diagonal: Callable[[Array], Array]  # (..., n, n) -> (..., n)
    transpose: Callable[[Array], Array]  # exchange the last two axes
    triangle: Callable[[int, Array], Array]  # (n, like) -> bool (n, n), True above the diagonal
    rule: Rule


class ArrayFunctions:
    """The functions of one activation in one array library.

    Arguments broadcast; they and the results have the library's arrays' dtype, in which everything is computed.
    """

    def __init__(self, formula: ModuleType, words: Words) -> None:
        binding = Binding(words.vocabulary)
        self.words = words
        self.formula = ModuleType(formula.__name__)
        for name in INTERFACE:
            setattr(self.formula, name, binding(getattr(formula, name)))

    @cached_property
    def mean(self) -> Callable[..., Array]:
        """E f(X) of (mu, var), differentiable by gain and mean_dvar."""
        f = self.formula
        return self.words.rule(f.mean, lambda mu, var: (f.gain(mu, var), f.mean_dvar(mu, var)))

    @cached_property
    def var(self) -> Callable[..., Array]:
        """Var f(X) of (mu, var)."""
        return self.words.rule(self.formula.var, self.formula.var_partials)

    @cached_property
    def gain(self) -> Callable[..., Array]:
        """E f'(X) of (mu, var); the library differentiates the closed form."""
        gain: Callable[..., Array] = self.formula.gain
        return gain

    def marginals(self, mu: Array, var: Array) -> tuple[Array, Array]:
        """(E f(X), Var f(X))."""
        return self.mean(mu, var), self.var(mu, var)

    @cached_property
    def cov(self) -> Callable[..., Array]:
        """Cov(f(X_1), f(X_2)) of (mu_1, mu_2, var_1, var_2, cov_12, slack); the slack carries no derivative."""
        return self.words.rule(self._cov, self.cov_partials)

    def _cov(self, mu_1: Array, mu_2: Array, var_1: Array, var_2: Array, cov_12: Array, slack: float) -> Array:
        f = self.formula
        return f.cov(f.neuron(mu_1, var_1), f.neuron(mu_2, var_2), cov_12, slack)

    def cov_partials(
        self, mu_1: Array, mu_2: Array, var_1: Array, var_2: Array, cov_12: Array, slack: float
    ) -> tuple[Array, ...]:
        """d cov along its arguments: raise an order for mu, two and halve for var, both neurons' for cov_12."""
        f = self.formula
        one, two = f.neuron(mu_1, var_1), f.neuron(mu_2, var_2)
        return (
            f.cov_10(one, two, cov_12, slack),
            f.cov_10(two, one, cov_12, slack),
            0.5 * f.cov_20(one, two, cov_12, slack),
            0.5 * f.cov_20(two, one, cov_12, slack),
            f.product_11(one, two, cov_12, slack),
        )

    def moments(self, mu: Array, cov: Array, slack: float) -> tuple[Array, Array]:
        """Mean (..., n) and covariance (..., n, n) of f(X), by the upper triangle of cov."""
        where = self.words.vocabulary["where"]
        above = self.words.triangle(mu.shape[-1], cov)
        below = self.words.transpose(above)
        var = self.words.diagonal(cov)
        # a neuron with itself is left to `var`: |rho| = 1 is no place to differentiate the pair formula
        off = where(above, cov, where(below, self.words.transpose(cov), 0.0 * cov))
        columns = (mu[..., :, None], mu[..., None, :], var[..., :, None], var[..., None, :])
        pairs = self.cov(*columns, off, slack)
        return self.mean(mu, var), where(above | below, pairs, self.var(mu, var)[..., :, None])
