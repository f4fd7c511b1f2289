"""PyTorch tensors: checks, and the choice of the kernels' form.

Tensors on the CPU that nothing tracks are computed by `numpy` on their own memory. Else `torch_kernels` computes
values, `torch_rules` serves autograd, torch.func and forward mode, and `torch_ops` torch.compile.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad

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
from fastmoments.frameworks.torch_layers import as_tensor
from fastmoments.results import Moments

xp = torch

_unpack_dual: Callable[..., Any] = forward_ad.unpack_dual


def elementwise(plan: Plan, activation: Any, name: str, arguments: Named, given: Named) -> Any:
    """Call the function `name` of an activation; None stands for the bivariate normal."""
    options.refuse("torch tensors", **given)
    if _runs_on_numpy(plan, *arguments.values()):
        found = numpy.elementwise(_computed(plan), activation, name, _arrays(plan, arguments), {})
        return _tensors(plan, found) if isinstance(found, tuple) else _tensor(plan, found)
    tensors = to_arrays(plan, arguments)
    shape = shapes.broadcast({argument: tensor.shape for argument, tensor in tensors.items()})
    shapes.doubt(activation, tensors, _may_be_covariance)
    for argument, tensor in tensors.items():
        if argument.startswith("var"):
            check_variances(argument, tensor)
    values = _elementwise(activation, name, tuple(_expanded(tensor, shape) for tensor in tensors.values()))
    values = tuple(result(plan, value) for value in values)
    return values if len(values) > 1 else values[0]


def _may_be_covariance(matrix: Tensor) -> bool:
    """Whether a matrix looks like a covariance; True on other devices, where reading values takes long."""
    if torch.compiler.is_compiling() or _is_transformed():
        return False
    return not _can_read(matrix) or products.looks_like_covariance(matrix)


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
    options.refuse("torch tensors", out=out)
    if _runs_on_numpy(plan, *inputs.values(), *parameters.values()):
        given = _arrays(plan, inputs), _arrays(plan, parameters)
        return Moments(*_tensors(plan, numpy.moments(_computed(plan), activation, *given, None, check)))
    mu, cov = vector_and_matrix(plan, **inputs)
    if check:
        _check_covariance(cov)
    functions = torch_rules.moments, torch_kernels.moments, torch_ops.moments
    per_neuron = shapes.per_neuron(to_arrays(plan, parameters), mu.shape, _expanded)
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
    dtype = None if plan.result == plan.compute else getattr(torch, plan.compute)
    return {
        name: (value if dtype is None else value.to(dtype)).numpy(force=True)
        if isinstance(value, torch.Tensor)
        else value
        for name, value in arguments.items()
    }


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
    if tracked:
        # tensors come in pairs: a vector and its matrix
        tensors = tuple(torch_formulas.symmetric(x) if i % 2 else x for i, x in enumerate(tensors))
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
    function: Callable[..., Tensor], partials: Callable[..., tuple[Tensor, ...]], arrays: tuple[Tensor, ...]
) -> Tensor:
    """Compute function(*arrays), element by element, with the derivatives partials(*arrays) along each."""
    shape = shapes.broadcast({str(i): array.shape for i, array in enumerate(arrays)})
    tensors = tuple(_expanded(array, shape) for array in arrays)
    if torch.compiler.is_compiling() or not is_tracked(*tensors):
        return function(*tensors)
    value: Tensor = torch_rules.with_partials(function, partials, *tensors)
    return value


def values(plan: Plan, arrays: dict[str, Tensor]) -> dict[str, Any] | None:
    """Return NumPy arrays on the tensors' memory, or None where they are tracked or not on the CPU."""
    return _arrays(plan, arrays) if _runs_on_numpy(plan, *arrays.values()) else None


def arithmetic(plan: Plan) -> AbstractContextManager[Any]:
    """Return a context without autocast, which would multiply in half precision."""
    device = torch.device(plan.device).type
    lowered = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
    return torch.autocast(device, enabled=False) if lowered else nullcontext()


def symmetric(cov: Tensor) -> Tensor:
    """Return the symmetric matrix of cov's upper triangle; with derivatives, the mean of both triangles."""
    if is_tracked(cov):
        return torch_formulas.symmetric(cov)
    if _can_read(cov) and products.is_symmetric(cov):
        return cov
    upper = torch.triu(cov)
    return upper + torch.triu(cov, 1).mT


def symmetric_product(left: Tensor, right: Tensor, rounding: Callable[[], Tensor]) -> Tensor:
    """Return left (m, n) times right (..., n, m), a covariance, without errors of up to `rounding()`."""
    if not is_bare(left, right):
        return covariance(left @ right, rounding)
    full = products.by_panels(left, right, right.new_empty((*right.shape[:-2], len(left), len(left))))
    if _can_read(full):
        return products.mend(torch, full, rounding)
    return products.without_rounding(torch, full, rounding())


def covariance(full: Tensor, rounding: Callable[[], Tensor]) -> Tensor:
    """Return the mean of both triangles, a covariance, without errors of up to `rounding()`.

    It overwrites `full` if that is on the CPU and not tracked.
    """
    if _can_read(full) and is_bare(full):
        return products.mend(torch, products.plus_transpose(full.mul_(0.5)), rounding)
    return products.without_rounding(torch, torch_formulas.symmetric(full), rounding())


