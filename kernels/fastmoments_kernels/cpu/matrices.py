"""Moments of whole vectors of neurons, and their vjp: arrays in, threads and kernels, arrays out.

Arrays here are (batch, n) and (batch, n, n), float32 or float64, C-contiguous; checks and shapes are the caller's.
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import types

from fastmoments_kernels.bind import Binding
from fastmoments_kernels.catalogue import row_of
from fastmoments_kernels.cpu import dense, dense_vjp
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
    signatures = {
        "neurons": (neuron, neuron, features, parts, index, index),
        "pairs": (features, neuron, matrix, result, double, double, index, index),
        "pair_gradients": (
            (features, neuron, neuron, matrix, matrix, result, parts, parts, double, double, index, index)
        ),
        "parameter_gradients": (features, matrix, matrix, parts, double, index, index),
    }
    template = getattr(dense if hasattr(dense, name) else dense_vjp, name)
    label = f"{row_name}_{name}_{parameters}_{dtype}"
    return entry(template, _binding(row_name, parameters), label, types.void(*signatures[name]))


def _binding(row_name: str, parameters: int) -> Binding:
    return formula_binding(row_of(row_name).formula, parameters)


def _blocks(n: int) -> int:
    return -(-n // dense.TILE)


def _tasks(batch: int, n: int) -> int:
    return 1 if batch * n <= SERIAL else batch * _blocks(n) * (_blocks(n) + 1) // 2


class _Neurons(NamedTuple):
    """What is known of every neuron, in float64; 1 / sd is 0 for one without variance, whose rho is 0."""

    arguments: tuple[Array, ...]  # mu, var and the parameters, each (batch, n)
    features: Array  # (batch, n, FEATURES)
    inverse_sd: Array


def _prepare(name: str, mu: Array, cov: Array, parameters: tuple[Array, ...]) -> _Neurons:
    mu, var = mu.astype(np.float64), np.einsum("bii->bi", cov).astype(np.float64)
    stacked = np.empty((len(parameters), *mu.shape))
    for row, parameter in zip(stacked, parameters, strict=True):
        row[...] = parameter
    features = np.empty((*mu.shape, _binding(name, len(parameters)).names["FEATURES"]))
    run(_kernel("neurons", name, len(parameters), "float64"), (mu, var, stacked, features), 1)
    inverse_sd = np.divide(1.0, np.sqrt(var), out=np.zeros_like(var), where=var != 0.0)
    return _Neurons((mu, var, *stacked), features, inverse_sd)


def _of_neurons(name: str, kind: str, neurons: _Neurons) -> Any:
    """The function `kind` of every neuron."""
    return elementwise(name, kind, len(neurons.arguments))(*neurons.arguments)


def _rounding(dtype: np.dtype[Any], n: int) -> tuple[float, float]:
    """(slack, tolerance): how far a determinant may lie below 0, and the series' first term left out, in eps."""
    eps = float(np.finfo(dtype).eps)
    return 64 * n * eps, 0.5 * eps


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
        mean, variance = _of_neurons(name, "marginals", neurons)
    rounding = _rounding(cov.dtype, mu.shape[1])
    run(
        _kernel("pairs", name, len(parameters), cov.dtype.name),
        (neurons.features, neurons.inverse_sd, cov, cov_out, *rounding),
        _tasks(*mu.shape),
    )
    mean_out[...] = mean
    np.einsum("bii->bi", cov_out)[...] = variance


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
    slack, tolerance = _rounding(cov.dtype, n)
    arrays = neurons.features, neurons.inverse_sd, gain, cov, cov_bar, cov_grad, mu_parts, var_parts
    # derivatives' series converge later
    kernel = _kernel("pair_gradients", name, len(parameters), cov.dtype.name)
    run(kernel, (*arrays, slack, 1e-3 * tolerance), _tasks(batch, n))
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
