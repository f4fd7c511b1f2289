"""Tensors: products and sums that are covariances, in place where nothing tracks them."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from fastmoments.frameworks import numpy_products, products, torch_few, torch_formulas, torch_kernels, torch_layers
from fastmoments.frameworks.torch_tracking import can_read, has_values, is_bare, is_tracked


def symmetric(cov: Tensor) -> Tensor:
    """Return the symmetric matrix of cov's upper triangle; with derivatives, the mean of both triangles."""
    if is_tracked(cov):
        return torch_formulas.symmetric(cov)
    if can_read(cov) and products.is_symmetric(cov):
        return cov
    upper = torch.triu(cov)
    return upper + torch.triu(cov, 1).mT


def checked_covariance(cov: Tensor, eps: float, name: str = "cov") -> Tensor:
    """Return the symmetric matrix of cov's upper triangle, with a symmetric gradient; raise if cov is far from it.

    Tensors on other devices are waited for, for one number.
    """
    values = cov.detach()
    known = values if has_values(values) else None
    is_symmetric = known is not None and products.is_symmetric(known)
    if known is not None and not is_symmetric:
        half = known.dtype not in (torch.float32, torch.float64)
        numpy_products.checked_covariance((known.float() if half else known).numpy(force=True), eps, name)
    if is_symmetric:
        return torch_formulas.symmetric(cov) if is_tracked(cov) else cov
    upper = torch.triu(cov) + torch.triu(cov, 1).mT
    if not is_tracked(cov):
        return upper
    # the value of one triangle, the gradient of both
    both = torch_formulas.symmetric(cov)
    return both + (upper - both).detach()


def symmetric_product(left: Tensor, right: Tensor, rounding: Callable[[], Tensor]) -> Tensor:
    """Return left (m, n) times right (..., n, m), a covariance, without errors of up to `rounding()`.

    Panels save half of the multiplications. On CUDA, where each takes seven launches, one product computes all.
    """
    if not is_bare(left, right) or _has_kernels(right):
        return covariance(left @ right, rounding)
    full = products.by_panels(left, right, right.new_empty((*right.shape[:-2], len(left), len(left))))
    if can_read(full):
        return products.mend(torch, full, rounding)
    return products.without_rounding(torch, full, rounding())


def covariance(full: Tensor, rounding: Callable[[], Tensor]) -> Tensor:
    """Return the mean of both triangles, a covariance, without errors of up to `rounding()`.

    It overwrites `full` if that is on the CPU or CUDA and not tracked.
    """
    if is_bare(full) and _has_kernels(full):
        return torch_layers.make_symmetric(full, rounding())
    if can_read(full) and is_bare(full):
        found = torch_few.covariance(full, rounding)
        if found is not None:
            return found
        return products.mend(torch, products.plus_transpose(full.mul_(0.5)), rounding)
    return products.without_rounding(torch, torch_formulas.symmetric(full), rounding())


def times_squares(left: Tensor, matrix: Tensor) -> Tensor:
    """Return left (..., n) times the transpose of matrix (m, n), whose elements are squared."""
    if not is_bare(left, matrix) or left.device.type != "cpu":
        product: Tensor = left @ (matrix * matrix).mT
        return product
    out: Tensor = left.new_empty((*left.shape[:-1], len(matrix)))
    return products.times_squares(left, matrix, out)


def plus(full: Tensor, other: Tensor, factor: Any) -> Tensor:
    """Return full + factor * other; it overwrites `full` if nothing tracks the tensors."""
    if not is_bare(full, other, factor) or isinstance(factor, Tensor):
        total: Tensor = full + factor * other
        return total
    added: Tensor = full.add_(other, alpha=factor)
    return added


def _has_kernels(full: Tensor) -> bool:
    """Whether Triton's kernels compute the tensor's device."""
    return torch_kernels.kernels_for(None, full) == "gpu"


def eye(n: int, like: Tensor) -> Tensor:
    """Return the identity matrix (n, n) of the tensor's dtype, on its device."""
    return torch.eye(n, dtype=like.dtype, device=like.device)


def ndtri(u: Tensor) -> Tensor:
    """Return the quantiles of N(0, 1) at probabilities u in (0, 1)."""
    quantiles: Tensor = torch.special.ndtri(u)
    return quantiles


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function, whose operations are compiled."""
    return function


def detached(x: Tensor) -> Tensor:
    """Return the tensor without derivatives."""
    return x.detach()


def with_skip(full: Tensor, gains: Tensor, product: Tensor, across: Tensor, matrix: Tensor | None) -> Tensor:
    """Do what `products.plus_skip` does, in place of full if nothing tracks the tensors.

    On CUDA that is one kernel and, with a matrix, one product before it and one more array of product's shape.
    """
    if not is_bare(full, gains, product, across, matrix):
        return products.plus_skip(full, gains, product, across, matrix)
    if not _has_kernels(full):
        return products.add_skip(full, gains, product, across, matrix)
    if matrix is None:
        return torch_layers.add_skip(full, gains, product, across)
    # K + 2 H has the mean of triangles K + H + H^T
    twice = torch.addcmul(across, gains[..., None], product, value=2)
    rows = full.reshape(-1, full.shape[-1]).addmm_(twice.reshape(-1, twice.shape[-1]), matrix.mT)
    return torch_layers.make_symmetric(rows.view(full.shape))


def plus_diagonal(full: Tensor, vector: Tensor) -> Tensor:
    """Add the vector to the diagonal of full, in place unless one of them is tracked."""
    if not is_bare(full, vector):
        return full + torch.diag_embed(vector)
    torch.diagonal(full, dim1=-2, dim2=-1).add_(vector)
    return full
