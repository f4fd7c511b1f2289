"""A bar that shows how far a long call is."""

from __future__ import annotations

from typing import Any


class _Silent:
    """What stands for a bar without tqdm."""

    def update(self, count: int) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Show nothing."""


def bar(total: int, what: str, unit: str) -> Any:
    """Return a bar of tqdm that appears after a second, or one that shows nothing where tqdm is missing."""
    try:
        from tqdm import tqdm  # not at the top: tqdm is optional
    except ImportError:
        return _Silent()
    return tqdm(total=total, desc=what, unit=unit, unit_scale=True, delay=1, leave=False)
