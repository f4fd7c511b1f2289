"""NumPy arrays: checks, shapes and buffers around the cpu kernels."""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import combinations
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastmoments.dispatch import Named, Plan
from fastmoments.frameworks import few, products, shapes
from fastmoments.frameworks.few import congruence as congruence
from fastmoments.frameworks.numpy_functions import function_of as function_of
from fastmoments.results import Moments
from fastmoments_kernels import custom, serving
from fastmoments_kernels.custom import Custom
from fastmoments_kernels.kinds import outputs_of, slack_of

Array = NDArray[Any]
xp = np
may_be_covariance = products.looks_like_covariance

LOOPS = (np.dtype(np.float32), np.dtype(np.float64))
OPERANDS = 64  # of a ufunc at most, NumPy's NPY_MAXARGS


def elementwise(plan: Plan, activation: Any, name: str, arguments: Named, given: Named) -> Any:
    """Call the function `name` of an activation; None stands for the bivariate normal."""
    arrays = {key: as_array(value, plan.compute) for key, value in arguments.items()}
    shape = shapes.broadcast({key: array.shape for key, array in arrays.items()})
    # before variances are checked: a covariance matrix may have negative entries
    shapes.doubt(activation, arrays, may_be_covariance)
    for argument, array in arrays.items():
        if argument.startswith("var"):
            check_variances(argument, array)
    if given and not _is_ufunc(activation, name, len(arrays)):
        is_custom = isinstance(activation, Custom)
        which = "activations without a closed form" if is_custom else "mixtures with this many components"
        raise TypeError(f"{next(iter(given))}: functions of {which} are no ufuncs; leave it out")
    if isinstance(given.get("out"), tuple):
        check_apart(given["out"])
    # `dtype` may ask for the loop of another dtype than the arrays'
    dtype = np.dtype(plan.compute if given.get("dtype") is None else given["dtype"])
    if dtype not in LOOPS:
        raise TypeError(f"dtype: expected float32 or float64, got {dtype}")
    function = _function(activation, name, len(arrays), math.prod(shape), dtype.name)
    with np.errstate(all="ignore"):
        values = function(*arrays.values(), **given)
    if "out" in given or "dtype" in given:
        return values
    if isinstance(values, tuple):
        return tuple(value.astype(plan.result, copy=False) for value in values)
    return values.astype(plan.result, copy=False)


def _is_ufunc(activation: Any, name: str, inputs: int) -> bool:
    """Whether the function is a ufunc: mixtures of many components have more operands than a ufunc may."""
    return not isinstance(activation, Custom) and inputs + outputs_of(name, inputs) <= OPERANDS


def _function(activation: Any, name: str, inputs: int, size: int, dtype: str) -> Any:
    if activation is None:
        return serving.normal(name, size, dtype)
    if isinstance(activation, Custom):
        return custom.elementwise(activation, name, inputs)
    return serving.elementwise(activation, name, inputs, size, dtype)


def kernels_of(activation: Any) -> ModuleType:
    """Return the kernels of matrices, or the series for an activation without a closed form."""
    return custom if isinstance(activation, Custom) else serving


def moments(plan: Plan, activation: Any, inputs: Named, parameters: Named, out: Any, check: bool) -> Moments[Array]:
    """Compute the mean and covariance of f(X), in the arrays of `out` if given."""
    mu, cov = vector_and_matrix(plan, **inputs)
    if check:
        check_covariance(cov)
    per_neuron = shapes.per_neuron(to_arrays(plan, parameters), mu.shape, _expanded) if parameters else ()
    mean_out, cov_out = outputs(plan, out, mu.shape, cov.shape)
    mean, full = mean_out, cov_out
    if out is not None or plan.result != plan.compute:
        mean = _writable(mean_out, plan.compute, mu, (cov, *per_neuron))
        full = _writable(cov_out, plan.compute, cov, (mu, *per_neuron))
    if mu.size:
        given = flat(mu, 1), flat(cov, 2), flat(mean, 1), flat(full, 2)
        kernels_of(activation).moments(activation, *given, per_neuron)
    for result, buffer in ((mean_out, mean), (cov_out, full)):
        if buffer is not result and not np.shares_memory(result, buffer):
            result[...] = buffer
    return Moments(mean_out, cov_out)


