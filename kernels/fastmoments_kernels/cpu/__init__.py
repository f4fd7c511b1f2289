"""Numba: the vocabulary in machine code, and the loops. No activation is named here."""

from fastmoments_kernels.cpu.elementwise import elementwise, normal
from fastmoments_kernels.cpu.layers import linear_marginals
from fastmoments_kernels.cpu.matrices import block, block_vjp, moments, moments_vjp, parameter_vjp
from fastmoments_kernels.cpu.scalars import normal_scalar, scalar

__all__ = [
    "block",
    "block_vjp",
    "elementwise",
    "linear_marginals",
    "moments",
    "moments_vjp",
    "normal",
    "normal_scalar",
    "parameter_vjp",
    "scalar",
]
