"""What the kernels compute for tensors, and how autograd, torch.func and forward mode differentiate it.

An element-wise function's derivatives are other element-wise functions (SLOPES), those of the matrix are the vjp
kernel; both are differentiated again, and where SLOPES ends, through the formulas on torch operations.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from fastmoments_kernels import cpu
from fastmoments_kernels.eager import on_torch

Tensor = Any

# its annotation has two results or three
_vjp: Callable[..., Any] = torch.func.vjp

# The functions that are the derivatives along each argument
SLOPES = {"mean": ("gain", "mean_dvar"), "var": ("var_partials",), "cov": ("cov_partials",)}


def evaluate(activation: str | None, kind: str, *arguments: Tensor) -> tuple[Tensor, ...]:
    """An element-wise function's outputs: by the cpu kernels on the tensors' own memory, or by torch operations."""
    if arguments[0].device.type != "cpu":
        return _as_tuple(on_torch.function(activation, kind, arguments[0].dtype)(*arguments))
    kernel = cpu.normal(kind) if activation is None else cpu.elementwise(activation, kind)
    results = tuple(
        torch.empty_like(arguments[0], memory_format=torch.contiguous_format) for _ in range(kernel.nout)
    )
    with np.errstate(all="ignore"):
        kernel(*map(_array, arguments), out=tuple(map(_array, results)))
    return results


def evaluate_moments(activation: str, mu: Tensor, cov: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance, by the upper triangle of cov."""
    if mu.device.type != "cpu":
        mean, full = moments_of(activation, mu)(mu, cov)
        return mean, full
    mean, full = (torch.empty(x.shape, dtype=x.dtype) for x in (mu, cov))
    if mu.numel():
        cpu.moments(activation, *_flat(mu, cov), *_flat(mean, full))
    return mean, full


