"""E f(X), E f'(X), Var f(X) and Cov(f(X_1), f(X_2)) by quadrature of their definitions, for any f."""

import math
from collections.abc import Callable
from typing import Any

from scipy.integrate import quad

from fastmoments_kernels.catalogue import parameters_of, row_of
from fastmoments_kernels.formulas.identity import interface_of

REACH = 12.0  # phi(12) is 2e-32
TOLERANCE = 1e-12


def _expectation(function: Callable[[float], float], breaks: tuple[float, ...] = ()) -> float:
    """E function(Z), Z standard normal, as integrals between the breaks, where the function is not smooth."""
    density = lambda z: function(z) * math.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)  # noqa: E731
    inside = sorted(z for z in breaks if -REACH < z < REACH)
    ends = (-REACH, *inside, 0.5 * (REACH + (inside or [-REACH])[-1]), REACH)
    parts = zip(ends[:-1], ends[1:], strict=True)
    return math.fsum(
        quad(density, low, high, epsabs=TOLERANCE, epsrel=TOLERANCE, limit=200)[0] for low, high in parts
    )


def _standardised(activation: Any, mu: float, var: float) -> tuple[Callable[[float], float], tuple[float, ...]]:
    """The function Z -> f(mu + sd Z), and the Z at which it breaks."""
    row, sd = row_of(activation), math.sqrt(var)
    breaks = tuple((kink - mu) / sd for kink in row.kinks) if sd else ()
    parameters = parameters_of(activation).values()
    return lambda z: float(row.formula.function(mu + sd * z, *parameters)), breaks


def mean(activation: Any, mu: float, var: float) -> float:
    """E f(X)."""
    function, breaks = _standardised(activation, mu, var)
    return _expectation(function, breaks) if var else function(0.0)


def gain(activation: Any, mu: float, var: float) -> float:
    """E f'(X) = E[f(X) (X - mu)] / var (Stein), for var > 0."""
    function, breaks = _standardised(activation, mu, var)
    return _expectation(lambda z: function(z) * z, breaks) / math.sqrt(var)


def var(activation: Any, mu: float, var: float) -> float:
    """E (f(X) - E f(X))^2, plus E Var(f | X) of a stochastic neuron."""
    function, breaks = _standardised(activation, mu, var)
    middle, sd = mean(activation, mu, var), math.sqrt(var)
    conditional_var = interface_of(row_of(activation).formula)["conditional_var"]
    return _expectation(lambda z: (function(z) - middle) ** 2 + float(conditional_var(mu + sd * z)), breaks)


def cov(
    activation: Any, mu_1: float, mu_2: float, var_1: float, var_2: float, cov_12: float, other: Any = None
) -> float:
    """E[(f(X_1) - E f(X_1)) (E[g(X_2) | X_1] - E g(X_2))], var_1 > 0; g is f, or `other`."""
    other = activation if other is None else other
    function, breaks = _standardised(activation, mu_1, var_1)
    middle_1, middle_2 = mean(activation, mu_1, var_1), mean(other, mu_2, var_2)
    slope, rest = cov_12 / math.sqrt(var_1), max(var_2 - cov_12 * cov_12 / var_1, 0.0)
    return _expectation(
        lambda z: (function(z) - middle_1) * (mean(other, mu_2 + slope * z, rest) - middle_2), breaks
    )
