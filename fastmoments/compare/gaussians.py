"""Two distances between Gaussians, and a square root of a covariance."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import solve_triangular

from fastmoments.compare.networks import FloatArray, gaussian
from fastmoments.hints import explained
from fastmoments.results import Moments


def square_root(cov: ArrayLike, name: str = "cov") -> FloatArray:
    """Return a lower triangular L with L @ L.T = cov, also for singular cov.

    It is Cholesky's factor up to the signs of columns. A ValueError says that an eigenvalue is negative by more
    than rounding.
    """
    given = np.asarray(cov)
    eps = np.finfo(given.dtype if given.dtype.kind == "f" else np.float64).eps
    values, vectors = np.linalg.eigh(given.astype(np.float64), UPLO="U")
    allowed = 8 * given.shape[-1] * eps * np.max(np.abs(values), axis=-1, initial=0.0)
    if np.any(values[..., :1] < -allowed[..., None]):
        raise ValueError(f"{name}: expected positive semidefinite, got the eigenvalue {values.min():.3g}")
    root = vectors * np.sqrt(np.maximum(values, 0))[..., None, :]
    upper = np.linalg.qr(np.swapaxes(root, -1, -2), mode="r")
    return np.asarray(np.swapaxes(upper, -1, -2))


@explained
def kl_divergence(p: Moments[Any], q: Moments[Any]) -> np.float64 | FloatArray:
    """Kullback-Leibler divergence KL(p || q) of two Gaussians, in nats.

    Parameters
    ----------
    p, q : Moments
        ``mean`` (..., n) and ``cov`` (..., n, n), as the functions of fastmoments return them; the batch
        dimensions broadcast. p is the truth, q its approximation.

    Returns
    -------
    ndarray or float, shape (...)
        Never negative. inf where one covariance is numerically singular, so that no density exists: a neuron's
        variance given the neurons before it is below n eps times its variance. nan where an entry is nan.

    Raises
    ------
    TypeError : p or q is no Moments.
    ValueError : shapes disagree, or a covariance is not symmetric to rounding or not positive semidefinite.

    Notes
    -----
    With P = L_p L_p^T, Q = L_q L_q^T, M = L_q^-1 L_p and r = L_q^-1 (mean_p - mean_q),

        2 KL = |r|^2 + sum_{i>j} M_ij^2 + sum_i (M_ii^2 - 1 - log M_ii^2),

    whose terms are all nonnegative: nothing cancels when p is close to q.

    References
    ----------
    Kullback, "Information Theory and Statistics", 1959, chapter 9, section 1.
    """
    divergence = np.vectorize(_kl, signature="(n),(n,n),(n),(n,n)->()")
    result: np.float64 | FloatArray = divergence(*_gaussian(p, "p"), *_gaussian(q, "q"))[()]
    return result


def _gaussian(moments: Moments[Any], name: str) -> tuple[FloatArray, NDArray[Any]]:
    if not hasattr(moments, "mean") or not hasattr(moments, "cov"):
        raise TypeError(f"{name}: expected Moments, got {type(moments).__name__}; use fm.Moments(mean, cov)")
    cov = np.asarray(moments.cov)
    if cov.ndim > 1:  # nan in one triangle, too, gives nan
        cov = np.where(np.isnan(np.swapaxes(cov, -1, -2)), np.nan, cov)
    try:
        return gaussian(moments.mean, cov)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _kl(mean_p: FloatArray, cov_p: FloatArray, mean_q: FloatArray, cov_q: FloatArray) -> float:
    if not all(np.isfinite(array).all() for array in (mean_p, cov_p, mean_q, cov_q)):
        return float("nan")
    root_p, root_q = square_root(cov_p, "p.cov"), square_root(cov_q, "q.cov")
    if _is_singular(root_p) or _is_singular(root_q):
        return float("inf")
    M = solve_triangular(root_q, root_p, lower=True)
    r = solve_triangular(root_q, mean_p - mean_q, lower=True)
    excess = np.square(np.diagonal(M)) - 1
    return float(r @ r + np.square(np.tril(M, -1)).sum() + (excess - np.log1p(excess)).sum()) / 2


def _is_singular(root: FloatArray) -> bool:
    var = np.square(root).sum(axis=1)
    return bool(np.any(np.square(np.diagonal(root)) <= len(root) * np.finfo(np.float64).eps * var))


@explained
def wasserstein(p: Moments[Any], q: Moments[Any]) -> np.float64 | FloatArray:
    """2-Wasserstein distance of two Gaussians; for equal means it is the Bures distance of the covariances.

    Parameters
    ----------
    p, q : Moments
        ``mean`` (..., n) and ``cov`` (..., n, n); the batch dimensions broadcast. cov may be singular.

    Returns
    -------
    ndarray or float, shape (...)
        The distance, in the units of the mean; nan where an entry is nan.

    Raises
    ------
    TypeError : p or q is no Moments.
    ValueError : shapes disagree, or a covariance is not symmetric to rounding or not positive semidefinite.

    Notes
    -----
    W^2 = |mean_p - mean_q|^2 + tr(P + Q - 2 (P^1/2 Q P^1/2)^1/2). The trace is the smallest |L_p O - L_q|_F^2
    over orthogonal O and is computed in that form: the difference of traces would lose half the digits when P is
    close to Q.

    References
    ----------
    Givens & Shortt, "A class of Wasserstein metrics for probability distributions", 1984, proposition 7;
    Bhatia, Jain & Lim, "On the Bures-Wasserstein distance between positive definite matrices", 2019, thm. 1.
    """
    (mean_p, cov_p), (mean_q, cov_q) = _gaussian(p, "p"), _gaussian(q, "q")
    root_p, root_q = square_root(cov_p, "p.cov"), square_root(cov_q, "q.cov")
    product = np.swapaxes(root_p, -1, -2) @ root_q
    finite = np.isfinite(product).all(axis=(-2, -1), keepdims=True)
    # LAPACK's SVD fails on nan
    left, _, right = np.linalg.svd(np.where(finite, product, 0))
    bures = np.square(root_p @ left @ right - root_q).sum(axis=(-2, -1))
    result: np.float64 | FloatArray = np.sqrt(np.square(mean_p - mean_q).sum(axis=-1) + bures)
    return result
