"""The kernels as torch operators, which torch.compile calls and does not trace: one per kind of function.

torch.export keeps them, and what AOTInductor compiles calls them: the process that loads it needs Python, and has
to import fastmoments first. `torch.library.triton_op` would put Triton's kernels themselves into such a file.
Inductor then writes out a kernel's source again, and ours are not their source alone: the names of formulas mean
the functions of one activation and dtype, and divisions are exchanged for correctly rounded ones (see `Compiled` in
gpu/elementary.py). Torch 2.13 exports one of our kernels, and stops with a NameError where Inductor compiles it.
"""

from typing import Any

import torch
from torch import Tensor

from fastmoments.frameworks import torch_kernels, torch_rules
from fastmoments.frameworks.torch_formulas import symmetric
from fastmoments_kernels.kinds import outputs_of


@torch.library.custom_op(
    "fastmoments::elementwise",
    mutates_args=(),
    schema="(str? activation, str kind, Tensor[] arguments) -> Tensor[]",
)
def elementwise(activation: str | None, kind: str, arguments: list[Tensor]) -> list[Tensor]:
    """Call the function `kind` of an activation; None stands for the bivariate normal."""
    return list(torch_kernels.elementwise(activation, kind, *arguments))


@elementwise.register_fake
def _(activation: str | None, kind: str, arguments: list[Tensor]) -> list[Tensor]:
    return [arguments[0].new_empty(arguments[0].shape) for _ in range(outputs_of(kind, len(arguments)))]


def _save_elementwise(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    activation, kind, arguments = inputs
    ctx.key = activation, kind
    ctx.save_for_backward(*arguments)


def _call(activation: str | None, kind: str, *arguments: Tensor) -> list[Tensor]:
    results: list[Tensor] = elementwise(activation, kind, list(arguments))
    return results


def _elementwise_backward(ctx: Any, bars: list[Tensor]) -> Any:
    gradients = torch_rules.elementwise_gradients(_call, ctx.key, ctx.saved_tensors, tuple(bars))
    return None, None, list(gradients)


elementwise.register_autograd(_elementwise_backward, setup_context=_save_elementwise)


# Lists of parameters are optional, because AOTInductor passes None for an empty one.
@torch.library.custom_op(
    "fastmoments::moments",
    mutates_args=(),
    schema="(str activation, Tensor mu, Tensor cov, Tensor[]? parameters) -> (Tensor, Tensor)",
)
def moments(activation: str, mu: Tensor, cov: Tensor, parameters: list[Tensor] | None) -> tuple[Tensor, Tensor]:
    """Compute the mean and covariance of f(X)."""
    return torch_kernels.moments(activation, mu, cov, *(parameters or ()))


BARS = "(str activation, Tensor mu, Tensor cov, Tensor mean_bar, Tensor cov_bar, Tensor[]? parameters)"


@torch.library.custom_op("fastmoments::moments_vjp", mutates_args=(), schema=f"{BARS} -> (Tensor, Tensor)")
def moments_vjp(
    activation: str, mu: Tensor, cov: Tensor, mean_bar: Tensor, cov_bar: Tensor, parameters: list[Tensor] | None
) -> tuple[Tensor, Tensor]:
    """Compute the gradients along mu and cov."""
    return torch_kernels.moments_vjp(activation, mu, cov, mean_bar, cov_bar, *(parameters or ()))


@torch.library.custom_op("fastmoments::parameter_vjp", mutates_args=(), schema=f"{BARS} -> Tensor[]")
def parameter_vjp(
    activation: str, mu: Tensor, cov: Tensor, mean_bar: Tensor, cov_bar: Tensor, parameters: list[Tensor] | None
) -> list[Tensor]:
    """Compute the gradients along the parameters."""
    return list(torch_kernels.parameter_vjp(activation, mu, cov, mean_bar, cov_bar, *(parameters or ())))


def _fake(activation: str, mu: Tensor, cov: Tensor, *others: Any) -> tuple[Tensor, Tensor]:
    return mu.new_empty(mu.shape), cov.new_empty(cov.shape)


@parameter_vjp.register_fake
def _(activation: str, mu: Tensor, *others: Any) -> list[Tensor]:
    return [mu.new_empty(mu.shape) for _ in others[-1] or ()]


def _save(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.key, mu, cov, parameters = inputs
    ctx.save_for_backward(mu, cov, *(parameters or ()))


def _backward(ctx: Any, mean_bar: Tensor, cov_bar: Tensor) -> Any:
    mu, cov, *parameters = ctx.saved_tensors
    arguments = ctx.key, mu, cov, mean_bar, symmetric(cov_bar), parameters
    others = parameter_vjp(*arguments) if any(p.requires_grad for p in parameters) else [None] * len(parameters)
    return None, *moments_vjp(*arguments), others


moments.register_fake(_fake)
moments_vjp.register_fake(_fake)
moments.register_autograd(_backward, setup_context=_save)
