"""Options of NumPy's ufuncs: those that are given, and the error that they get from every other array library."""

from typing import Any


def of_ufunc(out: Any, where: Any, dtype: Any) -> dict[str, Any]:
    """Those that say something else than their defaults."""
    given = {} if out is None else {"out": out}
    if where is not True:
        given["where"] = where
    if dtype is not None:
        given["dtype"] = dtype
    return given


def refuse(arrays: str, **options: Any) -> None:
    """Raise, naming the first option that is given; `arrays` says whose arrays they are."""
    for name, value in options.items():
        if value is not None:
            raise TypeError(f"{name}: {arrays} are returned, not written to; leave {name} out")
