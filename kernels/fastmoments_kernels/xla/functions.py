"""The functions of an activation and of the bivariate normal on JAX's arrays, each compiled once per shape."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from fastmoments_kernels.arrays import ArrayFunctions, NormalFunctions
from fastmoments_kernels.catalogue import row_of
from fastmoments_kernels.kinds import is_of_pair, slack_of
from fastmoments_kernels.xla.vocabulary import WORDS


@cache
def functions(name: str) -> ArrayFunctions:
    """An activation's functions on JAX's arrays."""
    return ArrayFunctions(row_of(name).formula, WORDS)


def elementwise(activation: Any, name: str, inputs: int | None = None) -> Callable[..., Any]:
    """The function `name` (mean, var, gain, marginals, cov, cov_partials) on arrays that broadcast.

    Everything is computed in the arrays' own dtype. NumPy arrays give NumPy arrays.
    """
    return partial(_of_either, _elementwise(row_of(activation).name, name))


def normal(name: str) -> Callable[..., Any]:
    """The function `name` of OF_NORMAL on arrays that broadcast, as `elementwise` does."""
    return partial(_of_either, _normal(name))


@cache
def _elementwise(activation: str, name: str) -> Callable[..., Any]:
    function = functions(activation).elementwise(name)

    def call(*arguments: Array) -> Any:
        arrays = jnp.broadcast_arrays(*arguments)
        slack = (slack_of(2, _eps(*arrays)),) if is_of_pair(name) else ()
        return function(*arrays, *slack)

    return jax.jit(call)


@cache
def _normal_functions() -> NormalFunctions:
    return NormalFunctions(WORDS)


@cache
def _normal(name: str) -> Callable[..., Any]:
    function = _normal_functions().elementwise(name)
    return jax.jit(lambda *arguments: function(*jnp.broadcast_arrays(*arguments)))


def _of_either(function: Callable[..., Any], *arguments: Array) -> Any:
    """Call the function on JAX's arrays; on NumPy arrays with float64 enabled, with NumPy results."""
    if any(isinstance(argument, jax.Array) for argument in arguments):
        return function(*arguments)
    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, function(*arguments))


def moments(activation: Any, mu: Array, cov: Array, *parameters: Array) -> tuple[Array, Array]:
    """Mean (..., n) and covariance (..., n, n) of f(X); only the upper triangle of cov is read and has a gradient.

    Parameters are (..., n).
    """
    return _moments(row_of(activation).name)(mu, cov, *parameters)


def moments_vjp(
    activation: Any, mu: Array, cov: Array, mean_bar: Array, cov_bar: Array, *parameters: Array
) -> tuple[Array, ...]:
    """Gradients with respect to mu, cov (a symmetric matrix) and the parameters."""
    return _moments_vjp(row_of(activation).name)(mu, cov, mean_bar, cov_bar, *parameters)


@cache
def _moments(activation: str) -> Callable[..., tuple[Array, Array]]:
    def call(mu: Array, cov: Array, *parameters: Array) -> tuple[Array, Array]:
        n = mu.shape[-1]
        return functions(activation).moments(mu, cov, slack_of(n, _eps(mu, cov)), *parameters)

    return jax.jit(call)


@cache
def _moments_vjp(activation: str) -> Callable[..., tuple[Array, ...]]:
    def call(mu: Array, cov: Array, mean_bar: Array, cov_bar: Array, *parameters: Array) -> tuple[Array, ...]:
        _, pullback = jax.vjp(_moments(activation), mu, cov, *parameters)
        mu_bar, upper, *others = pullback((mean_bar, cov_bar))
        return mu_bar, 0.5 * (upper + WORDS.transpose(upper)), *others

    return jax.jit(call)


def _eps(*arrays: Array) -> float:
    return float(np.finfo(jnp.result_type(*arrays)).eps)
