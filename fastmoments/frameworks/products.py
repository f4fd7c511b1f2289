"""Covariances of linear maps and of sums: one triangle is computed and mirrored, and rounding no longer shows.

What writes into its arguments is for NumPy's arrays and PyTorch's on the CPU whose derivatives nobody asks for: it
goes by panels of rows, so that what it needs besides fits a cache.
"""

from collections.abc import Callable, Iterator
from typing import Any

Array = Any

PANEL = 128  # rows: enough for BLAS to run at full speed, few beside what is saved


def _panels(matrix: Array) -> Iterator[slice]:
    m = matrix.shape[-2]
    return (slice(start, min(start + PANEL, m)) for start in range(0, m, PANEL))


def looks_like_covariance(matrix: Array) -> bool:
    """Whether a matrix is symmetric and its entries are not all one number."""
    return is_symmetric(matrix) and bool((matrix != matrix[..., :1, :1]).any())


def is_symmetric(matrix: Array) -> bool:
    """Whether the triangles have the same bits; nan has not."""
    return all(
        bool((matrix[..., rows, rows.start :] == matrix[..., rows.start :, rows].mT).all())
        for rows in _panels(matrix)
    )


def by_panels(left: Array, right: Array, out: Array) -> Array:
    """Left (m, n) times right (..., n, m) into `out`, if the product is symmetric."""
    for rows in _panels(out):
        out[..., rows, rows.start :] = left[rows] @ right[..., rows.start :]
        out[..., rows.stop :, rows] = out[..., rows, rows.stop :].mT
        square = out[..., rows, rows]
        out[..., rows, rows] = 0.5 * (square + square.mT)
    return out


def mend(xp: Any, spread: Array, rounding: Callable[[], Array]) -> Array:
    """What `without_rounding` makes of a covariance, in its place."""
    sd, excess = _deviations(xp, spread)
    for rows in _panels(spread):
        upper, sides = spread[..., rows, rows.start :], (sd[..., rows], sd[..., rows.start :])
        if (xp.abs(upper) > _outer(excess * sides[0], sides[1])).any():
            mended = _mended(xp, upper, _outer(*sides), excess, rounding())
            spread[..., rows, rows.start :] = mended
            spread[..., rows.start :, rows] = mended.mT
    return spread


def finite(xp: Any, gains: Array) -> Array:
    """0 for an infinite gain, that of a neuron without variance on a jump: its covariances with others are 0."""
    return xp.where(xp.isinf(gains), xp.zeros_like(gains), gains)


def plus_skip(full: Array, gains: Array, product: Array, across: Array, matrix: Array | None) -> Array:
    """Full plus H + H^T, H = (G product + across / 2) matrix^T; gains (..., n)."""
    half = gains[..., None] * product + 0.5 * across
    half = half if matrix is None else half @ matrix.T
    return full + (half + half.swapaxes(-1, -2))


def add_skip(full: Array, gains: Array, product: Array, across: Array, matrix: Array | None) -> Array:
    """What `plus_skip` does, in place of full."""
    for rows in _panels(full):
        half = gains[..., rows, None] * product[..., rows, :] + 0.5 * across[..., rows, :]
        panel = full[..., rows, :]
        panel *= 0.5
        panel += half if matrix is None else half @ matrix.T
    return plus_transpose(full)


def plus_transpose(half: Array) -> Array:
    """Half + half^T, in place of half."""
    for rows in _panels(half):
        total = half[..., rows, rows.start :] + half[..., rows.start :, rows].mT
        half[..., rows, rows.start :] = total
        half[..., rows.start :, rows] = total.mT
    return half


def without_rounding(xp: Any, spread: Array, rounding: Array) -> Array:
    """A covariance with variances >= 0 and no entry beyond sqrt(var_i var_j), by an array library's functions `xp`.

    Only what `rounding` (...,) explains is mended; the rest is left for the kernels to report.
    """
    sd, excess = _deviations(xp, spread)
    return _mended(xp, spread, _outer(sd, sd), excess, rounding)


def _deviations(xp: Any, spread: Array) -> tuple[Array, float]:
    """Standard deviations, and how far beyond their product kernels take a covariance for rounding."""
    eps = float(xp.finfo(spread.dtype).eps)
    return root(xp, xp.einsum("...ii->...i", spread)), 1.0 + 16 * spread.shape[-1] * eps


def _outer(rows: Array, columns: Array) -> Array:
    return rows[..., :, None] * columns[..., None, :]


def _mended(xp: Any, spread: Array, limit: Array, excess: float, rounding: Array) -> Array:
    size = xp.abs(spread)
    explained = (size > excess * limit) & (size - limit <= rounding[..., None, None])
    return xp.where(explained, xp.sign(spread) * limit, spread)


def root(xp: Any, var: Array) -> Array:
    """sqrt(var), 0 for what is not positive, there too with finite derivatives."""
    positive = var > 0.0
    return xp.where(positive, xp.sqrt(xp.where(positive, var, 1.0 + 0.0 * var)), 0.0 * var)
