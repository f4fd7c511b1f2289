"""Activations without a closed form, on NumPy arrays: a user's own, tanh, sigmoid ..., to a checked tolerance."""

from fastmoments_kernels.custom.activation import READY, Custom, ToleranceError
from fastmoments_kernels.custom.evaluation import evaluate
from fastmoments_kernels.custom.matrices import block, block_vjp, moments, moments_vjp
from fastmoments_kernels.custom.series import elementwise

__all__ = [
    "READY",
    "Custom",
    "ToleranceError",
    "block",
    "block_vjp",
    "elementwise",
    "evaluate",
    "moments",
    "moments_vjp",
]
