"""Moments of whole vectors of neurons, and their vjp: arrays in, threads and kernels, arrays out.

Arrays here are (batch, n) and (batch, n, n), float32 or float64, C-contiguous; checks and shapes are the caller's.
"""

import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import types

from fastmoments_kernels.bind import Binding
from fastmoments_kernels.catalogue import row_of
from fastmoments_kernels.cpu import dense, dense_vjp, series, tiles
from fastmoments_kernels.cpu.compiled import entry, formula_binding
from fastmoments_kernels.cpu.elementwise import elementwise
from fastmoments_kernels.threads import run

SERIAL = 128  # a single matrix up to this size is done before a second thread has started

Array = np.ndarray[Any, Any]


def _input(real: Any, ndim: int) -> Any:
    return types.Array(real, ndim, "C", readonly=True)  # writable arrays convert to it, so one signature serves all


@cache
def _kernel(name: str, row_name: str, parameters: int, dtype: str) -> Any:
    """A compiled loop for one dtype of the matrices; everything per neuron is float64."""
    double, real = types.float64, types.float32 if dtype == "float32" else types.float64
    neuron, matrix, result = _input(double, 2), _input(real, 3), types.Array(real, 3, "C")
    features, parts, index = _input(double, 3), types.Array(double, 3, "C"), types.int64
    tables = types.Array(double, 4, "C")
    signatures = {
        "neurons": (neuron, neuron, features, neuron, parts, tables, parts, index, index),
        "pairs": (features, tables, features, neuron, matrix, result, double, double, index, index),
        "pair_gradients": (
            *(features, tables, features, neuron, neuron, matrix, matrix, result, parts, parts),
            *(double, double, index, index),
        ),
        "parameter_gradients": (features, matrix, matrix, parts, double, index, index),
    }
    template = getattr(dense if hasattr(dense, name) else dense_vjp, name)
    label = f"{row_name}_{name}_{parameters}_{dtype}"
    return entry(template, _binding(row_name, parameters), label, types.void(*signatures[name]))


def _binding(row_name: str, parameters: int) -> Binding:
    return formula_binding(row_of(row_name).formula, parameters)


