"""The public functions of vectors of neurons: each makes a plan and calls the framework's module."""

from __future__ import annotations

from typing import Any, Literal, overload

from fastmoments.dispatch import plan_of
from fastmoments.distributions import mean_and_cov
from fastmoments.elementwise import module_of
from fastmoments.frameworks import framework_of
from fastmoments.hints import explained
from fastmoments.parameters import by_name, of_neurons
from fastmoments.results import Moments, MomentsVjp, MomentsVjpParameters, T
from fastmoments.signatures import Distribution, Operand


@overload
def moments(
    activation: Any,
    mu: Distribution,
    cov: None = None,
    *,
    out: Any = None,
    check: bool = False,
    precision: str | None = None,
) -> Moments[Any]: ...
@overload
def moments(
    activation: Any,
    mu: Operand[T],
    cov: Operand[T],
    *,
    out: Any = None,
    check: bool = False,
    precision: str | None = None,
) -> Moments[T]: ...
@explained
def moments(
    activation: Any,
    mu: Any,
    cov: Any = None,
    *,
    out: Any = None,
    check: bool = False,
    precision: str | None = None,
) -> Any:
    """Mean and covariance of f(X) for X ~ N(mu, cov).

    Parameters
    ----------
    activation : an object such as ReLU(), its name, or the module or function of PyTorch, JAX or NumPy that it is.
    mu : array (..., n), the mean of X. A normal distribution stands for mu and cov: a MultivariateNormal or a
        Normal, whose numbers are independent, of torch.distributions or numpyro.distributions, and those of
        scipy.stats (multivariate_normal, norm, Normal).
    cov : array (..., n, n), the covariance of X; its upper triangle is read. Leading dimensions broadcast.
    out : NumPy array (..., n, n) for the covariance, or a pair (mean, cov). It may be `cov` itself or share memory
        with any input, which does not change the result.
    check : verify that cov is symmetric and positive semidefinite; the error names the worst pair.
    precision : "float32" or "float64" to compute in that type; default the inputs' own.

    Returns
    -------
    Moments
        `mean` (..., n) and `cov` (..., n, n), exactly symmetric, in the inputs' library and dtype. A neuron
        without variance has mean f(mu) and covariances 0. A neuron with nan or inf gives nan for itself and its
        pairs, and no others.

    Raises
    ------
    TypeError : libraries, devices or dtypes that are mixed, dtypes that are not real.
    ValueError : shapes that disagree, a negative variance (Dask: when computed; JAX, GPUs: nan). Clip
        variances that rounding made negative: `numpy.maximum(var, 0)`.

    Warns
    -----
    RuntimeWarning : a pair with cov_ij^2 > var_i var_j (1 + 64 n eps), which no covariance matrix has. The
        result is nan for it, and `check` names the worst. JAX and GPUs do not warn. Only `check` tests whether the
        matrix is positive semidefinite. A neuron without variance has covariances 0, whatever cov holds.

    Notes
    -----
    |error_ij| <= 8 eps (sqrt(K_ii K_jj) + cond_ij |K_ij|), where cond_ij is the condition number of the pair.

    References
    ----------
    Kuang & Lin, "Exact closed-form Gaussian moments of residual layers", arXiv 2601.22307.
    """
    name, parameters = of_neurons(activation)
    if cov is None:
        mu, cov = mean_and_cov(mu)
    inputs = {"mu": mu, "cov": cov}
    plan = plan_of(inputs | parameters, precision)
    return module_of(plan, name).moments(plan, name, inputs, parameters, out, check)


@overload
def moments_vjp(
    activation: Any,
    mu: Operand[T],
    cov: Operand[T],
    mean_bar: Operand[T],
    cov_bar: Operand[T],
    *,
    return_parameters: Literal[False] = False,
    precision: str | None = None,
) -> MomentsVjp[T]: ...
@overload
def moments_vjp(
    activation: Any,
    mu: Operand[T],
    cov: Operand[T],
    mean_bar: Operand[T],
    cov_bar: Operand[T],
    *,
    return_parameters: Literal[True],
    precision: str | None = None,
) -> MomentsVjpParameters[T]: ...
@explained
def moments_vjp(
    activation: Any,
    mu: Operand[T],
    cov: Operand[T],
    mean_bar: Operand[T],
    cov_bar: Operand[T],
    *,
    return_parameters: bool = False,
    precision: str | None = None,
) -> Any:
    """Gradient of sum(mean_bar * mean) + sum(cov_bar * cov_out) with respect to mu and cov, by closed forms.

    Parameters
    ----------
    activation : an object such as ReLU(), or its name.
    mu : array (..., n), the mean of X.
    cov : array (..., n, n), the covariance of X; its upper triangle is read.
    mean_bar : array (..., n), the gradient with respect to the mean of f(X).
    cov_bar : array (..., n, n), symmetric, the gradient with respect to the covariance of f(X).
    return_parameters : also return the gradients with respect to the activation's parameters, which takes a second
        pass over the pairs.
    precision : "float32" or "float64" to compute in that type; default the inputs' own.

    Returns
    -------
    MomentsVjp or MomentsVjpParameters
        `mu_bar` (..., n) and `cov_bar` (..., n, n), symmetric: entry (i, j) is cov_bar_ij dK_ij / dcov_ij, and the
        diagonal has the derivatives along the variances. With `return_parameters` also `parameters_bar`, a dict by
        name of each neuron's gradient, (..., n), for a mixture (..., n, K). The gradient of one number for all
        neurons is their sum.

    Raises
    ------
    TypeError : libraries, devices or dtypes that are mixed, dtypes that are not real.
    ValueError : shapes that disagree, a negative variance (Dask: when computed; JAX, GPUs: nan).

    Warns
    -----
    RuntimeWarning : a pair with cov_ij^2 > var_i var_j (1 + 64 n eps), whose gradients are nan, as in `moments`.

    Notes
    -----
    dK_ij/dcov_ij = E[f'(X_i) f'(X_j)], dK_ij/dmu_i = Cov(f'(X_i), f(X_j)), dK_ij/dvar_i = Cov(f''(X_i), f(X_j)) / 2
    (Price). Equal inputs give equal bits, for any number of threads.
    """
    name, parameters = of_neurons(activation)
    inputs, bars = {"mu": mu, "cov": cov}, {"mean_bar": mean_bar, "cov_bar": cov_bar}
    plan = plan_of(inputs | bars | parameters, precision)
    mu_bar, cov_in_bar, *others = module_of(plan, name).moments_vjp(
        plan, name, inputs, bars, parameters, return_parameters
    )
    if not return_parameters:
        return MomentsVjp(mu_bar, cov_in_bar)
    found = by_name(dict(zip(parameters, others, strict=True)), framework_of(plan).xp.stack)
    return MomentsVjpParameters(mu_bar, cov_in_bar, found)
