"""Operations that are taken apart: those of one kernel for which there are several with rules."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch._decomp import decomposition_table


class PrimitiveError(Exception):
    """A decomposition goes down to operations that are none of ATen's."""


def taken_apart(func: Any, args: Any, kwargs: Any) -> Any:
    """Compute an operation by others, as ATen or PyTorch's decompositions do; NotImplemented if neither."""
    found = func.decompose(*args, **kwargs)
    if found is NotImplemented and func in decomposition_table and not func._schema.is_mutable:
        try:
            return decomposition_table[func](*args, **kwargs)
        except PrimitiveError:
            return NotImplemented
    return found


def _bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The weights times the first input, and a product of two matrices."""
    found: Tensor = (torch.tensordot(input1, weight, ([-1], [1])) @ input2[..., None])[..., 0]
    return found if bias is None else found + bias


def _lerp(input: Tensor, end: Tensor, weight: Any) -> Tensor:
    found: Tensor = input + weight * (end - input)
    return found


def _logaddexp(input: Tensor, other: Tensor) -> Tensor:
    return other + torch.nn.functional.softplus(input - other)


# Functions that are called in place of others while a model is recorded
APART: dict[Any, Any] = {
    torch.bilinear: _bilinear,
    torch.nn.functional.bilinear: _bilinear,
    torch.lerp: _lerp,
    Tensor.lerp: _lerp,
    torch.logaddexp: _logaddexp,
    Tensor.logaddexp: _logaddexp,
}
