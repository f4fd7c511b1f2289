"""identity(x) = x: what an activation's file supplies, in the simplest case.

Schedules are written against this file and bind an activation's in its place (INTERFACE lists the names).
A neuron is (mu, var) or its features, the tuple `neuron(mu, var)` returns; `slack` is how far a pair's
determinant may fall below zero by rounding, in units of var_1 var_2. Orders (a, b) of a covariance name
derivatives of f: cov_10 = Cov(f'(X_1), f(X_2)), product_11 = E[f'(X_1) f'(X_2)].
"""

from fastmoments_kernels.vocabulary import Real, Reals, sqrt

INTERFACE = (
    "neuron",
    "mean",
    "gain",
    "var",
    "mean_dvar",
    "var_partials",
    "series",
    "series_step",
    "cov",
    "cov_10",
    "cov_20",
    "product_11",
)


def function(x: Real) -> Real:
    """f itself, on arrays."""
    return x


def neuron(mu: Real, var: Real) -> Reals:
    """One neuron's features, computed once per neuron and handed to every pair."""
    return var, sqrt(var)


def mean(mu: Real, var: Real) -> Real:
    """E f(X)."""
    return mu + 0.0 * var


def gain(mu: Real, var: Real) -> Real:
    """E f'(X), so that Cov(f(X_i), X_j) = gain_i cov_ij (Stein)."""
    return 1.0 + 0.0 * (mu + var)


def var(mu: Real, var: Real) -> Real:
    """Var f(X), the limit rho -> 1 of cov."""
    return var + 0.0 * mu


def mean_dvar(mu: Real, var: Real) -> Real:
    """d mean / d var = E f''(X) / 2."""
    return 0.0 * (mu + var)


def var_partials(mu: Real, var: Real) -> Reals:
    """(d var / d mu, d var / d var) along the diagonal."""
    return 0.0 * (mu + var), 1.0 + 0.0 * (mu + var)


def series(neuron: Reals) -> Reals:
    """Hermite coefficients b_n = E[f(mu + sd Z) He_n(Z)] / sqrt(n!), n = 1, 2: cov = sum_n rho^n b_n b_n."""
    _, sd = neuron
    return sd, 0.0 * sd


def series_step(order: Real, neuron: Reals, last: Real, before: Real) -> Real:
    """b_n from b_{n-1} and b_{n-2}, n = order >= 3."""
    return 0.0 * last


def cov(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """Cov(f(X_1), f(X_2))."""
    return cov_12


def cov_10(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """Cov(f'(X_1), f(X_2)) = d cov / d mu_1."""
    return 0.0 * cov_12


def cov_20(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """Cov(f''(X_1), f(X_2)) = 2 d cov / d var_1."""
    return 0.0 * cov_12


def product_11(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """E[f'(X_1) f'(X_2)] = d cov / d cov_12."""
    return 1.0 + 0.0 * cov_12
