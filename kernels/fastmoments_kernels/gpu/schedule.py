"""The launches of a call that takes several kernels, chosen once for all calls of one size."""

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fastmoments_kernels.gpu.launch import Variant, on_device_of

ALIGNMENT = 512  # bytes: where torch's memory begins on a card


class Step(NamedTuple):
    """A launch: which of the schedule's arrays its first arguments are, and the numbers that follow them."""

    variant: Variant
    programs: int
    arrays: Callable[[Sequence[Any]], tuple[Any, ...]]
    numbers: tuple[Any, ...]


class Schedule:
    """Launches in turn, and one piece of memory for the arrays that only kernels see.

    Arguments of kernels are found by name: an argument `mu_ptr` is the array `mu`, others are numbers. A call gives
    the arrays `arrays`, which are contiguous; `share` sets memory for others aside.

    What Triton compiled is kept by devices, dtypes, and where arrays begin modulo 16 bytes: nothing else that it
    looks at differs between calls. It is then launched on addresses, which takes a fraction of the time of tensors.
    Of a tensor, unlike an address, it says so if the memory is not the card's: therefore the device of each.
    """

    def __init__(self, arrays: Sequence[str], **numbers: Any) -> None:
        self.names = list(arrays)
        self.numbers = numbers
        self.steps: list[Step] = []
        self.shared: list[tuple[torch.dtype, int, int]] = []  # dtype, first byte and the one behind
        self.size = 0
        self.launchers: dict[Any, list[Any]] = {}

    def share(self, name: str, dtype: torch.dtype, count: int) -> None:
        """Set memory for `count` numbers aside, unwritten."""
        end = self.size + count * dtype.itemsize
        self.names.append(name)
        self.shared.append((dtype, self.size, end))
        self.size = -(-end // ALIGNMENT) * ALIGNMENT

    def add(self, variant: Variant, programs: int, **own: Any) -> None:
        """Append a launch, if it has programs; `own` are the kernel's arguments that have other names here."""
        if programs:
            names = variant.kernel.arg_names[: -len(variant.constants)]
            arrays = [own.get(name, name.removesuffix("_ptr")) for name in names if name.endswith("_ptr")]
            numbers = tuple((self.numbers | own)[name] for name in names if not name.endswith("_ptr"))
            self.steps.append(Step(variant, programs, itemgetter(*map(self.names.index, arrays)), numbers))

    def __call__(self, *arrays: Tensor) -> None:
        """Launch all, on the device of the arrays and its current stream."""
        like = arrays[0]
        with on_device_of(like):
            memory = like.new_empty(self.size, dtype=torch.int8)
            addresses, base = [array.data_ptr() for array in arrays], memory.data_ptr()
            offsets = [address % 16 for address in addresses]
            key = base % 16, *offsets, *[(array.dtype, array.get_device()) for array in arrays]
            launchers = self.launchers.get(key)
            if launchers is None:
                self._first(key, (*arrays, *(memory[start:end].view(dtype) for dtype, start, end in self.shared)))
                return
            addresses += [base + start for _, start, _ in self.shared]
            for launch, chosen, others in launchers:
                launch(*chosen(addresses), *others)

    def _first(self, key: tuple[Any, ...], arrays: tuple[Tensor, ...]) -> None:
        """Launch on tensors, from which Triton knows the types, and keep what it compiled."""
        launchers = []
        for variant, programs, chosen, numbers in self.steps:
            launcher = variant(programs, *chosen(arrays), *numbers)
            if launcher is not None:
                compiled, constants = launcher
                launchers.append((compiled[programs, 1, 1], chosen, (*numbers, *constants)))
        if len(launchers) == len(self.steps):
            self.launchers[key] = launchers