def times_squares(left: Tensor, matrix: Tensor) -> Tensor:
    """Return left (..., n) times the transpose of matrix (m, n), whose elements are squared."""
    if not is_bare(left, matrix) or left.device.type != "cpu":
        product: Tensor = left @ (matrix * matrix).mT
        return product
    out: Tensor = left.new_empty((*left.shape[:-1], len(matrix)))
    return products.times_squares(left, matrix, out)


def plus(full: Tensor, other: Tensor, factor: Any) -> Tensor:
    """Return full + factor * other; it overwrites `full` if nothing tracks the tensors."""
    if not is_bare(full, other, factor) or isinstance(factor, Tensor):
        total: Tensor = full + factor * other
        return total
    added: Tensor = full.add_(other, alpha=factor)
    return added


def eye(n: int, like: Tensor) -> Tensor:
    """Return the identity matrix (n, n) of the tensor's dtype, on its device."""
    return torch.eye(n, dtype=like.dtype, device=like.device)


def detached(x: Tensor) -> Tensor:
    """Return the tensor without derivatives."""
    return x.detach()


def with_skip(full: Tensor, gains: Tensor, product: Tensor, across: Tensor, matrix: Tensor | None) -> Tensor:
    """Do what `products.plus_skip` does; on CUDA, without a matrix, by one kernel."""
    if not is_bare(full, gains, product, across, matrix):
        return products.plus_skip(full, gains, product, across, matrix)
    if torch_kernels.kernels_for(None, full) == "gpu" and matrix is None:
        return torch_layers.add_skip(full, gains, product, across)
    return products.add_skip(full, gains, product, across, matrix)


def plus_diagonal(full: Tensor, vector: Tensor) -> Tensor:
    """Add the vector to the diagonal of full, in place unless one of them is tracked."""
    if not is_bare(full, vector):
        return full + torch.diag_embed(vector)
    torch.diagonal(full, dim1=-2, dim2=-1).add_(vector)
    return full


def linear_kernel(
    plan: Plan, activation: Any, arguments: Named, parameters: Named
) -> Callable[..., tuple[Tensor, Tensor]] | None:
    """Return the kernel for tensors on the CPU or CUDA that are not tracked."""
    # before the rest, which torch.compile cannot trace
    if plan.backend not in ("cpu", "gpu") or not is_bare(*arguments.values(), *parameters.values()):
        return None
    return numpy.linear_kernel(plan, activation, arguments, parameters) and torch_layers.linear_marginals


def is_bare(*arguments: Any) -> bool:
    """Whether nothing tracks the arguments: neither autograd, forward mode, torch.func nor torch.compile."""
    if torch.compiler.is_compiling() or _is_transformed() or forward_ad._current_level >= 0:
        return False
    return not torch.is_grad_enabled() or not any(getattr(x, "requires_grad", False) for x in arguments)


def vector_and_matrix(plan: Plan, mu: Any, cov: Any) -> tuple[Tensor, Tensor]:
    """Return mu (..., n) and cov (..., n, n) as tensors with one batch shape; check the variances."""
    mu, cov = to_arrays(plan, {"mu": mu, "cov": cov}).values()
    batch, n = shapes.batch_of(mu.shape, cov.shape), mu.shape[-1]
    if _can_read(cov):
        numpy.check_variances("cov", cov.numpy(force=True).diagonal(0, -2, -1), "its diagonal")
    return _expanded(mu, (*batch, n)), _expanded(cov, (*batch, n, n))


def _expanded(tensor: Tensor, shape: tuple[int, ...]) -> Tensor:
    return tensor if tensor.shape == shape else tensor.expand(shape)


def result(plan: Plan, value: Tensor) -> Tensor:
    """Return the value in the result's dtype."""
    return value if plan.compute == plan.result else value.to(getattr(torch, plan.result))


def _is_transformed() -> bool:
    """Whether grad, vmap or jvp of torch.func is tracing, so that values cannot be read."""
    active: bool = torch._C._are_functorch_transforms_active()
    return active


def is_tracked(*tensors: Tensor) -> bool:
    """Whether autograd, forward mode or torch.func tracks the tensors."""
    transformed, compiling = _is_transformed(), torch.compiler.is_compiling()
    if transformed and compiling:
        # an operator knows nothing of torch.func: its derivative would be an error at best, silently 0 at worst
        raise NotImplementedError("torch.func inside torch.compile: take the derivative outside, or do not compile")
    if transformed or (torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)):
        return True
    # without forward mode there are no tangents
    if compiling or forward_ad._current_level < 0:
        return False
    return any(_unpack_dual(tensor).tangent is not None for tensor in tensors)


def _can_read(tensor: Tensor) -> bool:
    """Whether values can be read without waiting for a device: on the CPU, outside torch.compile and torch.func."""
    return tensor.device.type == "cpu" and not torch.compiler.is_compiling() and not _is_transformed()


def check_variances(name: str, var: Tensor, what: str = "it") -> None:
    """Raise for a negative variance if values can be read."""
    if _can_read(var):
        var = var.float() if var.dtype == torch.bfloat16 else var  # NumPy has no bfloat16
        numpy.check_variances(name, var.numpy(force=True), what)


def _check_covariance(cov: Tensor) -> None:
    if torch.compiler.is_compiling() or _is_transformed():
        raise TypeError("check: values cannot be looked at under torch.compile or torch.func")
    numpy.check_covariance(cov.numpy(force=True))
