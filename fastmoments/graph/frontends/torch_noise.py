"""Dropout that a PyTorch model draws, which is one function of it and several operations of ATen."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (torch's own name for it)

from fastmoments.frameworks import Words
from fastmoments.graph.frontends.torch_calls import Call
from fastmoments.graph.frontends.torch_runs import Layout
from fastmoments.graph.frontends.torch_trace import Recorder
from fastmoments.graph.nodes import Node, Shape, Sum
from fastmoments.graph.noise import Shared, mask_of, multiplied
from fastmoments.joint.noise import shared_cov

DROPOUT = "dropout"  # the name of the operation in a record
# The number of leading dimensions of a tensor of so many that have masks of their own; the others share them
DROPOUTS: dict[Callable[..., Tensor], Callable[[int], int]] = {
    F.dropout: lambda dims: dims,
    F.alpha_dropout: lambda dims: dims,
    F.dropout1d: lambda dims: 1 if dims == 2 else 2,  # (rows, n) counts as channels of one example
    F.dropout2d: lambda dims: 2,
    F.dropout3d: lambda dims: 2 if dims == 5 else 1,
    F.feature_alpha_dropout: lambda dims: 2,
}
ALPHA = 1.7580993408473766  # minus the value that SELU has at minus infinity


def dropped(
    recorder: Recorder,
    function: Callable[..., Tensor],
    x: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
) -> Tensor | None:
    """Record a function of `DROPOUTS` of a value of the network; None where it draws nothing."""
    p = float(p)
    if not training or not 0.0 < p < 1.0:
        return None
    with recorder.pause():
        function(x, p, False)  # it checks its arguments
    keep, lead = 1.0 - p, DROPOUTS[function](x.ndim)
    if function in (F.alpha_dropout, F.feature_alpha_dropout):
        # a (m (x + alpha) - keep alpha), m = 1 with probability keep
        a = 1.0 / math.sqrt((ALPHA**2 * p + 1.0) * keep)
        out = recorder.stand_in(_mean, DROPOUT, x, a * keep, p, lead, ALPHA)
    else:
        out = recorder.stand_in(_mean, DROPOUT, x, 1.0, p, lead, 0.0)
    return x.copy_(out) if inplace else out


def _mean(x: Tensor, factor: float, p: float, lead: int, shift: float) -> Tensor:
    """E[factor ((x + shift) mask - shift)] of a mask of mean 1 that is 0 with probability p."""
    return factor * x


def dropout_of(call: Call, shape: Shape) -> Node:
    """Return the node of a recorded dropout."""
    (source,), (_, factor, p, lead, shift) = call.inputs, call.args
    layout = call.operation.layouts[0]
    shared = _shared(layout, source.size, lead) if lead < len(layout.sizes) else None
    if shift == 0.0:
        return multiplied(source, mask_of(p), call.label, shared, factor)
    moved = Node(Sum(lambda x: x + shift, (1.0,)), (source,), shape, call.label)
    noisy = multiplied(moved, mask_of(p), call.label, shared, factor)
    return Node(Sum(lambda x: x - factor * shift, (1.0,)), (noisy,), shape, call.label)


def _shared(layout: Layout, size: int, lead: int) -> Shared:
    """Which of the elements (size,) of one row share a mask, of which every one is numbered."""
    own = layout.native(torch.arange(size).reshape(1, *layout.shape)).shape
    count = math.prod(own[:lead])
    numbers = torch.arange(count).reshape(*own[:lead], *(1,) * (len(own) - lead)).expand(own)
    labels = layout.rows(numbers, 1).reshape(size)

    def spread(masks: Tensor) -> Tensor:
        return masks[:, labels.to(masks.device)].reshape(len(masks), *layout.shape)

    def own_cov(var: float) -> Callable[[Words[Any], Tensor], Tensor]:
        return lambda words, second: shared_cov(words.xp, second, var, labels.to(second.device))

    return Shared(count, spread, own_cov)
