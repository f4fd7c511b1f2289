"""Noise of a network's own: covariances that random weights and masks add, exact for inputs of any distribution.

A layer y = W x of random weights W, independent of x and of mean M, has the mean M E x and the covariance
M cov M^T + sum E[(W - M)_ij (W - M)_kl] E[x_j x_l]: what is added depends on the second moments of x alone. A mask
is a diagonal W. Dropout, which divides by 1 - p what it keeps, is a mask of mean 1 and variance p / (1 - p).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from fastmoments.frameworks import Words

Array = Any  # of the library whose words are given
OwnCov = Callable[[Words[Any], Array], Array]  # of second moments (batch, n, n): covariances (batch, m, m)


def dropout_var(p: float) -> float:
    """Variance of a mask that is 0 with probability p < 1, else 1 / (1 - p)."""
    return p / (1.0 - p)


def shared_cov(xp: Any, second: Array, var: float, labels: Array) -> Array:
    """Cov that a mask of mean 1 adds: var E[x_i x_j] where i and j have the same label, and so the same draw.

    `second` are E[x_i x_j], (batch, n, n), and `labels` are (n,).
    """
    return xp.where(labels[:, None] == labels, var * second, 0.0 * second)


def rows_cov(own: Callable[[Array], Array], shape: tuple[int, ...]) -> OwnCov | None:
    """Return the covariances that weights add which are the same for all rows of a value of shape (..., n).

    `own` makes the variances of one row of second moments (..., n), and the covariances of two rows' outputs of the
    products of two rows. None for a single row: its outputs' weights are independent.
    """
    *lead, n = shape
    rows = math.prod(lead)
    if rows == 1:
        return None

    def added(words: Words[Any], second: Array) -> Array:
        batch = second.shape[0]
        pairs = own(words.xp.einsum("brisi->brsi", second.reshape(batch, rows, n, rows, n)))
        # products of matrices need not be symmetric in their rows
        pairs = 0.5 * (pairs + pairs.swapaxes(1, 2))
        m = pairs.shape[-1]
        blocks = pairs.swapaxes(2, 3)[..., None] * words.eye(m, pairs)[:, None]
        return blocks.reshape(batch, rows * m, rows * m)

    return added
