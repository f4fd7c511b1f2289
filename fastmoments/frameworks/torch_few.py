"""Covariances of few neurons on tensors: on their memory, and their derivatives for autograd."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from fastmoments.frameworks import few, products, torch_formulas
from fastmoments.frameworks.torch_tracking import can_read, is_bare

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
    if not can_read(left) or left.dtype not in DTYPES or forward_ad._current_level >= 0:
        return None
    if is_bare(*given):
        mended = few.without_errors(few.computed(*_arrays(*given)), _on_numpy(rounding))
        return None if mended is None else torch.from_numpy(mended)
    # as all matrices with derivatives, the mean of both triangles
    cov = cov if products.is_symmetric(cov.detach()) else torch_formulas.symmetric(cov)
    found = few.computed(*_arrays(left, cov, gains, right, None if full is None else full.clone()))
    # numbers that rounding moves depend on others than the products do
    if found is None or (found.beyond and (full is None or rounding is not None)):
        return None
    value, tensors = torch.from_numpy(found.full), (x for x in (left, cov, gains, right, full) if x is not None)
    return _congruence(value, *tensors) if full is None else _skip(value, *tensors)


def covariance(full: Tensor, rounding: Callable[[], Tensor]) -> Tensor | None:
    """Do what `Words.covariance` says in place of a bare tensor on the CPU; None where that is not at hand."""
    if full.dtype not in DTYPES:
        return None
    return None if few.covariance(full.numpy(force=True), _on_numpy(rounding)) is None else full


def _arrays(*tensors: Tensor | None) -> Any:
    """Their memory."""
    return tuple(None if x is None else x.numpy(force=True) for x in tensors)


def _on_numpy(rounding: Any) -> Any:
    """The function, whose tensor is an array."""
    return None if rounding is None else lambda: rounding().numpy(force=True)


class _Congruence(torch.autograd.Function):
    """(A cov A^T, A, a symmetric cov) -> the first."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, left: Tensor, cov: Tensor) -> Tensor:
        ctx.save_for_backward(left, cov)
        return value

    @staticmethod
    def backward(ctx: Any, bar: Tensor) -> tuple[Tensor | None, ...]:
        left, cov = ctx.saved_tensors
        through = torch_formulas.symmetric(bar) @ left
        _, of_left, of_cov = ctx.needs_input_grad
        return None, 2.0 * _total(through, cov) if of_left else None, left.mT @ through if of_cov else None


class _Skip(torch.autograd.Function):
    """(full + H + H^T, A, a symmetric cov, gains, C, full) -> the first, for H = (G A cov + C cov / 2) C^T."""

    @staticmethod
    def forward(
        ctx: Any, value: Tensor, left: Tensor, cov: Tensor, gains: Tensor, right: Tensor, full: Tensor
    ) -> Tensor:
        ctx.save_for_backward(left, cov, gains, right)
        return value

    @staticmethod
    def backward(ctx: Any, bar: Tensor) -> tuple[Tensor | None, ...]:
        left, cov, gains, right = ctx.saved_tensors
        both = 2.0 * torch_formulas.symmetric(bar)
        along = both @ right  # of (G A + C / 2) cov
        weighed, needs = gains[..., None] * left, ctx.needs_input_grad
        of_left = of_cov = of_gains = of_right = None
        if needs[1]:
            of_left = _total(gains[..., None] * along, cov)
        if needs[2]:
            of_cov = torch_formulas.symmetric(along.mT @ (weighed + 0.5 * right)).sum_to_size(cov.shape)
        if needs[3]:
            of_gains = (along * (left @ cov)).sum(-1)
        if needs[4]:
            of_right = _total(both, weighed @ cov) + _total(along, cov)
        return None, of_left, of_cov, of_gains, of_right, bar


_congruence: Callable[..., Tensor] = _Congruence.apply
_skip: Callable[..., Tensor] = _Skip.apply


def _total(one: Tensor, two: Tensor) -> Tensor:
    """The sum over a batch of the products one two."""
    total: Tensor = (one @ two).sum(tuple(range(one.ndim - 2))) if one.ndim > 2 else one @ two
    return total
