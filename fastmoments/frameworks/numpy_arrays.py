"""NumPy arrays: what arguments and results have to be, and memory that kernels can write to."""

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastmoments.dispatch import Plan
from fastmoments_kernels.cpu.layout import empty
from fastmoments_kernels.kinds import slack_of

Array = NDArray[Any]

# of computations, by name: NumPy takes as long to find a dtype by its name as to allocate an array
REALS: dict[str, np.dtype[Any]] = {"float32": np.dtype(np.float32), "float64": np.dtype(np.float64)}

CLIP = "where that is rounding, clip variances at 0 first: numpy.maximum(var, 0)"
COPIED = 2**13  # variances that argmin may copy, which it does unless they lie row by row


def result(plan: Plan, value: Array) -> Array:
    """Return the value in the result's dtype."""
    converted: Array = value if value.dtype is REALS.get(plan.result) else value.astype(plan.result, copy=False)
    return converted


def check_variances(name: str, var: Array, what: str = "it", remedy: str = CLIP) -> None:
    """Raise for a negative variance, with what to do instead; nan is allowed."""
    # argmin takes a third of the time of a reduction, and finds nan first if there is one: then look again
    if not var.size or ((var.flags.c_contiguous or var.size <= COPIED) and var.item(var.argmin()) >= 0.0):
        return
    if np.fmin.reduce(var, axis=None, initial=0.0) < 0.0:
        index = tuple(int(i) for i in np.unravel_index(np.nanargmin(var), var.shape))
        raise ValueError(f"{name}: {what} must hold variances >= 0, got {var[index]} at {index}; {remedy}")


def check_covariance(cov: Array) -> None:
    """Raise, with the worst pair, unless cov is symmetric and positive semidefinite to rounding."""
    n, eps = cov.shape[-1], float(np.finfo(cov.dtype).eps)
    _raise_at_worst(~np.isfinite(cov), "cov: expected finite numbers", cov)
    sd = np.sqrt(np.einsum("...ii->...i", cov))
    scale = sd[..., :, None] * sd[..., None, :]
    check_symmetric(cov, eps)
    excess = np.abs(cov) - scale * (1.0 + 32 * n * eps)
    _raise_at_worst(excess, "cov: a covariance exceeds sqrt(var_i var_j)", cov)
    check_semidefinite(cov, eps)


def check_symmetric(cov: Array, eps: float, name: str = "cov") -> None:
    """Raise, with the worst pair, unless cov, in a dtype of this eps, is symmetric to rounding; nan may face nan.

    Rounding is 64 n eps sd_i sd_j: sums of n products, as in A cov A^T, differ by less unless variances cancel.
    """
    other = np.swapaxes(cov, -1, -2)
    with np.errstate(all="ignore"):
        sd = np.sqrt(np.abs(np.einsum("...ii->...i", cov)))
        skew = np.abs(cov - other) - slack_of(cov.shape[-1], eps) * sd[..., :, None] * sd[..., None, :]
    skew[np.isnan(cov) != np.isnan(other)] = np.inf
    # neither inf - inf nor what stands beside a variance that is nan
    if skew.size and np.fmax.reduce(skew, axis=None) > 0.0:
        *row, i, j = (int(k) for k in np.unravel_index(np.nanargmax(skew), skew.shape))
        told = row if math.prod(cov.shape[:-2]) > 1 else []  # networks add a batch of one
        raise ValueError(
            f"{name}: expected a symmetric matrix, but {name}{[*told, i, j]} = {cov[(*row, i, j)]} and "
            f"{name}{[*told, j, i]} = {cov[(*row, j, i)]}, where they differ most; 0.5 * ({name} + {name}.mT) is "
            "symmetric; a Cholesky factor L? pass L @ L.mT"
        )


def check_semidefinite(cov: Array, eps: float) -> None:
    """Raise, with the smallest eigenvalue, unless cov, known to eps, is positive semidefinite to rounding."""
    n = cov.shape[-1]
    with np.errstate(all="ignore"):
        slack = n * eps * np.einsum("...ii->...", cov)
        try:  # a tenth of the time of eigenvalues
            np.linalg.cholesky(cov + slack[..., None, None] * np.eye(n, dtype=cov.dtype))
            return
        except np.linalg.LinAlgError:  # of nan, too
            finite = np.isfinite(cov).all((-2, -1))
            lowest = np.linalg.eigvalsh(cov[finite]).min(axis=-1, initial=0.0)
    if np.any(lowest < -slack[finite]):
        raise ValueError(f"cov: expected a positive semidefinite matrix, smallest eigenvalue {lowest.min():.3g}")


def _raise_at_worst(excess: Array, message: str, cov: Array) -> None:
    if excess.size and np.nanmax(excess) > 0.0:
        index = tuple(int(i) for i in np.unravel_index(np.nanargmax(excess), excess.shape))
        raise ValueError(f"{message}, worst at {index}: {cov[index]}")


def outputs(plan: Plan, out: Any, mean_shape: tuple[int, ...], cov_shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Return the arrays for mean and covariance: those of `out`, else new ones."""
    if out is None:
        dtype = REALS.get(plan.result) or np.dtype(plan.result)
        return np.empty(mean_shape, dtype), empty(cov_shape, dtype)
    if isinstance(out, tuple) and len(out) != 2:
        raise ValueError(f"out: expected the covariance's array or a pair (mean, cov), got {len(out)} of them")
    mean, cov = out if isinstance(out, tuple) else (None, out)
    results = []
    for array, shape in ((mean, mean_shape), (cov, cov_shape)):
        if array is None:
            array = np.empty(shape, plan.result)
        if not isinstance(array, np.ndarray) or array.shape != shape or array.dtype != plan.result:
            got = f"{getattr(array, 'dtype', type(array).__name__)} {getattr(array, 'shape', '')}"
            raise ValueError(f"out: expected a {plan.result} array of shape {shape}, got {got}")
        if not array.flags.writeable:
            raise ValueError("out: the array is read-only")
        results.append(array)
    check_apart(results)
    return results[0], results[1]


def check_apart(outputs: Sequence[Any]) -> None:
    """Raise if two of the result's arrays share memory."""
    arrays = [array for array in outputs if isinstance(array, np.ndarray)]
    if any(np.shares_memory(one, two) for one, two in combinations(arrays, 2)):
        raise ValueError("out: two of the arrays have memory in common, one result would overwrite the other")


def writable(array: Array, dtype: str, own: Array, others: tuple[Array, ...]) -> Array:
    """Return the array if a kernel can write to it, else a buffer like it.

    A kernel may overwrite `own`, the input of the output's shape, if that is the same array, and no other input.
    """
    direct = array.flags.c_contiguous and array.dtype == dtype
    read = others if _address(array) == _address(own) else (own, *others)
    if not direct or any(np.may_share_memory(array, x) for x in read):
        return np.empty(array.shape, dtype)
    return np.asarray(array)


def _address(array: Array) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


def flat(array: Array, core: int) -> Array:
    """Return the array with all leading dimensions as one; `core` is the number of the others."""
    lead = array.ndim - core
    return array[None] if lead == 0 else array.reshape(math.prod(array.shape[:lead]), *array.shape[lead:])
