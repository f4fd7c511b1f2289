"""Every function of an activation on whole arrays, over an array library's operations.

Both routes of a pair are evaluated and one is chosen: tracers and automatic differentiation need both. A library
brings its vocabulary, three functions of matrices, and its way to attach a derivative rule; it contains no
activation.
"""

from collections.abc import Callable, Mapping
from functools import cached_property
from types import ModuleType
from typing import Any, NamedTuple

from fastmoments_kernels.bind import Binding
from fastmoments_kernels.formulas import bivariate_normal
from fastmoments_kernels.formulas.identity import interface_of
from fastmoments_kernels.formulas.scalars import SCALARS

Array = Any  # an array of the library
# (function, partials) -> the function with its derivatives; partials(*arguments) returns one array per argument,
# and for a function of several values a tuple of such tuples, one per value
Rule = Callable[[Callable[..., Any], Callable[..., tuple[Any, ...]]], Callable[..., Any]]


class Words(NamedTuple):
    """An array library: the formulas' vocabulary, three functions of matrices, and how it attaches derivatives."""

    vocabulary: Mapping[str, Any]
    diagonal: Callable[[Array], Array]  # (..., n, n) -> (..., n)
    transpose: Callable[[Array], Array]  # exchange the last two axes
    triangle: Callable[[int, Array, int], Array]  # (n, like, k) -> bool (n, n), True from the k-th diagonal up
    rule: Rule


class ArrayFunctions:
    """The functions of one activation in one array library.

    Arguments broadcast; everything is computed in their dtype, which results have too. An activation's parameters
    follow the other arguments, in pairs for a pair of neurons: (..., tau_1, tau_2).
    """

    def __init__(self, formula: ModuleType, words: Words) -> None:
        binding = Binding(words.vocabulary)
        self.words = words
        self.formula = ModuleType(formula.__name__)
        for name, function in interface_of(formula).items():
            setattr(self.formula, name, binding(function))
        self._cov_partials: Callable[..., tuple[Array, ...]] = Binding({"formula": self.formula})(
            SCALARS["cov_partials"]
        )

    @cached_property
    def mean(self) -> Callable[..., Array]:
        """E f(X) of (mu, var), differentiable by gain, mean_dvar and mean_dparameters."""
        f = self.formula
        return self.words.rule(
            self._of_neuron(f.mean), self._of_neuron(lambda x: (f.gain(x), f.mean_dvar(x), *f.mean_dparameters(x)))
        )

    @cached_property
    def var(self) -> Callable[..., Array]:
        """Var f(X) of (mu, var)."""
        f = self.formula
        return self.words.rule(
            self._of_neuron(f.var), self._of_neuron(lambda x: (*f.var_partials(x), *f.var_dparameters(x)))
        )

    def _of_neuron(self, function: Callable[[Any], Any]) -> Callable[..., Any]:
        return lambda mu, var, *parameters: function(self.formula.neuron(mu, var, parameters))

    def elementwise(self, name: str) -> Callable[..., Any]:
        """The function `name`: a method, or a function of one neuron that the library differentiates itself."""
        method: Callable[..., Any] | None = getattr(self, name, None)
        return method or self._of_neuron(getattr(self.formula, name))

    def marginals(self, mu: Array, var: Array, *parameters: Array) -> tuple[Array, Array]:
        """(E f(X), Var f(X))."""
        return self.mean(mu, var, *parameters), self.var(mu, var, *parameters)

    @cached_property
    def cov(self) -> Callable[..., Array]:
        """Cov(f(X_1), f(X_2)) of (mu_1, mu_2, var_1, var_2, cov_12, *parameters, slack)."""
        return self.words.rule(
            lambda *x: self.formula.cov(*self._pair(x)),
            lambda *x: (*self.cov_partials(*x), *self.cov_dparameters(*x)),
        )

    def _pair(self, arguments: tuple[Array, ...]) -> tuple[Any, ...]:
        """(neuron_1, neuron_2, cov_12, slack)."""
        mu_1, mu_2, var_1, var_2, cov_12, *parameters, slack = arguments
        one = self.formula.neuron(mu_1, var_1, tuple(parameters[::2]))
        return one, self.formula.neuron(mu_2, var_2, tuple(parameters[1::2])), cov_12, slack

    def cov_partials(self, *arguments: Array) -> tuple[Array, ...]:
        """d cov along its first five arguments."""
        *inputs, slack = arguments
        return self._cov_partials(*inputs[:5], tuple(inputs[5:]), slack)

    def cov_dparameters(self, *arguments: Array) -> tuple[Array, ...]:
        """d cov along the parameters, the two neurons' in turn."""
        along, (one, two, cov_12, slack) = self.formula.cov_dparameters, self._pair(arguments)
        pairs = zip(along(one, two, cov_12, slack), along(two, one, cov_12, slack), strict=True)
        return tuple(partial for pair in pairs for partial in pair)

    def moments(self, mu: Array, cov: Array, slack: float, *parameters: Array) -> tuple[Array, Array]:
        """Mean and covariance of f(X) for mu and parameters (..., n), by the upper triangle of cov (..., n, n)."""
        where, triangle = self.words.vocabulary["where"], self.words.triangle
        above = triangle(mu.shape[-1], cov, 1)
        var = self.words.diagonal(cov)
        # a neuron with itself takes `var`: the pair formula is not differentiable at |rho| = 1
        (mu_1, mu_2), (var_1, var_2), *others = ((x[..., :, None], x[..., None, :]) for x in (mu, var, *parameters))
        pairs = self.cov(
            mu_1, mu_2, var_1, var_2, where(above, cov, 0.0), *(x for pair in others for x in pair), slack
        )
        # mirrored, not evaluated: one of two equal elements may be contracted differently
        diagonal = self.var(mu, var, *parameters)[..., :, None]
        below = where(triangle(mu.shape[-1], cov, 0), diagonal, self.words.transpose(pairs))
        return self.mean(mu, var, *parameters), where(above, pairs, below)


class NormalFunctions:
    """The bivariate normal distribution function, its log and their derivatives in one array library.

    The derivatives of first derivatives are made of first derivatives: none passes through a formula's kinks.
    """

    def __init__(self, words: Words) -> None:
        self._bound, self._rule = Binding(words.vocabulary), words.rule
        formulas = bivariate_normal
        partials = self._differentiated(formulas.bivariate_cdf_partials, formulas.cdf_curvatures)
        of_log = self._differentiated(formulas.log_bivariate_cdf_partials, formulas.log_cdf_curvatures)
        self._functions = {
            "bivariate_normal_cdf": self._rule(self._bound(formulas.bivariate_cdf), partials),
            "log_bivariate_normal_cdf": self._rule(self._bound(formulas.log_bivariate_cdf), of_log),
            "bivariate_normal_cdf_partials": partials,
            "log_bivariate_normal_cdf_partials": of_log,
        }

    def _differentiated(self, partials: Callable[..., Any], curvatures: Callable[..., Any]) -> Callable[..., Any]:
        """The partials; their derivatives are the curvatures, which are made of the partials."""
        bent = self._bound(curvatures)
        differentiated = self._rule(self._bound(partials), lambda *x: bent(*x, differentiated(*x)))
        return differentiated

    def elementwise(self, name: str) -> Callable[..., Any]:
        """The function `name` of OF_NORMAL."""
        return self._functions[name]
