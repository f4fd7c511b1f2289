"""Covariances of linear maps: one triangle is computed and mirrored, and rounding no longer shows."""

from typing import Any

Array = Any

PANEL = 128  # rows of a product: enough for BLAS to run at full speed, few beside what is saved


def by_panels(left: Array, right: Array, out: Array) -> Array:
    """Left (m, n) times right (..., n, m) into `out`, which NumPy or PyTorch made, if the product is symmetric."""
    m = left.shape[0]
    for start in range(0, m, PANEL):
        stop = min(start + PANEL, m)
        out[..., start:stop, start:] = left[start:stop] @ right[..., start:]
        out[..., stop:, start:stop] = out[..., start:stop, stop:].mT
        square = out[..., start:stop, start:stop]
        out[..., start:stop, start:stop] = 0.5 * (square + square.mT)
    return out


def without_rounding(xp: Any, spread: Array, rounding: Array) -> Array:
    """A covariance with variances >= 0 and no entry beyond sqrt(var_i var_j), by an array library's functions `xp`.

    Only what `rounding` (...,) explains is mended; the rest is left for the kernels to report.
    """
    eps = float(xp.finfo(spread.dtype).eps)
    sd = root(xp, xp.einsum("...ii->...i", spread))
    limit = sd[..., :, None] * sd[..., None, :]
    size = xp.abs(spread)
    beyond = size > limit * (1.0 + 16 * spread.shape[-1] * eps)
    explained = beyond & (size - limit <= rounding[..., None, None])
    return xp.where(explained, xp.sign(spread) * limit, spread)


def root(xp: Any, var: Array) -> Array:
    """sqrt(var), 0 for what is not positive, there too with finite derivatives."""
    positive = var > 0.0
    return xp.where(positive, xp.sqrt(xp.where(positive, var, 1.0 + 0.0 * var)), 0.0 * var)
