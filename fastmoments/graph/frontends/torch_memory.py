"""Tensors that look at the same memory: what one of them writes, the others read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

Geometry = tuple[tuple[int, ...], tuple[int, ...], int]  # size, stride, offset


class Memory:
    """The writes to a memory in their order: (what was written, its geometry, whether it depends on the input)."""

    def __init__(self, foreign: bool = False) -> None:
        self.foreign = foreign  # the model's own, from before the run
        self.writes: list[tuple[Any, Geometry, bool]] = []
        self.holders: list[tuple[Any, int]] = []  # entries, and which of their values look at it

    def keep_values(self) -> None:
        """Copy the values of the entries before a write changes them."""
        for entry, k in self.holders:
            entry.values[k] = entry.values[k].clone()
        self.holders = []


def geometry_of(tensor: Tensor) -> Geometry:
    """Where in its memory a tensor's elements are."""
    return tuple(tensor.shape), tuple(tensor.stride()), int(tensor.storage_offset())


def length_of(tensor: Tensor) -> int:
    """The number of elements in the tensor's memory."""
    return tensor.untyped_storage().nbytes() // tensor.element_size()


def memory_of(tensor: Tensor) -> int:
    """The number of the memory at which a tensor looks; sparse ones have none that others could look at."""
    if tensor.layout is not torch.strided:
        return -id(tensor)
    number: int = tensor.untyped_storage()._cdata
    return number


def meet(one: Geometry, two: Geometry, length: int) -> bool:
    """Whether tensors of these geometries share an element; halves of a tensor do not."""
    written = torch.zeros(length, dtype=torch.bool)
    written[_places(one, length, written.device)] = True
    return bool(written[_places(two, length, written.device)].any())


def overlaid(old: Tensor, new: Tensor, geometry: Geometry, written: Geometry, length: int) -> Tensor:
    """A tensor of that geometry behind the write of `new`; both are values, of any strides."""
    own = _places(geometry, length, old.device)
    memory = _put(_put(old.new_zeros(length), own, old), _places(written, length, old.device), new)
    return memory[own]


def restrided(x: Tensor, geometry: Geometry, length: int, wanted: Geometry) -> Tensor:
    """The elements of the wanted geometry in the memory at which x, a value of any strides, looks."""
    memory = _put(x.new_zeros(length), _places(geometry, length, x.device), x)
    return memory[_places(wanted, length, x.device)]


def _places(geometry: Geometry, length: int, device: torch.device) -> Tensor:
    """The places in the memory of a tensor's elements."""
    return torch.arange(length, device=device).as_strided(*geometry)


def _put(memory: Tensor, places: Tensor, values: Tensor) -> Tensor:
    # not by as_strided_scatter, whose derivative is wrong (PyTorch 2.13)
    return memory.scatter(0, places.reshape(-1), values.reshape(-1))


def copied(x: Tensor, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """X as it is after copying to a tensor of that shape; aten.copy has no derivative."""
    return x.expand(tuple(shape)).to(dtype)


def filled(value: Any, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """A tensor that holds one number."""
    if isinstance(value, Tensor):
        return value.to(dtype).expand(tuple(shape))
    return torch.full(tuple(shape), value, dtype=dtype, device=device)
