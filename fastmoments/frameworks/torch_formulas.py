"""The formulas on torch operations, which autograd differentiates to any order."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from fastmoments_kernels.custom import Custom
from fastmoments_kernels.eager import on_torch
from fastmoments_kernels.kinds import slack_of

# torch annotates two results or three; here there are two
_vjp: Callable[..., Any] = torch.func.vjp


def symmetric(matrix: Tensor) -> Tensor:
    """Return the mean of both triangles."""
    return 0.5 * (matrix + matrix.mT)


def elementwise_of(activation: Any, kind: str, like: Tensor) -> Callable[..., Any]:
    """Return the element-wise function `kind` of an activation: (*tensors) -> tensors."""
    return on_torch.function(with_formula(activation), kind, like.dtype)


def with_formula(activation: Any) -> Any:
    """Return the activation, which must have formulas."""
    if isinstance(activation, Custom):
        raise NotImplementedError("activation: Custom functions have first derivatives only")
    return activation


def moments_of(activation: str, like: Tensor) -> Callable[..., tuple[Tensor, Tensor]]:
    """Return the function (mu, cov, *parameters) -> (mean, cov_out)."""
    functions = on_torch.functions(with_formula(activation), like.dtype)
    slack = slack_of(like.shape[-1], torch.finfo(like.dtype).eps)
    return lambda mu, cov, *parameters: functions.moments(mu, cov, slack, *parameters)


def moments_vjp_of(activation: str, like: Tensor) -> Callable[..., tuple[Tensor, ...]]:
    """Return the function (mu, cov, mean_bar, cov_bar, *parameters) -> gradients of mu, cov and the parameters."""

    def vjp(mu: Tensor, cov: Tensor, mean_bar: Tensor, cov_bar: Tensor, *parameters: Tensor) -> tuple[Tensor, ...]:
        _, pull = _vjp(moments_of(activation, like), mu, cov, *parameters)
        mu_bar, upper, *others = pull((mean_bar, cov_bar))
        return mu_bar, symmetric(upper), *others

    return vjp


def pull(function: Callable[..., Any], inputs: tuple[Tensor, ...], bars: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Return the gradients of sum(bars * function(*inputs)) along the inputs."""
    values, back = _vjp(function, *inputs)
    gradients: tuple[Tensor, ...] = back(bars if isinstance(values, tuple) else bars[0])
    return gradients


def push(function: Callable[..., Any], inputs: tuple[Tensor, ...], tangents: tuple[Any, ...]) -> Any:
    """Return the derivative of a function along tangents; None stands for a tangent of 0.

    Reverse mode runs twice, because forward mode does not nest: the gradient J^T bars is linear in `bars`, and its
    own gradient along them, for the tangents t, is J t.
    """
    values = as_tuple(function(*inputs))
    zeros = tuple(torch.zeros_like(value) for value in values)
    filled = tuple(torch.zeros_like(x) if t is None else t for x, t in zip(inputs, tangents, strict=True))
    _, back = _vjp(lambda *bars: pull(function, inputs, bars), *zeros)
    found = back(filled)
    return found if len(found) > 1 else found[0]


def as_tuple(value: Any) -> tuple[Tensor, ...]:
    """Return a tuple: the value, or one with the tensor that it is."""
    return value if isinstance(value, tuple) else (value,)
