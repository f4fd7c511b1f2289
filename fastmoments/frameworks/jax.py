"""JAX arrays and tracers: shapes and dtypes around the xla kernels. Under jit no value is read."""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache, lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from numpy.typing import NDArray

from fastmoments.dispatch import Named, Plan
from fastmoments.frameworks import numpy, options, products, shapes
from fastmoments.results import Moments
from fastmoments_kernels import xla
from fastmoments_kernels.bind import bind
from fastmoments_kernels.catalogue import row_of
from fastmoments_kernels.custom import Custom
from fastmoments_kernels.xla import traced
from fastmoments_kernels.xla.vocabulary import VOCABULARY, rule

xp = jnp


def elementwise(plan: Plan, activation: Any, name: str, arguments: Named, given: Named) -> Any:
    """Call the function `name` of an activation; None stands for the bivariate normal."""
    options.refuse("JAX arrays", **given)
    arrays = to_arrays(plan, arguments)
    shapes.agreed(arrays)
    shapes.doubt(activation, arrays, may_be_covariance)
    function = xla.normal(name) if activation is None else xla.elementwise(activation, name)
    return result(plan, function(*arrays.values()))


def moments(plan: Plan, activation: Any, inputs: Named, parameters: Named, out: Any, check: bool) -> Moments[Array]:
    """Compute the mean and covariance of f(X). They, and their gradient, depend on the upper triangle of cov."""
    options.refuse("JAX arrays", out=out)
    mu, cov = vector_and_matrix(plan, **inputs)
    if check:
        check_covariance(cov)
    per_neuron = shapes.per_neuron(to_arrays(plan, parameters), mu.shape, jnp.broadcast_to)
    return Moments(*result(plan, xla.moments(activation, mu, cov, *per_neuron)))


def moments_vjp(
    plan: Plan, activation: Any, inputs: Named, bars: Named, parameters: Named, along_parameters: bool
) -> tuple[Array, ...]:
    """Compute the gradients along mu, cov and, with `along_parameters`, each neuron's parameters."""
    mu, cov = vector_and_matrix(plan, **inputs)
    bars = to_arrays(plan, bars)
    shapes.check_bars(bars, mu, cov)
    per_neuron = shapes.per_neuron(to_arrays(plan, parameters), mu.shape, jnp.broadcast_to)
    found = xla.moments_vjp(activation, mu, cov, *bars.values(), *per_neuron)
    return tuple(result(plan, found if along_parameters else found[:2]))


def may_be_covariance(matrix: Array) -> bool:
    """Whether a matrix is symmetric and has entries that differ; False for a tracer, which has no values."""
    if isinstance(matrix, jax.core.Tracer):
        return False
    return bool((matrix == matrix.mT).all() & (matrix != matrix[..., :1, :1]).any())


def to_arrays(plan: Plan, arguments: Named) -> dict[str, Array]:
    """Return the arguments as arrays in the dtype of the computation."""
    if jax.dtypes.canonicalize_dtype(plan.compute) != plan.compute:
        raise ValueError('precision: JAX has float64 after jax.config.update("jax_enable_x64", True) only')
    return {name: jnp.asarray(value, plan.compute) for name, value in arguments.items()}


def with_partials(
    function: Callable[..., Any],
    partials: Callable[..., Any],
    arrays: tuple[Array, ...],
    beside: tuple[Array, ...] = (),
) -> Any:
    """Compute function(*arrays, *beside), element by element, with partials(*arrays, *beside) along each array."""
    return rule(function, partials)(*jnp.broadcast_arrays(*arrays), *beside)


def constant(array: NDArray[Any], like: Array) -> Array:
    """Return an array of constants in the dtype of `like`."""
    return jnp.asarray(array, like.dtype)


def function_of(activation: str | Custom, like: Array) -> Callable[..., Array]:
    """Return f(x, *parameters) of an activation of the catalogue or a Custom."""
    if isinstance(activation, Custom):
        return traced.function_of(activation)
    bound: Callable[..., Array] = _bound(activation)
    return bound


@cache
def _bound(name: str) -> Any:
    return bind(row_of(name).formula.function, VOCABULARY | {"cdf": _cdf, "erf": jax.scipy.special.erf})


def _cdf(x: Array) -> Array:
    """Phi(x), four times as fast as jax.scipy.special.ndtr."""
    value: Array = 0.5 * jax.scipy.special.erfc(-math.sqrt(0.5) * x)
    return value


def largest(x: Array) -> None:
    """Return None: arrays may be traced."""


def single(x: Array) -> Array:
    """Return the array in float32, row by row in memory."""
    return x.astype(jnp.float32)


def is_definite(full: Array) -> None:
    """Return None: values may be traced."""
    return None


def series(rho: Array, factors: Sequence[tuple[Array, Array]]) -> tuple[Array, ...]:
    """Return sum over n = 1 ... N of rho^n a_n b_n, for each (a, b) of the factors, by Horner's rule."""

    def step(totals: tuple[Array, ...], rows: Any) -> tuple[tuple[Array, ...], None]:
        return tuple((total + a * b) * rho for total, (a, b) in zip(totals, rows, strict=True)), None

    sums: tuple[Array, ...]
    sums, _ = lax.scan(step, tuple(0.0 * rho for _ in factors), tuple(factors), reverse=True)
    return sums


