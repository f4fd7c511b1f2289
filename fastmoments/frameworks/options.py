"""Options that only NumPy's functions take get the same error from every other array library."""

from typing import Any


def refuse(arrays: str, **options: Any) -> None:
    """Raise, naming the first option that is given; `arrays` says whose arrays they are."""
    for name, value in options.items():
        if value is not None:
            raise TypeError(f"{name}: {arrays} are returned, not written to; leave {name} out")
