"""Rows of a table that one-hot values of the network choose."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from fastmoments.graph.frontends.torch_trace import Recorder


def chosen(
    recorder: Recorder,
    function: Callable[..., Tensor],
    x: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor | None:
    """F.embedding of floating values (..., rows of the table), one-hot in the last axis; None for indices."""
    if not x.is_floating_point():
        return None
    path = recorder.path()
    if max_norm is not None or scale_grad_by_freq:
        option = "max_norm, which changes the table" if max_norm is not None else "scale_grad_by_freq"
        raise recorder.refuse(TypeError, f"{path}: embedding has no rule with {option}")
    if x.shape[-1] != len(weight):
        raise recorder.refuse(
            ValueError,
            f"{path}: embedding: a value of the network stands for one-hot vectors of {len(weight)} elements, the "
            f"rows of the table, in its last axis, which has {x.shape[-1]} (fm.categorical_moments makes them)",
        )
    if padding_idx is not None:
        with recorder.pause():
            learned = torch.ones(len(weight), 1, dtype=torch.bool, device=weight.device)
            learned[padding_idx] = False
        weight = torch.where(learned, weight, weight.detach())  # that row has no gradient
    return x @ weight
