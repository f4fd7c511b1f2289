"""Array libraries without kernels of their own: the formulas as their files read, operation by operation."""

from fastmoments_kernels.eager.on_numpy import elementwise, normal

__all__ = ["elementwise", "normal"]
