"""PyTorch tensors: checks, and the choice of the kernels' form.

Tensors on the CPU that nothing tracks are computed by `numpy` on their own memory. Else `torch_kernels` computes
values, `torch_rules` serves autograd, torch.func and forward mode, and `torch_ops` torch.compile. `torch_products`
has what layers and networks do with covariances.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fastmoments.dispatch import Named, Plan
from fastmoments.frameworks import (
    numpy,
    options,
    products,
    shapes,
    torch_formulas,
    torch_kernels,
    torch_layers,
    torch_ops,
    torch_rules,
)
from fastmoments.frameworks.numpy_arrays import CLIP
from fastmoments.frameworks.torch_few import congruence as congruence
from fastmoments.frameworks.torch_kernels import function_of as function_of
from fastmoments.frameworks.torch_layers import as_tensor
from fastmoments.frameworks.torch_products import checked_covariance as checked_covariance
from fastmoments.frameworks.torch_products import compiled as compiled
from fastmoments.frameworks.torch_products import covariance as covariance
from fastmoments.frameworks.torch_products import detached as detached
from fastmoments.frameworks.torch_products import eye as eye
from fastmoments.frameworks.torch_products import ndtri as ndtri
from fastmoments.frameworks.torch_products import plus as plus
from fastmoments.frameworks.torch_products import plus_diagonal as plus_diagonal
from fastmoments.frameworks.torch_products import symmetric as symmetric
from fastmoments.frameworks.torch_products import symmetric_product as symmetric_product
from fastmoments.frameworks.torch_products import with_skip as with_skip
from fastmoments.frameworks.torch_tracking import can_read, is_bare, is_tracked, is_transformed
from fastmoments.results import Moments

xp = torch


def elementwise(plan: Plan, activation: Any, name: str, arguments: Named, given: Named) -> Any:
    """Call the function `name` of an activation; None stands for the bivariate normal."""
    if given:
        options.refuse("torch tensors", **given)
    if _runs_on_numpy(plan, *arguments.values()):
        found = numpy.elementwise(_computed(plan), activation, name, _arrays(plan, arguments), {})
        return _tensors(plan, found) if isinstance(found, tuple) else _tensor(plan, found)
    tensors = to_arrays(plan, arguments)
    shape = shapes.agreed(tensors)
    shapes.doubt(activation, tensors, may_be_covariance)
    for argument, tensor in tensors.items():
        if argument.startswith("var"):
            check_variances(argument, tensor)
    values = _elementwise(activation, name, tuple(_expanded(tensor, shape) for tensor in tensors.values()))
    values = tuple(result(plan, value) for value in values)
    return values if len(values) > 1 else values[0]


def may_be_covariance(matrix: Tensor) -> bool:
    """Whether a matrix looks like a covariance; True on other devices, where reading values takes long."""
    if torch.compiler.is_compiling() or is_transformed():
        return False
    return not can_read(matrix) or products.looks_like_covariance(matrix)


def _elementwise(activation: Any, name: str, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    tracked = is_tracked(*tensors)
    if tracked and name == "marginals":  # its derivatives are those of mean and var
        return tuple(_elementwise(activation, part, tensors)[0] for part in ("mean", "var"))
    if torch.compiler.is_compiling():
        _refuse_custom(activation)
        return tuple(torch_ops.elementwise(activation, name, list(tensors)))
    call = torch_rules.elementwise if tracked else torch_kernels.elementwise
    values: tuple[Tensor, ...] = call(activation, name, *tensors)
    return values


def moments(
    plan: Plan, activation: Any, inputs: Named, parameters: Named, out: Any, check: bool
) -> Moments[Tensor]:
    """Compute the mean and covariance of f(X).

    They depend on the upper triangle of cov. With derivatives they depend on the mean of both triangles, so that
    the gradient is symmetric. For a symmetric cov both give the same bits.
    """
    if out is not None:
        options.refuse("torch tensors", out=out)
    if _runs_on_numpy(plan, *inputs.values(), *parameters.values()):
        given = _arrays(plan, inputs), _arrays(plan, parameters) if parameters else {}
        mean, full = numpy.moments(_computed(plan), activation, *given, None, check)
        return Moments(_tensor(plan, mean), _tensor(plan, full))
    mu, cov = vector_and_matrix(plan, **inputs)
    if check:
        check_covariance(cov)
    functions = torch_rules.moments, torch_kernels.moments, torch_ops.moments
    per_neuron = shapes.per_neuron(to_arrays(plan, parameters), mu.shape, _expanded) if parameters else ()
    if torch.compiler.is_compiling() and is_tracked(mu, cov, *per_neuron):
        cov = torch_formulas.symmetric(cov)  # which `torch_rules` does itself
    found = _on_matrices(functions, activation, (mu, cov), per_neuron)
    return Moments(*(result(plan, x) for x in found))


def moments_vjp(
    plan: Plan, activation: Any, inputs: Named, bars: Named, parameters: Named, along_parameters: bool
) -> tuple[Tensor, ...]:
    """Compute the gradients along mu, cov and, with `along_parameters`, each neuron's parameters."""
    if _runs_on_numpy(plan, *inputs.values(), *bars.values(), *parameters.values()):
        given = _arrays(plan, inputs), _arrays(plan, bars), _arrays(plan, parameters)
        return _tensors(plan, numpy.moments_vjp(_computed(plan), activation, *given, along_parameters))
    tensors = vector_and_matrix(plan, **inputs)
    bars = to_arrays(plan, bars)
    shapes.check_bars(bars, *tensors)
    functions: tuple[Any, ...] = torch_rules.moments_vjp, torch_kernels.moments_vjp, torch_ops.moments_vjp
    arrays = *tensors, *bars.values()
    per_neuron = shapes.per_neuron(to_arrays(plan, parameters), tensors[0].shape, _expanded)
    if is_tracked(*arrays, *per_neuron):
        # arrays come in pairs: a vector and its matrix
        arrays = tuple(torch_formulas.symmetric(x) if i % 2 else x for i, x in enumerate(arrays))
    found = _on_matrices(functions, activation, arrays, per_neuron)
    if along_parameters and per_neuron:
        functions = torch_rules.parameter_vjp, torch_kernels.parameter_vjp, torch_ops.parameter_vjp
        found = *found, *_on_matrices(functions, activation, arrays, per_neuron)
    return tuple(result(plan, x) for x in found)


