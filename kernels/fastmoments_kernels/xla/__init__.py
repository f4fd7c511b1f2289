"""XLA: the array schedule traced and compiled by JAX, with derivative rules. No activation is named here."""

from fastmoments_kernels.xla.functions import elementwise, moments, moments_vjp, normal

__all__ = ["elementwise", "moments", "moments_vjp", "normal"]
