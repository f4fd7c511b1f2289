"""Covariances that stay positive semidefinite where a correction would not leave them so."""

from __future__ import annotations

from typing import Any

from fastmoments.cumulants.slices import diagonal, outer
from fastmoments.frameworks import Words
from fastmoments.frameworks.products import root

Array = Any  # of the library whose words are given


def positive(xp: Any, variances: Array, changes: Array) -> Array:
    """Return variances + changes, but v exp(change / v) where they fall: positive, and equal to first order."""
    safe = xp.where(variances > 0.0, variances, 1.0 + 0.0 * variances)
    falls = xp.where(changes < 0.0, changes, 0.0 * changes)
    return xp.where(changes < 0.0, variances * xp.exp(falls / safe), variances + changes)


def semidefinite(words: Words[Any], full: Array) -> Array:
    """Return a covariance (batch, n, n) near a symmetric matrix, with its variances.

    Negative eigenvalues become 0, and the variances what they were. Eigenvalues of correlations would weigh neurons
    that hardly vary, whose corrections are as uncertain as others', as much as all others.
    """
    if words.is_definite(full):
        return full
    xp = words.xp
    known = xp.isfinite(full)
    eye = words.eye(full.shape[-1], full)
    changed = _without_negative(words, xp.where(known, full, eye))
    sd, changed_sd = (root(xp, diagonal(xp, x)) for x in (full, changed))
    varies = (sd > 0.0) & (changed_sd > 0.0)
    scale = xp.where(varies, sd, 1.0 + 0.0 * sd) / xp.where(varies, changed_sd, 1.0 + 0.0 * sd)
    # what does not vary has nothing to mend, and keeps its derivatives
    mended = known & varies[..., :, None] & varies[..., None, :]
    return xp.where(mended, changed * outer(scale, scale), full)


def _without_negative(words: Words[Any], matrix: Array) -> Array:
    """Replace negative eigenvalues by 0.

    The eigenvectors u are constants. Derivatives are those of first order in u^T matrix u all the same, by divided
    differences (Daleckii & Krein, 1965). Eigenvalues that are 0 but for the rounding of corrections in float32 are
    positive there.
    """
    xp = words.xp
    values, vectors = xp.linalg.eigh(words.detached(matrix))
    one, none = 1.0 + 0.0 * values, 0.0 * values
    positive = xp.where(values > 0.0, values, none)
    rounding = values.shape[-1] * float(xp.finfo(xp.float32).eps) * positive.sum(-1)
    kept = values >= -rounding[..., None]
    gap = values[..., :, None] - values[..., None, :]
    is_apart = kept[..., :, None] != kept[..., None, :]
    quotient = (positive[..., :, None] - positive[..., None, :]) / xp.where(is_apart, gap, 1.0 + 0.0 * gap)
    slopes = xp.where(is_apart, quotient, xp.where(kept, one, none)[..., :, None] + 0.0 * gap)
    eye = words.eye(matrix.shape[-1], matrix)
    turned = vectors.mT @ matrix @ vectors
    changed = slopes * (turned - eye * values[..., None, :]) + eye * positive[..., None, :]
    found = vectors @ changed @ vectors.mT
    return 0.5 * (found + found.mT)


def inverse(xp: Any, x: Array) -> Array:
    """Return 1 / x, and 0 for 0."""
    return xp.where(x > 0.0, 1.0 / xp.where(x > 0.0, x, 1.0 + 0.0 * x), 0.0 * x)
