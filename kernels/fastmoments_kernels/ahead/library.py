"""Functions of a library of object code, as Python and NumPy call them.

A loop of NumPy's is its address. An entry takes arrays as NumPy's own objects, whose fields it reads by NumPy's ABI
(PyArrayObject_fields in numpy/ndarraytypes.h), tests their dtype, dimensions and layout, and passes their memory to
the compiled loop. It says what it takes and returns in a string of the library.
"""

import ast
import ctypes
import math
from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np

from fastmoments_kernels.ahead.levels import level, path_of

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
    library.release.argtypes, library.release.restype = (ctypes.c_void_p,), None
    return library


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
    """The loop of this label with the arguments and the result of the function that Numba would compile.

    None if no library has it. It runs without the GIL; other arrays than it was compiled for are a TypeError.
    """
    library = _library()
    if library is None or not hasattr(library, label):
        return None
    text = ctypes.c_char.in_dll(library, f"{label}.signature")
    has_tuple, kinds, result = ast.literal_eval(ctypes.string_at(ctypes.addressof(text)).decode())
    function: Any = library[label]
    count = _fields(result)
    room = [ctypes.POINTER(ctypes.c_int64)] if count else []
    function.argtypes = (*room, *(KINDS[kind] for kind in kinds))
    function.restype, function.errcheck = ctypes.c_int32, partial(_checked, label, len(room))
    call = _with_results(function, ctypes.c_int64 * count, result, library.release) if count else function
    return _with_tuple(call) if has_tuple else call


def _checked(label: str, before: int, status: int, function: Any, arguments: tuple[Any, ...]) -> bool:
    """The loop's answer; `before` of the arguments are not its own."""
    if status >= 0:
        return bool(status)
    if -status < UNFIT:
        raise MemoryError(f"{label}: no memory for what it computes with")
    place = -status - UNFIT
    given = arguments[place + before]
    kind = f"{given.dtype}, {given.shape}, {given.flags}" if isinstance(given, np.ndarray) else repr(given)
    raise TypeError(f"{label}: argument {place} is not the array it was compiled for: {kind}")


def _with_tuple(call: Callable[..., Any]) -> Callable[..., Any]:
    return lambda first, *others: call(*first, *others)


def _with_results(call: Callable[..., Any], fields: Any, result: Any, release: Any) -> Callable[..., Any]:
    def called(*arguments: Any) -> Any:
        found = fields()
        call(found, *arguments)
        return _value(result, iter(found), release)

    return called


def _fields(result: Any) -> int:
    """The number of integers that describe a result: of an array its owner, its address and its shape."""
    if isinstance(result, tuple):
        return sum(map(_fields, result))
    return 2 + result if isinstance(result, int) else 0


def _value(result: Any, fields: Any, release: Any) -> Any:
    """The (tuples of) float64 arrays that `fields` describe."""
    if isinstance(result, tuple):
        return tuple(_value(part, fields, release) for part in result)
    owner, address, *shape = (next(fields) for _ in range(2 + result))
    memory: Any = (ctypes.c_double * math.prod(shape)).from_address(address)
    memory.owner = _Owner(owner, release)
    return np.ndarray(shape, np.float64, memory)


class _Owner:
    """Memory that a loop allocated, released when the last array on it goes."""

    __slots__ = ("_address", "_release")

    def __init__(self, address: int, release: Any) -> None:
        self._address, self._release = address, release

    def __del__(self) -> None:
        self._release(self._address)
