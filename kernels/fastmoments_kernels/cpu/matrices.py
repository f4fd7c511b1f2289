"""Moments of whole vectors of neurons, and their vjp: threads, buffers and loops, compiled or of object code.

Arrays are (batch, n) and (batch, n, n), float32 or float64, C-contiguous; callers check them.
"""

import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from fastmoments_kernels import ahead
from fastmoments_kernels.catalogue import row_of
from fastmoments_kernels.cautions import warn_of_pairs
from fastmoments_kernels.cpu.compiler import compiler
from fastmoments_kernels.cpu.components import kept, padded
from fastmoments_kernels.cpu.elementwise import elementwise
from fastmoments_kernels.cpu.layout import (
    LISTED,
    TILE,
    TOGETHER,
    Known,
    empty,
    list_of_pairs,
    matrix_label,
    room_of,
)
from fastmoments_kernels.cpu.small import SMALL, beside, tell, whole
from fastmoments_kernels.kinds import slack_of
from fastmoments_kernels.threads import run
from fastmoments_kernels.weighing import weigh

AT_ONCE = 2048  # neurons of a batch at a time: their coefficients stay in the second cache level or near it

Array = np.ndarray[Any, Any]


@cache
def _kernel(name: str, row_name: str, parameters: int, dtype: np.dtype[Any]) -> Any:
    """The loop `name` for matrices of one dtype: object code, or compiled."""
    label = matrix_label(name, row_name, parameters, dtype)
    return ahead.entry(label) or compiler().matrix(name, row_name, parameters, dtype)


