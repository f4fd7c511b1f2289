"""A function on NumPy arrays that is called like the ufunc in whose place it stands."""

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


class LikeUfunc:
    """`function`, with the options out, where and dtype of NumPy's ufuncs, and the number of outputs, `nout`."""

    def __init__(self, function: Callable[..., Any], nout: int) -> None:
        self._function, self.nout = function, nout

    def __call__(self, *inputs: Any, out: Any = None, where: Any = True, dtype: Any = None) -> Any:
        """Return the outputs, or `out` filled with them where `where` holds."""
        given = (None,) * self.nout if out is None else out if isinstance(out, tuple) else (out,)
        if len(given) != self.nout:
            wrong = ValueError if isinstance(out, tuple) else TypeError  # NumPy's
            raise wrong(f"out: expected {self.nout} arrays, got {len(given)}")
        if dtype is not None:
            inputs = tuple(np.asarray(x).astype(dtype, casting="same_kind") for x in inputs)
        found = self._function(*inputs)
        values = found if isinstance(found, tuple) else (found,)
        results = tuple(_written(*pair, where) for pair in zip(values, given, strict=True))
        return results if self.nout > 1 or isinstance(found, tuple) else results[0]


def _written(value: Any, out: Any, where: Any) -> Any:
    if out is None and where is True:
        return value
    if out is None:
        out = np.empty(np.broadcast_shapes(np.shape(value), np.shape(where)), value.dtype)
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out: expected an array, got {type(out).__name__}")
    np.copyto(out, value, casting="same_kind", where=where)
    return out
