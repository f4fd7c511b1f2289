"""identity(x) = x: the functions of an activation's file, in the simplest case.

Backends are written against this file; binding puts an activation's functions in place of these (INTERFACE lists
them). `neuron(mu, var, parameters)` returns a neuron's features, a tuple that begins with mu and var; every other
function takes features. `slack` is how far a pair's determinant may fall below zero by rounding, in units of
var_1 var_2. Orders (a, b) of a covariance name derivatives of f: cov_10 = Cov(f'(X_1), f(X_2)),
product_11 = E[f'(X_1) f'(X_2)].
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any

from fastmoments_kernels.vocabulary import Real, Reals, sqrt

INTERFACE = (
    "neuron",
    "mean",
    "gain",
    "var",
    "mean_dvar",
    "var_partials",
    "cov",
    "cov_10",
    "cov_20",
    "product_11",
)
# A file may leave these out and then has those below. Without a series every pair takes the pair formula.
OPTIONAL = (
    "conditional_var",
    "route",
    "series",
    "series_step",
    "coefficient",
    "mean_dparameters",
    "var_dparameters",
    "cov_dparameters",
)

ROUTES = 20  # more than `route` returns


def interface_of(formula: ModuleType) -> dict[str, Callable[..., Any]]:
    """The functions of an activation by name: its file's, else its `family`'s, else, if OPTIONAL, those below."""
    family = getattr(formula, "family", formula)
    required = {name: getattr(formula, name, None) or getattr(family, name) for name in INTERFACE}
    fallback = {name: getattr(family, name, globals()[name]) for name in OPTIONAL}
    return required | {name: getattr(formula, name, fallback[name]) for name in OPTIONAL}


def has_series(formula: ModuleType) -> bool:
    """Whether matrices may be computed by the series."""
    return interface_of(formula)["series"] is not series


def has_routes(formula: ModuleType) -> bool:
    """Whether pairs differ in what they cost."""
    return interface_of(formula)["route"] is not route


def function(x: Real) -> Real:
    """f itself, on arrays; an activation's parameters follow x."""
    return x


def lipschitz() -> Real:
    """sup |f'|, for error bounds; an activation's parameters are its arguments."""
    return 1.0


def conditional_var(x: Real) -> Real:
    """Var(f(X) | X = x): 0 but for a stochastic neuron, whose `function` is its mean given x."""
    return 0.0 * x


def neuron(mu: Real, var: Real, parameters: Reals) -> Reals:
    """One neuron's features, computed once per neuron and handed to every pair; all real, mu and var first."""
    return mu, var, sqrt(var)


def mean(neuron: Reals) -> Real:
    """E f(X)."""
    return neuron[0]


def gain(neuron: Reals) -> Real:
    """E f'(X), so that Cov(f(X_i), X_j) = gain_i cov_ij (Stein)."""
    return 1.0 + 0.0 * neuron[0]


def var(neuron: Reals) -> Real:
    """Var f(X), the limit rho -> 1 of cov."""
    return neuron[1]


def mean_dvar(neuron: Reals) -> Real:
    """d mean / d var = E f''(X) / 2."""
    return 0.0 * neuron[0]


def var_partials(neuron: Reals) -> Reals:
    """(d var / d mu, d var / d var) along the diagonal."""
    return 0.0 * neuron[0], 1.0 + 0.0 * neuron[0]


def mean_dparameters(neuron: Reals) -> Reals:
    """d mean along each parameter."""
    return ()


def var_dparameters(neuron: Reals) -> Reals:
    """d var along each parameter."""
    return ()


def series(neuron: Reals) -> Reals:
    """(a_0, a_1, a_2), the start of the recurrence from which `coefficient` makes the Hermite coefficients."""
    return 0.0 * neuron[2], neuron[2], 0.0 * neuron[2]


def series_step(order: Reals, neuron: Reals, last: Real, before: Real) -> Real:
    """a_n from a_{n-1} and a_{n-2}, order = order_of(n), n >= 3."""
    return 0.0 * last


def coefficient(order: Reals, neuron: Reals, this: Real, last: Real, before: Real) -> Real:
    """b_n = E[f(mu + sd Z) He_n(Z)] / sqrt(n!) from a_n, a_{n-1}, a_{n-2}, n >= 1 (a_{-1} is given as 0).

    The matrix of covariances is sum_n rho^n b_n b_n (Mehler).
    """
    return this


def cov(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """Cov(f(X_1), f(X_2))."""
    return cov_12


def route(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """The route of a pair, a whole number below ROUTES: a backend may compute pairs of one route together."""
    return 0.0 * cov_12


def cov_10(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """Cov(f'(X_1), f(X_2)) = d cov / d mu_1."""
    return 0.0 * cov_12


def cov_20(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """Cov(f''(X_1), f(X_2)) = 2 d cov / d var_1."""
    return 0.0 * cov_12


def product_11(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """E[f'(X_1) f'(X_2)] = d cov / d cov_12."""
    return 1.0 + 0.0 * cov_12


def cov_dparameters(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Reals:
    """d cov along each parameter of neuron 1."""
    return ()
