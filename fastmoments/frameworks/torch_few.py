"""Covariances of few neurons on tensors: on their memory where nothing tracks them."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from fastmoments.frameworks import few
from fastmoments.frameworks.torch_tracking import is_bare

DTYPES = (torch.float32, torch.float64)


def congruence(
    left: Tensor,
    cov: Tensor,
    gains: Tensor | None = None,
    right: Tensor | None = None,
    full: Tensor | None = None,
    rounding: Callable[[], Tensor] | None = None,
) -> Tensor | None:
    """Do what `Framework.congruence` says."""
    given = left, cov, gains, right, full
    if not is_bare(*given) or left.device.type != "cpu" or left.dtype not in DTYPES:
        return None
    arrays: Any = tuple(None if x is None else x.numpy(force=True) for x in given)
    found = few.congruence(*arrays, _on_numpy(rounding))
    return None if found is None else torch.from_numpy(found)


def covariance(full: Tensor, rounding: Callable[[], Tensor]) -> Tensor | None:
    """Do what `Words.covariance` says in place of a bare tensor on the CPU; None where that is not at hand."""
    if full.dtype not in DTYPES:
        return None
    return None if few.covariance(full.numpy(force=True), _on_numpy(rounding)) is None else full


def _on_numpy(rounding: Any) -> Any:
    """The function, whose tensor is an array."""
    return None if rounding is None else lambda: rounding().numpy(force=True)
