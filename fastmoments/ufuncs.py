"""NumPy ufuncs: fm.ufuncs.relu_mean(mu, var).

They take and return NumPy arrays, float32 or float64, with all of NumPy's keywords. Parameters are positional:
npn_mean(mu, var, r, q, tau, center), and for a pair npn_cov(..., cov_12, r_1, r_2, q_1, ...). A negative variance
gives nan. A ufunc is compiled on first use.
"""

import numpy as np

from fastmoments.scalars import names, parts_of
from fastmoments_kernels import serving


def __getattr__(name: str) -> np.ufunc:
    return serving.ufunc(*parts_of(__name__, name))


def __dir__() -> list[str]:
    return names()
