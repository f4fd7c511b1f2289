"""The public functions of neurons and of pairs, element by element, for any activation."""

from __future__ import annotations

from typing import Any

from fastmoments.composed import calls
from fastmoments.composed.base import Composed
from fastmoments.dispatch import Named, Plan, plan_of
from fastmoments.frameworks import framework_of
from fastmoments.frameworks.options import of_ufunc
from fastmoments.hints import explained
from fastmoments.parameters import of_neurons, of_pairs
from fastmoments.results import CovPartials, Marginals, T
from fastmoments.signatures import Operand


@explained
def marginals(
    activation: Any,
    mu: Operand[T],
    var: Operand[T],
    *,
    out: Any = None,
    where: Any = True,
    dtype: Any = None,
    precision: str | None = None,
) -> Marginals[T]:
    """Mean and variance of f(X) for X ~ N(mu, var), element by element.

    Parameters
    ----------
    activation : an object such as ReLU(), or its name.
    mu, var : arrays that broadcast, the mean and the variance (not the standard deviation) of X.
    out, where, dtype : as for NumPy's ufuncs, with NumPy arrays only; `out` is a pair.
    precision : "float32" or "float64" to compute in that type; default the inputs' own.

    Returns
    -------
    Marginals
        `mean` and `var`, each in the broadcast shape, in the inputs' library and dtype.

    Raises
    ------
    TypeError : libraries, devices or dtypes that are mixed, dtypes that are not real.
    ValueError : shapes that do not broadcast, a negative variance (Dask: when computed; JAX, GPUs: nan). Clip
        variances that rounding made negative: `numpy.maximum(var, 0)`.

    Warns
    -----
    UserWarning : `var` is symmetric, (..., n, n), and `mu` is (..., n): `var` is probably a covariance
        matrix, which `moments` takes. If its entries are variances, pass `mu[..., None, :]`. For arrays on GPUs and
        Dask's arrays the shapes alone decide; traced values give no warning.

    Notes
    -----
    |error| <= 8 eps (1 + cond) |value|, where cond is the condition number, in the tails too.
    """
    return Marginals(*_elementwise(activation, "marginals", {"mu": mu, "var": var}, out, where, dtype, precision))


@explained
def mean(
    activation: Any,
    mu: Operand[T],
    var: Operand[T],
    *,
    out: Any = None,
    where: Any = True,
    dtype: Any = None,
    precision: str | None = None,
) -> T:
    """Mean of f(X) for X ~ N(mu, var), element by element.

    Parameters, errors and accuracy are those of `marginals`. The result is one array, and so is `out`.
    """
    result: T = _elementwise(activation, "mean", {"mu": mu, "var": var}, out, where, dtype, precision)
    return result


@explained
def var(
    activation: Any,
    mu: Operand[T],
    var: Operand[T],
    *,
    out: Any = None,
    where: Any = True,
    dtype: Any = None,
    precision: str | None = None,
) -> T:
    """Variance of f(X) for X ~ N(mu, var), element by element.

    Parameters, errors and accuracy are those of `marginals`. The result is one array, and so is `out`.
    """
    result: T = _elementwise(activation, "var", {"mu": mu, "var": var}, out, where, dtype, precision)
    return result


@explained
def gain(
    activation: Any,
    mu: Operand[T],
    var: Operand[T],
    *,
    out: Any = None,
    where: Any = True,
    dtype: Any = None,
    precision: str | None = None,
) -> T:
    """E f'(X) for X ~ N(mu, var), element by element.

    Parameters, errors and accuracy are those of `marginals`. The result is one array, and so is `out`.

    By Stein's lemma it gives the covariance with the input: Cov(f(X_i), X_j) = gain_i cov_ij. At zero variance it
    is f'(mu), and at a kink the mean of the slopes on both sides.
    """
    result: T = _elementwise(activation, "gain", {"mu": mu, "var": var}, out, where, dtype, precision)
    return result