def _blocks(n: int) -> int:
    return -(-n // tiles.TILE)


def _tasks(batch: int, n: int) -> int:
    return 1 if batch * n <= SERIAL else batch * _blocks(n) * (_blocks(n) + 1) // 2


class _Neurons(NamedTuple):
    """What is known of every neuron, in float64; 1 / sd is 0 for one without variance, whose rho is 0."""

    arguments: tuple[Array, ...]  # mu, var and the parameters, each (batch, n)
    marginals: tuple[Array, Array]  # mean and variance of f(X)
    features: Array  # (batch, FEATURES, n)
    table: Array  # (batch, blocks, BASE + 2, TILE) Hermite coefficients
    rests: Array  # (batch, blocks, orders) of `series.log_rests`
    inverse_sd: Array


def _prepare(name: str, mu: Array, cov: Array, parameters: tuple[Array, ...]) -> _Neurons:
    mu, var = mu.astype(np.float64), np.einsum("bii->bi", cov).astype(np.float64)
    stacked = np.empty((len(parameters), *mu.shape))
    for row, parameter in zip(stacked, parameters, strict=True):
        row[...] = parameter
    arguments, blocks = (mu, var, *stacked), (len(mu), _blocks(mu.shape[1]))
    marginals = elementwise(name, "marginals", len(arguments))(*arguments)
    features = np.empty((len(mu), len(_binding(name, len(parameters)).names["NEURON"]), mu.shape[1]))
    table = tiles.aligned((*blocks, series.BASE + 2, tiles.TILE))
    rests = np.empty((*blocks, series.BASE // series.SWEEP + 1))
    kernel = _kernel("neurons", name, len(parameters), "float64")
    run(kernel, (mu, var, stacked, marginals[1], features, table, rests), 1)
    inverse_sd = np.divide(1.0, np.sqrt(var), out=np.zeros_like(var), where=var != 0.0)
    return _Neurons(arguments, marginals, features, table, rests, inverse_sd)


def _of_neurons(name: str, kind: str, neurons: _Neurons) -> Any:
    """The function `kind` of every neuron."""
    return elementwise(name, kind, len(neurons.arguments))(*neurons.arguments)


def _rounding(dtype: np.dtype[Any], n: int) -> tuple[float, float]:
    """(slack, log tolerance): how far a determinant may lie below 0, and what a series may leave out of K."""
    eps = float(np.finfo(dtype).eps)
    return 64 * n * eps, math.log(0.5 * eps)


def _weigh(weight: Array, slope: Array) -> Array:
    """weight * slope, and 0 where nothing flows into a slope that is infinite."""
    return np.where(weight == 0.0, 0.0, weight * slope)


def moments(
    activation: Any, mu: Array, cov: Array, mean_out: Array, cov_out: Array, parameters: tuple[Array, ...] = ()
) -> None:
    """Mean and covariance of f(X) into mean_out and cov_out, which may be mu and cov themselves.

    Parameters broadcast with mu.
    """
    name = row_of(activation).name
    with np.errstate(all="ignore"):
        neurons = _prepare(name, mu, cov, parameters)
    arrays = neurons.features, neurons.table, neurons.rests, neurons.inverse_sd, cov, cov_out
    kernel = _kernel("pairs", name, len(parameters), cov.dtype.name)
    run(kernel, (*arrays, *_rounding(cov.dtype, mu.shape[1])), _tasks(*mu.shape))
    mean_out[...], np.einsum("bii->bi", cov_out)[...] = neurons.marginals


def moments_vjp(
    activation: Any, mu: Array, cov: Array, mean_bar: Array, cov_bar: Array, parameters: tuple[Array, ...] = ()
) -> tuple[Array, Array]:
    """Gradients (mu_bar, cov_bar) of sum(mean_bar * mean) + sum(cov_bar * cov) with respect to mu and cov."""
    name, (batch, n) = row_of(activation).name, mu.shape
    with np.errstate(all="ignore"):
        neurons = _prepare(name, mu, cov, parameters)
        gain, mean_dvar = (_of_neurons(name, kind, neurons) for kind in ("gain", "mean_dvar"))
        var_dmu, var_dvar = _of_neurons(name, "var_partials", neurons)
    mu_parts, var_parts = np.zeros((2, batch, _blocks(n), n))
    cov_grad = np.empty_like(cov)
    slack, log_tolerance = _rounding(cov.dtype, n)
    given = neurons.features, neurons.table, neurons.rests, neurons.inverse_sd, gain, cov, cov_bar
    kernel = _kernel("pair_gradients", name, len(parameters), cov.dtype.name)
    # derivatives' series converge later
    rounding = slack, log_tolerance + math.log(1e-3)
    run(kernel, (*given, cov_grad, mu_parts, var_parts, *rounding), _tasks(batch, n))
    bar = np.einsum("bii->bi", cov_bar).astype(np.float64)
    with np.errstate(all="ignore"):
        mu_grad = _weigh(mean_bar, gain) + _weigh(bar, var_dmu) + mu_parts.sum(axis=1)
        var_grad = _weigh(mean_bar, mean_dvar) + _weigh(bar, var_dvar) + var_parts.sum(axis=1)
    np.einsum("bii->bi", cov_grad)[...] = var_grad
    return mu_grad.astype(mu.dtype), cov_grad


def parameter_vjp(
    activation: Any, mu: Array, cov: Array, mean_bar: Array, cov_bar: Array, parameters: tuple[Array, ...]
) -> tuple[Array, ...]:
    """Gradients of the same sum with respect to each neuron's parameters, (batch, n) each."""
    name, (batch, n), count = row_of(activation).name, mu.shape, len(parameters)
    gradients = np.zeros((count, batch, n))
    bar = np.einsum("bii->bi", cov_bar).astype(np.float64)
    with np.errstate(all="ignore"):
        neurons = _prepare(name, mu, cov, parameters)
        slack, _ = _rounding(cov.dtype, n)
        kernel = _kernel("parameter_gradients", name, count, cov.dtype.name)
        run(kernel, (neurons.features, cov, cov_bar, gradients, slack), _tasks(batch, n))
        ufuncs = (elementwise(name, kind, 2 + count) for kind in ("mean_dparameters", "var_dparameters"))
        of_mean, of_var = (np.reshape(ufunc(*neurons.arguments), gradients.shape) for ufunc in ufuncs)
        gradients += _weigh(mean_bar, of_mean) + _weigh(bar, of_var)
    return tuple(gradients.astype(mu.dtype))
