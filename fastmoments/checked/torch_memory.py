"""Derivatives of PyTorch's functions in little memory."""

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

KEPT = 2**22  # bytes of tensors that an input may keep for derivatives; beyond, functions are computed again


class _TooMuchError(Exception):
    """A function needs more memory for its derivatives than it may keep."""


class _Memory:
    """A count of the bytes that functions keep for their derivatives: each tensor once, up to KEPT."""

    def __init__(self) -> None:
        self.sizes: dict[int, int] = {}

    def keep(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        self.sizes[storage.data_ptr()] = storage.nbytes()
        if sum(self.sizes.values()) > KEPT:
            raise _TooMuchError
        return tensor.detach()  # a function's own result would keep itself alive


def forgetful(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function of tensors, which is computed again for its derivatives once its calls need much memory.

    PyTorch's own way to do so imports its compiler, which takes a second: small models do without.
    """
    memory, is_small = _Memory(), True

    def call(*tensors: Tensor) -> Any:
        nonlocal is_small
        try:
            if is_small:
                with saved_tensors_hooks(memory.keep, lambda tensor: tensor):
                    return function(*tensors)
        except _TooMuchError:
            is_small = False
        from torch.utils.checkpoint import checkpoint

        return checkpoint(function, *tensors, use_reentrant=False)

    return call
