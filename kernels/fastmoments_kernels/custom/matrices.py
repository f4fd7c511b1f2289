"""Covariance matrices of any function, and their vjp, with terms enough for the strongest correlation."""

from typing import Any

import numpy as np

from fastmoments_kernels.custom.activation import Custom
from fastmoments_kernels.custom.hermite import Neurons, neurons_of
from fastmoments_kernels.custom.series import (
    correlated,
    cov_of,
    cov_raised,
    left_out,
    product_11,
    rho_of,
    settled,
    var_partials,
)

Array = np.ndarray[Any, Any]


def moments(activation: Custom, mu: Array, cov: Array, mean_out: Array, cov_out: Array, _: Any = ()) -> None:
    """Mean and covariance of f(X) into mean_out and cov_out, (batch, n) and (batch, n, n)."""
    for k in range(len(mu)):
        neurons, rho = _of_matrix(activation, mu[k], cov[k])
        mean_out[k] = neurons.at_mu + neurons.shift
        cov_out[k] = _symmetric(cov_of(_columns(neurons), _rows(neurons), rho), neurons.var)


def moments_vjp(
    activation: Custom, mu: Array, cov: Array, mean_bar: Array, cov_bar: Array, _: Any = ()
) -> tuple[Array, Array]:
    """Gradients (mu_bar, cov_bar) of sum(mean_bar * mean) + sum(cov_bar * cov) with respect to mu and cov."""
    mu_bar, cov_in_bar = np.empty_like(mu), np.empty_like(cov)
    for k in range(len(mu)):
        mu_bar[k], cov_in_bar[k] = _vjp(activation, mu[k], cov[k], mean_bar[k], cov_bar[k])
    return mu_bar, cov_in_bar


def _vjp(activation: Custom, mu: Array, cov: Array, mean_bar: Array, cov_bar: Array) -> tuple[Array, ...]:
    mu, var, rho = _standardised(mu, cov)
    bar = 0.5 * (cov_bar + cov_bar.T).astype(np.float64)

    def gradients(terms: int) -> tuple[Array, Array]:
        return _gradients(neurons_of(activation, mu, var, terms), rho, mean_bar.astype(np.float64), bar)

    return settled(activation, gradients)


def _gradients(neurons: Neurons, rho: Array, mean_bar: Array, bar: Array) -> tuple[Array, Array]:
    one, two, own = _columns(neurons), _rows(neurons), np.diag(bar)
    across = bar - np.diag(own)
    var_dmu, var_dvar = var_partials(neurons)
    d_mu, d_var = cov_raised(one, two, rho, 1), 0.5 * cov_raised(one, two, rho, 2)
    mu_bar = mean_bar * neurons.raised(1)[0] + own * var_dmu + 2.0 * np.sum(across * d_mu, axis=1)
    var_bar = 0.5 * mean_bar * neurons.raised(2)[0] + own * var_dvar + 2.0 * np.sum(across * d_var, axis=1)
    return mu_bar, _symmetric(bar * product_11(one, two, rho), var_bar)


def _of_matrix(activation: Custom, mu: Array, cov: Array) -> tuple[Neurons, Array]:
    """The neurons of one matrix, with terms enough for all its pairs, and the correlations."""
    mu, var, rho = _standardised(mu, cov)

    def worst(neurons: Neurons, terms: int) -> tuple[float, str]:
        left = np.nan_to_num(np.triu(left_out(rho, neurons.tail[:, None], neurons.tail, terms), 1))
        i, j = np.unravel_index(np.argmax(left), left.shape)
        return float(left[i, j]), f"neurons {i} and {j} (rho = {rho[i, j]:g})"

    return correlated(activation, mu, var, worst), rho


def _standardised(mu: Array, cov: Array) -> tuple[Array, Array, Array]:
    """(mu, var, rho) in float64, by the upper triangle."""
    upper = np.triu(cov).astype(np.float64)
    var = np.diag(upper)
    slack = 64 * len(mu) * float(np.finfo(cov.dtype).eps)
    return mu.astype(np.float64), var, rho_of(var[:, None], var, upper + np.triu(upper, 1).T, slack)


def _columns(neurons: Neurons) -> Neurons:
    return Neurons(*(x[..., :, None] for x in neurons))


def _rows(neurons: Neurons) -> Neurons:
    return Neurons(*(x[..., None, :] for x in neurons))


def _symmetric(matrix: Array, diagonal: Array) -> Array:
    """The upper triangle mirrored, around a diagonal."""
    upper = np.triu(matrix, 1)
    full: Array = upper + upper.T + np.diag(diagonal)
    return full
