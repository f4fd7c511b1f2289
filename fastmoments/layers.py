"""Layers: what an affine map and a residual layer do to a Gaussian's mean and covariance."""

from typing import Any, Literal

import numpy as np

from fastmoments.dispatch import Plan, plan_of
from fastmoments.frameworks.numpy import as_array, vector_and_matrix
from fastmoments.moments import gain, moments
from fastmoments.results import Moments

Array = Any


def affine_moments(mu: Array, cov: Array, weight: Array, bias: Array | None = None) -> Moments:
    """Mean and covariance of weight X + bias for X ~ N(mu, cov): exact for any X with these moments.

    Parameters
    ----------
    mu : array (..., n), the mean of X.
    cov : array (..., n, n), the covariance of X; its upper triangle is read.
    weight : array (m, n).
    bias : array (m,), or None for 0.

    Returns
    -------
    Moments
        `mean` (..., m) = weight mu + bias and `cov` (..., m, m) = weight cov weight^T, exactly symmetric.

    Raises
    ------
    TypeError : dtypes that are mixed or not real.
    ValueError : shapes that disagree, a negative variance.
    """
    plan = _plan(mu=mu, cov=cov, weight=weight, bias=bias)
    mu, cov = vector_and_matrix(plan, mu, cov)
    mean, full, _ = _affine(plan, mu, cov, weight, bias, ("weight", "bias"))
    return Moments(mean.astype(plan.result, copy=False), full.astype(plan.result, copy=False))


def residual_moments(
    activation: Any,
    mu: Array,
    cov: Array,
    A: Array,
    b: Array | None = None,
    C: Array | Literal["identity"] | None = None,
    d: Array | None = None,
) -> Moments:
    """Mean and covariance of f(A X + b) + C X + d for X ~ N(mu, cov), exact.

    Parameters
    ----------
    activation : an object such as ReLU(), or its name.
    mu : array (..., n), the mean of X.
    cov : array (..., n, n), the covariance of X; its upper triangle is read.
    A : array (m, n); b : array (m,) or None for 0.
    C : array (m, n), "identity" (m = n) or None for 0; d : array (m,) or None for 0.

    Returns
    -------
    Moments
        `mean` (..., m) and `cov` (..., m, m), exactly symmetric.

    Raises
    ------
    TypeError : dtypes that are mixed or not real.
    ValueError : shapes that disagree, a negative variance.

    Notes
    -----
    With K the covariance of f and G its gains at A X + b, cov_out = K + G A cov C^T + (G A cov C^T)^T + C cov C^T
    by Stein's lemma. A cov is formed once. A variance of A cov A^T below 0 by rounding, down to
    -n eps sum(|A| |cov| |A|^T), becomes 0; one further below is an error.

    References
    ----------
    Kuang & Lin, "Exact closed-form Gaussian moments of residual layers", arXiv 2601.22307.
    """
    identity = isinstance(C, str)
    if identity and C != "identity":
        raise ValueError(f'C: expected a matrix, "identity" or None, got {C!r}')
    plan = _plan(mu=mu, cov=cov, A=A, b=b, C=None if identity else C, d=d)
    mu, cov = vector_and_matrix(plan, mu, cov)
    before, spread, product = _affine(plan, mu, cov, A, b, ("A", "b"))
    spread = _without_rounding(spread, cov, as_array(A, plan.compute))
    mean, full = moments(activation, before, spread)
    if C is not None:
        gains = gain(activation, before, np.einsum("...ii->...i", spread))[..., None]
        through, cross, skipped = _skip(plan, mu, cov, product, None if identity else C)
        half = gains * cross
        mean, full = mean + through, full + (half + np.swapaxes(half, -1, -2)) + skipped
    if d is not None:
        mean = mean + _vector(plan, "d", d, mean.shape[-1])
    return Moments(mean.astype(plan.result, copy=False), full.astype(plan.result, copy=False))


def _plan(**arguments: Any) -> Plan:
    plan = plan_of({name: value for name, value in arguments.items() if value is not None})
    if plan.framework != "numpy":
        raise TypeError(
            f"mu: layers take NumPy arrays in this version, got {plan.framework}; pass numpy.asarray(mu)"
        )
    return plan


def _matrix(plan: Plan, name: str, value: Array, columns: int, rows: int | None = None) -> Array:
    matrix = as_array(value, plan.compute)
    if matrix.ndim != 2 or matrix.shape[1] != columns or rows not in (None, matrix.shape[0]):
        raise ValueError(f"{name}: expected shape ({rows or 'm'}, {columns}), got {matrix.shape}")
    return matrix


def _vector(plan: Plan, name: str, value: Array, length: int) -> Array:
    vector = as_array(value, plan.compute)
    if vector.shape != (length,):
        raise ValueError(f"{name}: expected shape ({length},), got {vector.shape}")
    return vector


def _affine(
    plan: Plan, mu: Array, cov: Array, weight: Array, bias: Array | None, names: tuple[str, str]
) -> tuple[Array, Array, Array]:
    """(weight mu + bias, weight cov weight^T, weight cov); cov by its upper triangle."""
    matrix = _matrix(plan, names[0], weight, mu.shape[-1])
    mean = mu @ matrix.T
    if bias is not None:
        mean = mean + _vector(plan, names[1], bias, matrix.shape[0])
    product = matrix @ _from_upper(cov)
    return mean, _symmetric(product @ matrix.T), product


def _skip(plan: Plan, mu: Array, cov: Array, product: Array, skip: Array | None) -> tuple[Array, Array, Array]:
    """(C mu, A cov C^T, C cov C^T); None stands for the identity, which costs no product."""
    if skip is None:
        if product.shape[-2] != mu.shape[-1]:
            raise ValueError(f'C: "identity" needs a square A, got {product.shape[-2:]}')
        return mu, product, _from_upper(cov)
    matrix = _matrix(plan, "C", skip, mu.shape[-1], product.shape[-2])
    return mu @ matrix.T, product @ matrix.T, _symmetric(matrix @ _from_upper(cov) @ matrix.T)


def _from_upper(cov: Array) -> Array:
    return np.triu(cov) + np.swapaxes(np.triu(cov, 1), -1, -2)


def _symmetric(product: Array) -> Array:
    return 0.5 * (product + np.swapaxes(product, -1, -2))


def _without_rounding(spread: Array, cov: Array, matrix: Array) -> Array:
    """A cov A^T whose rounding no longer shows: variances >= 0, no covariance beyond sqrt(var_i var_j).

    Only what n eps trace(|A| |cov| |A|^T) explains is mended; the rest is left for `moments` to report.
    """
    n, eps = spread.shape[-1], float(np.finfo(spread.dtype).eps)
    var = np.einsum("...ii->...i", spread)
    sd = np.sqrt(np.maximum(var, 0.0))
    limit = sd[..., :, None] * sd[..., None, :]
    beyond = np.abs(spread) > limit * (1.0 + 16 * n * eps)
    if not beyond.any():
        return spread
    size = np.abs(matrix)
    rounding = n * eps * np.einsum("ij,...jk,ik->...", size, np.abs(cov), size, optimize=True)[..., None, None]
    mended = np.where(beyond & (np.abs(spread) - limit <= rounding), np.copysign(limit, spread), spread)
    np.einsum("...ii->...i", mended)[...] = np.where((var < 0.0) & (var >= -rounding[..., 0]), 0.0, var)
    return mended
