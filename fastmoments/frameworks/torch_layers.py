"""Layers of tensors: shapes and buffers around the gpu kernels that do several steps at once."""

from typing import Any

import torch

from fastmoments.dispatch import Named
from fastmoments.frameworks import numpy, torch_kernels

Tensor = Any


def as_tensor(value: Any, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The value as a tensor; a number is written by the device, for a copy would wait for it."""
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
    """Mean and variance (..., m) of f(W X + b), or of W X + b, inputs (..., n) and weights (m, n) of one dtype."""
    (*lead, depth), columns, like = inputs[0].shape, len(weights[0]), inputs[0]
    if torch_kernels.kernels_for(activation, like) == "cpu":
        factors = tuple(map(_array, inputs)), tuple(map(_array, weights))
        numbers = {name: _array(value) for name, value in parameters.items()}
        found = numpy.linear_marginals(activation, *factors, list(map(_array, biases)), numbers)
        return torch.from_numpy(found[0]), torch.from_numpy(found[1])
    # parameters are numbers of the formula, which is evaluated in the dtype of the sums
    real = torch.promote_types(like.dtype, torch.float32)
    own = [as_tensor(value, real, like.device).expand(columns) for value in parameters.values()]
    gpu = torch_kernels.gpu_kernels()
    flat = [gpu.laid_out(x).view(-1, depth) for x in inputs]
    mean, var = (like.new_empty((len(flat[0]), columns)) for _ in range(2))
    factors = tuple(flat), tuple(map(gpu.laid_out, weights))
    offsets = tuple(None if bias is None else gpu.laid_out(bias) for bias in biases)
    gpu.linear_marginals(activation, *factors, offsets, (mean, var), tuple(own))
    return mean.reshape(*lead, columns), var.reshape(*lead, columns)


def add_skip(cov: Tensor, gains: Tensor, mixed: Tensor, skipped: Tensor) -> Tensor:
    """Cov, which is overwritten, with G mixed, its transpose and `skipped` added; gains (..., n)."""
    n = gains.shape[-1]
    if not cov.numel():
        return cov
    gpu = torch_kernels.gpu_kernels()
    out, *others = (gpu.laid_out(x).view(-1, n, n) for x in (cov, mixed, skipped))
    gpu.add_skip(out, gpu.laid_out(gains).view(-1, n), *others)
    return out.view(cov.shape)
