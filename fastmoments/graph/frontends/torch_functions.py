"""The functions that a model calls, before they become operations of ATen: what is seen there alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (torch's own name for it)
from torch.overrides import TorchFunctionMode

from fastmoments.graph.frontends.torch_apart import APART
from fastmoments.graph.frontends.torch_callers import in_hook
from fastmoments.graph.frontends.torch_noise import DROPOUTS, dropped
from fastmoments.graph.frontends.torch_tables import chosen
from fastmoments.graph.frontends.torch_trace import DEPENDS, Recorder

DATA = torch.Tensor.data.__set__  # type: ignore[attr-defined]
LOOKS = {torch.Tensor.numpy, torch.Tensor.tolist, torch.Tensor.__array__, torch.Tensor.__dlpack__}

# Functions that have rules where their first argument is a value of the network
SEEN: dict[Any, Any] = dict.fromkeys(DROPOUTS, dropped) | {F.embedding: chosen}


class Functions(TorchFunctionMode):
    """Refuse what takes a tensor's values to Python without an operation, and see what ATen takes apart.

    Parameters that torch.func tracks are, to operations, tensors without derivatives. Where it is `transformed`,
    others stand for them while the model runs, and the recorder knows for which.
    """

    def __init__(self, recorder: Recorder, transformed: bool) -> None:
        super().__init__()
        self.recorder, self.transformed = recorder, transformed
        # by the ids of tracked tensors: the tensor, and what stands for it
        self.standing: dict[int, tuple[Tensor, Tensor]] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in LOOKS and not self.recorder.paused and self.recorder.depends(args) and not in_hook():
            path = self.recorder.path()
            raise self.recorder.refuse(TypeError, f"{path}: {func.__name__}: {DEPENDS}; write it in PyTorch")
        if func == DATA and self.recorder.depends(args):
            path = self.recorder.path()
            raise self.recorder.refuse(TypeError, f"{path}: .data = has no rule; write it by .copy_()")
        func = APART.get(func, func)
        if self.transformed:
            args, kwargs = self._replaced(args), self._replaced(kwargs)
        seen = SEEN.get(func) if not self.recorder.paused and self.recorder.depends(args[:1]) else None
        found = None if seen is None else seen(self.recorder, func, *args, **kwargs)
        return func(*args, **kwargs) if found is None else found

    def _replaced(self, value: Any) -> Any:
        """Nested arguments with others for tracked tensors."""
        if isinstance(value, Tensor):
            return self._replacement(value) if torch._C._functorch.is_functorch_wrapped_tensor(value) else value
        if isinstance(value, dict):
            return {key: self._replaced(x) for key, x in value.items()}
        return type(value)(map(self._replaced, value)) if type(value) in (list, tuple) else value

    def _replacement(self, tensor: Tensor) -> Tensor:
        if id(tensor) not in self.standing:
            with self.recorder.pause():
                plain = _value_of(tensor).detach().clone()
            self.standing[id(tensor)] = tensor, plain
            self.recorder.meant[id(plain)] = tensor
        return self.standing[id(tensor)][1]


def _value_of(tensor: Tensor) -> Tensor:
    """The value that torch.func tracks; of a batch of vmap the first."""
    functorch = torch._C._functorch
    while functorch.is_functorch_wrapped_tensor(tensor):
        batch = functorch.maybe_get_bdim(tensor) if functorch.is_batchedtensor(tensor) else None
        tensor = functorch.get_unwrapped(tensor)
        tensor = tensor if batch is None else tensor.select(batch, 0)
    return tensor