def moments_vjp(
    plan: Plan, activation: Any, inputs: Named, bars: Named, parameters: Named, along_parameters: bool
) -> tuple[Array, ...]:
    """Compute the gradients along mu, cov and, with `along_parameters`, each neuron's parameters."""
    mu, cov = vector_and_matrix(plan, **inputs)
    bars = to_arrays(plan, bars)
    shapes.check_bars(bars, mu, cov)
    per_neuron = shapes.per_neuron(to_arrays(plan, parameters), mu.shape, _expanded) if parameters else ()
    along = per_neuron if along_parameters else ()
    shapes_out = (mu.shape, cov.shape, *(mu.shape for _ in along))
    if not mu.size:
        return tuple(np.zeros(shape, plan.result) for shape in shapes_out)
    mean_bar, cov_bar = map(np.ascontiguousarray, bars.values())
    given = flat(mu, 1), flat(cov, 2), flat(mean_bar, 1), flat(cov_bar, 2)
    found = kernels_of(activation).moments_vjp(activation, *given, per_neuron)
    if along:
        found = *found, *kernels_of(activation).parameter_vjp(activation, *given, along)
    pairs = zip(found, shapes_out, strict=True)
    return tuple(array.reshape(shape).astype(plan.result, copy=False) for array, shape in pairs)


def _expanded(parameter: Array, shape: tuple[int, ...]) -> Array:
    """Return the parameter as (batch, n); the kernels take one number for all neurons as it is."""
    return flat(np.broadcast_to(parameter, shape), 1) if parameter.ndim else parameter


def to_arrays(plan: Plan, arguments: Named) -> dict[str, Array]:
    """Return the arguments as arrays in the dtype of the computation."""
    return {name: as_array(value, plan.compute) for name, value in arguments.items()}


def with_partials(
    function: Callable[..., Any], partials: Any, arrays: tuple[Array, ...], beside: tuple[Array, ...] = ()
) -> Any:
    """Compute function(*arrays, *beside); nothing differentiates it."""
    return function(*arrays, *beside)


def constant(array: Array, like: Array) -> Array:
    """Return an array of constants in the dtype of `like`."""
    return array.astype(like.dtype, copy=False)


def largest(x: Array) -> float:
    """Return the largest number in an array, 0 if there is none."""
    return float(np.fmax.reduce(x, axis=None, initial=0.0))


series = products.series
replaced, iterated = partial(products.replaced, np), partial(products.iterated, np)
summed = partial(products.summed, constant)


def values(plan: Plan, arrays: dict[str, Array]) -> dict[str, Array]:
    """Return the arrays: they are NumPy's."""
    return arrays


def arithmetic(plan: Plan) -> AbstractContextManager[Any]:
    """Return a context that changes nothing: NumPy multiplies in the arrays' dtype."""
    return nullcontext()


def symmetric(cov: Array) -> Array:
    """Return the symmetric matrix of cov's upper triangle: cov itself if it is symmetric."""
    return cov if products.is_symmetric(cov) else np.triu(cov) + np.triu(cov, 1).mT


def symmetric_product(left: Array, right: Array, rounding: Callable[[], Array]) -> Array:
    """Return left (m, n) times right (..., n, m), a covariance, without errors of up to `rounding()`."""
    out = np.empty((*right.shape[:-2], len(left), len(left)), right.dtype)
    return products.mend(np, products.by_panels(left, right, out), rounding)


def covariance(full: Array, rounding: Callable[[], Array]) -> Array:
    """Return the mean of both triangles, a covariance, without errors of up to `rounding()`, in place."""
    found = few.covariance(full, rounding)
    if found is not None:
        return found
    full *= 0.5
    return products.mend(np, products.plus_transpose(full), rounding)


