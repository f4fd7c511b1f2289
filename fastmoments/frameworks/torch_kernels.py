"""Values of functions of tensors, without derivatives, by the kernels of the tensors' device."""

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fastmoments import dispatch
from fastmoments.frameworks import numpy, torch_formulas, triton_kernels
from fastmoments.frameworks.torch_formulas import as_tuple
from fastmoments_kernels import custom, serving
from fastmoments_kernels.bind import bind
from fastmoments_kernels.catalogue import row_of
from fastmoments_kernels.custom import Custom
from fastmoments_kernels.eager import on_torch
from fastmoments_kernels.kinds import outputs_of


def kernels_for(activation: Any, tensor: Tensor) -> str:
    """Return what computes for a tensor's device: "cpu" or "gpu" kernels, torch operations ("eager"), or "meta".

    "meta" computes nothing but shapes. For an activation without a closed form it is "custom", NumPy code.
    """
    device = tensor.device.type
    if isinstance(activation, Custom):
        if device != "cpu":
            raise TypeError(f"activation: Custom functions are evaluated on the CPU, got tensors on {device}")
        return "custom"
    return dispatch.backend_of("torch", device)


def _module(backend: str) -> Any:
    if backend != "gpu":
        return serving if backend == "cpu" else custom
    return gpu_kernels()


@cache
def gpu_kernels() -> Any:
    """Return the Triton kernels. To ask for an imported module takes a third of a launch."""
    return triton_kernels.imported("tensors on CUDA need")


def elementwise(activation: Any, kind: str, *arguments: Tensor) -> tuple[Tensor, ...]:
    """Return the outputs of the element-wise function `kind`; kernels read and write the tensors' memory."""
    backend = kernels_for(activation, arguments[0])
    if backend == "eager":
        return as_tuple(on_torch.function(activation, kind, arguments[0].dtype)(*arguments))
    if backend == "meta":
        return tuple(torch.empty_like(arguments[0]) for _ in range(outputs_of(kind, len(arguments))))
    function = _function(backend, activation, kind, arguments)
    if backend == "gpu":
        return as_tuple(function(*arguments))
    arrays = [_array(argument) for argument in arguments]
    found = as_tuple(numpy.quietly(function, arrays, {}))
    # a result without dimensions is a number
    return tuple(torch.from_numpy(np.asarray(x, arrays[0].dtype, "C")) for x in found)


def _function(backend: str, activation: Any, kind: str, arguments: tuple[Tensor, ...]) -> Any:
    """Return the function `kind` of kernels, on tensors of one shape and dtype or on their arrays."""
    module, like = _module(backend), arguments[0]
    size = (like.numel(), str(like.dtype).removeprefix("torch.")) if backend == "cpu" else ()
    if activation is None:
        return module.normal(kind, *size)
    return module.elementwise(activation, kind, len(arguments), *size)


def moments(activation: str, mu: Tensor, cov: Tensor, *parameters: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the mean and covariance from the upper triangle of cov."""
    backend = kernels_for(activation, mu)
    if backend == "eager":
        mean, full = torch_formulas.moments_of(activation, mu)(mu, cov, *parameters)
        return mean, full
    if backend == "cpu":
        found = serving.few(activation, _contiguous(mu), _contiguous(cov), tuple(map(_array, parameters)))
        if found is not None:
            mean, full, wrong = found
            serving.tell(wrong)
            return torch.from_numpy(mean), torch.from_numpy(full)
    mean, full = _empty(mu), _empty(cov)
    if mu.numel() and backend != "meta":
        _module(backend).moments(activation, *_laid_out(backend, (mu, cov, mean, full), parameters))
    return mean, full


def moments_vjp(
    activation: str, mu: Tensor, cov: Tensor, mean_bar: Tensor, cov_bar: Tensor, *parameters: Tensor
) -> tuple[Tensor, Tensor]:
    """Compute the gradients along mu and cov for a symmetric cov_bar; that of cov is symmetric."""
    backend, tensors = kernels_for(activation, mu), (mu, cov, mean_bar, cov_bar)
    if backend == "eager":
        mu_bar, cov_in_bar, *_ = torch_formulas.moments_vjp_of(activation, mu)(*tensors, *parameters)
        return mu_bar, cov_in_bar
    if not mu.numel() or backend == "meta":
        return torch.zeros_like(mu), torch.zeros_like(cov)
    found = _module(backend).moments_vjp(activation, *_laid_out(backend, tensors, parameters))
    mu_bar, cov_in_bar = map(torch.as_tensor, found)
    return mu_bar.reshape(mu.shape), cov_in_bar.reshape(cov.shape)


def parameter_vjp(activation: str, *tensors: Tensor) -> tuple[Tensor, ...]:
    """Compute the gradients along the parameters; `tensors` are mu, cov, mean_bar, cov_bar and the parameters."""
    mu, parameters = tensors[0], tensors[4:]
    backend = kernels_for(activation, mu)
    if backend == "meta":
        return tuple(map(torch.zeros_like, parameters))
    if backend not in ("cpu", "gpu") or not mu.numel():
        return torch_formulas.moments_vjp_of(activation, mu)(*tensors)[2:]
    found = _module(backend).parameter_vjp(activation, *_laid_out(backend, tensors[:4], parameters))
    return tuple(torch.as_tensor(x).reshape(mu.shape) for x in found)


def _empty(like: Tensor) -> Tensor:
    return torch.empty_like(like, memory_format=torch.contiguous_format)


def _array(tensor: Tensor) -> NDArray[Any]:
    array: NDArray[Any] = tensor.numpy(force=True)
    return array


def _laid_out(backend: str, tensors: tuple[Tensor, ...], parameters: tuple[Tensor, ...]) -> tuple[Any, ...]:
    """Return the tensors, a vector and a matrix in turn, and the parameters in the kernels' layout."""
    if backend == "gpu":
        laid_out = gpu_kernels().laid_out
        return *map(laid_out, tensors), tuple(map(laid_out, parameters))
    n = tensors[0].shape[-1]
    arrays = (_flat(x, (n, n) if i % 2 else (n,)) for i, x in enumerate(tensors))
    return *arrays, tuple(_flat(x, (n,)) for x in parameters)


def _flat(tensor: Tensor, core: tuple[int, ...]) -> NDArray[Any]:
    return _contiguous(tensor).reshape(-1, *core)


def _contiguous(tensor: Tensor) -> NDArray[Any]:
    return np.ascontiguousarray(tensor.numpy(force=True))


def function_of(activation: str | Custom, like: Tensor) -> Callable[..., Tensor]:
    """Return f(x, *parameters) on tensors of the dtype of `like`; that of a Custom has no gradient."""
    if isinstance(activation, Custom):
        return lambda x: _on_numpy(activation, x)
    bound: Callable[..., Tensor] = _bound(activation, like.dtype)
    return bound


@cache
def _bound(name: str, dtype: torch.dtype) -> Any:
    return bind(row_of(name).formula.function, {**on_torch.words(dtype).vocabulary, "cdf": _cdf, "erf": torch.erf})


def _cdf(x: Tensor) -> Tensor:
    """Phi(x); torch.special.ndtr has no digits left in the lower tail."""
    return 0.5 * torch.erfc(-math.sqrt(0.5) * x)


def _on_numpy(activation: Custom, x: Tensor) -> Tensor:
    if x.requires_grad and torch.is_grad_enabled():
        raise NotImplementedError("activation: f of a Custom function has no derivative; use torch.no_grad()")
    found = custom.evaluate(activation, x.double().numpy(force=True))
    return torch.as_tensor(found, dtype=x.dtype, device=x.device)
