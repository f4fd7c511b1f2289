"""The functions for Numba code: fm.njit.relu_cov(mu_1, mu_2, var_1, var_2, cov_12) inside @numba.njit.

They take and return numbers: float32 if all arguments are, else float64, computed in float64. Parameters are
positional, those of a pair in turn: npn_mean(mu, var, r, q, tau, center), npn_cov(..., cov_12, r_1, r_2, q_1, ...).
A negative variance gives nan. Built when first asked for.
"""

from typing import Any

from fastmoments.scalars import names, parts_of


def __getattr__(name: str) -> Any:
    activation, kind = parts_of(__name__, name)
    from fastmoments_kernels import cpu

    return cpu.normal_scalar(kind) if activation is None else cpu.scalar(activation, kind)


def __dir__() -> list[str]:
    return names()
