"""Triton: the vocabulary, kernels and launches on CUDA tensors, or interpreted. No activation is named here."""

from fastmoments_kernels.gpu.launch import elementwise

__all__ = ["elementwise"]
