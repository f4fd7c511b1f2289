"""Generators' states and tensors that a PyTorch model may change while it runs, and that are put back."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fastmoments.graph.frontends.torch_model import generators

KEEPS = (
    "{}: the model writes to this tensor that it keeps, as modules do in training; call model.eval(), or write it "
    "without"
)


class Generators:
    """The generators that a model may draw from: PyTorch's, NumPy's and Python's. They stay as they were."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def __enter__(self) -> Generators:
        self.before, self.seen = self._states(), self.state()
        return self

    def __exit__(self, *error: Any) -> None:
        if not self.have_moved():
            return
        own, python, numpy, cuda = self.before
        torch.set_rng_state(own)
        random.setstate(python)
        np.random.set_state(numpy)
        if cuda is not None:
            torch.cuda.set_rng_state(cuda, self.device)

    def have_moved(self) -> bool:
        """Whether something has been drawn."""
        return bool(self.state() != self.seen)

    def move(self) -> None:
        """Put all generators in other states."""
        torch.rand(7, device=self.device)
        torch.rand(7)
        np.random.random(7)  # noqa: NPY002 (the generator that models share)
        random.random()

    def state(self) -> Any:
        """The present states, which can be compared."""
        own, cuda = torch.get_rng_state(), self._cuda()
        return bytes(own.numpy()), generators(), None if cuda is None else bytes(cuda.numpy())

    def _states(self) -> tuple[Tensor, Any, Any, Tensor | None]:
        return torch.get_rng_state(), random.getstate(), np.random.get_state(legacy=False), self._cuda()  # noqa: NPY002

    def _cuda(self) -> Tensor | None:
        return torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None


class Kept:
    """The tensors that a model keeps, which are put back as they were."""

    def __init__(self, model: Any) -> None:
        self.modules = list(model.named_modules()) if isinstance(model, nn.Module) else []

    def __enter__(self) -> Kept:
        self.before = [
            (path, own, name, x, x.clone())
            for path, module in self.modules
            for own in (module._buffers, module._parameters)
            for name, x in own.items()
            if x is not None
        ]
        return self

    def __exit__(self, *error: Any) -> None:
        for _, own, name, x, value in self.before:
            own[name] = x
            if not _same(x, value):
                x.copy_(value)

    def check(self) -> None:
        """Raise if the model has written to one."""
        for path, own, name, x, value in self.before:
            if own[name] is not x or not _same(x, value):
                raise ValueError(KEEPS.format(f"{path}.{name}" if path else name))


def _same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same elements, nan or not."""
    return torch.equal(one, other) or bool(((one == other) | ((one != one) & (other != other))).all())
