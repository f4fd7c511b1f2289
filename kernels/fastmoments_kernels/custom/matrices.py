"""Covariance matrices of any function, and their vjp, with enough terms for the strongest correlation."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from fastmoments_kernels.cautions import warn_of_pairs
from fastmoments_kernels.custom.activation import Custom
from fastmoments_kernels.custom.hermite import Neurons, differentiable
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
from fastmoments_kernels.kinds import slack_of
from fastmoments_kernels.weighing import weigh

Array = np.ndarray[Any, Any]
Side = tuple[Array, Array]  # mu and var of the neurons of a block's rows or columns, (batch, length) each


def moments(
    activation: Custom,
    mu: Array,
    cov: Array,
    mean_out: Array,
    cov_out: Array,
    _: Any = (),
    n: int | None = None,
) -> None:
    """Write mean and covariance of f(X) to mean_out and cov_out, (batch, n) and (batch, n, n).

    If `cov` is a block on the diagonal of a larger covariance, n is that one's length.
    """
    for k in range(len(mu)):
        neurons, rho = _of_matrix(activation, mu[k], cov[k], n)
        mean_out[k] = neurons.at_mu + neurons.shift
        cov_out[k] = _symmetric(cov_of(_columns(neurons), _rows(neurons), rho), neurons.var)


def block(activation: Custom, rows: Side, columns: Side, cov: Array, cov_out: Array, n: int) -> None:
    """Write a block off the diagonal of the covariance of n neurons to cov_out (batch, rows, columns)."""
    for k in range(len(cov)):
        mu, var, rho = _abreast(rows, columns, cov, k, n)
        one, two = _sides(correlated(activation, mu, var, _worst_of(rho, _sides)), len(rho))
        cov_out[k] = cov_of(_columns(one), _rows(two), rho)


def moments_vjp(
    activation: Custom,
    mu: Array,
    cov: Array,
    mean_bar: Array,
    cov_bar: Array,
    _: Any = (),
    n: int | None = None,
) -> tuple[Array, Array]:
    """Gradients (mu_bar, cov_bar) of sum(mean_bar * mean) + sum(cov_bar * cov) with respect to mu and cov."""
    mu_bar, cov_in_bar = np.empty_like(mu), np.empty_like(cov)
    for k in range(len(mu)):
        mu_bar[k], cov_in_bar[k] = _vjp(activation, mu[k], cov[k], mean_bar[k], cov_bar[k], n)
    return mu_bar, cov_in_bar


def block_vjp(
    activation: Custom, rows: Side, columns: Side, cov: Array, bar: Array, n: int
) -> tuple[Side, Side, Array]:
    """Gradients of sum(bar * cov_out) over a block: (mu_bar, var_bar) of rows, of columns, and half that of cov."""
    gradients = []
    for k in range(len(cov)):
        standardised = _abreast(rows, columns, cov, k, n)
        var_1, var_2 = np.split(standardised[1], [cov.shape[1]])
        sd_1, sd_2 = np.sqrt(var_1), np.sqrt(var_2)
        units = sd_1, var_1, sd_2, var_2, np.outer(sd_1, sd_2)
        gradients.append(settled(activation, partial(_block_gradients, activation, standardised, bar[k]), units))
    mu_1, var_1, mu_2, var_2, cov_bar = (np.stack(x) for x in zip(*gradients, strict=True))
    return (mu_1, var_1), (mu_2, var_2), cov_bar.astype(cov.dtype)


def _block_gradients(
    activation: Custom, standardised: tuple[Array, Array, Array], bar: Array, terms: int
) -> tuple[Array, ...]:
    mu, var, rho = standardised
    one, two = _sides(differentiable(activation, mu, var, terms), len(rho))
    one, two, bar = _columns(one), _rows(two), bar.astype(np.float64)
    return (
        np.sum(bar * cov_raised(one, two, rho, 1), axis=1),
        np.sum(bar * 0.5 * cov_raised(one, two, rho, 2), axis=1),
        np.sum(bar * cov_raised(two, one, rho, 1), axis=0),
        np.sum(bar * 0.5 * cov_raised(two, one, rho, 2), axis=0),
        0.5 * bar * product_11(one, two, rho),
    )


def _abreast(rows: Side, columns: Side, cov: Array, k: int, n: int) -> tuple[Array, Array, Array]:
    """(mu, var, rho) of block k, with the rows' neurons and the columns' in one array."""
    mu, var = (np.concatenate([x[k], y[k]]).astype(np.float64) for x, y in zip(rows, columns, strict=True))
    m = cov.shape[1]
    return mu, var, _rho(var[:m, None], var[m:], cov[k].astype(np.float64), _slack(cov, n))


def _sides(neurons: Neurons, m: int) -> tuple[Neurons, Neurons]:
    """The rows' m neurons, and the columns' neurons."""
    return Neurons(*(x[..., :m] for x in neurons)), Neurons(*(x[..., m:] for x in neurons))


def _vjp(
    activation: Custom, mu: Array, cov: Array, mean_bar: Array, cov_bar: Array, n: int | None
) -> tuple[Array, ...]:
    mu, var, rho = _standardised(mu, cov, n)
    bar = 0.5 * (cov_bar + cov_bar.T).astype(np.float64)

    def gradients(terms: int) -> tuple[Array, Array]:
        return _gradients(differentiable(activation, mu, var, terms), rho, mean_bar.astype(np.float64), bar)

    sd = np.sqrt(var)
    return settled(activation, gradients, (sd, np.outer(sd, sd)))


def _gradients(neurons: Neurons, rho: Array, mean_bar: Array, bar: Array) -> tuple[Array, Array]:
    one, two, diagonal = _columns(neurons), _rows(neurons), np.diag(bar)
    across = bar - np.diag(diagonal)
    var_dmu, var_dvar = var_partials(neurons)
    d_mu, d_var = cov_raised(one, two, rho, 1), 0.5 * cov_raised(one, two, rho, 2)
    mu_bar = weigh(mean_bar, neurons.raised(1)[0]) + weigh(diagonal, var_dmu) + 2.0 * np.sum(across * d_mu, axis=1)
    var_bar = (
        0.5 * weigh(mean_bar, neurons.raised(2)[0])
        + weigh(diagonal, var_dvar)
        + 2.0 * np.sum(across * d_var, axis=1)
    )
    return mu_bar, _symmetric(bar * product_11(one, two, rho), var_bar)


def _of_matrix(activation: Custom, mu: Array, cov: Array, n: int | None) -> tuple[Neurons, Array]:
    """The neurons of one matrix, with enough terms for all its pairs, and the correlations."""
    mu, var, rho = _standardised(mu, cov, n)
    return correlated(activation, mu, var, _worst_of(np.triu(rho, 1), lambda neurons, _: (neurons, neurons))), rho


def _worst_of(
    rho: Array, sides: Callable[[Neurons, int], tuple[Neurons, Neurons]]
) -> Callable[[Neurons, int], tuple[float, str]]:
    """The function `worst` for `correlated`: the largest share of a covariance left out, and the pair's name."""

    def worst(neurons: Neurons, terms: int) -> tuple[float, str]:
        one, two = sides(neurons, len(rho))
        left = np.nan_to_num(left_out(rho, one.tail[:, None], two.tail, terms))
        i, j = np.unravel_index(np.argmax(left), left.shape)
        return float(left[i, j]), f"neurons {i} and {j} (rho = {rho[i, j]:g})"

    return worst


