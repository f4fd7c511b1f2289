"""Moments of one-hot vectors, as inputs of networks that choose rows of a table."""

from __future__ import annotations

import numpy as np

from fastmoments.dispatch import plan_of
from fastmoments.frameworks import framework_of
from fastmoments.results import Moments, T
from fastmoments.signatures import ArrayOf


def categorical_moments(probabilities: ArrayOf[T]) -> Moments[T]:
    """Mean and covariance of a one-hot vector: e_c for a class c with these probabilities.

    Parameters
    ----------
    probabilities : array (..., k), of sum 1 along the last axis.

    Returns
    -------
    Moments
        `mean` (..., k) = probabilities and `cov` (..., k, k) = diag(p) - p p^T, exactly symmetric, of rank k - 1.

    Raises
    ------
    TypeError : a dtype that is not real.
    ValueError : no class; in NumPy arrays and in tensors on the CPU that are not tracked, a negative probability or
        a sum that is off 1 by more than the square root of the dtype's spacing.

    Notes
    -----
    The vector is not Gaussian, but affine maps of it are exact: `torch.nn.Embedding` in `fm.propagate` maps it to a
    row of the table T, of mean p^T T and covariance T^T (diag(p) - p p^T) T. Variances are p (1 - p), which cancels
    nothing near p = 1.

    Examples
    --------
    >>> import numpy as np, fastmoments as fm
    >>> fm.categorical_moments(np.array([0.25, 0.75])).cov
    array([[ 0.1875, -0.1875],
           [-0.1875,  0.1875]])
    """
    plan = plan_of({"probabilities": probabilities})
    framework = framework_of(plan)
    arrays = framework.to_arrays(plan, {"probabilities": probabilities})
    p = arrays["probabilities"]
    if p.ndim < 1 or p.shape[-1] < 1:
        raise ValueError(f"probabilities: expected shape (..., k), k at least 1, got {tuple(p.shape)}")
    values = framework.values(plan, arrays)
    if values is not None:
        _check(values["probabilities"], plan.result)
    with framework.arithmetic(plan):
        xp = framework.xp
        # p_i (delta_ij - p_j)
        less = 0.0 * p[..., :, None] - p[..., None, :]
        cov = p[..., :, None] * framework.plus_diagonal(less, xp.ones_like(p))
    return Moments(framework.result(plan, 1.0 * p), framework.result(plan, cov))


def _check(p: np.ndarray, dtype: str) -> None:
    """Raise for what are no probabilities; nan passes, and makes its row nan."""
    if (p < 0.0).any():
        raise ValueError(f"probabilities: expected numbers >= 0, got {p[p < 0.0][0]:g}")
    off = np.abs(p.sum(-1) - 1.0)
    eps = 2.0**-7 if dtype == "bfloat16" else float(np.finfo(dtype).eps)
    if (off > eps**0.5).any():
        raise ValueError(f"probabilities: expected a sum of 1 along the last axis, it is off by {np.nanmax(off):g}")