def evaluate_moments_vjp(
    activation: str, mu: Tensor, cov: Tensor, mean_bar: Tensor, cov_bar: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients with respect to mu and cov, that of cov symmetric as cov_bar has to be."""
    if mu.device.type != "cpu":
        mu_bar, cov_in_bar = moments_vjp_of(activation, mu)(mu, cov, mean_bar, cov_bar)
        return mu_bar, cov_in_bar
    if not mu.numel():
        return torch.zeros_like(mu), torch.zeros_like(cov)
    results = cpu.moments_vjp(activation, *_flat(mu, cov), *_flat(mean_bar, cov_bar))
    mu_bar, cov_in_bar = map(torch.from_numpy, results)
    return mu_bar.reshape(mu.shape), cov_in_bar.reshape(cov.shape)


def _array(tensor: Tensor) -> np.ndarray[Any, Any]:
    array: np.ndarray[Any, Any] = tensor.numpy(force=True)
    return array


def _flat(vector: Tensor, matrix: Tensor) -> tuple[np.ndarray[Any, Any], ...]:
    """All leading dimensions as one, the kernels' layout; contiguous tensors keep their memory."""
    n = vector.shape[-1]
    return _array(vector.contiguous().view(-1, n)), _array(matrix.contiguous().view(-1, n, n))


def _as_tuple(value: Any) -> tuple[Tensor, ...]:
    return value if isinstance(value, tuple) else (value,)


def symmetric(matrix: Tensor) -> Tensor:
    """The mean of both triangles."""
    return 0.5 * (matrix + matrix.mT)


def moments_of(activation: str, like: Tensor) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """(mu, cov) -> moments on torch operations."""
    functions = on_torch.functions(activation, like.dtype)
    slack = 64 * like.shape[-1] * torch.finfo(like.dtype).eps
    return lambda mu, cov: functions.moments(mu, cov, slack)


def moments_vjp_of(activation: str, like: Tensor) -> Callable[..., tuple[Tensor, Tensor]]:
    """(mu, cov, mean_bar, cov_bar) -> gradients on torch operations."""

    def vjp(mu: Tensor, cov: Tensor, mean_bar: Tensor, cov_bar: Tensor) -> tuple[Tensor, Tensor]:
        _, pull = _vjp(moments_of(activation, like), mu, cov)
        mu_bar, upper = pull((mean_bar, cov_bar))
        return mu_bar, symmetric(upper)

    return vjp


def pull(function: Callable[..., Any], inputs: tuple[Tensor, ...], bars: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The gradients of a function of tensors on torch operations."""
    values, back = _vjp(function, *inputs)
    gradients: tuple[Tensor, ...] = back(bars if isinstance(values, tuple) else bars[0])
    return gradients


def push(function: Callable[..., Any], inputs: tuple[Tensor, ...], tangents: tuple[Any, ...]) -> Any:
    """Its directional derivative, along tangents that may be None for 0.

    Through reverse mode twice, the gradient being linear in what flows back: forward mode does not nest.
    """
    values = _as_tuple(function(*inputs))
    zeros = tuple(torch.zeros_like(value) for value in values)
    filled = tuple(torch.zeros_like(x) if t is None else t for x, t in zip(inputs, tangents, strict=True))
    _, back = _vjp(lambda *bars: pull(function, inputs, bars), *zeros)
    found = back(filled)
    return found if len(found) > 1 else found[0]


def _batched(info: Any, dims: tuple[int | None, ...], tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The tensors with the batch as their leading dimension."""
    return tuple(
        x.expand(info.batch_size, *x.shape) if dim is None else x.movedim(dim, 0)
        for x, dim in zip(tensors, dims, strict=True)
    )


def _save(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.key = tuple(x for x in inputs if not isinstance(x, torch.Tensor))
    tensors = inputs[len(ctx.key) :]
    ctx.save_for_backward(*tensors)
    ctx.save_for_forward(*tensors)


class _Elementwise(torch.autograd.Function):
    """(activation or None, kind, *tensors of one shape) -> tuple of tensors."""

    setup_context = staticmethod(_save)

    @staticmethod
    def forward(activation: str | None, kind: str, *arguments: Tensor) -> tuple[Tensor, ...]:
        return evaluate(activation, kind, *arguments)

    @staticmethod
    def backward(ctx: Any, *bars: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, *elementwise_gradients(elementwise, ctx.key, ctx.saved_tensors, bars)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        (activation, kind), inputs, tangents = ctx.key, ctx.saved_tensors, tangents[2:]
        if kind not in SLOPES:
            return _as_tuple(push(on_torch.function(activation, kind, inputs[0].dtype), inputs, tangents))
        along = zip(slopes(elementwise, activation, kind, inputs), tangents, strict=True)
        return (sum(on_torch.weigh(t, slope) for slope, t in along if t is not None),)

    @staticmethod
    def vmap(info: Any, dims: Any, activation: str | None, kind: str, *arguments: Tensor) -> Any:
        results = elementwise(activation, kind, *_batched(info, dims[2:], arguments))
        return results, (0,) * len(results)


def slopes(call: Callable[..., Any], activation: str, kind: str, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    """The derivatives along each input, of a kind in SLOPES."""
    return [slope for name in SLOPES[kind] for slope in call(activation, name, *inputs)]


def elementwise_gradients(
    call: Callable[..., Any], key: tuple[str, str], inputs: tuple[Tensor, ...], bars: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """Gradients of sum(bars * outputs) of the function (activation, kind); `call` evaluates its SLOPES."""
    activation, kind = key
    if kind not in SLOPES:
        return pull(on_torch.function(activation, kind, inputs[0].dtype), inputs, bars)
    return tuple(on_torch.weigh(bars[0], slope) for slope in slopes(call, activation, kind, inputs))


class _MatrixMoments(torch.autograd.Function):
    """(activation, mu, symmetric cov) -> (mean, cov)."""

    setup_context = staticmethod(_save)

    @staticmethod
    def forward(activation: str, mu: Tensor, cov: Tensor) -> tuple[Tensor, Tensor]:
        return evaluate_moments(activation, mu, cov)

    @staticmethod
    def backward(ctx: Any, mean_bar: Tensor, cov_bar: Tensor) -> tuple[Tensor | None, ...]:
        return None, *moments_vjp(*ctx.key, *ctx.saved_tensors, mean_bar, symmetric(cov_bar))

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        return push(moments_of(ctx.key[0], ctx.saved_tensors[0]), ctx.saved_tensors, tangents[1:])

    @staticmethod
    def vmap(info: Any, dims: Any, activation: str, *tensors: Tensor) -> Any:
        return moments(activation, *_batched(info, dims[1:], tensors)), (0, 0)


class _MatrixVjp(torch.autograd.Function):
    """(activation, mu, symmetric cov, mean_bar, symmetric cov_bar) -> (mu_bar, cov_bar), symmetric too."""

    setup_context = staticmethod(_save)

    @staticmethod
    def forward(activation: str, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        return evaluate_moments_vjp(activation, *tensors)

    @staticmethod
    def backward(ctx: Any, *bars: Tensor) -> tuple[Tensor | None, ...]:
        return None, *pull(moments_vjp_of(ctx.key[0], ctx.saved_tensors[0]), ctx.saved_tensors, bars)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        return push(moments_vjp_of(ctx.key[0], ctx.saved_tensors[0]), ctx.saved_tensors, tangents[1:])

    @staticmethod
    def vmap(info: Any, dims: Any, activation: str, *tensors: Tensor) -> Any:
        return moments_vjp(activation, *_batched(info, dims[1:], tensors)), (0, 0)


elementwise: Callable[..., Any] = _Elementwise.apply
moments: Callable[..., Any] = _MatrixMoments.apply
moments_vjp: Callable[..., Any] = _MatrixVjp.apply
