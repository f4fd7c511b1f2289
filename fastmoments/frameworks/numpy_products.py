"""NumPy arrays: products and sums that are covariances, in place, and other functions that networks call."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastmoments.frameworks import few, numpy_arrays, products

Array = NDArray[Any]


def constant(array: Array, like: Array) -> Array:
    """Return an array of constants in the dtype of `like`."""
    return array.astype(like.dtype, copy=False)


def largest(x: Array) -> float:
    """Return the largest number in an array, 0 if there is none."""
    return float(np.fmax.reduce(x, axis=None, initial=0.0))


series = products.series
replaced, iterated = partial(products.replaced, np), partial(products.iterated, np)
summed = partial(products.summed, constant)


def symmetric(cov: Array) -> Array:
    """Return the symmetric matrix of cov's upper triangle: cov itself if it is symmetric."""
    return cov if products.is_symmetric(cov) else np.triu(cov) + np.triu(cov, 1).mT


def checked_covariance(cov: Array, eps: float, name: str = "cov") -> Array:
    """Return the symmetric matrix of cov's upper triangle, cov itself if it is one; raise if cov is far from it."""
    if products.is_symmetric(cov):
        return cov
    numpy_arrays.check_symmetric(cov, eps, name)
    return symmetric(cov)


def symmetric_product(left: Array, right: Array, rounding: Callable[[], Array]) -> Array:
    """Return left (m, n) times right (..., n, m), a covariance, without errors of up to `rounding()`."""
    out = np.empty((*right.shape[:-2], len(left), len(left)), right.dtype)
    return products.mend(np, products.by_panels(left, right, out), rounding)


def covariance(full: Array, rounding: Callable[[], Array]) -> Array:
    """Return the mean of both triangles, a covariance, without errors of up to `rounding()`, in place."""
    found = few.covariance(full, rounding)
    if found is not None:
        return found
    full *= 0.5
    return products.mend(np, products.plus_transpose(full), rounding)


def plus(full: Array, other: Array, factor: Any) -> Array:
    """Add factor * other to full, in place."""
    full += factor * other
    return full


def eye(n: int, like: Array) -> Array:
    """Return the identity matrix (n, n) of the array's dtype."""
    return np.eye(n, dtype=like.dtype)


def single(x: Array) -> Array:
    """Return the array in float32, row by row in memory."""
    return np.ascontiguousarray(x, np.float32)


def is_definite(full: Array) -> bool:
    """Whether symmetric matrices are positive definite."""
    try:
        np.linalg.cholesky(full)
    except np.linalg.LinAlgError:
        return False
    return True


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function, whose operations are compiled."""
    return function


def detached(x: Array) -> Array:
    """Return the array, which has no derivatives."""
    return x


def ndtri(u: Array) -> Array:
    """Return the quantiles of N(0, 1) at probabilities u in (0, 1)."""
    from scipy.special import ndtri  # which takes as long to import as fastmoments

    return np.asarray(ndtri(u))


def plus_diagonal(full: Array, vector: Array) -> Array:
    """Add the vector to the diagonal of full, in place."""
    np.einsum("...ii->...i", full)[...] += vector
    return full


with_skip = products.add_skip
