"""NumPy arrays: checks, shapes and buffers around the cpu kernels.

`numpy_arrays` has what arguments and results have to be, `numpy_products` what networks do with covariances.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastmoments.dispatch import Named, Plan
from fastmoments.frameworks import products, shapes
from fastmoments.frameworks.few import congruence as congruence
from fastmoments.frameworks.numpy_arrays import REALS, check_apart, flat, outputs, writable
from fastmoments.frameworks.numpy_arrays import check_covariance as check_covariance
from fastmoments.frameworks.numpy_arrays import check_variances as check_variances
from fastmoments.frameworks.numpy_arrays import result as result
from fastmoments.frameworks.numpy_functions import function_of as function_of
from fastmoments.frameworks.numpy_products import checked_covariance as checked_covariance
from fastmoments.frameworks.numpy_products import compiled as compiled
from fastmoments.frameworks.numpy_products import constant as constant
from fastmoments.frameworks.numpy_products import covariance as covariance
from fastmoments.frameworks.numpy_products import detached as detached
from fastmoments.frameworks.numpy_products import eye as eye
from fastmoments.frameworks.numpy_products import is_definite as is_definite
from fastmoments.frameworks.numpy_products import iterated as iterated
from fastmoments.frameworks.numpy_products import largest as largest
from fastmoments.frameworks.numpy_products import ndtri as ndtri
from fastmoments.frameworks.numpy_products import plus as plus
from fastmoments.frameworks.numpy_products import plus_diagonal as plus_diagonal
from fastmoments.frameworks.numpy_products import replaced as replaced
from fastmoments.frameworks.numpy_products import series as series
from fastmoments.frameworks.numpy_products import single as single
from fastmoments.frameworks.numpy_products import summed as summed
from fastmoments.frameworks.numpy_products import symmetric as symmetric
from fastmoments.frameworks.numpy_products import symmetric_product as symmetric_product
from fastmoments.frameworks.numpy_products import with_skip as with_skip
from fastmoments.results import Moments
from fastmoments_kernels import custom, serving
from fastmoments_kernels.custom import Custom
from fastmoments_kernels.kinds import outputs_of

Array = NDArray[Any]
xp = np
may_be_covariance = products.looks_like_covariance

OPERANDS = 64  # of a ufunc at most, NumPy's NPY_MAXARGS


def elementwise(plan: Plan, activation: Any, name: str, arguments: Named, given: Named) -> Any:
    """Call the function `name` of an activation; None stands for the bivariate normal."""
    arrays = to_arrays(plan, arguments)
    shape = shapes.agreed(arrays)
    if len(shape) > 1:
        # before variances are checked: a covariance matrix may have negative entries
        shapes.doubt(activation, arrays, may_be_covariance)
    for argument, array in arrays.items():
        if argument.startswith("var"):
            check_variances(argument, array)
    dtype = _loop_asked(activation, name, len(arrays), given) if given else None
    function = _function(activation, name, len(arrays), math.prod(shape), dtype or plan.compute)
    values = quietly(function, arrays.values(), given)
    if given and ("out" in given or "dtype" in given):
        return values
    return tuple(result(plan, value) for value in values) if isinstance(values, tuple) else result(plan, values)


def _loop_asked(activation: Any, name: str, inputs: int, given: Named) -> str | None:
    """Check the options of a ufunc; return the dtype that they ask for, which may be another than the arrays'."""
    if not _is_ufunc(activation, name, inputs):
        is_custom = isinstance(activation, Custom)
        which = "activations without a closed form" if is_custom else "mixtures with this many components"
        raise TypeError(f"{next(iter(given))}: functions of {which} are no ufuncs; leave it out")
    if isinstance(given.get("out"), tuple):
        check_apart(given["out"])
    if given.get("dtype") is None:
        return None
    dtype = np.dtype(given["dtype"])
    if dtype not in REALS.values():
        raise TypeError(f"dtype: expected float32 or float64, got {dtype}")
    return dtype.name


def _is_ufunc(activation: Any, name: str, inputs: int) -> bool:
    """Whether the function is a ufunc: mixtures of many components have more operands than a ufunc may."""
    return not isinstance(activation, Custom) and inputs + outputs_of(name, inputs) <= OPERANDS


def _function(activation: Any, name: str, inputs: int, size: int, dtype: str) -> Any:
    if isinstance(activation, str):
        return serving.elementwise(activation, name, inputs, size, dtype)
    if activation is None:
        return serving.normal(name, size, dtype)
    return custom.elementwise(activation, name, inputs)


