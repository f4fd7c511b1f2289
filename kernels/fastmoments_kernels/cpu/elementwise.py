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


def _loops(of: str, compiled: Callable[[str, str], Any]) -> dict[str, Any]:
    """The inner loops by dtype: object code, or what compiled(label, dtype) returns."""
    labels = {dtype: f"{of}_{dtype}" for dtype in ("float32", "float64")}
    return {dtype: ahead.loop(label) or compiled(label, dtype) for dtype, label in labels.items()}


@cache
def _of_row(row_name: str, name: str, inputs: int) -> np.ufunc | Wide:
    kind = KINDS[name]
    fixed, outputs = FIXED[kind.neurons], outputs_of(name, inputs)
    is_wide = inputs + outputs > MOST
    whole = fixed + len(padded(row_name, range(inputs - fixed), kind.neurons)) if is_wide else inputs
    of = f"{row_name}_{name}"

    def compiled(label: str, dtype: str) -> Any:
        return compiler().elementwise(label, row_name, name, whole, dtype)

    loops = _loops(f"{of}_{whole}", compiled)
    if is_wide:
        return Wide(row_name, kind.neurons, fixed, outputs, loops)
    return make_ufunc(of, kind.doc, loops, inputs, outputs)


def elementwise(activation: object, name: str, inputs: int | None = None) -> np.ufunc | Wide:
    """The ufunc `name` of KINDS for an activation.

    The activation's parameters are inputs. Each is one number, unless `inputs`, the number of inputs, says that a
    mixture's have several.
    """
    row, neurons = row_of(activation), KINDS[name].neurons
    return _of_row(row.name, name, inputs or FIXED[neurons] + neurons * len(fields(row.activation)))


@cache
def normal(name: str) -> np.ufunc:
    """The ufunc `name` of OF_NORMAL."""
    loops = _loops(f"{name}_{FIXED[0]}", lambda label, dtype: compiler().normal(label, name, dtype))
    return make_ufunc(name, OF_NORMAL[name].doc, loops, FIXED[0], outputs_of(name, FIXED[0]))
