"""Layers of tensors: shapes and buffers around kernels that do several steps at once."""

import math
from typing import Any

import torch
from torch import Tensor

from fastmoments.dispatch import Named
from fastmoments.frameworks import numpy, shapes, torch_kernels


def as_tensor(value: Any, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the value as a tensor. The device writes a number itself: a copy would wait for the device."""
    if isinstance(value, torch.Tensor) and value.dtype == dtype and value.device == device:
        return value
    if isinstance(value, int | float):
        return torch.full((), value, dtype=dtype, device=device)
    return torch.as_tensor(value, dtype=dtype, device=device)


def _array(value: Any) -> Any:
    return value.numpy(force=True) if isinstance(value, torch.Tensor) else value


def linear_marginals(
    activation: str | None,
    inputs: tuple[Tensor, Tensor],
    weights: tuple[Tensor, Tensor],
    biases: list[Tensor | None],
    parameters: Named,
) -> tuple[Tensor, Tensor]:
    """Compute mean and variance (..., m) of f(W X + b); without an activation, of W X + b.

    `inputs` are mean and variance (..., n) of X, `weights` mean and variance (m, n) of W, all of one dtype.
    """
    (*lead, depth), columns, like = inputs[0].shape, len(weights[0]), inputs[0]
    if torch_kernels.kernels_for(activation, like) == "cpu":
        factors = tuple(map(_array, inputs)), tuple(map(_array, weights))
        numbers = {name: _array(value) for name, value in parameters.items()}
        found = numpy.linear_marginals(activation, *factors, list(map(_array, biases)), numbers)
        return torch.from_numpy(found[0]), torch.from_numpy(found[1])
    # the formula is evaluated in the dtype of the sums, and so are its parameters
    real = torch.promote_types(like.dtype, torch.float32)
    own = {name: as_tensor(value, real, like.device) for name, value in parameters.items()}
    shapes.check_parameters(own, (*lead, columns))
    gpu, rows = torch_kernels.gpu_kernels(), math.prod(lead)
    flat = tuple(gpu.laid_out(x).view(rows, depth) for x in inputs)
    mean, var = (like.new_empty((rows, columns)) for _ in range(2))
    factors = flat, tuple(map(gpu.laid_out, weights))
    offsets = tuple(None if bias is None else gpu.laid_out(bias) for bias in biases)
    per_neuron = tuple(value.expand(columns) for value in own.values())
    gpu.linear_marginals(activation, *factors, offsets, (mean, var), per_neuron)
    return mean.reshape(*lead, columns), var.reshape(*lead, columns)


def add_skip(cov: Tensor, gains: Tensor, mixed: Tensor, skipped: Tensor) -> Tensor:
    """Add G mixed, its transpose and `skipped` to cov, in place; G = diag(gains)."""
    n = gains.shape[-1]
    if not cov.numel():
        return cov
    gpu = torch_kernels.gpu_kernels()
    out, *others = (gpu.laid_out(x).view(-1, n, n) for x in (cov, mixed, skipped))
    gpu.add_skip(out, gpu.laid_out(gains).view(-1, n), *others)
    result: Tensor = out.view(cov.shape)
    return result


def make_symmetric(full: Tensor, rounding: Tensor | None = None) -> Tensor:
    """Return the mean of both triangles, in place of full (..., n, n), by one kernel that allocates no matrix.

    With `rounding` (...,), the result is a covariance without errors of up to that.
    """
    if not full.numel():
        return full
    # a product of a matrix and a batch is a transpose in memory, which has the same mean of triangles
    full = full if full.is_contiguous() else full.mT
    gpu, n = torch_kernels.gpu_kernels(), full.shape[-1]
    out = gpu.laid_out(full).view(-1, n, n)
    gpu.make_symmetric(
        out, None if rounding is None else gpu.laid_out(rounding.expand(full.shape[:-2])).view(len(out))
    )
    result: Tensor = out.view(full.shape)
    return result