def plus(full: Array, other: Array, factor: Any) -> Array:
    """Add factor * other to full, in place."""
    full += factor * other
    return full


def eye(n: int, like: Array) -> Array:
    """Return the identity matrix (n, n) of the array's dtype."""
    return np.eye(n, dtype=like.dtype)


def single(x: Array) -> Array:
    """Return the array in float32, row by row in memory."""
    return np.ascontiguousarray(x, np.float32)


def is_definite(full: Array) -> bool:
    """Whether symmetric matrices are positive definite."""
    try:
        np.linalg.cholesky(full)
    except np.linalg.LinAlgError:
        return False
    return True


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function, whose operations are compiled."""
    return function


def detached(x: Array) -> Array:
    """Return the array, which has no derivatives."""
    return x


def ndtri(u: Array) -> Array:
    """Return the quantiles of N(0, 1) at probabilities u in (0, 1)."""
    from scipy.special import ndtri  # which takes as long to import as fastmoments

    return np.asarray(ndtri(u))


def plus_diagonal(full: Array, vector: Array) -> Array:
    """Add the vector to the diagonal of full, in place."""
    np.einsum("...ii->...i", full)[...] += vector
    return full


with_skip = products.add_skip


def linear_kernel(
    plan: Plan, activation: Any, arguments: Named, parameters: Named
) -> Callable[..., tuple[Array, Array]] | None:
    """Return the kernel if the activation has a closed form and each parameter is a number or one per neuron."""
    has_kernel = isinstance(activation, str | None) and all(np.ndim(value) <= 1 for value in parameters.values())
    return linear_marginals if has_kernel else None


def linear_marginals(
    activation: str | None,
    inputs: tuple[Array, ...],
    weights: tuple[Array, ...],
    biases: Sequence[Array | None],
    parameters: Named,
) -> tuple[Array, Array]:
    """Compute mean and variance (..., m) of f(W X + b); without an activation, of W X + b.

    `inputs` are mean and variance (..., n) of X, `weights` mean and variance (m, n) of W, all of one dtype.
    """
    (*lead, depth), columns, dtype = inputs[0].shape, len(weights[0]), inputs[0].dtype
    own = {name: np.asarray(value, dtype) for name, value in parameters.items()}
    shapes.check_parameters(own, (*lead, columns))
    flat = tuple(np.ascontiguousarray(x).reshape(math.prod(lead), depth) for x in inputs)
    mean, var = (np.empty((*lead, columns), dtype) for _ in range(2))
    outputs = tuple(x.reshape(math.prod(lead), columns) for x in (mean, var))
    vectors = tuple(np.broadcast_to(value, columns) for value in own.values())
    if serving.linear_marginals(activation, flat, weights, tuple(biases), outputs, vectors):
        check_variances("var", inputs[1])
    return mean, var


def result(plan: Plan, value: Array) -> Array:
    """Return the value in the result's dtype."""
    converted: Array = value.astype(plan.result, copy=False)
    return converted


def as_array(value: Any, dtype: str) -> Array:
    """Return the value as an array of a dtype."""
    return np.asarray(value, dtype)


def vector_and_matrix(plan: Plan, mu: Any, cov: Any) -> tuple[Array, Array]:
    """Return contiguous mu (..., n) and cov (..., n, n) with one batch shape; check the variances."""
    mu, cov = as_array(mu, plan.compute), as_array(cov, plan.compute)
    batch, n = shapes.batch_of(mu.shape, cov.shape), mu.shape[-1]
    check_variances("cov", cov.diagonal(0, -2, -1), "its diagonal")
    return _contiguous(mu, (*batch, n)), _contiguous(cov, (*batch, n, n))


def _contiguous(array: Array, shape: tuple[int, ...]) -> Array:
    return np.ascontiguousarray(array if array.shape == shape else np.broadcast_to(array, shape))


