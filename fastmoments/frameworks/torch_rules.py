"""The kernels' derivatives for autograd, torch.func and forward mode.

An element-wise function's derivatives are other element-wise functions, its `slopes` in kinds.py. A matrix's are
the vjp kernel. A function without slopes, and the vjp kernel itself, are differentiated by their formulas on torch
operations, the latter in panels of rows (`torch_panels`).
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from fastmoments.frameworks import torch_kernels, torch_panels
from fastmoments.frameworks.torch_formulas import (
    as_tuple,
    elementwise_of,
    pull,
    push,
    symmetric,
)
from fastmoments_kernels.custom import SLOPES, Custom
from fastmoments_kernels.eager import on_torch
from fastmoments_kernels.kinds import ALL, outputs_of


def _batched(info: Any, dims: tuple[int | None, ...], tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Return the tensors with vmap's dimension as their first."""
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
        return torch_kernels.elementwise(activation, kind, *arguments)

    @staticmethod
    def backward(ctx: Any, *bars: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, *elementwise_gradients(elementwise, ctx.key, ctx.saved_tensors, bars)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        (activation, kind), inputs, tangents = ctx.key, ctx.saved_tensors, tangents[2:]
        if not _kinds_of_slopes(activation, kind):
            return as_tuple(push(elementwise_of(activation, kind, inputs[0]), inputs, tangents))
        along = zip(slopes(elementwise, activation, kind, inputs), tangents, strict=True)
        return (sum(on_torch.weigh(t, slope) for slope, t in along if t is not None),)

    @staticmethod
    def vmap(info: Any, dims: Any, activation: str | None, kind: str, *arguments: Tensor) -> Any:
        results = elementwise(activation, kind, *_batched(info, dims[2:], arguments))
        return results, (0,) * len(results)


def _kinds_of_slopes(activation: str | Custom | None, kind: str) -> tuple[str, ...]:
    own = SLOPES if isinstance(activation, Custom) else {}
    return own.get(kind, ALL[kind].slopes if kind in ALL else ())


def slopes(
    call: Callable[..., Any], activation: str | Custom, kind: str, inputs: tuple[Tensor, ...]
) -> list[Tensor]:
    """Return the derivatives along each input, for a kind that has slopes."""
    # some kinds have an output per parameter, and there may be none
    names = [
        name for name in _kinds_of_slopes(activation, kind) if name not in ALL or outputs_of(name, len(inputs))
    ]
    return [slope for name in names for slope in call(activation, name, *inputs)]


def elementwise_gradients(
    call: Callable[..., Any], key: tuple[str, str], inputs: tuple[Tensor, ...], bars: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """Compute the gradients of sum(bars * outputs) for key = (activation, kind); `call` evaluates slopes."""
    activation, kind = key
    if not _kinds_of_slopes(activation, kind):
        return pull(elementwise_of(activation, kind, inputs[0]), inputs, bars)
    return tuple(on_torch.weigh(bars[0], slope) for slope in slopes(call, activation, kind, inputs))


class _WithPartials(torch.autograd.Function):
    """(function, partials, count, *tensors) -> function(*tensors), whose slopes are partials(*tensors).

    The slopes are along the first `count` tensors, which are of one shape, and so are the results; of several
    results there is a tuple of slopes each.
    """

    setup_context = staticmethod(_save)

    @staticmethod
    def forward(function: Callable[..., Any], partials: Any, count: int, *arguments: Tensor) -> Any:
        return function(*arguments)

    @staticmethod
    def backward(ctx: Any, *bars: Tensor) -> tuple[Tensor | None, ...]:
        _, partials, count = ctx.key
        by_value = _per_value(partials(*ctx.saved_tensors))
        # a result that nothing reads has a gradient of 0
        gradients = (
            sum(on_torch.weigh(bar, slope) for bar, slope in zip(bars, slopes, strict=True))
            for slopes in zip(*by_value, strict=True)
        )
        return None, None, None, *gradients, *(None,) * (len(ctx.saved_tensors) - count)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        _, partials, count = ctx.key
        slopes = partials(*ctx.saved_tensors)
        found = tuple(
            sum(on_torch.weigh(t, x) for x, t in zip(own, tangents[3 : 3 + count], strict=True) if t is not None)
            for own in _per_value(slopes)
        )
        return found if isinstance(slopes[0], tuple) else found[0]

    @staticmethod
    def vmap(info: Any, dims: Any, function: Any, partials: Any, count: int, *arguments: Tensor) -> Any:
        found = with_partials(function, partials, count, *_batched(info, dims[3:], arguments))
        return found, (0,) * len(found) if isinstance(found, tuple) else 0


def _per_value(slopes: tuple[Any, ...]) -> tuple[tuple[Tensor, ...], ...]:
    """Return a tuple of slopes for every value, also for a single one."""
    return slopes if isinstance(slopes[0], tuple) else (slopes,)


class _MatrixMoments(torch.autograd.Function):
    """(activation, mu, cov, *parameters) -> (mean, cov), for the mean of both triangles of cov.

    The mean is taken here: autograd would take as long to record it as the moments of a few neurons take.
    """

    setup_context = staticmethod(_save)

    @staticmethod
    def forward(activation: str, mu: Tensor, cov: Tensor, *parameters: Tensor) -> tuple[Tensor, Tensor]:
        return torch_kernels.moments(activation, mu, symmetric(cov), *parameters)

    @staticmethod
    def backward(ctx: Any, mean_bar: Tensor, cov_bar: Tensor) -> tuple[Tensor | None, ...]:
        mu, cov, *parameters = ctx.saved_tensors
        arguments = (*ctx.key, mu, symmetric(cov), mean_bar, symmetric(cov_bar), *parameters)
        # the parameters' gradients need a second pass over all pairs
        wanted = any(ctx.needs_input_grad[3:])
        others = parameter_vjp(*arguments) if wanted else (None,) * len(parameters)
        return None, *moments_vjp(*arguments), *others

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        (mu, cov, *parameters), (_, along_mu, along_cov, *others) = ctx.saved_tensors, tangents
        along_cov = None if along_cov is None else symmetric(along_cov)
        inputs, along = (mu, symmetric(cov), *parameters), (along_mu, along_cov, *others)
        return torch_panels.push_moments(ctx.key[0], inputs, along)

    @staticmethod
    def vmap(info: Any, dims: Any, activation: str, *tensors: Tensor) -> Any:
        return moments(activation, *_batched(info, dims[1:], tensors)), (0, 0)


class _MatrixVjp(torch.autograd.Function):
    """(along_parameters, activation, mu, symmetric cov, mean_bar, symmetric cov_bar, *parameters) -> gradients.

    The gradients are those of the parameters, or else those of mu and cov; that of cov is symmetric.
    """

    setup_context = staticmethod(_save)

    @staticmethod
    def forward(along_parameters: bool, activation: str, *tensors: Tensor) -> tuple[Tensor, ...]:
        return (torch_kernels.parameter_vjp if along_parameters else torch_kernels.moments_vjp)(
            activation, *tensors
        )

    @staticmethod
    def backward(ctx: Any, *bars: Tensor) -> tuple[Tensor | None, ...]:
        (along_parameters, activation), (mu, cov, *_) = ctx.key, ctx.saved_tensors
        # the bars that are not among the results' are 0, and take no memory
        vector, matrix = mu.new_zeros(()).expand(mu.shape), mu.new_zeros(()).expand(cov.shape)
        own = bars if along_parameters else (vector,) * (len(ctx.saved_tensors) - 4)
        mu_bar, cov_bar = (vector, matrix) if along_parameters else bars
        return None, None, *torch_panels.pull_vjp(activation, ctx.saved_tensors, mu_bar, cov_bar, own)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        along_parameters, activation = ctx.key
        found = torch_panels.push_vjp(activation, ctx.saved_tensors, tangents[2:])
        return found[2:] if along_parameters else found[:2]

    @staticmethod
    def vmap(info: Any, dims: Any, along_parameters: bool, activation: str, *tensors: Tensor) -> Any:
        found = _vjp(along_parameters, activation, *_batched(info, dims[2:], tensors))
        return found, (0,) * len(found)


def _applied(function: Any) -> Callable[..., Any]:
    """Return `function.apply` without its handling of keywords, which takes longer than a few neurons."""
    nameless: Callable[..., Any] = super(torch.autograd.Function, function).apply

    def call(*arguments: Any) -> Any:
        # torch.func and torch.compile replace `apply` itself
        named = torch._C._are_functorch_transforms_active() or torch.compiler.is_compiling()
        return (function.apply if named else nameless)(*arguments)

    return call


elementwise = _applied(_Elementwise)
with_partials = _applied(_WithPartials)
moments = _applied(_MatrixMoments)
_vjp = _applied(_MatrixVjp)
moments_vjp, parameter_vjp = partial(_vjp, False), partial(_vjp, True)
