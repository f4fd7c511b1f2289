"""Array libraries without kernels of their own: the formulas as their files read, operation by operation."""

from fastmoments_kernels.eager.on_numpy import elementwise

__all__ = ["elementwise"]
