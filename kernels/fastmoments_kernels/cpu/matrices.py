"""Moments of whole vectors of neurons, and their vjp: arrays in, threads and kernels, arrays out.

Arrays here are (batch, n) and (batch, n, n), float32 or float64, C-contiguous; checks and shapes are the caller's.
"""

from functools import cache
from typing import Any

import numpy as np
from numba import types

from fastmoments_kernels.catalogue import row_of
from fastmoments_kernels.cpu import dense, dense_vjp
from fastmoments_kernels.cpu.compiled import entry, formula_names
from fastmoments_kernels.cpu.elementwise import elementwise
from fastmoments_kernels.threads import run

SERIAL = 128  # a single matrix up to this size is done before a second thread has started

Array = np.ndarray[Any, Any]


def _input(real: Any, ndim: int) -> Any:
    return types.Array(real, ndim, "C", readonly=True)  # writable arrays convert to it, so one signature serves all


@cache
def _kernel(name: str, row_name: str, dtype: str) -> Any:
    """A compiled loop for one dtype of the matrices; everything per neuron is float64."""
    double, real = types.float64, types.float32 if dtype == "float32" else types.float64
    neuron, matrix, result = _input(double, 2), _input(real, 3), types.Array(real, 3, "C")
    features, parts, index = _input(double, 3), types.Array(double, 3, "C"), types.int64
    signatures = {
        "neurons": (neuron, neuron, parts, index, index),
        "pairs": (features, neuron, matrix, result, double, double, index, index),
        "pair_gradients": (
            (features, neuron, neuron, matrix, matrix, result, parts, parts, double, double, index, index)
        ),
    }
    module = dense_vjp if name == "pair_gradients" else dense
    template, formula = getattr(module, name), row_of(row_name).formula
    return entry(template, formula, f"{row_name}_{name}_{dtype}", types.void(*signatures[name]))


def _blocks(n: int) -> int:
    return -(-n // dense.TILE)


def _tasks(batch: int, n: int) -> int:
    return 1 if batch * n <= SERIAL else batch * _blocks(n) * (_blocks(n) + 1) // 2


def _prepare(name: str, mu: Array, cov: Array) -> tuple[Array, Array, Array, Array]:
    """(mu, var, features, 1 / sd) in float64; 1 / sd is 0 for a neuron without variance, whose rho is 0."""
    mu_64, var = mu.astype(np.float64), np.einsum("bii->bi", cov).astype(np.float64)
    features = np.empty((*mu.shape, formula_names(row_of(name).formula)["FEATURES"]))
    run(_kernel("neurons", name, "float64"), (mu_64, var, features), 1)
    return mu_64, var, features, np.divide(1.0, np.sqrt(var), out=np.zeros_like(var), where=var != 0.0)


def _rounding(dtype: np.dtype[Any], n: int) -> tuple[float, float]:
    """(slack, tolerance): how far a determinant may lie below 0, and the series' first term left out, in eps."""
    eps = float(np.finfo(dtype).eps)
    return 64 * n * eps, 0.5 * eps


def _weigh(weight: Array, slope: Array) -> Array:
    """weight * slope, and 0 where nothing flows into a slope that is infinite."""
    return np.where(weight == 0.0, 0.0, weight * slope)


def moments(activation: Any, mu: Array, cov: Array, mean_out: Array, cov_out: Array) -> None:
    """Mean and covariance of f(X) into mean_out and cov_out, which may be mu and cov themselves."""
    name = row_of(activation).name
    with np.errstate(all="ignore"):
        mu_64, var, features, inverse_sd = _prepare(name, mu, cov)
        mean, variance = elementwise(activation, "marginals")(mu_64, var)
    rounding = _rounding(cov.dtype, mu.shape[1])
    run(
        _kernel("pairs", name, cov.dtype.name),
        (features, inverse_sd, cov, cov_out, *rounding),
        _tasks(*mu.shape),
    )
    mean_out[...] = mean
    np.einsum("bii->bi", cov_out)[...] = variance


def moments_vjp(activation: Any, mu: Array, cov: Array, mean_bar: Array, cov_bar: Array) -> tuple[Array, Array]:
    """Gradients (mu_bar, cov_bar) of sum(mean_bar * mean) + sum(cov_bar * cov) with respect to mu and cov."""
    name, (batch, n) = row_of(activation).name, mu.shape
    with np.errstate(all="ignore"):
        mu_64, var, features, inverse_sd = _prepare(name, mu, cov)
        gain, mean_dvar = (elementwise(activation, kind)(mu_64, var) for kind in ("gain", "mean_dvar"))
        var_dmu, var_dvar = elementwise(activation, "var_partials")(mu_64, var)
    mu_parts, var_parts = np.zeros((2, batch, _blocks(n), n))
    cov_grad = np.empty_like(cov)
    slack, tolerance = _rounding(cov.dtype, n)
    arguments = (
        features,
        inverse_sd,
        gain,
        cov,
        cov_bar,
        cov_grad,
        mu_parts,
        var_parts,
        slack,
        1e-3 * tolerance,
    )
    run(_kernel("pair_gradients", name, cov.dtype.name), arguments, _tasks(batch, n))
    bar = np.einsum("bii->bi", cov_bar).astype(np.float64)
    with np.errstate(all="ignore"):
        mu_grad = _weigh(mean_bar, gain) + _weigh(bar, var_dmu) + mu_parts.sum(axis=1)
        var_grad = _weigh(mean_bar, mean_dvar) + _weigh(bar, var_dvar) + var_parts.sum(axis=1)
    np.einsum("bii->bi", cov_grad)[...] = var_grad
    return mu_grad.astype(mu.dtype), cov_grad
