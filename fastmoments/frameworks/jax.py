"""JAX arrays and tracers: shapes, dtypes, and the way to the xla kernels. Under jit no value is looked at."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fastmoments.dispatch import Named, Plan
from fastmoments.frameworks import numpy, options, products, shapes
from fastmoments.results import Moments
from fastmoments_kernels import xla

Array = Any
xp = jnp  # the functions that layers are written in


def elementwise(plan: Plan, activation: Any, name: str, arguments: Named, given: Named) -> Any:
    """Call the function `name` of an activation, or of the bivariate normal where that is None."""
    options.refuse("JAX arrays", **given)
    arrays = to_arrays(plan, arguments)
    shapes.broadcast({key: array.shape for key, array in arrays.items()})
    shapes.doubt(activation, arrays, _may_be_covariance)
    function = xla.normal(name) if activation is None else xla.elementwise(_traceable(activation), name)
    return result(plan, function(*arrays.values()))


def moments(plan: Plan, activation: Any, inputs: Named, parameters: Named, out: Any, check: bool) -> Moments:
    """Mean and covariance of f(X); the gradient by cov lies in its upper triangle, which alone is read."""
    options.refuse("JAX arrays", out=out)
    mu, cov = vector_and_matrix(plan, **inputs)
    if check:
        _check_covariance(cov)
    per_neuron = shapes.per_neuron(to_arrays(plan, parameters), mu.shape, jnp.broadcast_to)
    return Moments(*result(plan, xla.moments(_traceable(activation), mu, cov, *per_neuron)))


def moments_vjp(
    plan: Plan, activation: Any, inputs: Named, bars: Named, parameters: Named, along_parameters: bool
) -> tuple[Array, ...]:
    """Gradients with respect to mu, cov and, where wanted, each neuron's parameters; batch dimensions stay."""
    mu, cov = vector_and_matrix(plan, **inputs)
    bars = to_arrays(plan, bars)
    shapes.check_bars(bars, mu, cov)
    per_neuron = shapes.per_neuron(to_arrays(plan, parameters), mu.shape, jnp.broadcast_to)
    found = xla.moments_vjp(_traceable(activation), mu, cov, *bars.values(), *per_neuron)
    return tuple(result(plan, found if along_parameters else found[:2]))


def _may_be_covariance(matrix: Array) -> bool:
    """Whether a matrix is symmetric and not all one number, where values are at hand."""
    if isinstance(matrix, jax.core.Tracer):
        return False
    return bool((matrix == matrix.mT).all() & (matrix != matrix[..., :1, :1]).any())


def _traceable(activation: Any) -> str:
    if not isinstance(activation, str):
        raise TypeError("activation: a Custom function is NumPy's and cannot be traced; pass numpy.asarray(mu) ...")
    return activation


def to_arrays(plan: Plan, arguments: Named) -> dict[str, Array]:
    """The arguments in the dtype of the computation; None stays None."""
    if jax.dtypes.canonicalize_dtype(plan.compute) != plan.compute:
        raise ValueError('precision: JAX has float64 after jax.config.update("jax_enable_x64", True) only')
    return {name: None if value is None else jnp.asarray(value, plan.compute) for name, value in arguments.items()}


def arithmetic(plan: Plan) -> AbstractContextManager[Any]:
    """Products are taken in the arrays' dtype."""
    return nullcontext()


def symmetric(cov: Array) -> Array:
    """The matrix by its upper triangle."""
    return jnp.triu(cov) + jnp.triu(cov, 1).mT


def symmetric_product(left: Array, right: Array, rounding: Callable[[], Array]) -> Array:
    """Left (m, n) times right (..., n, m), a covariance but for `rounding()`."""
    full = left @ right
    return products.without_rounding(jnp, 0.5 * (full + full.mT), rounding())


def plus_diagonal(full: Array, vector: Array) -> Array:
    """The matrix with numbers added to its diagonal."""
    return full + jnp.where(jnp.eye(vector.shape[-1], dtype=bool), vector[..., None], 0.0)


with_skip = products.plus_skip


def linear_kernel(plan: Plan, activation: Any, arguments: Named, parameters: Named) -> None:
    """There is none: XLA fuses products and formulas."""


def check_variances(name: str, var: Array, what: str = "it") -> None:
    """No value is looked at: a negative variance gives nan."""


def vector_and_matrix(plan: Plan, mu: Any, cov: Any) -> tuple[Array, Array]:
    """Mu (..., n) and cov (..., n, n), leading dimensions broadcast."""
    mu, cov = to_arrays(plan, {"mu": mu, "cov": cov}).values()
    batch, n = shapes.batch_of(mu.shape, cov.shape), mu.shape[-1]
    return jnp.broadcast_to(mu, (*batch, n)), jnp.broadcast_to(cov, (*batch, n, n))


def _check_covariance(cov: Array) -> None:
    if isinstance(cov, jax.core.Tracer):
        raise TypeError("check: values cannot be looked at under jit, grad or vmap")
    numpy.check_covariance(np.asarray(cov))


def result(plan: Plan, values: Any) -> Any:
    """An array, or arrays, in the dtype that is returned."""
    return jax.tree.map(lambda value: value.astype(plan.result), values)
