"""How elementwise kernels read arguments that broadcast or are slices: where they are, by strides."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

# Dimensions by which kernels read, after those that follow each other in memory are one: 1 for arrays of one shape
# and scalars, 2 for rows and columns of a matrix, 3 for those of a batch.
MOST = 3


class Read(NamedTuple):
    """Arguments of one shape; sizes of the inner dimensions, innermost first; strides, argument by argument.

    Sizes and strides are `hidden`.
    """

    arguments: list[Tensor]
    sizes: tuple[int, ...]
    strides: tuple[int, ...]


def read(tensors: Sequence[Tensor]) -> Read:
    """How to read tensors that broadcast, without torch's bit that negates numbers lazily.

    What needs more than MOST dimensions is copied to the full shape.
    """
    shape = tensors[0].shape
    if all(tensor.shape == shape and tensor.is_contiguous() and not tensor.is_neg() for tensor in tensors):
        return Read(list(tensors), (), (hidden(1),) * len(tensors))
    found = [tensor.resolve_neg() for tensor in torch.broadcast_tensors(*tensors)]
    sizes, strides = collapsed(found)
    if len(sizes) > MOST:
        found = [tensor.contiguous() for tensor in found]
        sizes, strides = collapsed(found)
    steps = (step for of_argument in zip(*strides, strict=True) for step in of_argument)
    return Read(found, tuple(map(hidden, sizes[:-1])), tuple(map(hidden, steps)))


def hidden(number: int) -> int:
    """A number from which kernels get the given one by `shown`, and which is neither 1 nor a multiple of 16.

    For those Triton compiles a kernel anew, in tuples whatever it is told.
    """
    return 32 * number + 2


def collapsed(tensors: Sequence[Tensor]) -> tuple[list[int], list[tuple[int, ...]]]:
    """Sizes and every tensor's strides, innermost first, of as few dimensions as describe tensors of one shape."""
    sizes, strides = [1], [(0,) * len(tensors)]
    for dim in reversed(range(tensors[0].ndim)):
        size, steps = tensors[0].shape[dim], tuple(tensor.stride(dim) for tensor in tensors)
        if size == 1:
            continue
        if sizes == [1]:
            sizes, strides = [size], [steps]
        elif all(step == inner * sizes[-1] for step, inner in zip(steps, strides[-1], strict=True)):
            sizes[-1] *= size
        else:
            sizes.append(size)
            strides.append(steps)
    return sizes, strides