def _standardised(mu: Array, cov: Array, n: int | None) -> tuple[Array, Array, Array]:
    """(mu, var, rho) in float64, from the upper triangle of cov."""
    upper = np.triu(cov).astype(np.float64)
    var = np.diag(upper)
    rho = _rho(var[:, None], var, upper + np.triu(upper, 1).T, _slack(cov, n or len(mu)))
    return mu.astype(np.float64), var, rho


def _rho(var_1: Array, var_2: Array, cov_12: Array, slack: float) -> Array:
    """`rho_of` a matrix, with a warning if a correlation is beyond 1."""
    rho = rho_of(var_1, var_2, cov_12, slack)
    lost = np.isnan(rho)
    warn_of_pairs(bool(lost.any() and np.any(lost & np.isfinite(var_1 + var_2) & ~np.isnan(cov_12))))
    return rho


def _slack(cov: Array, n: int) -> float:
    return slack_of(n, float(np.finfo(cov.dtype).eps))


def _columns(neurons: Neurons) -> Neurons:
    return Neurons(*(x[..., :, None] for x in neurons))


def _rows(neurons: Neurons) -> Neurons:
    return Neurons(*(x[..., None, :] for x in neurons))


def _symmetric(matrix: Array, diagonal: Array) -> Array:
    """The upper triangle of a matrix, mirrored, with another diagonal."""
    upper = np.triu(matrix, 1)
    full: Array = upper + upper.T + np.diag(diagonal)
    return full
