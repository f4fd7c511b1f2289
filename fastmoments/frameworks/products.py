"""Covariances of linear maps and of sums: one triangle is computed and mirrored, and rounding errors are removed.

Functions of a Buffer write into it, panel of rows by panel, so that their temporary arrays fit a cache. They take
NumPy's arrays, and tensors on the CPU that autograd does not track. Functions of an Array write nowhere.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from fastmoments.signatures import A, Array, B, Buffer

ROWS = 1 << 17  # numbers at a time
PANEL = 128  # rows: BLAS runs at full speed, and the square on the diagonal, computed twice, is small


def _panels(matrix: Array, panel: int = PANEL) -> Iterator[slice]:
    m = matrix.shape[-2]
    return (slice(start, min(start + panel, m)) for start in range(0, m, panel))


def looks_like_covariance(matrix: Buffer) -> bool:
    """Whether a matrix is symmetric and has entries that differ."""
    return is_symmetric(matrix) and bool((matrix != matrix[..., :1, :1]).any())


def is_symmetric(matrix: Buffer) -> bool:
    """Whether both triangles are equal; a matrix with nan is not symmetric."""
    return all(
        bool((matrix[..., rows, rows.start :] == matrix[..., rows.start :, rows].mT).all())
        for rows in _panels(matrix)
    )


def by_panels(left: B, right: B, out: B) -> B:
    """Write left (m, n) times right (..., n, m), a product that is symmetric, into `out`."""
    for rows in _panels(out):
        out[..., rows, rows.start :] = left[rows] @ right[..., rows.start :]
        out[..., rows.stop :, rows] = out[..., rows, rows.stop :].mT
        square = out[..., rows, rows]
        out[..., rows, rows] = 0.5 * (square + square.mT)
    return out


def times_squares(left: B, matrix: B, out: B) -> B:
    """Write left (..., n) times the transpose of matrix (m, n), whose elements are squared, into `out` (..., m)."""
    for rows in _panels(matrix, 2 * PANEL):
        out[..., rows] = left @ (matrix[rows] * matrix[rows]).mT
    return out


def mend(xp: Any, spread: B, rounding: Callable[[], B]) -> B:
    """Do what `without_rounding` does, in place."""
    sd, excess = _deviations(xp, spread)
    for rows in _panels(spread):
        upper, sides = spread[..., rows, rows.start :], (sd[..., rows], sd[..., rows.start :])
        if (xp.abs(upper) > _outer(excess * sides[0], sides[1])).any():
            mended = _mended(xp, upper, _outer(*sides), excess, rounding())
            spread[..., rows, rows.start :] = mended
            spread[..., rows.start :, rows] = mended.mT
    return spread


def series(rho: Any, factors: Sequence[tuple[Any, Any]]) -> tuple[Any, ...]:
    """Return sum over n = 1 ... N of rho^n a_n b_n, for each (a, b) of the factors, by Horner's rule."""
    sums = []
    for one, two in factors:
        total: Any = 0.0 * rho
        for a, b in zip(reversed(range(len(one))), reversed(range(len(two))), strict=True):
            total = (total + one[a] * two[b]) * rho
        sums.append(total)
    return tuple(sums)


def replaced(xp: Any, where: Any, function: Callable[..., Any], arrays: tuple[Any, ...], values: Any) -> Any:
    """Return the values with function(*arrays) in their place where a condition holds."""
    if not where.any():
        return values
    single = not isinstance(values, tuple)
    found = function(*(xp.broadcast_to(x, tuple(where.shape))[where] for x in arrays))
    results = []
    for value, new in zip((values,) if single else values, (found,) if single else found, strict=True):
        # of NumPy's numbers as well these are arrays
        result = xp.zeros_like(value)
        result[...] = value
        result[..., where] = new
        # a function of NumPy's numbers returns a number
        results.append(result if result.ndim else result + 0.0)
    return results[0] if single else tuple(results)


def iterated(xp: Any, step: Callable[..., Any], state: Any, rows: Any, like: A) -> A:
    """Return the results of step(state, *row) -> (state, result) for every row in turn, along a new axis."""
    results = []
    for row in rows.tolist():
        state, result = step(state, *row)
        results.append(result)
    stacked: A = xp.stack(results)
    return stacked


