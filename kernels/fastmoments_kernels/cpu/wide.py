"""Functions with more operands than NumPy's ufuncs may have, for mixtures of many components."""

import ctypes
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fastmoments_kernels.cpu.components import kept, padded

MOST = 64  # inputs and outputs of a ufunc at most, NumPy's NPY_MAXARGS

Array = np.ndarray[Any, Any]


class Wide:
    """A function called like a ufunc, with `out` as the only keyword.

    Parameters
    ----------
    activation : the name of the mixture; its parameters, of `neurons` neurons in turn, follow `fixed` other inputs.
    nout : the number of outputs.
    loops : by dtype, a loop for the number of components that `padded` makes.
    """

    def __init__(self, activation: str, neurons: int, fixed: int, nout: int, loops: Mapping[str, Any]) -> None:
        self.nout, self._of, self._fixed, self._loops = nout, (activation, neurons), fixed, loops

    def __call__(self, *arrays: Any, out: tuple[Array, ...] | None = None) -> Any:
        """Return the outputs, or `out` filled with them."""
        shape = np.broadcast_arrays(*arrays)[0].shape
        dtype = "float32" if np.result_type(*arrays) == np.float32 else "float64"
        inputs = [_laid_out(x, shape, dtype) for x in arrays]
        (activation, neurons), unpadded = self._of, inputs[self._fixed :]
        parameters = padded(activation, unpadded, neurons)
        count = len(parameters) if self.nout == len(unpadded) else self.nout
        results = [np.empty(shape, dtype) for _ in range(count)]
        _run(self._loops[dtype], [*inputs[: self._fixed], *parameters, *results], math.prod(shape))
        values = kept(activation, results, len(unpadded)) if self.nout == len(unpadded) else results
        if out is None:
            return values[0][()] if self.nout == 1 else tuple(value[()] for value in values)
        for into, value in zip(out, values, strict=True):
            into[...] = value
        return out


def _laid_out(array: Any, shape: tuple[int, ...], dtype: str) -> Array:
    """The array in one dtype, contiguous and of one shape, unless it is one number for all."""
    array = np.asarray(array, dtype)
    return array if array.ndim == 0 else np.ascontiguousarray(np.broadcast_to(array, shape))


def _run(loop: Any, operands: Sequence[Array], count: int) -> None:
    """Call NumPy's inner loop on `count` elements."""
    integers = ctypes.c_int64 * len(operands)
    addresses = integers(*(x.ctypes.data for x in operands))
    steps = integers(*(x.itemsize if x.ndim else 0 for x in operands))
    loop.ctypes(addresses, ctypes.c_int64(count), steps, None)