def _tiles(n: int) -> int:
    return -(-n // TILE)


def _tasks(batch: int, rows: int, columns: int) -> int:
    """The number of tiles that threads share, at most."""
    return 1 if batch * max(rows, columns) <= SMALL else batch * _tiles(rows) * _tiles(columns)


class _Neurons(NamedTuple):
    """Every neuron in float64: (mu, var, *parameters), (batch, n) each, the mean of f(X), and layout.Known."""

    arguments: tuple[Array, ...]
    mean: Array
    known: Known


def prepare(name: str, mu: Array, var: Array, parameters: tuple[Array, ...], room: Known | None = None) -> _Neurons:
    """`neurons.neurons` of mu, var and parameters (batch, n) in any dtype; `room` is used if given."""
    mu, var = mu.astype(np.float64, copy=False), var.astype(np.float64)
    stacked = _stacked(parameters, mu.shape)
    mean, known = np.empty(mu.shape), room or room_of(mu, _features(name, len(parameters)))
    _kernel("neurons", name, len(parameters), mu.dtype)(tuple(known), mu, var, stacked, mean)
    return _Neurons((mu, var, *stacked), mean, Known(*known))


@cache
def _features(name: str, parameters: int) -> int:
    """The number of an activation's features."""
    one = np.ones(1)
    return len(row_of(name).formula.neuron(one, one, (one,) * parameters))


_NONE = np.empty((0, 1, 1))  # parameters of an activation that has none


def _stacked(parameters: tuple[Array, ...], shape: tuple[int, ...]) -> Array:
    """The parameters as one array in float64."""
    if not parameters:
        return _NONE
    stacked = np.empty((len(parameters), *shape))
    for row, parameter in zip(stacked, parameters, strict=True):
        row[...] = parameter
    return stacked


def _of_neurons(name: str, kind: str, neurons: _Neurons) -> Any:
    """The function `kind` of every neuron."""
    return elementwise(name, kind, len(neurons.arguments), "float64")(*neurons.arguments)


@cache
def rounding(dtype: np.dtype[Any], n: int) -> tuple[float, float]:
    """(slack of a pair's determinant, log of the share of K that a series may leave out)."""
    eps = float(np.finfo(dtype).eps)
    return slack_of(n, eps), math.log(0.5 * eps)


def moments(
    activation: object,
    mu: Array,
    cov: Array,
    mean_out: Array,
    cov_out: Array,
    parameters: tuple[Array, ...] = (),
    n: int | None = None,
) -> None:
    """Write mean and covariance of f(X) to mean_out and cov_out, which may be mu and cov themselves.

    Parameters broadcast with mu. If `cov` is a block on the diagonal of a larger covariance, n is that one's
    length. A pair with cov_ij^2 > var_i var_j becomes nan, with a warning.
    """
    name, (batch, width) = row_of(activation).name, mu.shape
    if mu.size <= SMALL and n in (None, width):
        kernel, others = whole(name, len(parameters), cov.dtype), beside(name, parameters, mu.shape)
        mean_out[...], cov_out[...], wrong = kernel(mu, cov, *others)
        tell(wrong)
        return
    parameters, n = padded(name, parameters), n or width
    everywhere = [np.broadcast_to(parameter, mu.shape) for parameter in parameters]
    step, beyond = max(AT_ONCE // max(width, 1), 1), False
    room = room_of(np.empty((min(step, batch), width)), _features(name, len(parameters)))
    with np.errstate(all="ignore"):
        for first in range(0, batch, step):
            part = slice(first, first + step)
            parameters_of_part = tuple(parameter[part] for parameter in everywhere)
            known = Known(*(field[: batch - first] for field in room))
            neurons = prepare(name, mu[part], cov[part].diagonal(0, 1, 2), parameters_of_part, known)
            beyond |= _pairs(name, neurons, cov[part], cov_out[part], 0, n)
            mean_out[part] = neurons.mean
    warn_of_pairs(beyond)


def block(
    activation: object, rows: tuple[Array, ...], columns: tuple[Array, ...], cov: Array, cov_out: Array, n: int
) -> None:
    """Write a block off the diagonal of the covariance of n neurons to cov_out (batch, rows, columns).

    `rows` and `columns` are mu, var and the parameters of its neurons, (batch, rows) and (batch, columns) each.
    """
    name, (mu, var, *parameters) = row_of(activation).name, _abreast(rows, columns)
    neurons = prepare(name, mu, var, padded(name, parameters))
    warn_of_pairs(_pairs(name, neurons, cov, cov_out, _start(cov), n))


def _start(cov: Array) -> int:
    """The number of the first neuron of a block's columns: that of the first whole tile after the rows' neurons."""
    return _tiles(cov.shape[1]) * TILE


def _abreast(rows: tuple[Array, ...], columns: tuple[Array, ...]) -> list[Array]:
    """The rows' neurons and the columns' in one array; the last of the rows' is repeated until a tile is full."""
    missing = -rows[0].shape[1] % TILE
    return [
        np.concatenate([x, np.repeat(x[:, -1:], missing, axis=1), y], axis=1)
        for x, y in zip(rows, columns, strict=True)
    ]


def _pairs(name: str, neurons: _Neurons, cov: Array, cov_out: Array, start: int, n: int) -> bool:
    with np.errstate(all="ignore"):  # columns that only fill up rows may hold anything
        known = neurons.known._replace(table=neurons.known.table.astype(cov.dtype, copy=False))
    parameters, (slack, log_tolerance) = len(neurons.arguments) - 2, rounding(cov.dtype, n)
    kernel = _kernel("pairs", name, parameters, cov.dtype)

    def work(first: int, step: int) -> bool:
        places, covs, progress = list_of_pairs(LISTED)
        is_beyond, is_full = False, True
        while is_full:
            options = start, TOGETHER, log_tolerance, places, covs, progress, first, step
            is_full = kernel(tuple(known), cov, cov_out, *options)
            if count := int(progress[1]):
                together = _kernel("together", name, parameters, known.features.dtype)
                is_beyond |= together(known.features, start, slack, places, covs, count)
                _kernel("placed", name, parameters, cov.dtype)(start, places, covs, count, cov_out)
                progress[1] = 0
        return is_beyond

    return any(run(work, (), _tasks(*cov.shape)))


def moments_vjp(
    activation: object,
    mu: Array,
    cov: Array,
    mean_bar: Array,
    cov_bar: Array,
    parameters: tuple[Array, ...] = (),
    n: int | None = None,
) -> tuple[Array, Array]:
    """Gradients (mu_bar, cov_bar) of sum(mean_bar * mean) + sum(cov_bar * cov) with respect to mu and cov.

    n is that of `moments`.
    """
    name, (batch, width) = row_of(activation).name, mu.shape
    everywhere = [np.broadcast_to(parameter, mu.shape) for parameter in padded(name, parameters)]
    mu_grad, cov_grad = np.empty_like(mu), empty(cov.shape, cov.dtype)
    step, beyond = max(AT_ONCE // max(width, 1), 1), False
    with np.errstate(all="ignore"):
        for first in range(0, batch, step):
            part = slice(first, first + step)
            neurons = prepare(name, mu[part], cov[part].diagonal(0, 1, 2), tuple(x[part] for x in everywhere))
            bars = mean_bar[part], cov_bar[part]
            beyond |= _vjp_of_part(name, neurons, cov[part], *bars, mu_grad[part], cov_grad[part], n or width)
    warn_of_pairs(beyond)
    return mu_grad, cov_grad


def _vjp_of_part(
    name: str,
    neurons: _Neurons,
    cov: Array,
    mean_bar: Array,
    cov_bar: Array,
    mu_grad: Array,
    cov_grad: Array,
    n: int,
) -> bool:
    """Write the gradients of `moments_vjp` to mu_grad and cov_grad; return whether a pair is beyond |rho| = 1."""
    gain, mean_dvar = (_of_neurons(name, kind, neurons) for kind in ("gain", "mean_dvar"))
    var_dmu, var_dvar = _of_neurons(name, "var_partials", neurons)
    mu_part, var_part, beyond = _pair_gradients(name, neurons, gain, cov, cov_bar, cov_grad, 0, n)
    bar = np.einsum("bii->bi", cov_bar).astype(np.float64)
    mu_grad[...] = weigh(mean_bar, gain) + weigh(bar, var_dmu) + mu_part
    np.einsum("bii->bi", cov_grad)[...] = weigh(mean_bar, mean_dvar) + weigh(bar, var_dvar) + var_part
    return beyond


def block_vjp(
    activation: object, rows: tuple[Array, ...], columns: tuple[Array, ...], cov: Array, bar: Array, n: int
) -> tuple[tuple[Array, Array], tuple[Array, Array], Array]:
    """Gradients of sum(bar * cov_out), an off-diagonal block: (mu_bar, var_bar) of rows, of columns, and cov_bar.

    cov_bar is half of the derivative; the block's mirror image has the other half.
    """
    name, start, length = row_of(activation).name, _start(cov), cov.shape[1]
    mu, var, *parameters = _abreast(rows, columns)
    neurons = prepare(name, mu, var, padded(name, parameters))
    with np.errstate(all="ignore"):
        gain = _of_neurons(name, "gain", neurons)
    cov_grad = empty(cov.shape, cov.dtype)
    mu_part, var_part, beyond = _pair_gradients(name, neurons, gain, cov, bar, cov_grad, start, n)
    warn_of_pairs(beyond)
    of_rows, of_columns = ((mu_part[:, part], var_part[:, part]) for part in (slice(length), slice(start, None)))
    return of_rows, of_columns, cov_grad


def _pair_gradients(
    name: str, neurons: _Neurons, gain: Array, cov: Array, cov_bar: Array, cov_grad: Array, start: int, n: int
) -> tuple[Array, Array, bool]:
    """The gradients of mu and var by pairs, and whether a pair is beyond |rho| = 1; writes those of cov."""
    batch, n_all = gain.shape
    parts = np.zeros((batch, _tiles(n_all), 2, n_all))
    slack, log_tolerance = rounding(cov.dtype, n)
    gains = np.zeros_like(neurons.known.inverse_sd)
    gains[:, :n_all] = gain
    kernel = _kernel("pair_gradients", name, len(neurons.arguments) - 2, cov.dtype)
    # the series of derivatives converge later
    later = log_tolerance + math.log(1e-3)
    arguments = tuple(neurons.known), gains, cov, cov_bar, cov_grad, parts, start, slack, later
    beyond = any(run(kernel, arguments, _tasks(*cov.shape)))
    total = parts.sum(axis=1) if parts.shape[1] > 1 else parts[:, 0]
    return total[:, 0], total[:, 1], beyond


def parameter_vjp(
    activation: object, mu: Array, cov: Array, mean_bar: Array, cov_bar: Array, parameters: tuple[Array, ...]
) -> tuple[Array, ...]:
    """Gradients of the sum of `moments_vjp` with respect to each neuron's parameters, (batch, n) each."""
    name, (batch, n), unpadded = row_of(activation).name, mu.shape, len(parameters)
    parameters = padded(name, parameters)
    count = len(parameters)
    gradients = np.zeros((count, batch, n))
    bar = np.einsum("bii->bi", cov_bar).astype(np.float64)
    neurons = prepare(name, mu, cov.diagonal(0, 1, 2), parameters)
    slack, _ = rounding(cov.dtype, n)
    kernel = _kernel("parameter_gradients", name, count, cov.dtype)
    run(kernel, (neurons.known.features, cov, cov_bar, gradients, slack), _tasks(batch, n, n))
    with np.errstate(all="ignore"):
        ufuncs = (elementwise(name, kind, 2 + count, "float64") for kind in ("mean_dparameters", "var_dparameters"))
        of_mean, of_var = (np.reshape(ufunc(*neurons.arguments), gradients.shape) for ufunc in ufuncs)
        gradients += weigh(mean_bar, of_mean) + weigh(bar, of_var)
        return kept(name, list(gradients.astype(mu.dtype)), unpadded)