def summed(
    constant: Callable[..., Any], function: Callable[..., tuple[Any, ...]], rows: Any, like: Any
) -> tuple[Any, ...]:
    """Return the sum over rows of function(*columns), as many rows at once as a cache holds."""
    size = max(1, ROWS // max(1, math.prod(like.shape)))
    parts = []
    for start in range(0, len(rows), size):
        columns = constant(rows[start : start + size], like).T.reshape(rows.shape[1], -1, *(1,) * like.ndim)
        parts.append([x.sum(0) for x in function(*columns)])
    return tuple(sum(values[1:], values[0]) for values in zip(*parts, strict=True))


def finite(xp: Any, gains: A) -> A:
    """Replace infinite gains by 0: a neuron without variance on a jump has covariances of 0."""
    result: A = xp.where(xp.isinf(gains), xp.zeros_like(gains), gains)
    return result


def plus_skip(full: A, gains: A, product: A, across: A, matrix: A | None) -> A:
    """Return full + H + H^T, where H = (G product + across / 2) matrix^T and G = diag(gains)."""
    half = gains[..., None] * product + 0.5 * across
    half = half if matrix is None else half @ matrix.T
    return full + (half + half.swapaxes(-1, -2))


def no_kernel(*given: Any) -> None:
    """Say that there is no kernel for few neurons."""


def add_skip(full: B, gains: B, product: B, across: B, matrix: B | None) -> B:
    """Do what `plus_skip` does, in place of full."""
    for rows in _panels(full):
        half = gains[..., rows, None] * product[..., rows, :] + 0.5 * across[..., rows, :]
        panel = full[..., rows, :]
        panel *= 0.5
        panel += half if matrix is None else half @ matrix.T
    return plus_transpose(full)


def plus_transpose(half: B) -> B:
    """Write half + half^T into half."""
    for rows in _panels(half):
        total = half[..., rows, rows.start :] + half[..., rows.start :, rows].mT
        half[..., rows, rows.start :] = total
        half[..., rows.start :, rows] = total.mT
    return half


def without_rounding(xp: Any, spread: A, rounding: A) -> A:
    """Move negative variances to 0 and entries beyond sqrt(var_i var_j) to that bound; `xp` is the array library.

    Entries move by at most `rounding` (...,). Those further out stay as they are: the kernels report them.
    """
    sd, excess = _deviations(xp, spread)
    return _mended(xp, spread, _outer(sd, sd), excess, rounding)


def possible_cov(xp: Any, var_1: Any, var_2: Any, cov_12: Any, slack: float) -> Any:
    """Return cov_12, nan where no Gaussian pair has it, and 0 beside a variance of 0.

    Formulas that add noise to variances, or that do not divide by them, would hide it.
    """
    cov_12 = xp.where((var_1 > 0.0) & (var_2 > 0.0) | (cov_12 == 0.0), cov_12, xp.zeros_like(cov_12))
    # not by cov_12^2, which may overflow
    limit = math.sqrt(1.0 + slack) * xp.sqrt(xp.abs(var_1)) * xp.sqrt(xp.abs(var_2))
    possible = (var_1 >= 0.0) & (var_2 >= 0.0) & (xp.abs(cov_12) <= limit)
    return xp.where(possible, cov_12, math.nan)


def within_sds(xp: Any, block: A, var_1: A, var_2: A, rounding: Any) -> A:
    """Move covariances (..., n, m) beyond sqrt(var_1 var_2) to that bound.

    Entries move by at most `rounding` (...,) and what kernels of matrices accept; functions of pairs accept less.
    """
    eps, size = float(xp.finfo(block.dtype).eps), xp.abs(block)
    limit = _outer(root(xp, var_1), root(xp, var_2))
    most = rounding[..., None, None] + 16 * sum(block.shape[-2:]) * eps * limit
    beyond = (size > (1.0 + 16 * eps) * limit) & (size - limit <= most)
    moved: A = xp.where(beyond, xp.sign(block) * limit, block)
    return moved


def _deviations(xp: Any, spread: A) -> tuple[A, float]:
    """Return standard deviations, and the multiple of their product up to which kernels accept a covariance."""
    eps = float(xp.finfo(spread.dtype).eps)
    return root(xp, xp.einsum("...ii->...i", spread)), 1.0 + 16 * spread.shape[-1] * eps


def _outer(rows: A, columns: A) -> A:
    return rows[..., :, None] * columns[..., None, :]


def _mended(xp: Any, spread: A, limit: A, excess: float, rounding: A) -> A:
    size = xp.abs(spread)
    explained = (size > excess * limit) & (size - limit <= rounding[..., None, None])
    mended: A = xp.where(explained, xp.sign(spread) * limit, spread)
    return mended


def root(xp: Any, var: A) -> A:
    """Return sqrt(var), or 0 where var is not positive; its derivatives are finite in both cases."""
    positive = var > 0.0
    result: A = xp.where(positive, xp.sqrt(xp.where(positive, var, 1.0 + 0.0 * var)), 0.0 * var)
    return result
