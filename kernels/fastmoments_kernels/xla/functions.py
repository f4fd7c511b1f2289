"""The functions of an activation and of the bivariate normal on JAX's arrays, each compiled once per shape."""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from fastmoments_kernels.arrays import ArrayFunctions, NormalFunctions
from fastmoments_kernels.catalogue import row_of
from fastmoments_kernels.custom import Custom
from fastmoments_kernels.kinds import is_of_pair, slack_of
from fastmoments_kernels.xla.series import SeriesFunctions
from fastmoments_kernels.xla.vocabulary import WORDS

# users may make any number of Custom activations, each a key
cached = lru_cache(maxsize=512)


@cached
def functions(activation: str | Custom) -> ArrayFunctions | SeriesFunctions:
    """An activation's functions on JAX's arrays."""
    if isinstance(activation, Custom):
        return SeriesFunctions(activation)
    return ArrayFunctions(row_of(activation).formula, WORDS)


def _key(activation: Any) -> str | Custom:
    return activation if isinstance(activation, Custom) else row_of(activation).name


def elementwise(activation: Any, name: str, inputs: int | None = None) -> Callable[..., Any]:
    """The function `name` (mean, var, gain, marginals, cov, cov_partials) on arrays that broadcast.

    Everything is computed in the arrays' own dtype. NumPy arrays give NumPy arrays.
    """
    return partial(_of_either, _elementwise(_key(activation), name))


def normal(name: str) -> Callable[..., Any]:
    """The function `name` of OF_NORMAL on arrays that broadcast, as `elementwise` does."""
    return partial(_of_either, _normal(name))


@cached
def _elementwise(activation: str | Custom, name: str) -> Callable[..., Any]:
    function = functions(activation).elementwise(name)

    def call(*arguments: Array) -> Any:
        arrays = jnp.broadcast_arrays(*arguments)
        slack = (slack_of(2, _eps(*arrays)),) if is_of_pair(name) else ()
        return function(*arrays, *slack)

    return jax.jit(call)


@cached
def _normal_functions() -> NormalFunctions:
    return NormalFunctions(WORDS)


@cached
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
    return _moments(_key(activation))(mu, cov, *parameters)


def moments_vjp(
    activation: Any, mu: Array, cov: Array, mean_bar: Array, cov_bar: Array, *parameters: Array
) -> tuple[Array, ...]:
    """Gradients with respect to mu, cov (a symmetric matrix) and the parameters."""
    return _moments_vjp(_key(activation))(mu, cov, mean_bar, cov_bar, *parameters)


@cached
def _moments(activation: str | Custom) -> Callable[..., tuple[Array, Array]]:
    def call(mu: Array, cov: Array, *parameters: Array) -> tuple[Array, Array]:
        n = mu.shape[-1]
        return functions(activation).moments(mu, cov, slack_of(n, _eps(mu, cov)), *parameters)

    return jax.jit(call)


@cached
def _moments_vjp(activation: str | Custom) -> Callable[..., tuple[Array, ...]]:
    def call(mu: Array, cov: Array, mean_bar: Array, cov_bar: Array, *parameters: Array) -> tuple[Array, ...]:
        _, pullback = jax.vjp(_moments(activation), mu, cov, *parameters)
        mu_bar, upper, *others = pullback((mean_bar, cov_bar))
        return mu_bar, 0.5 * (upper + WORDS.transpose(upper)), *others

    return jax.jit(call)


def _eps(*arrays: Array) -> float:
    return float(np.finfo(jnp.result_type(*arrays)).eps)
