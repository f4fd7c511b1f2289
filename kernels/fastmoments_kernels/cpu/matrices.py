"""Moments of whole vectors of neurons, and their vjp: arrays in, threads and kernels, arrays out.

Arrays here are (batch, n) and (batch, n, n), float32 or float64, C-contiguous; checks and shapes are the caller's.
"""

import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import types

from fastmoments_kernels.catalogue import row_of
from fastmoments_kernels.cpu import dense, dense_vjp, tiles
from fastmoments_kernels.cpu.compiled import entry, formula_binding
from fastmoments_kernels.cpu.elementwise import elementwise
from fastmoments_kernels.threads import run

SERIAL = 128  # a single matrix up to this size is done before a second thread has started

Array = np.ndarray[Any, Any]


def _input(real: Any, ndim: int) -> Any:
    return types.Array(real, ndim, "C", readonly=True)  # writable arrays convert to it, so one signature serves all


@cache
def _kernel(name: str, row_name: str, parameters: int, dtype: np.dtype[Any]) -> Any:
    """A compiled loop for one dtype of the matrices; everything per neuron is float64."""
    double, real = types.float64, types.float32 if dtype == np.float32 else types.float64
    neuron, matrix, result = _input(double, 2), _input(real, 3), types.Array(real, 3, "C")
    features, parts, task = _input(double, 3), types.Array(double, 3, "C"), (types.int64, types.int64)
    wide, table = _input(double, 4), _input(real, 4)
    signatures = {
        "neurons": (neuron, neuron, features),
        "pairs": (neuron, features, neuron, table, features, matrix, result, double, double, *task),
        "pair_gradients": (
            *(features, neuron, wide, features, neuron, matrix, matrix, result, parts, parts),
            *(double, double, *task),
        ),
        "parameter_gradients": (features, matrix, matrix, parts, double, *task),
    }
    template = getattr(dense if hasattr(dense, name) else dense_vjp, name)
    binding = formula_binding(row_of(row_name).formula, parameters)
    return entry(template, binding, f"{row_name}_{name}_{parameters}_{dtype.name}", signatures[name])


def _blocks(n: int) -> int:
    return -(-n // tiles.TILE)


def _tasks(batch: int, n: int) -> int:
    return 1 if batch * n <= SERIAL else batch * _blocks(n) * (_blocks(n) + 1) // 2


class _Neurons(NamedTuple):
    """What is known of every neuron, in float64: the arguments and what `dense.neurons` makes of them."""

    arguments: tuple[Array, ...]  # mu, var and the parameters, each (batch, n)
    mean: Array  # of f(X), (batch, n)
    variance: Array
    features: Array  # (batch, FEATURES, n)
    inverse_sd: Array
    table: Array  # Hermite coefficients (batch, blocks, BASE + 2, width of a block)
    rests: Array  # (batch, blocks, orders) of `series.log_rests`


def _prepare(name: str, mu: Array, cov: Array, parameters: tuple[Array, ...]) -> _Neurons:
    mu, var = mu.astype(np.float64, copy=False), cov.diagonal(0, 1, 2).astype(np.float64)
    stacked = np.empty((len(parameters), *mu.shape))
    for row, parameter in zip(stacked, parameters, strict=True):
        row[...] = parameter
    return _Neurons((mu, var, *stacked), *_kernel("neurons", name, len(parameters), mu.dtype)(mu, var, stacked))


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
    neurons = _prepare(name, mu, cov, parameters)
    table = neurons.table.astype(cov.dtype, copy=False)
    arrays = neurons.variance, neurons.features, neurons.inverse_sd, table, neurons.rests, cov, cov_out
    kernel = _kernel("pairs", name, len(parameters), cov.dtype)
    run(kernel, (*arrays, *_rounding(cov.dtype, mu.shape[1])), _tasks(*mu.shape))
    mean_out[...] = neurons.mean


def moments_vjp(
    activation: Any, mu: Array, cov: Array, mean_bar: Array, cov_bar: Array, parameters: tuple[Array, ...] = ()
) -> tuple[Array, Array]:
    """Gradients (mu_bar, cov_bar) of sum(mean_bar * mean) + sum(cov_bar * cov) with respect to mu and cov."""
    name, (batch, n) = row_of(activation).name, mu.shape
    neurons = _prepare(name, mu, cov, parameters)
    with np.errstate(all="ignore"):
        gain, mean_dvar = (_of_neurons(name, kind, neurons) for kind in ("gain", "mean_dvar"))
        var_dmu, var_dvar = _of_neurons(name, "var_partials", neurons)
    mu_parts, var_parts = np.zeros((2, batch, _blocks(n), n))
    cov_grad = np.empty_like(cov)
    slack, log_tolerance = _rounding(cov.dtype, n)
    given = neurons.features, neurons.inverse_sd, neurons.table, neurons.rests, gain, cov, cov_bar
    kernel = _kernel("pair_gradients", name, len(parameters), cov.dtype)
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
    neurons = _prepare(name, mu, cov, parameters)
    slack, _ = _rounding(cov.dtype, n)
    kernel = _kernel("parameter_gradients", name, count, cov.dtype)
    run(kernel, (neurons.features, cov, cov_bar, gradients, slack), _tasks(batch, n))
    with np.errstate(all="ignore"):
        ufuncs = (elementwise(name, kind, 2 + count) for kind in ("mean_dparameters", "var_dparameters"))
        of_mean, of_var = (np.reshape(ufunc(*neurons.arguments), gradients.shape) for ufunc in ufuncs)
        gradients += _weigh(mean_bar, of_mean) + _weigh(bar, of_var)
    return tuple(gradients.astype(mu.dtype))
