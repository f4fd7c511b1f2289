"""A NumPy ufunc from compiled loops, by NumPy's C function PyUFunc_FromFuncAndData (numpy/ufuncobject.h).

Numba's own ufuncs have one output, or refuse `where=`.
"""

import ctypes
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy._core import _multiarray_umath  # type: ignore[attr-defined]

FROM_FUNC_AND_DATA = 1  # the function's place in the table, fixed by NumPy's ABI
NO_IDENTITY = -1

_kept: list[Any] = []  # arguments to which NumPy stores pointers


def _from_func_and_data() -> Any:
    pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
    pointer_of.restype, pointer_of.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    table = ctypes.cast(pointer_of(_multiarray_umath._UFUNC_API, None), ctypes.POINTER(ctypes.c_void_p))
    text, number, pointer = ctypes.c_char_p, ctypes.c_int, ctypes.c_void_p
    arguments = (pointer, pointer, pointer, number, number, number, number, text, text, number)
    return ctypes.PYFUNCTYPE(ctypes.py_object, *arguments)(table[FROM_FUNC_AND_DATA])


def make_ufunc(name: str, doc: str, loops: Mapping[str, Any], inputs: int, outputs: int) -> np.ufunc:
    """Return the ufunc of `loops`: by dtype, a numba.cfunc for inputs and outputs of that dtype."""
    addresses = (ctypes.c_void_p * len(loops))(*(loop.address for loop in loops.values()))
    data = (ctypes.c_void_p * len(loops))()
    codes = bytes(np.dtype(dtype).num for dtype in loops for _ in range(inputs + outputs))
    names = name.encode(), doc.encode()
    made: np.ufunc = _from_func_and_data()(
        addresses, data, codes, len(loops), inputs, outputs, NO_IDENTITY, *names, 0
    )
    _kept.append((loops, addresses, data, codes, names))
    return made
