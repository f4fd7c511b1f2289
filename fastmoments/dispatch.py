"""Arrays to a plan: which framework they come from and which kernels serve them. No mathematics."""

from dataclasses import dataclass
from typing import Any

import numpy as np

REAL = ("float16", "float32", "float64")
PRECISIONS = ("float32", "float64")
COMING = ("torch", "jax", "jaxlib", "cupy", "dask")


@dataclass(frozen=True)
class Plan:
    """What runs where: the arrays' framework and device, the kernels, and the arithmetic's dtype.

    `result` is the dtype of what comes back, `compute` the one the kernels read; they differ for float16 and
    where `precision=` asks for it.
    """

    framework: str
    device: str
    backend: str
    result: str
    compute: str

    def __str__(self) -> str:
        where = f"{self.framework} arrays on {self.device} -> {self.backend} kernels"
        return f"{where}, computed in {self.compute}, returned in {self.result}"


def plan(*arrays: Any, precision: str | None = None) -> Plan:
    """Say what would run for these arrays.

    Parameters
    ----------
    *arrays : the arrays a public function would be given. Python numbers and lists take the dtype of the others.
    precision : "float32" or "float64" to compute in that type whatever the arrays' own.

    Returns
    -------
    Plan
        Printable: framework, device, backend and dtypes.

    Raises
    ------
    TypeError : mixed dtypes, dtypes that are not real numbers, or arrays of a library not supported.

    Examples
    --------
    >>> import numpy as np, fastmoments as fm
    >>> print(fm.plan(np.zeros(3), np.eye(3)))
    numpy arrays on cpu -> cpu kernels, computed in float64, returned in float64
    """
    return plan_of({f"argument {i + 1}": array for i, array in enumerate(arrays)}, precision)


def plan_of(arguments: dict[str, Any], precision: str | None = None) -> Plan:
    """`plan` for named arguments, so that errors name them."""
    if precision is not None and precision not in PRECISIONS:
        raise ValueError(f'precision: expected None, "float32" or "float64", got {precision!r}')
    found: dict[str, str] = {}
    for name, value in arguments.items():
        _check_library(name, value)
        dtype = _dtype_of(name, value)
        if dtype is not None:
            found.setdefault(dtype, name)
    if len(found) > 1:
        (first, name_1), (second, name_2) = list(found.items())[:2]
        raise TypeError(
            f"{name_1} is {first} but {name_2} is {second}: convert one, e.g. {name_2}.astype('{first}')"
        )
    result = next(iter(found), "float64")
    compute = precision or ("float32" if result == "float16" else result)
    return Plan("numpy", "cpu", "cpu", result, compute)


def _check_library(name: str, value: Any) -> None:
    library = type(value).__module__.partition(".")[0]
    if library in COMING:
        raise TypeError(f"{name}: {library} arrays are not supported yet; pass numpy.asarray({name})")


def _dtype_of(name: str, value: Any) -> str | None:
    """The result dtype an argument asks for; None where it takes the others' (Python numbers and lists)."""
    weak = not hasattr(value, "dtype")
    try:
        dtype = np.asarray(value).dtype
    except ValueError as error:
        raise ValueError(
            f"{name}: expected an array of real numbers, got a ragged {type(value).__name__}"
        ) from error
    if dtype.kind in "iu":
        return None if weak else "float64"
    if dtype.name not in REAL:
        raise TypeError(f"{name}: expected real numbers (float16, float32, float64 or integers), got {dtype.name}")
    return None if weak else dtype.name
