"""Covariances of few neurons on NumPy arrays, each by one compiled pass over a batch where that is at hand."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastmoments.frameworks import products
from fastmoments_kernels import serving

Array = NDArray[Any]


class Computed(NamedTuple):
    """Covariances, and whether one was beyond sqrt(var_i var_j): without gains those are moved there."""

    full: Array
    beyond: bool


def congruence(
    left: Array,
    cov: Array,
    gains: Array | None = None,
    right: Array | None = None,
    full: Array | None = None,
    rounding: Callable[[], Array] | None = None,
) -> Array | None:
    """Do what `Framework.congruence` says."""
    return without_errors(computed(left, cov, gains, right, full), rounding)


def without_errors(found: Computed | None, rounding: Callable[[], Array] | None) -> Array | None:
    """Return the covariances, those beyond by up to `rounding()` moved, if that is given."""
    if found is None or not found.beyond or rounding is None:
        return None if found is None else found.full
    return products.mend(np, found.full, rounding)


def computed(
    left: Array,
    cov: Array,
    gains: Array | None = None,
    right: Array | None = None,
    full: Array | None = None,
) -> Computed | None:
    """Compute `congruence`, but for errors of up to `rounding()`."""
    m, adds = len(left), full is not None
    full = np.empty((*cov.shape[:-2], m, m), cov.dtype) if full is None else np.ascontiguousarray(full)
    own = np.empty((0, m), full.dtype) if gains is None else gains.reshape(math.prod(gains.shape[:-1]), m)
    matrices = _matrices(np.ascontiguousarray(cov)), left, own, left if right is None else right
    beyond = serving.congruence(*matrices, _matrices(full), adds)
    return None if beyond is None else Computed(full, beyond)


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
    return array.reshape(math.prod(array.shape[:-2]), *array.shape[-2:])
