"""Covariance matrices and their vjp on NumPy arrays: pairs of the upper triangle, some thousands at a time.

Functions take and write what those of cpu/matrices.py do. They compute in float64.
"""

from collections.abc import Iterator
from functools import partial
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from fastmoments_kernels.catalogue import row_of
from fastmoments_kernels.cautions import warn_of_pairs
from fastmoments_kernels.eager.on_numpy import functions
from fastmoments_kernels.kinds import slack_of
from fastmoments_kernels.weighing import weigh

Array = np.ndarray[Any, Any]
Features = tuple[Array, ...]

CHUNK = 1 << 14  # pairs whose intermediate arrays stay in the second cache level

quietly = partial(np.errstate, all="ignore")


class _Pairs(NamedTuple):
    """Some pairs of every matrix: their places, the features of both neurons, and their covariances."""

    i: Array
    j: Array
    one: Features
    two: Features
    cov: Array  # (batch, pairs)

    def beyond(self, slack: float, values: Array) -> bool:
        """Whether a value is nan because its correlation is beyond 1, not because an input was nan."""
        lost = values != values
        if not lost.any():
            return False
        rho = self.cov / np.sqrt(self.one[1]) / np.sqrt(self.two[1])
        return bool(np.any(lost & (rho * rho > 1.0 + slack)))


def _formula(activation: object) -> Any:
    return functions(row_of(activation).name).formula


def _neurons(of: ModuleType, mu: Array, var: Array, parameters: tuple[Array, ...]) -> Features:
    """The features of neurons (batch, n); parameters broadcast with mu."""
    wide = (np.broadcast_to(x, mu.shape).astype(np.float64) for x in (mu, var, *parameters))
    given = tuple(wide)
    return tuple(np.broadcast_to(x, mu.shape) for x in of.neuron(*given[:2], given[2:]))


def _slack(cov: Array, n: int) -> float:
    return slack_of(n, float(np.finfo(cov.dtype).eps))


