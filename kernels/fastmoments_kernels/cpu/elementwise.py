"""The elementwise functions as NumPy ufuncs: from object code where there is some, else compiled on first use."""

from collections.abc import Callable
from dataclasses import fields
from functools import cache
from typing import Any

import numpy as np

from fastmoments_kernels import ahead
from fastmoments_kernels.catalogue import row_of
from fastmoments_kernels.cpu.compiler import compiler
from fastmoments_kernels.cpu.components import padded
from fastmoments_kernels.cpu.numpy_ufunc import make_ufunc
from fastmoments_kernels.cpu.wide import MOST, Wide
from fastmoments_kernels.kinds import FIXED, KINDS, OF_NORMAL, outputs_of

DTYPES = ("float32", "float64")


def _loops(of: str, dtypes: tuple[str, ...], compiled: Callable[[str, str], Any]) -> dict[str, Any]:
    """The inner loops by dtype: object code, or what compiled(label, dtype) returns."""
    labels = {dtype: f"{of}_{dtype}" for dtype in dtypes}
    return {dtype: ahead.loop(label) or compiled(label, dtype) for dtype, label in labels.items()}


@cache
def _of_row(row_name: str, name: str, inputs: int, dtypes: tuple[str, ...]) -> np.ufunc | Wide:
    kind = KINDS[name]
    fixed, outputs = FIXED[kind.neurons], outputs_of(name, inputs)
    is_wide = inputs + outputs > MOST
    whole = fixed + len(padded(row_name, range(inputs - fixed), kind.neurons)) if is_wide else inputs
    of = f"{row_name}_{name}"

    def compiled(label: str, dtype: str) -> Any:
        return compiler().elementwise(label, row_name, name, whole, dtype)

    loops = _loops(f"{of}_{whole}", dtypes, compiled)
    if is_wide:
        return Wide(row_name, kind.neurons, fixed, outputs, loops)
    return make_ufunc(of, kind.doc, loops, inputs, outputs)


def elementwise(
    activation: object, name: str, inputs: int | None = None, dtype: str | None = None
) -> np.ufunc | Wide:
    """The ufunc `name` of KINDS for an activation.

    The activation's parameters are inputs. Each is one number, unless `inputs`, the number of inputs, says that a
    mixture's have several. With `dtype`, one of DTYPES, it is compiled for arrays of that dtype only.
    """
    row, neurons = row_of(activation), KINDS[name].neurons
    count = inputs or FIXED[neurons] + neurons * len(fields(row.activation))
    return _of_row(row.name, name, count, (dtype,) if dtype else DTYPES)


def normal(name: str, dtype: str | None = None) -> np.ufunc:
    """The ufunc `name` of OF_NORMAL, for one dtype or for all."""
    return _of_normal(name, (dtype,) if dtype else DTYPES)


@cache
def _of_normal(name: str, dtypes: tuple[str, ...]) -> np.ufunc:
    loops = _loops(f"{name}_{FIXED[0]}", dtypes, lambda label, dtype: compiler().normal(label, name, dtype))
    return make_ufunc(name, OF_NORMAL[name].doc, loops, FIXED[0], outputs_of(name, FIXED[0]))
