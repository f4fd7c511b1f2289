"""Triton: the vocabulary, kernels and launches on CUDA tensors, or interpreted. No activation is named here."""

from fastmoments_kernels.gpu.launch import elementwise, laid_out, normal
from fastmoments_kernels.gpu.layers import add_skip, linear_marginals
from fastmoments_kernels.gpu.matrices import moments, moments_vjp
from fastmoments_kernels.gpu.scalars import normal_scalar, scalar

__all__ = [
    "add_skip",
    "elementwise",
    "laid_out",
    "linear_marginals",
    "moments",
    "moments_vjp",
    "normal",
    "normal_scalar",
    "scalar",
]