def replaced(where: Array, function: Callable[..., Any], arrays: tuple[Array, ...], values: Any) -> Any:
    """Return the values with function(*arrays) in their place where a condition holds, if it does anywhere."""

    def both() -> Any:
        return jax.tree.map(lambda new, value: jnp.where(where, new, value), function(*arrays), values)

    return lax.cond(where.any(), both, lambda: values)


def iterated(step: Callable[..., Any], state: Any, rows: NDArray[Any], like: Array) -> Array:
    """Return the results of step(state, *row) -> (state, result) for every row in turn, along a new axis."""
    results: Array
    _, results = lax.scan(lambda state, row: step(state, *row), state, constant(rows, like))
    return results


def summed(function: Callable[..., tuple[Array, ...]], rows: NDArray[Any], like: Array) -> tuple[Array, ...]:
    """Return the sum over rows of function(*columns), row by row."""

    def add(totals: tuple[Array, ...], row: Array) -> tuple[tuple[Array, ...], None]:
        parts = function(*row.reshape(-1, 1, *(1,) * like.ndim))
        return tuple(total + part[0] for total, part in zip(totals, parts, strict=True)), None

    columns = constant(rows, like)
    shapes_out = jax.eval_shape(lambda: function(*columns[0].reshape(-1, 1, *(1,) * like.ndim)))
    start = tuple(jnp.zeros(x.shape[1:], x.dtype) for x in shapes_out)
    total: tuple[Array, ...]
    total, _ = lax.scan(add, start, columns)
    return total


def values(plan: Plan, arrays: dict[str, Array]) -> None:
    """Return None: arrays may be traced."""


def arithmetic(plan: Plan) -> AbstractContextManager[Any]:
    """Return a context that changes nothing: JAX multiplies in the arrays' dtype."""
    return nullcontext()


def symmetric(cov: Array) -> Array:
    """Return the symmetric matrix of cov's upper triangle."""
    return jnp.triu(cov) + jnp.triu(cov, 1).mT


def checked_covariance(cov: Array, eps: float, name: str = "cov") -> Array:
    """Return the symmetric matrix of cov's upper triangle; raise for what is none, if it is not traced."""
    known = detached(cov)  # under grad alone it has values
    if not isinstance(known, jax.core.Tracer):
        values = np.asarray(known)
        values = values.astype(np.float32) if values.dtype not in (np.float32, np.float64) else values
        numpy.check_variances(name, values.diagonal(0, -2, -1), "its diagonal")
        numpy.checked_covariance(values, eps, name)
    return symmetric(cov)


def symmetric_product(left: Array, right: Array, rounding: Callable[[], Array]) -> Array:
    """Return left (m, n) times right (..., n, m), a covariance, without errors of up to `rounding()`."""
    return covariance(left @ right, rounding)


def covariance(full: Array, rounding: Callable[[], Array]) -> Array:
    """Return the mean of both triangles, a covariance, without errors of up to `rounding()`."""
    mended: Array = _without_rounding(full, rounding())
    return mended


@jax.jit  # one compilation for each shape, where twenty small ones would take seconds
def _without_rounding(full: Array, rounding: Array) -> Array:
    return products.without_rounding(jnp, 0.5 * (full + full.mT), rounding)


def plus(full: Array, other: Array, factor: Any) -> Array:
    """Return full + factor * other."""
    added: Array = full + factor * other
    return added


def eye(n: int, like: Array) -> Array:
    """Return the identity matrix (n, n) of the array's dtype."""
    identity: Array = jnp.eye(n, dtype=like.dtype)
    return identity


@lru_cache(maxsize=256)
def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function as one program: JAX compiles operations that run alone one by one."""
    return jax.jit(function)


def detached(x: Array) -> Array:
    """Return the array without derivatives."""
    constant: Array = jax.lax.stop_gradient(x)
    return constant


def ndtri(u: Array) -> Array:
    """Return the quantiles of N(0, 1) at probabilities u in (0, 1)."""
    quantiles: Array = jax.scipy.special.ndtri(u)
    return quantiles


def plus_diagonal(full: Array, vector: Array) -> Array:
    """Return full with the vector added to its diagonal."""
    return full + jnp.where(jnp.eye(vector.shape[-1], dtype=bool), vector[..., None], 0.0)


with_skip, congruence = products.plus_skip, products.no_kernel


def linear_kernel(plan: Plan, activation: Any, arguments: Named, parameters: Named) -> None:
    """Return None: there is no such kernel, XLA fuses products and formulas."""


def check_variances(name: str, var: Array, what: str = "it", remedy: str = "") -> None:
    """Do nothing: values may be traced, and a negative variance gives nan."""


def vector_and_matrix(plan: Plan, mu: Any, cov: Any) -> tuple[Array, Array]:
    """Return mu (..., n) and cov (..., n, n) as arrays with one batch shape."""
    mu, cov = to_arrays(plan, {"mu": mu, "cov": cov}).values()
    batch, n = shapes.batch_of(mu.shape, cov.shape), mu.shape[-1]
    return jnp.broadcast_to(mu, (*batch, n)), jnp.broadcast_to(cov, (*batch, n, n))


def check_covariance(cov: Array) -> None:
    """Raise, with the worst pair, unless cov is symmetric and positive semidefinite, or if it has no values."""
    if isinstance(cov, jax.core.Tracer):
        raise TypeError("check: values cannot be looked at under jit, grad or vmap")
    numpy.check_covariance(np.asarray(cov))


def result(plan: Plan, values: Any) -> Any:
    """Return an array, or a tuple of them, in the result's dtype."""
    return jax.tree.map(lambda value: value.astype(plan.result), values)
