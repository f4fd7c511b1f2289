"""Functions for Numba code: fm.njit.relu_cov(mu_1, mu_2, var_1, var_2, cov_12) inside @numba.njit.

They take numbers and return a number: float32 if all arguments are float32, else float64; both are computed in
float64. Parameters are positional: npn_mean(mu, var, r, q, tau, center), and for a pair, neuron by neuron,
npn_cov(..., cov_12, r_1, r_2, q_1, ...). A negative variance gives nan. A function is built on first use.
"""

from typing import Any

from fastmoments.scalars import names, parts_of


def __getattr__(name: str) -> Any:
    activation, kind = parts_of(__name__, name)
    from fastmoments_kernels.cpu.compiler import compiler

    scalars = compiler("scalars")
    return scalars.normal_scalar(kind) if activation is None else scalars.scalar(activation, kind)


def __dir__() -> list[str]:
    return names()
