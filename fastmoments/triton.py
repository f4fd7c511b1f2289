"""The functions for Triton kernels: fm.triton.relu_cov(mu_1, mu_2, var_1, var_2, cov_12) inside @triton.jit.

They take and return blocks of any shape, float32 or float64, computed in the dtype of the first argument, which has
to be a block; the others are blocks that broadcast with it, or numbers. Parameters are a tuple, those of a pair in
turn: npn_mean(mu, var, (r, q, tau, center)). A negative variance gives nan. Built when first asked for.

Products and sums are fused where the formulas say so and nowhere else: launch kernels with enable_fp_fusion=False
for the accuracy of fastmoments' own.
"""

from typing import Any

from fastmoments.frameworks.triton_kernels import imported
from fastmoments.scalars import names, parts_of


def __getattr__(name: str) -> Any:
    activation, kind = parts_of(__name__, name)
    gpu = imported("fm.triton needs")
    return gpu.normal_scalar(kind) if activation is None else gpu.scalar(activation, kind)


def __dir__() -> list[str]:
    return names()
