"""A bar that shows how far a long call is."""

from __future__ import annotations

from typing import Any


class _Silent:
    """A bar that shows nothing."""

    def update(self, count: int = 1) -> None:
        """Show nothing."""

    def __enter__(self) -> _Silent:
        return self

    def __exit__(self, *error: object) -> None:
        pass


def bar(what: str, unit: str, total: int | None = None) -> Any:
    """Return a bar, for a `with`, that appears after a second; one that shows nothing where tqdm is missing."""
    try:
        from tqdm import tqdm  # not at the top: tqdm is optional
    except ImportError:
        return _Silent()
    return tqdm(total=total, desc=what, unit=unit, unit_scale=True, delay=1, leave=False)
