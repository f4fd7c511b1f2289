"""The dtype of an argument, and errors for arguments without real numbers: name, what came, and the remedy."""

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

REAL = ("float16", "bfloat16", "float32", "float64")
LARGEST = int(np.finfo(np.float64).max)
DENSE = ("to_dense", "toarray", "todense")  # methods by which lazy and sparse matrices become arrays


def is_weak(value: Any) -> bool:
    """Whether an argument is a Python number or sequence, which takes the dtype and library of the others."""
    return isinstance(value, int | float) or (isinstance(value, Sequence) and not hasattr(value, "dtype"))


def dtype_of(name: str, value: Any) -> str | None:
    """Return the name of an argument's dtype, real or integer; None for a weak argument."""
    if isinstance(value, int) and abs(value) > LARGEST:
        got = f"an integer of {value.bit_length()} bits"
        raise ValueError(f"{name}: expected a number that float64 holds, at most 1.8e308, got {got}")
    if isinstance(value, int | float) and not isinstance(value, bool):
        return None
    if hasattr(value, "dtype"):
        refuse(name, value)
    dtype = _name(value.dtype if hasattr(value, "dtype") else _read(name, value).dtype)
    if dtype not in REAL and not dtype.startswith(("int", "uint")):
        got = _told(name, value, dtype)
        raise TypeError(f"{name}: expected real numbers ({', '.join(REAL)} or integers), got {got}")
    return None if is_weak(value) else dtype


def eps_of(*arrays: Any) -> float:
    """Eps of the coarsest dtype of a covariance's arrays: as it was given, and as it is computed with."""
    names = {dtype_of("cov", array) for array in arrays}.intersection(REAL)
    return max(2.0**-7 if name == "bfloat16" else float(np.finfo(str(name)).eps) for name in names)


def refuse(name: str, value: Any) -> None:
    """Raise for an array that is masked, sparse, quantized or otherwise without all its numbers."""
    # a Dask array has an empty array of its blocks' type as _meta; np.ma would be imported, in a first call's time
    if isinstance(getattr(value, "_meta", value), getattr(sys.modules.get("numpy.ma"), "MaskedArray", ())):
        raise TypeError(f"{name}: masks are not taken into account; pass {name}.filled(numpy.nan), or .data")
    got, remedy = "", None
    if not _is_tensor(value):
        got = f"{type(value).__module__}.{type(value).__qualname__}"
        remedy = next((method for method in DENSE if hasattr(value, method)), None)
    elif value.is_quantized:
        got, remedy = f"a tensor of {value.dtype}", "dequantize"
    elif str(value.layout) != "torch.strided":
        got, remedy = f"a tensor in {value.layout}", "to_dense"
    if remedy:
        raise TypeError(f"{name}: expected an array that holds all its numbers, got {got}; pass {name}.{remedy}()")


def _is_tensor(value: Any) -> bool:
    return isinstance(value, getattr(sys.modules.get("torch"), "Tensor", ()))


def _read(name: str, value: Any) -> Any:
    """Return an argument without a dtype as an array."""
    kind = type(value).__name__
    try:
        return np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name}: expected an array of real numbers, got a ragged {kind}") from error
    except (TypeError, RuntimeError) as error:
        # tensors with derivatives, on other devices, or traced
        raise TypeError(
            f"{name}: expected an array, got a {kind} that NumPy cannot read: {error}; stack it"
        ) from error


def _name(dtype: Any) -> str:
    """Return a dtype's name as str() does, which takes microseconds for NumPy's dtypes."""
    kind = {"f": "float", "i": "int", "u": "uint"}.get(getattr(dtype, "kind", ""))
    if kind:
        return f"{kind}{8 * dtype.itemsize}"
    name = str(dtype).removeprefix("torch.")
    # polars, and pandas where numbers may be missing
    return name.lower() if name.startswith(("Float", "Int", "UInt")) else name


def _told(name: str, value: Any, dtype: str) -> str:
    """Return what came, and the call that makes real numbers of it."""
    if dtype.startswith("complex"):
        return f"{dtype}; pass {name}.real"
    if dtype == "bool":
        return f"{dtype}; pass 1.0 * {name}"
    if dtype == "object":
        # the type of the first element, for an array or a list
        first = next(iter(np.asarray(value, object).flat), value)
        dtype = f"object, of type {type(first).__module__}.{type(first).__qualname__}".replace("builtins.", "")
    return f"{dtype}; " + (
        f"pass {name}.float()" if _is_tensor(value) else f"numpy.asarray({name}, float) converts what can be"
    )
