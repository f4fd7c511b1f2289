"""Covariances of few neurons on NumPy arrays, each by one compiled pass over a batch where that is at hand."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastmoments.frameworks import products
from fastmoments_kernels import serving

Array = NDArray[Any]


def congruence(
    left: Array,
    cov: Array,
    gains: Array | None = None,
    right: Array | None = None,
    full: Array | None = None,
    rounding: Callable[[], Array] | None = None,
) -> Array | None:
    """Do what `Framework.congruence` says."""
    (m, _), lead = left.shape, cov.shape[:-2]
    adds = full is not None
    if full is None:
        full = np.empty((*lead, m, m), cov.dtype)
    out, own = _matrices(full), np.empty((0, m), full.dtype) if gains is None else gains.reshape(-1, m)
    given = _matrices(np.ascontiguousarray(cov)), left, own, left if right is None else right
    beyond = serving.congruence(*given, out, adds)
    if beyond is None:
        return None
    return products.mend(np, full, rounding) if beyond and rounding is not None else full


def covariance(full: Array, rounding: Callable[[], Array]) -> Array | None:
    """Do what `Words.covariance` says in place of full; None where that is not at hand."""
    if not full.flags.c_contiguous:
        return None
    m, real = full.shape[-1], full.dtype
    none = np.empty((m, 0), real), np.empty((0, m), real), np.empty((m, 0), real)
    beyond = serving.congruence(np.empty((1, 0, 0), real), *none, _matrices(full), True)
    if beyond is None:
        return None
    return products.mend(np, full, rounding) if beyond else full


def _matrices(array: Array) -> Array:
    """The array as (batch, rows, columns)."""
    count = 1
    for length in array.shape[:-2]:
        count *= length
    return array.reshape(count, *array.shape[-2:])
