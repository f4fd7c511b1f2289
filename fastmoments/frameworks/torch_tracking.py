"""Tensors: what tracks them, and whether their values can be read."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

_unpack_dual: Callable[..., Any] = forward_ad.unpack_dual


def is_bare(*arguments: Any) -> bool:
    """Whether nothing tracks the arguments: neither autograd, forward mode, torch.func nor torch.compile."""
    if torch.compiler.is_compiling() or is_transformed() or forward_ad._current_level >= 0:
        return False
    for argument in arguments:
        if getattr(argument, "requires_grad", False):
            return not torch.is_grad_enabled()
    return True


def is_transformed() -> bool:
    """Whether grad, vmap or jvp of torch.func is tracing, so that values cannot be read."""
    active: bool = torch._C._are_functorch_transforms_active()
    return active


def is_tracked(*tensors: Tensor) -> bool:
    """Whether autograd, forward mode or torch.func tracks the tensors."""
    transformed, compiling = is_transformed(), torch.compiler.is_compiling()
    if transformed and compiling:
        # an operator knows nothing of torch.func: its derivative would be an error at best, silently 0 at worst
        raise NotImplementedError("torch.func inside torch.compile: take the derivative outside, or do not compile")
    if transformed or (torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)):
        return True
    # without forward mode there are no tangents
    if compiling or forward_ad._current_level < 0:
        return False
    return any(_unpack_dual(tensor).tangent is not None for tensor in tensors)


def can_read(tensor: Tensor) -> bool:
    """Whether values can be read without waiting for a device: on the CPU, outside torch.compile and torch.func."""
    return tensor.device.type == "cpu" and not torch.compiler.is_compiling() and not is_transformed()


def has_values(tensor: Tensor) -> bool:
    """Whether there are values, on any device: outside torch.compile, torch.func and captured graphs."""
    if tensor.is_meta or torch.compiler.is_compiling() or is_transformed():
        return False
    return not (tensor.is_cuda and torch.cuda.is_current_stream_capturing())