def check_variances(name: str, var: Array, what: str = "it") -> None:
    """Raise for a negative variance; nan is allowed."""
    if np.fmin.reduce(var, axis=None, initial=0.0) < 0.0:
        index = tuple(int(i) for i in np.unravel_index(np.nanargmin(var), var.shape))
        remedy = "where that is rounding, clip variances at 0 first: numpy.maximum(var, 0)"
        raise ValueError(f"{name}: {what} must hold variances >= 0, got {var[index]} at {index}; {remedy}")


def check_covariance(cov: Array) -> None:
    """Raise, with the worst pair, unless cov is symmetric and positive semidefinite to rounding."""
    n, eps = cov.shape[-1], float(np.finfo(cov.dtype).eps)
    _raise_at_worst(~np.isfinite(cov), "cov: expected finite numbers", cov)
    sd = np.sqrt(np.einsum("...ii->...i", cov))
    scale = sd[..., :, None] * sd[..., None, :]
    skew = np.abs(cov - np.swapaxes(cov, -1, -2)) - slack_of(n, eps) * scale
    _raise_at_worst(skew, "cov: expected a symmetric matrix, but cov[i, j] and cov[j, i] differ", cov)
    excess = np.abs(cov) - scale * (1.0 + 32 * n * eps)
    _raise_at_worst(excess, "cov: a covariance exceeds sqrt(var_i var_j)", cov)
    lowest = np.linalg.eigvalsh(cov).min(axis=-1, initial=0.0)
    if np.any(lowest < -n * eps * np.einsum("...ii->...", cov)):
        raise ValueError(f"cov: expected a positive semidefinite matrix, smallest eigenvalue {lowest.min():.3g}")


def _raise_at_worst(excess: Array, message: str, cov: Array) -> None:
    if excess.size and np.nanmax(excess) > 0.0:
        index = tuple(int(i) for i in np.unravel_index(np.nanargmax(excess), excess.shape))
        raise ValueError(f"{message}, worst at {index}: {cov[index]}")


def outputs(plan: Plan, out: Any, mean_shape: tuple[int, ...], cov_shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Return the arrays for mean and covariance: those of `out`, else new ones."""
    if out is None:
        return np.empty(mean_shape, plan.result), np.empty(cov_shape, plan.result)
    if isinstance(out, tuple) and len(out) != 2:
        raise ValueError(f"out: expected the covariance's array or a pair (mean, cov), got {len(out)} of them")
    mean, cov = out if isinstance(out, tuple) else (None, out)
    results = []
    for array, shape in ((mean, mean_shape), (cov, cov_shape)):
        if array is None:
            array = np.empty(shape, plan.result)
        if not isinstance(array, np.ndarray) or array.shape != shape or array.dtype != plan.result:
            got = f"{getattr(array, 'dtype', type(array).__name__)} {getattr(array, 'shape', '')}"
            raise ValueError(f"out: expected a {plan.result} array of shape {shape}, got {got}")
        if not array.flags.writeable:
            raise ValueError("out: the array is read-only")
        results.append(array)
    check_apart(results)
    return results[0], results[1]


def check_apart(outputs: Sequence[Any]) -> None:
    """Raise if two of the result's arrays share memory."""
    arrays = [array for array in outputs if isinstance(array, np.ndarray)]
    if any(np.shares_memory(one, two) for one, two in combinations(arrays, 2)):
        raise ValueError("out: two of the arrays have memory in common, one result would overwrite the other")


def _writable(array: Array, dtype: str, own: Array, others: tuple[Array, ...]) -> Array:
    """Return the array if a kernel can write to it, else a buffer like it.

    A kernel may overwrite `own`, the input of the output's shape, if that is the same array, and no other input.
    """
    direct = array.flags.c_contiguous and array.dtype == dtype
    read = others if _address(array) == _address(own) else (own, *others)
    if not direct or any(np.may_share_memory(array, x) for x in read):
        return np.empty(array.shape, dtype)
    return np.asarray(array)


def _address(array: Array) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


def flat(array: Array, core: int) -> Array:
    """Return the array with all leading dimensions as one; `core` is the number of the others."""
    lead = array.ndim - core
    return array[None] if lead == 0 else array.reshape(math.prod(array.shape[:lead]), *array.shape[lead:])