def quietly(function: Callable[..., Any], arrays: Iterable[Array], given: Named) -> Any:
    """Call the function without reports of floating-point errors."""
    if type(function) is np.ufunc and not given:
        # its loops leave no errors to report, and nothing is cast; few neurons take less time than `errstate`
        return function(*arrays)
    with np.errstate(all="ignore"):
        return function(*arrays, **given)


def kernels_of(activation: Any) -> ModuleType:
    """Return the kernels of matrices, or the series for an activation without a closed form."""
    return custom if isinstance(activation, Custom) else serving


def moments(plan: Plan, activation: Any, inputs: Named, parameters: Named, out: Any, check: bool) -> Moments[Array]:
    """Compute the mean and covariance of f(X), in the arrays of `out` if given."""
    few = None if out is not None or check else _moments_of_few(plan, activation, inputs, parameters)
    if few is not None:
        return few
    mu, cov = vector_and_matrix(plan, **inputs)
    if check:
        check_covariance(cov)
    per_neuron = shapes.per_neuron(to_arrays(plan, parameters), mu.shape, _expanded) if parameters else ()
    mean_out, cov_out = mean, full = outputs(plan, out, mu.shape, cov.shape)
    is_direct = out is None and plan.result == plan.compute
    if not is_direct:
        mean = writable(mean_out, plan.compute, mu, (cov, *per_neuron))
        full = writable(cov_out, plan.compute, cov, (mu, *per_neuron))
    if mu.size:
        given = flat(mu, 1), flat(cov, 2), flat(mean, 1), flat(full, 2)
        kernels_of(activation).moments(activation, *given, per_neuron)
    for written, buffer in () if is_direct else ((mean_out, mean), (cov_out, full)):
        if buffer is not written and not np.shares_memory(written, buffer):
            written[...] = buffer
    return Moments(mean_out, cov_out)


def _moments_of_few(plan: Plan, activation: Any, inputs: Named, parameters: Named) -> Moments[Array] | None:
    """Compute `moments` of few neurons by one call of NumPy's; None where that has to be compiled or prepared."""
    dtype = REALS[plan.compute]
    mu = np.asarray(inputs["mu"], dtype, "C")
    n = mu.shape[-1:]
    if not n or not serving.are_few(mu):
        return None
    cov = np.asarray(inputs["cov"], dtype, "C")
    if cov.shape != mu.shape + n or not isinstance(activation, str):
        return None
    given = to_arrays(plan, parameters) if parameters else {}
    shapes.check_parameters(given, mu.shape)
    found = serving.few(activation, mu, cov, tuple(given.values()))
    if found is None:
        return None
    mean, full, wrong = found
    if wrong.any() if wrong.ndim else wrong:
        check_variances("cov", cov.diagonal(0, -2, -1), "its diagonal")
        serving.tell(wrong)
    return Moments(result(plan, mean), result(plan, full))


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
    return tuple(result(plan, array.reshape(shape)) for array, shape in pairs)


def _expanded(parameter: Array, shape: tuple[int, ...]) -> Array:
    """Return the parameter as (batch, n); the kernels take one number for all neurons as it is."""
    return flat(np.broadcast_to(parameter, shape), 1) if parameter.ndim else parameter


def to_arrays(plan: Plan, arguments: Named) -> dict[str, Array]:
    """Return the arguments as arrays in the dtype of the computation."""
    dtype = REALS[plan.compute]
    return {name: np.asarray(value, dtype) for name, value in arguments.items()}


def with_partials(
    function: Callable[..., Any], partials: Any, arrays: tuple[Array, ...], beside: tuple[Array, ...] = ()
) -> Any:
    """Compute function(*arrays, *beside); nothing differentiates it."""
    return function(*arrays, *beside)


def values(plan: Plan, arrays: dict[str, Array]) -> dict[str, Array]:
    """Return the arrays: they are NumPy's."""
    return arrays


def arithmetic(plan: Plan) -> AbstractContextManager[Any]:
    """Return a context that changes nothing: NumPy multiplies in the arrays' dtype."""
    return nullcontext()


def vector_and_matrix(plan: Plan, mu: Any, cov: Any) -> tuple[Array, Array]:
    """Return contiguous mu (..., n) and cov (..., n, n) with one batch shape; check the variances."""
    dtype = REALS[plan.compute]
    mu, cov = np.asarray(mu, dtype, "C"), np.asarray(cov, dtype, "C")
    batch, n = shapes.batch_of(mu.shape, cov.shape), mu.shape[-1:]
    check_variances("cov", cov.diagonal(0, -2, -1), "its diagonal")
    if mu.shape != cov.shape[:-1]:
        mu, cov = (np.ascontiguousarray(np.broadcast_to(x, batch + y)) for x, y in ((mu, n), (cov, n + n)))
    return mu, cov


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
