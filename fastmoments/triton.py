"""Functions for Triton kernels: fm.triton.relu_cov(mu_1, mu_2, var_1, var_2, cov_12) inside @triton.jit.

They take and return blocks of any shape, float32 or float64. The first argument has to be a block, and its dtype is
that of the computation; the others are blocks that broadcast with it, or numbers. Parameters are one tuple:
npn_mean(mu, var, (r, q, tau, center)), and for a pair (r_1, r_2, q_1, ...). A negative variance gives nan. A
function is built on first use.

The formulas say which products and sums are fused: launch kernels with enable_fp_fusion=False, so that the compiler
fuses no others, to get fastmoments' accuracy.
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
