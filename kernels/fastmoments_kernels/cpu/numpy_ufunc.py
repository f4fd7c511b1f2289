"""NumPy ufuncs from compiled loops, by NumPy's C functions PyUFunc_FromFuncAndData... (numpy/ufuncobject.h).

Numba's own ufuncs have one output, or refuse `where=`.
"""

import ctypes
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy._core import _multiarray_umath  # type: ignore[attr-defined]

# the functions' places in the table, fixed by NumPy's ABI
FROM_FUNC_AND_DATA, FROM_FUNC_AND_DATA_AND_SIGNATURE = 1, 31
NO_IDENTITY = -1

_kept: list[Any] = []  # arguments to which NumPy stores pointers


def _function(place: int, *more: Any) -> Any:
    """NumPy's function at a place of its table; it takes `more` arguments than PyUFunc_FromFuncAndData."""
    pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
    pointer_of.restype, pointer_of.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    table = ctypes.cast(pointer_of(_multiarray_umath._UFUNC_API, None), ctypes.POINTER(ctypes.c_void_p))
    text, number, pointer = ctypes.c_char_p, ctypes.c_int, ctypes.c_void_p
    arguments = (pointer, pointer, pointer, number, number, number, number, text, text, number, *more)
    return ctypes.PYFUNCTYPE(ctypes.py_object, *arguments)(table[place])


def make_ufunc(name: str, doc: str, loops: Mapping[str, Any], inputs: int, outputs: int) -> np.ufunc:
    """Return the ufunc of `loops`: by dtype, a numba.cfunc for inputs and outputs of that dtype."""
    codes = bytes(np.dtype(dtype).num for dtype in loops for _ in range(inputs + outputs))
    arguments = codes, len(loops), inputs, outputs, NO_IDENTITY, name.encode(), doc.encode(), 0
    return _made(_function(FROM_FUNC_AND_DATA), list(loops.values()), arguments)


def make_gufunc(name: str, doc: str, loop: Any, dtypes: str, signature: str) -> np.ufunc:
    """Return the ufunc of one loop over arrays: `dtypes` such as "dd->d" by `signature` such as "(n),(n)->()"."""
    given, made = ([np.dtype(x).num for x in side] for side in dtypes.split("->"))
    counts = 1, len(given), len(made), NO_IDENTITY
    arguments = bytes(given + made), *counts, name.encode(), doc.encode(), 0, signature.encode()
    return _made(_function(FROM_FUNC_AND_DATA_AND_SIGNATURE, ctypes.c_char_p), [loop], arguments)


def _made(function: Any, loops: list[Any], arguments: tuple[Any, ...]) -> np.ufunc:
    addresses = (ctypes.c_void_p * len(loops))(*(loop.address for loop in loops))
    data = (ctypes.c_void_p * len(loops))()
    made: np.ufunc = function(addresses, data, *arguments)
    _kept.append((loops, addresses, data, arguments))
    return made
