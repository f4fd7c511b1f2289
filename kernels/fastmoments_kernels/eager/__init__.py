"""Whole arrays at a time, both routes evaluated: the formulas as their files read, on NumPy."""

from fastmoments_kernels.eager.elementwise import elementwise, evaluate

__all__ = ["elementwise", "evaluate"]
