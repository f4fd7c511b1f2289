"""Moments of small matrices: one ufunc for arrays, whose loop, of object code or compiled, is that of `serial`."""

from functools import cache
from typing import Any

import numpy as np

from fastmoments_kernels import ahead
from fastmoments_kernels.cautions import warn_of_pairs
from fastmoments_kernels.cpu.compiler import compiler
from fastmoments_kernels.cpu.components import padded
from fastmoments_kernels.cpu.layout import matrix_label
from fastmoments_kernels.cpu.numpy_ufunc import make_gufunc

SMALL = 128  # rows of all matrices that take less time than the start of a second thread
BEYOND, NEGATIVE, FAILED = 1, 2, 4  # what is wrong: a correlation beyond 1, a negative variance, no memory

Array = np.ndarray[Any, Any]


@cache
def whole(row_name: str, parameters: int, dtype: np.dtype[Any]) -> np.ufunc:
    """The moments of small matrices in one call that NumPy makes: mean, covariance and what `tell` takes.

    Its inputs are mu (..., n) of at most SMALL numbers, cov (..., n, n), both row by row in memory, and `beside`.
    """
    count = len(padded(row_name, range(parameters)))
    label = matrix_label("whole", row_name, count, dtype)
    loop = ahead.loop(label) or compiler().whole(label, row_name, count, dtype.name)
    real, own, shape = 2 * dtype.char, "d" if count else "", ",(p,n)" if count else ""
    doc = f"{row_name}'s moments of small matrices"
    return make_gufunc(label, doc, loop, f"{real}{own}->{real}b", f"(n),(n,n){shape}->(n),(n,n),()")


def beside(row_name: str, parameters: tuple[Array, ...], shape: tuple[int, ...]) -> tuple[Array, ...]:
    """Return the inputs of `whole` after mu, of this shape, and cov: the parameters, broadcast, as one array."""
    if not parameters:
        return ()
    parameters = padded(row_name, parameters)
    rows = np.empty((*shape[:-1], len(parameters), shape[-1]))
    for k, parameter in enumerate(parameters):
        rows[..., k, :] = parameter
    return (rows,)


def tell(wrong: Any) -> None:
    """Warn of what `whole` found wrong, or raise for it; callers look for a negative variance."""
    if not (wrong.any() if wrong.ndim else wrong):
        return
    if np.any(wrong & FAILED):
        raise MemoryError("moments: no memory for what they are computed with")
    warn_of_pairs(bool(np.any(wrong & BEYOND)))
