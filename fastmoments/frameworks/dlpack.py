"""CUDA arrays of any library with DLPack, such as CuPy: PyTorch's kernels run on their memory, without copies.

`plan.framework` is the library's name; the library is imported, because it made the arrays. All is computed on
CuPy's current stream, so that neither library reuses memory before the other has finished with it.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from fastmoments.dispatch import MANAGED, Named, Plan
from fastmoments.frameworks import options
from fastmoments.results import Moments

try:
    import torch
    from torch import Tensor

    from fastmoments.frameworks import torch as tensors
except ImportError as error:
    needed = "arrays on CUDA need PyTorch, which works on their memory, and Triton"
    raise ImportError(f"{needed}: pip install fastmoments[torch,triton]") from error

_lend: Callable[[Any], Tensor] = torch.from_dlpack  # type: ignore[attr-defined]
# layers compute with PyTorch's functions
xp, symmetric, symmetric_product = torch, tensors.symmetric, tensors.symmetric_product
values, with_partials = tensors.values, tensors.with_partials
constant, largest, series, replaced = tensors.constant, tensors.largest, tensors.series, tensors.replaced
iterated, summed = tensors.iterated, tensors.summed
compiled, detached = tensors.compiled, tensors.detached
check_covariance, may_be_covariance = tensors.check_covariance, tensors.may_be_covariance
check_variances, plus_diagonal, with_skip = tensors.check_variances, tensors.plus_diagonal, tensors.with_skip
congruence = tensors.congruence


class Array(Protocol):
    """An array that other libraries can read without a copy."""

    def __dlpack__(self) -> Any: ...
    def __dlpack_device__(self) -> tuple[int, int]: ...


def elementwise(plan: Plan, activation: Any, name: str, arguments: Named, given: Named) -> Any:
    """Call the function `name` of an activation; None stands for the bivariate normal."""
    _refuse(plan, **given)
    with _on_its_stream(plan):
        found = tensors.elementwise(plan, activation, name, _lent(arguments), {})
        return tuple(_back(plan, x) for x in found) if isinstance(found, tuple) else _back(plan, found)


def moments(plan: Plan, activation: Any, inputs: Named, parameters: Named, out: Any, check: bool) -> Moments[Array]:
    """Compute the mean and covariance of f(X)."""
    _refuse(plan, out=out)
    with _on_its_stream(plan):
        found = tensors.moments(plan, activation, _lent(inputs), _lent(parameters), None, check)
        return Moments(*(_back(plan, x) for x in found))


def moments_vjp(
    plan: Plan, activation: Any, inputs: Named, bars: Named, parameters: Named, along_parameters: bool
) -> tuple[Array, ...]:
    """Compute the gradients along mu, cov and, with `along_parameters`, each neuron's parameters."""
    with _on_its_stream(plan):
        lent = _lent(inputs), _lent(bars), _lent(parameters)
        found = tensors.moments_vjp(plan, activation, *lent, along_parameters)
        return tuple(_back(plan, x) for x in found)


def to_arrays(plan: Plan, arguments: Named) -> dict[str, Tensor]:
    """Return the arguments as tensors in the dtype of the computation."""
    return tensors.to_arrays(plan, _lent(arguments))


def vector_and_matrix(plan: Plan, mu: Any, cov: Any) -> tuple[Tensor, Tensor]:
    """Return mu (..., n) and cov (..., n, n) as tensors with one batch shape."""
    mu, cov = _lent({"mu": mu, "cov": cov}).values()
    return tensors.vector_and_matrix(plan, mu, cov)


def linear_kernel(
    plan: Plan, activation: Any, arguments: Named, parameters: Named
) -> Callable[..., tuple[Tensor, Tensor]] | None:
    """Return PyTorch's kernel, which also takes the parameters as the library's arrays."""
    kernel = tensors.linear_kernel(plan, activation, arguments, parameters)
    return kernel and (lambda *given: kernel(*given[:-1], _lent(given[-1])))


def result(plan: Plan, value: Tensor) -> Array:
    """Return the value as the library's array in the result's dtype."""
    with _on_its_stream(plan):
        return _back(plan, tensors.result(plan, value))


@contextmanager
def arithmetic(plan: Plan) -> Iterator[None]:
    """Return a context in which PyTorch multiplies in the arrays' dtype, on the library's stream."""
    with _on_its_stream(plan), tensors.arithmetic(plan):
        yield


@contextmanager
def _on_its_stream(plan: Plan) -> Iterator[None]:
    """Return a context in which PyTorch works on the library's current stream, if it names one as CuPy does."""
    current = getattr(getattr(sys.modules[plan.framework], "cuda", None), "get_current_stream", None)
    if plan.device == "cpu" or current is None:
        yield
        return
    cuda: Any = torch.cuda
    pointer = current(int(plan.device.partition(":")[2])).ptr
    stream = cuda.ExternalStream(pointer, plan.device) if pointer else cuda.default_stream(plan.device)
    before = cuda.current_stream(plan.device)
    stream.wait_stream(before)
    with cuda.stream(stream):
        yield
    before.wait_stream(stream)


def _lent(arguments: Named) -> Named:
    """Return tensors on the arrays' memory; numbers and lists stay as they are."""
    return {name: _tensor(value) if hasattr(value, "__dlpack__") else value for name, value in arguments.items()}


def _tensor(value: Array) -> Tensor:
    kind, index = value.__dlpack_device__()
    # from_dlpack does not know managed memory
    is_managed = kind == MANAGED and hasattr(value, "__cuda_array_interface__")
    return torch.as_tensor(value, device=f"cuda:{index}") if is_managed else _lend(value)


def _back(plan: Plan, tensor: Tensor) -> Array:
    array: Array = sys.modules[plan.framework].from_dlpack(tensor)
    return array


def _refuse(plan: Plan, **given: Any) -> None:
    options.refuse(f"{plan.framework} arrays", **given)
