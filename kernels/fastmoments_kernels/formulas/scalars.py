"""The functions that users call in their own kernels: numbers in, numbers out, for any activation.

Parameters are a tuple of numbers; for a pair the two neurons' alternate: (tau_1, tau_2, center_1, center_2, ...).
"""

from collections.abc import Callable
from typing import Any

from fastmoments_kernels.formulas import identity as formula  # `bind` exchanges it for an activation's
from fastmoments_kernels.vocabulary import Real, Reals


def _mean(mu: Real, var: Real, parameters: Reals) -> Real:
    """E f(X)."""
    return formula.mean(formula.neuron(mu, var, parameters))


def _var(mu: Real, var: Real, parameters: Reals) -> Real:
    """Var f(X)."""
    return formula.var(formula.neuron(mu, var, parameters))


def _gain(mu: Real, var: Real, parameters: Reals) -> Real:
    """E f'(X)."""
    return formula.gain(formula.neuron(mu, var, parameters))


def _marginals(mu: Real, var: Real, parameters: Reals) -> Reals:
    """(E f(X), Var f(X))."""
    neuron = formula.neuron(mu, var, parameters)
    return formula.mean(neuron), formula.var(neuron)


def _cov(mu_1: Real, mu_2: Real, var_1: Real, var_2: Real, cov_12: Real, parameters: Reals, slack: Real) -> Real:
    """Cov(f(X_1), f(X_2))."""
    one = formula.neuron(mu_1, var_1, parameters[::2])
    two = formula.neuron(mu_2, var_2, parameters[1::2])
    return formula.cov(one, two, cov_12, slack)


def _cov_partials(
    mu_1: Real, mu_2: Real, var_1: Real, var_2: Real, cov_12: Real, parameters: Reals, slack: Real
) -> Reals:
    """d cov along (mu_1, mu_2, var_1, var_2, cov_12): Cov(f', f) for a mu, Cov(f'', f) / 2 for a var, E f' f'."""
    one = formula.neuron(mu_1, var_1, parameters[::2])
    two = formula.neuron(mu_2, var_2, parameters[1::2])
    return (
        formula.cov_10(one, two, cov_12, slack),
        formula.cov_10(two, one, cov_12, slack),
        0.5 * formula.cov_20(one, two, cov_12, slack),
        0.5 * formula.cov_20(two, one, cov_12, slack),
        formula.product_11(one, two, cov_12, slack),
    )


SCALARS: dict[str, Callable[..., Any]] = {
    "mean": _mean,
    "var": _var,
    "gain": _gain,
    "marginals": _marginals,
    "cov": _cov,
    "cov_partials": _cov_partials,
}
