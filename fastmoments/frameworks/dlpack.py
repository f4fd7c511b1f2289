"""Arrays on CUDA of libraries with DLPack, CuPy's above all: PyTorch's kernels on their memory, without copies.

`plan.framework` is the library's name; it made the arrays, so it is imported. All is computed on CuPy's current
stream, so that memory of either library is used again only when the other has done with it.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from fastmoments.dispatch import MANAGED, Named, Plan
from fastmoments.frameworks import options
from fastmoments.results import Moments

try:
    from fastmoments.frameworks import torch as tensors
except ImportError as error:
    needed = "arrays on CUDA need PyTorch, which works on their memory, and Triton"
    raise ImportError(f"{needed}: pip install fastmoments[torch,triton]") from error

Array = Any
Tensor = Any
_lend: Callable[[Array], Tensor] = tensors.xp.from_dlpack  # type: ignore[attr-defined]
# layers are written in PyTorch's functions
xp, symmetric, symmetric_product = tensors.xp, tensors.symmetric, tensors.symmetric_product
check_variances, plus_diagonal, with_skip = tensors.check_variances, tensors.plus_diagonal, tensors.with_skip


def elementwise(plan: Plan, activation: Any, name: str, arguments: Named, given: Named) -> Any:
    """Call the function `name` of an activation, or of the bivariate normal where that is None."""
    _refuse(plan, **given)
    with _on_its_stream(plan):
        found = tensors.elementwise(plan, activation, name, _lent(arguments), {})
        return tuple(_back(plan, x) for x in found) if isinstance(found, tuple) else _back(plan, found)


def moments(plan: Plan, activation: Any, inputs: Named, parameters: Named, out: Any, check: bool) -> Moments:
    """Mean and covariance of f(X)."""
    _refuse(plan, out=out)
    with _on_its_stream(plan):
        found = tensors.moments(plan, activation, _lent(inputs), _lent(parameters), None, check)
        return Moments(*(_back(plan, x) for x in found))


def moments_vjp(
    plan: Plan, activation: Any, inputs: Named, bars: Named, parameters: Named, along_parameters: bool
) -> tuple[Array, ...]:
    """Gradients with respect to mu, cov and, where wanted, each neuron's parameters; batch dimensions stay."""
    with _on_its_stream(plan):
        lent = _lent(inputs), _lent(bars), _lent(parameters)
        found = tensors.moments_vjp(plan, activation, *lent, along_parameters)
        return tuple(_back(plan, x) for x in found)


def to_arrays(plan: Plan, arguments: Named) -> dict[str, Tensor]:
    """The arguments as tensors in the dtype of the computation; None stays None."""
    return tensors.to_arrays(plan, _lent(arguments))


def vector_and_matrix(plan: Plan, mu: Any, cov: Any) -> tuple[Tensor, Tensor]:
    """Mu (..., n) and cov (..., n, n) as tensors, leading dimensions broadcast."""
    mu, cov = _lent({"mu": mu, "cov": cov}).values()
    return tensors.vector_and_matrix(plan, mu, cov)


def linear_kernel(
    plan: Plan, activation: Any, arguments: Named, parameters: Named
) -> Callable[..., tuple[Tensor, Tensor]] | None:
    """PyTorch's kernel, which takes tensors but for the parameters."""
    kernel = tensors.linear_kernel(plan, activation, arguments, parameters)
    return kernel and (lambda *given: kernel(*given[:-1], _lent(given[-1])))


def result(plan: Plan, value: Tensor) -> Array:
    """The value as the library's array, in the dtype that is returned."""
    with _on_its_stream(plan):
        return _back(plan, tensors.result(plan, value))


@contextmanager
def arithmetic(plan: Plan) -> Iterator[None]:
    """A context in which PyTorch takes a layer's products, in the order of the library's own work."""
    with _on_its_stream(plan), tensors.arithmetic(plan):
        yield


@contextmanager
def _on_its_stream(plan: Plan) -> Iterator[None]:
    """PyTorch at work on the library's current stream, if it has CuPy's way to tell it."""
    current = getattr(getattr(sys.modules[plan.framework], "cuda", None), "get_current_stream", None)
    if plan.device == "cpu" or current is None:
        yield
        return
    cuda: Any = tensors.xp.cuda
    pointer = current(int(plan.device.partition(":")[2])).ptr
    stream = cuda.ExternalStream(pointer, plan.device) if pointer else cuda.default_stream(plan.device)
    before = cuda.current_stream(plan.device)
    stream.wait_stream(before)
    with cuda.stream(stream):
        yield
    before.wait_stream(stream)


def _lent(arguments: Named) -> Named:
    """Tensors on the arrays' memory; numbers and lists stay what they are."""
    return {name: _tensor(value) if hasattr(value, "__dlpack__") else value for name, value in arguments.items()}


def _tensor(value: Array) -> Tensor:
    kind, index = value.__dlpack_device__()
    # from_dlpack does not know managed memory
    is_managed = kind == MANAGED and hasattr(value, "__cuda_array_interface__")
    return tensors.xp.as_tensor(value, device=f"cuda:{index}") if is_managed else _lend(value)


def _back(plan: Plan, tensor: Tensor) -> Array:
    return sys.modules[plan.framework].from_dlpack(tensor)


def _refuse(plan: Plan, **given: Any) -> None:
    options.refuse(f"{plan.framework} arrays", **given)