@explained
def curvature(
    activation: Any,
    mu: Operand[T],
    var: Operand[T],
    *,
    precision: str | None = None,
) -> T:
    """E f''(X) for X ~ N(mu, var), element by element: 2 d E f(X) / d var (Price).

    A kink counts with its change of slope c times the density at it, c phi((kink - mu) / sd) / sd, and a jump with
    its height times minus the density's derivative.

    Parameters
    ----------
    activation : an object such as ReLU(), or its name.
    mu, var : arrays that broadcast, the mean and the variance (not the standard deviation) of X.
    precision : "float32" or "float64" to compute in that type; default the inputs' own.

    Returns
    -------
    array
        In the broadcast shape, in the inputs' library and dtype. At zero variance f''(mu); on a kink infinite.

    Raises
    ------
    TypeError : libraries, devices or dtypes that are mixed, dtypes that are not real.
    ValueError : shapes that do not broadcast, a negative variance (Dask: when computed; JAX, GPUs: nan).

    Notes
    -----
    Accuracy is that of `marginals`. To second order in cov_12, Cov(f(X_1), g(X_2)) is gain_1 gain_2 cov_12 +
    curvature_1 curvature_2 cov_12^2 / 2 (Mehler).

    References
    ----------
    Price, "A useful theorem for nonlinear devices having Gaussian inputs", 1958.
    """
    half: Any = _elementwise(activation, "mean_dvar", {"mu": mu, "var": var}, None, True, None, precision)
    result: T = 2.0 * half
    return result


def var_partials(activation: Any, mu: Operand[T], var: Operand[T]) -> tuple[T, T]:
    """Compute the derivatives of Var f(X) along mu and var, element by element."""
    found: tuple[T, T] = _elementwise(activation, "var_partials", {"mu": mu, "var": var}, None, True, None, None)
    return found


@explained
def cov(
    activation: Any,
    mu_1: Operand[T],
    mu_2: Operand[T],
    var_1: Operand[T],
    var_2: Operand[T],
    cov_12: Operand[T],
    *,
    out: Any = None,
    where: Any = True,
    dtype: Any = None,
    precision: str | None = None,
) -> T:
    """Cov(f(X_1), f(X_2)) for a Gaussian pair, element by element, relative to itself in the tails too.

    Parameters
    ----------
    activation : an object such as ReLU(), or its name.
    mu_1, mu_2, var_1, var_2, cov_12 : arrays that broadcast, the pair's means, variances and covariance.
    out, where, dtype : as for NumPy's ufuncs, with NumPy arrays only.
    precision : "float32" or "float64" to compute in that type; default the inputs' own.

    Returns
    -------
    array
        In the broadcast shape, in the inputs' library and dtype; nan where cov_12^2 > var_1 var_2 by more than
        rounding, 0 where a variance is 0.

    Raises
    ------
    TypeError : libraries, devices or dtypes that are mixed, dtypes that are not real.
    ValueError : shapes that do not broadcast, a negative variance.

    Notes
    -----
    |error| <= 8 eps (1 + cond) |value|, where cond is the condition number, at |rho| = 1 and in tails too.

    References
    ----------
    Kuang & Lin, "Exact closed-form Gaussian moments of residual layers", arXiv 2601.22307.
    """
    arguments = {"mu_1": mu_1, "mu_2": mu_2, "var_1": var_1, "var_2": var_2, "cov_12": cov_12}
    result: T = _elementwise(activation, "cov", arguments, out, where, dtype, precision)
    return result


@explained
def cov_partials(
    activation: Any,
    mu_1: Operand[T],
    mu_2: Operand[T],
    var_1: Operand[T],
    var_2: Operand[T],
    cov_12: Operand[T],
    *,
    out: Any = None,
    where: Any = True,
    dtype: Any = None,
    precision: str | None = None,
) -> CovPartials[T]:
    """Derivatives of `cov` along mu_1, mu_2, var_1, var_2 and cov_12, for code without automatic differentiation.

    Parameters, errors and accuracy are those of `cov`. The result is five arrays, and so is `out`:
    d_cov_12 = E[f'(X_1) f'(X_2)], d_mu_1 = Cov(f'(X_1), f(X_2)), d_var_1 = Cov(f''(X_1), f(X_2)) / 2 (Price), and
    d_mu_2 and d_var_2 with the neurons exchanged. An infinite derivative along cov_12, at |rho| = 1, is returned as
    0.
    """
    arguments = {"mu_1": mu_1, "mu_2": mu_2, "var_1": var_1, "var_2": var_2, "cov_12": cov_12}
    return CovPartials(*_elementwise(activation, "cov_partials", arguments, out, where, dtype, precision))


def _elementwise(
    activation: Any,
    name: str,
    arguments: Named,
    out: Any,
    where: Any,
    dtype: Any,
    precision: str | None,
) -> Any:
    row_name, parameters = (of_pairs if name.startswith("cov") else of_neurons)(activation)
    arguments = arguments | parameters
    plan = plan_of(arguments, precision)
    return module_of(plan, row_name).elementwise(plan, row_name, name, arguments, of_ufunc(out, where, dtype))


def module_of(plan: Plan, activation: Any) -> Any:
    """Return what computes an activation: the framework's module, or that of composed activations."""
    is_composed = not isinstance(activation, str) and isinstance(activation, Composed)
    return calls if is_composed else framework_of(plan)
