"""Functions of a library of object code, as Python and NumPy call them.

A loop of NumPy's is its address. An entry takes arrays as NumPy's own objects, whose fields it reads by NumPy's ABI
(PyArrayObject_fields in numpy/ndarraytypes.h), tests their dtype, dimensions and layout, and passes their memory to
the compiled loop. A string in the library says what it takes.
"""

import ctypes
from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np

from fastmoments_kernels.ahead.levels import level, path_of
from fastmoments_kernels.catalogue import PARAMETERS, row_of

HEADER = object.__basicsize__  # bytes of a Python object before NumPy's fields
NO_MEMORY = 1  # less than 0: a loop raised, and none does but for want of memory
UNFIT = 1000  # less than 0, and the number of an argument, which is not the array expected
KINDS = {"array": ctypes.py_object, "int64": ctypes.c_int64, "float64": ctypes.c_double}


@cache
def _library() -> ctypes.CDLL | None:
    name = level()
    if name is None:
        return None
    library = ctypes.CDLL(path_of(name))
    for variable, value in (("header", HEADER), ("ndarray", id(np.ndarray))):
        ctypes.c_int64.in_dll(library, variable).value = value
    return library


def holds(activation: str | None) -> bool:
    """Whether the library that serves has all loops of an activation; None stands for those of none."""
    label = "alone_linear_0_1_float64"
    if activation is not None:
        label = f"{activation}_gain_{2 + len(PARAMETERS[row_of(activation).activation])}_float64"
    return hasattr(_library(), label)


class Loop(NamedTuple):
    """An inner loop with NumPy's signature, void(char **args, intp *n, intp *steps, void *)."""

    address: int
    ctypes: Any  # the same for Python


@cache
def loop(label: str) -> Loop | None:
    """The inner loop of this label, None if no library has it."""
    found = getattr(_library(), label, None)
    if found is None:
        return None
    pointer = ctypes.POINTER(ctypes.c_int64)
    found.argtypes, found.restype = (pointer, pointer, pointer, ctypes.c_void_p), None
    address = ctypes.cast(found, ctypes.c_void_p).value
    assert address is not None
    return Loop(address, found)


@cache
def entry(label: str) -> Callable[..., Any] | None:
    """The loop of this label with the arguments and the answer of the function that Numba would compile.

    None if no library has it. It runs without the GIL; other arrays than it was compiled for are a TypeError.
    """
    library = _library()
    if library is None or not hasattr(library, label):
        return None
    text = ctypes.c_char.in_dll(library, f"{label}.signature")
    has_tuple, *kinds = ctypes.string_at(ctypes.addressof(text)).decode().split()
    function: Any = library[label]
    function.argtypes = tuple(KINDS[kind] for kind in kinds)
    function.restype, function.errcheck = ctypes.c_int32, partial(_checked, label)
    return _with_tuple(function) if has_tuple == "tuple" else function


def _checked(label: str, status: int, function: Any, arguments: tuple[Any, ...]) -> bool:
    """The loop's answer."""
    if status >= 0:
        return bool(status)
    if -status < UNFIT:
        raise MemoryError(f"{label}: no memory for what it computes with")
    given = arguments[-status - UNFIT]
    kind = f"{given.dtype}, {given.shape}, {given.flags}" if isinstance(given, np.ndarray) else repr(given)
    raise TypeError(f"{label}: argument {-status - UNFIT} is not the array it was compiled for: {kind}")


def _with_tuple(call: Callable[..., Any]) -> Callable[..., Any]:
    """Take a tuple of arrays as the first argument."""
    return lambda first, *others: call(*first, *others)