def _above_diagonal(neurons: Features, cov: Array) -> Iterator[_Pairs]:
    """The pairs i < j, row by row."""
    batch, n = cov.shape[:2]
    rows = max(1, CHUNK // max(batch * n, 1))
    for first in range(0, n - 1, rows):
        i, j = np.triu_indices(min(rows, n - 1 - first), 1, n - first)
        yield _pairs(neurons, neurons, cov, i + first, j + first)


def _of_block(rows: Features, columns: Features, cov: Array) -> Iterator[_Pairs]:
    """All pairs of a block off the diagonal."""
    batch, height, width = cov.shape
    step = max(1, CHUNK // max(batch * width, 1))
    for first in range(0, height, step):
        i, j = np.divmod(np.arange(first * width, min(first + step, height) * width), width)
        yield _pairs(rows, columns, cov, i, j)


def _pairs(rows: Features, columns: Features, cov: Array, i: Array, j: Array) -> _Pairs:
    one, two = tuple(x[:, i] for x in rows), tuple(x[:, j] for x in columns)
    return _Pairs(i, j, one, two, cov[:, i, j].astype(np.float64))


def moments(
    activation: object,
    mu: Array,
    cov: Array,
    mean_out: Array,
    cov_out: Array,
    parameters: tuple[Array, ...] = (),
    n: int | None = None,
) -> None:
    """Write mean and covariance of f(X) to mean_out and cov_out, which may be mu and cov themselves."""
    of, slack, beyond = _formula(activation), _slack(cov, n or mu.shape[1]), False
    with quietly():
        neurons = _neurons(of, mu, cov.diagonal(0, 1, 2), parameters)
        for some in _above_diagonal(neurons, cov):
            values = of.cov(some.one, some.two, some.cov, slack)
            cov_out[:, some.i, some.j] = cov_out[:, some.j, some.i] = values
            beyond |= some.beyond(slack, values)
        mean_out[...], np.einsum("bii->bi", cov_out)[...] = of.mean(neurons), of.var(neurons)
    warn_of_pairs(beyond)


def block(
    activation: object, rows: tuple[Array, ...], columns: tuple[Array, ...], cov: Array, cov_out: Array, n: int
) -> None:
    """Write a block off the diagonal of the covariance of n neurons to cov_out (batch, rows, columns)."""
    of, slack, beyond = _formula(activation), _slack(cov, n), False
    with quietly():
        one, two = (_neurons(of, mu, var, tuple(own)) for mu, var, *own in (rows, columns))
        for some in _of_block(one, two, cov):
            values = of.cov(some.one, some.two, some.cov, slack)
            cov_out[:, some.i, some.j] = values
            beyond |= some.beyond(slack, values)
    warn_of_pairs(beyond)


class _Sums:
    """Gradients (batch, n) of mu and var, summed over pairs."""

    def __init__(self, batch: int, n: int) -> None:
        self.mu, self.var = np.zeros((batch, n)), np.zeros((batch, n))
        self._start = n * np.arange(batch)[:, None]

    def add(self, i: Array, mu: Array, var: Array) -> None:
        for total, values in ((self.mu, mu), (self.var, var)):
            total += _by_neuron(self._start + i, values, total.shape)


def _by_neuron(places: Array, values: Array, shape: tuple[int, ...]) -> Array:
    found: Array = np.bincount(places.ravel(), values.ravel(), shape[0] * shape[1]).reshape(shape)
    return found


def _add_gradients(of: Any, some: _Pairs, bar: Array, slack: float, rows: _Sums, columns: _Sums) -> tuple[Any, ...]:
    """Add the pairs' gradients of mu and var; return half of cov's, and whether a pair is beyond 1."""
    given = some.cov, slack
    slope = np.broadcast_to(of.product_11(some.one, some.two, *given), bar.shape)
    for sums, places, one, two in ((rows, some.i, some.one, some.two), (columns, some.j, some.two, some.one)):
        sums.add(places, bar * of.cov_10(one, two, *given), 0.5 * bar * of.cov_20(one, two, *given))
    return 0.5 * bar * slope, some.beyond(slack, slope)


def moments_vjp(
    activation: object,
    mu: Array,
    cov: Array,
    mean_bar: Array,
    cov_bar: Array,
    parameters: tuple[Array, ...] = (),
    n: int | None = None,
) -> tuple[Array, Array]:
    """Gradients (mu_bar, cov_bar) of sum(mean_bar * mean) + sum(cov_bar * cov) with respect to mu and cov."""
    of, slack, beyond = _formula(activation), _slack(cov, n or mu.shape[1]), False
    sums, cov_grad = _Sums(*mu.shape), np.empty_like(cov)
    with quietly():
        neurons = _neurons(of, mu, cov.diagonal(0, 1, 2), parameters)
        for some in _above_diagonal(neurons, cov):
            bar = cov_bar[:, some.i, some.j].astype(np.float64) + cov_bar[:, some.j, some.i]
            values, is_beyond = _add_gradients(of, some, bar, slack, sums, sums)
            cov_grad[:, some.i, some.j] = cov_grad[:, some.j, some.i] = values
            beyond |= is_beyond
        own = np.einsum("bii->bi", cov_bar).astype(np.float64)
        var_dmu, var_dvar = of.var_partials(neurons)
        mu_grad = weigh(mean_bar, of.gain(neurons)) + weigh(own, var_dmu) + sums.mu
        var_grad = weigh(mean_bar, of.mean_dvar(neurons)) + weigh(own, var_dvar) + sums.var
        np.einsum("bii->bi", cov_grad)[...] = var_grad
        mu_grad = mu_grad.astype(mu.dtype)
    warn_of_pairs(beyond)
    return mu_grad, cov_grad


def block_vjp(
    activation: object, rows: tuple[Array, ...], columns: tuple[Array, ...], cov: Array, bar: Array, n: int
) -> tuple[tuple[Array, Array], tuple[Array, Array], Array]:
    """Gradients of sum(bar * cov_out), an off-diagonal block: (mu_bar, var_bar) of rows, of columns, and cov_bar.

    cov_bar is half of the derivative; the block's mirror image has the other half.
    """
    of, slack, beyond = _formula(activation), _slack(cov, n), False
    of_rows, of_columns, cov_grad = _Sums(*rows[0].shape), _Sums(*columns[0].shape), np.empty_like(cov)
    with quietly():
        one, two = (_neurons(of, mu, var, tuple(own)) for mu, var, *own in (rows, columns))
        for some in _of_block(one, two, cov):
            weights = bar[:, some.i, some.j].astype(np.float64)
            values, is_beyond = _add_gradients(of, some, weights, slack, of_rows, of_columns)
            cov_grad[:, some.i, some.j] = values
            beyond |= is_beyond
    warn_of_pairs(beyond)
    return (of_rows.mu, of_rows.var), (of_columns.mu, of_columns.var), cov_grad


def parameter_vjp(
    activation: object, mu: Array, cov: Array, mean_bar: Array, cov_bar: Array, parameters: tuple[Array, ...]
) -> tuple[Array, ...]:
    """Gradients of the sum of `moments_vjp` with respect to each neuron's parameters, (batch, n) each."""
    of, slack, (batch, n) = _formula(activation), _slack(cov, mu.shape[1]), mu.shape
    start, own = n * np.arange(batch)[:, None], np.einsum("bii->bi", cov_bar).astype(np.float64)
    with quietly():
        neurons = _neurons(of, mu, cov.diagonal(0, 1, 2), parameters)
        slopes = zip(of.mean_dparameters(neurons), of.var_dparameters(neurons), strict=True)
        gradients = [weigh(mean_bar, of_mean) + weigh(own, of_var) for of_mean, of_var in slopes]
        for some in _above_diagonal(neurons, cov):
            bar = cov_bar[:, some.i, some.j].astype(np.float64) + cov_bar[:, some.j, some.i]
            for places, one, two in ((some.i, some.one, some.two), (some.j, some.two, some.one)):
                for total, slope in zip(gradients, of.cov_dparameters(one, two, some.cov, slack), strict=True):
                    total += _by_neuron(start + places, bar * slope, total.shape)
        return tuple(gradient.astype(mu.dtype) for gradient in gradients)
