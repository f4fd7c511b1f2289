"""The options of NumPy's ufuncs, and the error for them that all other array libraries raise."""

from typing import Any


def of_ufunc(out: Any, where: Any, dtype: Any) -> dict[str, Any]:
    """Return the options that differ from their defaults."""
    given = {} if out is None else {"out": out}
    if where is not True:
        given["where"] = where
    if dtype is not None:
        given["dtype"] = dtype
    return given


def refuse(arrays: str, **options: Any) -> None:
    """Raise for the first option that is given; `arrays` names the arrays' library."""
    for name, value in options.items():
        if value is not None:
            raise TypeError(f"{name}: {arrays} are returned, not written to; leave {name} out")
