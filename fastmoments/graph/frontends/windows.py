"""Which elements of a value the windows of pooling read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Indices = Any  # of elements: NumPy's integers


def positions_of_pool(size: int, results: int, kernel: int, stride: int, padding: int, dilation: int) -> list[Any]:
    """Return the positions along one axis that every result of a pool reads, without those in the padding."""
    reach = np.arange(kernel) * dilation
    starts = np.arange(results) * stride - padding
    return [found[(found >= 0) & (found < size)] for found in starts[:, None] + reach]


def positions_of_adaptive_pool(size: int, results: int) -> list[Any]:
    """Return the positions along one axis that every result of an adaptive pool reads."""
    return [np.arange(k * size // results, -(-(k + 1) * size // results)) for k in range(results)]


def windows(elements: Indices, positions: Sequence[list[Any]]) -> Indices:
    """Return the groups (groups, n) of windows of the last axes, one list of positions each.

    Smaller windows read their first elements again, which changes no maximum.
    """
    dims = len(positions)
    lead = elements.reshape(-1, *elements.shape[-dims:])
    full = [_filled(found) for found in positions]
    grid = []
    for k, table in enumerate(full):
        shape = [1] * (2 * dims)
        shape[k], shape[dims + k] = table.shape
        grid.append(table.reshape(shape))
    found = lead[(slice(None), *grid)]
    count, size = int(np.prod(found.shape[: 1 + dims])), int(np.prod(found.shape[1 + dims :]))
    return found.reshape(count, size)


def _filled(positions: list[Any]) -> Any:
    """Positions (results, longest), the shorter with their first one again."""
    longest = max(map(len, positions))
    return np.stack([np.concatenate([found, np.full(longest - len(found), found[0])]) for found in positions])