def _runs_on_numpy(plan: Plan, *arguments: Any) -> bool:
    """Whether NumPy computes the call on the tensors' memory: on the CPU, where nothing tracks the arguments."""
    return plan.backend == "cpu" and is_bare(*arguments)


def _computed(plan: Plan) -> Plan:
    """Return the plan with results in the dtype of the computation, because NumPy has no bfloat16."""
    return plan if plan.result == plan.compute else plan._replace(result=plan.compute)


def _arrays(plan: Plan, arguments: Named) -> Named:
    if plan.result != plan.compute:
        dtype = getattr(torch, plan.compute)
        arguments = {key: x.to(dtype) if isinstance(x, Tensor) else x for key, x in arguments.items()}
    return {key: x.numpy(force=True) if isinstance(x, Tensor) else x for key, x in arguments.items()}


def _tensors(plan: Plan, arrays: tuple[Any, ...]) -> tuple[Tensor, ...]:
    return tuple(_tensor(plan, array) for array in arrays)


def _tensor(plan: Plan, array: Any) -> Tensor:
    # NumPy returns an array without dimensions as a number
    return result(plan, torch.from_numpy(array) if isinstance(array, np.ndarray) else torch.as_tensor(array))


def _on_matrices(
    functions: tuple[Any, ...], activation: Any, tensors: tuple[Tensor, ...], parameters: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """Call one of a function's three forms: for autograd, for values alone, for torch.compile."""
    differentiable, bare, operator = functions
    tracked = is_tracked(*tensors, *parameters)
    if torch.compiler.is_compiling():
        _refuse_custom(activation)
        compiled: tuple[Tensor, ...] = operator(activation, *tensors, list(parameters))
        return compiled
    values: tuple[Tensor, ...] = (differentiable if tracked else bare)(activation, *tensors, *parameters)
    return values


def _refuse_custom(activation: Any) -> None:
    if not isinstance(activation, str | None):
        raise TypeError("activation: a Custom function cannot be compiled; call it outside torch.compile")


def to_arrays(plan: Plan, arguments: Named) -> dict[str, Tensor]:
    """Return the arguments as tensors on the plan's device in the dtype of the computation."""
    dtype, device = getattr(torch, plan.compute), torch.device(plan.device)
    return {name: as_tensor(value, dtype, device) for name, value in arguments.items()}


def with_partials(
    function: Callable[..., Any],
    partials: Callable[..., Any],
    arrays: tuple[Tensor, ...],
    beside: tuple[Tensor, ...] = (),
) -> Any:
    """Compute function(*arrays, *beside), element by element, with partials(*arrays, *beside) along each array."""
    shape = shapes.broadcast({str(i): array.shape for i, array in enumerate(arrays)})
    tensors = *(_expanded(array, shape) for array in arrays), *beside
    if torch.compiler.is_compiling() or not is_tracked(*tensors):
        return function(*tensors)
    return torch_rules.with_partials(function, partials, len(arrays), *tensors)


def constant(array: NDArray[Any], like: Tensor) -> Tensor:
    """Return an array of constants in the dtype of `like`, on its device."""
    return torch.as_tensor(array, dtype=like.dtype, device=like.device)


def largest(x: Tensor) -> float | None:
    """Return the largest number in a tensor, 0 if there is none; None without values."""
    if torch.compiler.is_compiling():
        raise TypeError("activation: its series has as many terms as values ask for; call it outside torch.compile")
    if x.is_meta or is_transformed():
        return None
    return float(torch.nan_to_num(x.detach(), posinf=torch.inf).amax().clamp(min=0.0)) if x.numel() else 0.0


def single(x: Tensor) -> Tensor:
    """Return the array in float32, row by row in memory."""
    return x.to(torch.float32).contiguous()


def is_definite(full: Tensor) -> bool | None:
    """Whether symmetric matrices are positive definite; None where no value can be read without waiting."""
    if full.device.type != "cpu" or torch.compiler.is_compiling():
        return None
    return bool((torch.linalg.cholesky_ex(full.detach()).info == 0).all())


def replaced(where: Tensor, function: Callable[..., Any], arrays: tuple[Tensor, ...], values: Any) -> Any:
    """Return the values with function(*arrays) in their place where a condition holds; on meta, the values."""
    if where.is_meta:
        return values
    if not is_transformed():
        return products.replaced(torch, where, function, arrays, values)
    found = function(*(array.expand(where.shape) for array in arrays))
    if not isinstance(values, tuple):
        return torch.where(where, found, values)
    return tuple(torch.where(where, new, value) for new, value in zip(found, values, strict=True))


series = products.series
iterated, summed = partial(products.iterated, torch), partial(products.summed, constant)


def values(plan: Plan, arrays: dict[str, Tensor]) -> dict[str, Any] | None:
    """Return NumPy arrays on the tensors' memory, or None where they are tracked or not on the CPU."""
    return _arrays(plan, arrays) if _runs_on_numpy(plan, *arrays.values()) else None


def arithmetic(plan: Plan) -> AbstractContextManager[Any]:
    """Return a context without autocast, which would multiply in half precision."""
    device = torch.device(plan.device).type
    lowered = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
    return torch.autocast(device, enabled=False) if lowered else nullcontext()


def linear_kernel(
    plan: Plan, activation: Any, arguments: Named, parameters: Named
) -> Callable[..., tuple[Tensor, Tensor]] | None:
    """Return the kernel for tensors on the CPU or CUDA that are not tracked."""
    # before the rest, which torch.compile cannot trace
    if plan.backend not in ("cpu", "gpu") or not is_bare(*arguments.values(), *parameters.values()):
        return None
    return numpy.linear_kernel(plan, activation, arguments, parameters) and torch_layers.linear_marginals


def vector_and_matrix(plan: Plan, mu: Any, cov: Any) -> tuple[Tensor, Tensor]:
    """Return mu (..., n) and cov (..., n, n) as tensors with one batch shape; check the variances."""
    mu, cov = to_arrays(plan, {"mu": mu, "cov": cov}).values()
    batch, n = shapes.batch_of(mu.shape, cov.shape), mu.shape[-1]
    if can_read(cov):
        numpy.check_variances("cov", cov.numpy(force=True).diagonal(0, -2, -1), "its diagonal")
    return _expanded(mu, (*batch, n)), _expanded(cov, (*batch, n, n))


def _expanded(tensor: Tensor, shape: tuple[int, ...]) -> Tensor:
    return tensor if tensor.shape == shape else tensor.expand(shape)


def result(plan: Plan, value: Tensor) -> Tensor:
    """Return the value in the result's dtype."""
    return value if plan.compute == plan.result else value.to(getattr(torch, plan.result))


def check_variances(name: str, var: Tensor, what: str = "it", remedy: str = CLIP) -> None:
    """Raise for a negative variance if values can be read."""
    if can_read(var):
        var = var.float() if var.dtype == torch.bfloat16 else var  # NumPy has no bfloat16
        numpy.check_variances(name, var.numpy(force=True), what, remedy)


def check_covariance(cov: Tensor) -> None:
    """Raise, with the worst pair, unless cov is symmetric and positive semidefinite, or if it has no values."""
    if torch.compiler.is_compiling() or is_transformed():
        raise TypeError("check: values cannot be looked at under torch.compile or torch.func")
    numpy.check_covariance(cov.numpy(force=True))
