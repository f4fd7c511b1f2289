"""Covariance matrices, and their gradients, by the functions of all pairs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def moments(activation: Any, library: Any, mu: Any, cov: Any) -> tuple[Any, Any]:
    """Compute mean and covariance; the diagonal is that of `var`, whose derivatives are finite on jumps too."""
    var = diagonal(library.xp, cov)
    if library.xp is np and mu.shape[-1] > 1:
        full = _by_triangle(lambda *pairs: activation.cov(library, *pairs), mu, var, cov)
    else:
        full = library.symmetric(activation.cov(library, *pairs(library.xp, mu, var, cov)))
    own = activation.var(library, mu, var)[..., None]
    return activation.mean(library, mu, var), library.xp.where(on_diagonal(library, mu, cov), own, full)


def moments_vjp(activation: Any, library: Any, mu: Any, cov: Any, mean_bar: Any, cov_bar: Any) -> tuple[Any, Any]:
    """Compute the gradients along mu and cov. A neuron has its own, and those of its pairs, which come twice."""
    pair = pairs(library.xp, mu, diagonal(library.xp, cov), cov)
    by_mu, _, by_var, _, by_cov = activation.cov_partials(library, *pair)
    return gathered(activation, library, mu, cov, mean_bar, cov_bar, (by_mu, by_var, by_cov))


def gathered(
    activation: Any, library: Any, mu: Any, cov: Any, mean_bar: Any, cov_bar: Any, partials: tuple[Any, Any, Any]
) -> tuple[Any, Any]:
    """Return the gradients by the derivatives (..., n, n) of all pairs along mu_1, var_1 and cov_12."""
    xp, var, (by_mu, by_var, by_cov) = library.xp, diagonal(library.xp, cov), partials
    own, twice = on_diagonal(library, mu, cov), cov_bar + xp.swapaxes(cov_bar, -1, -2)
    alone, own_bar = xp.zeros_like(cov), diagonal(xp, cov_bar)
    var_by_mu, var_by_var = activation.var_partials(library, mu, var)
    mu_bar = mean_bar * activation.gain(library, mu, var) + own_bar * var_by_mu
    mu_bar = mu_bar + xp.where(own, alone, twice * by_mu).sum(-1)
    var_bar = mean_bar * activation.mean_dvar(library, mu, var) + own_bar * var_by_var
    var_bar = var_bar + xp.where(own, alone, twice * by_var).sum(-1)
    return mu_bar, xp.where(own, var_bar[..., None], library.symmetric(0.5 * twice * by_cov))


def diagonal(xp: Any, cov: Any) -> Any:
    """Return the variances."""
    return xp.einsum("...ii->...i", cov)


def pairs(xp: Any, mu: Any, var: Any, cov: Any) -> tuple[Any, ...]:
    """Return the five arguments of `cov`, each in the matrix' shape."""
    rows, columns = ((x[..., :, None] for x in (mu, var)), (x[..., None, :] for x in (mu, var)))
    mu_1, var_1, mu_2, var_2 = (xp.broadcast_to(x, tuple(cov.shape)) for x in (*rows, *columns))
    return mu_1, mu_2, var_1, var_2, cov


def _by_triangle(function: Callable[..., Any], mu: Any, var: Any, cov: Any) -> Any:
    """Compute a symmetric function of pairs of NumPy's arrays once for each."""
    rows, columns = np.triu_indices(mu.shape[-1], 1)
    full = np.zeros_like(cov)
    pairs = mu[..., rows], mu[..., columns], var[..., rows], var[..., columns], cov[..., rows, columns]
    full[..., rows, columns] = full[..., columns, rows] = function(*pairs)
    return full


def on_diagonal(library: Any, mu: Any, cov: Any) -> Any:
    """Return where a matrix has its diagonal, in the library's arrays."""
    xp = library.xp
    return library.plus_diagonal(xp.zeros_like(cov), xp.ones_like(mu)) > 0.0
