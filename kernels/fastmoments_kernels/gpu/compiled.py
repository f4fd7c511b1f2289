"""Formulas and kernels as Triton functions; TRITON_INTERPRET=1 makes Triton interpret them."""

from collections.abc import Callable
from functools import cache
from types import FunctionType, ModuleType
from typing import Any

import triton
import triton.language as tl

from fastmoments_kernels.bind import Binding
from fastmoments_kernels.catalogue import row_of
from fastmoments_kernels.formulas.identity import interface_of
from fastmoments_kernels.gpu.elementary import INTERPRETED, Compiled, constant, device
from fastmoments_kernels.gpu.vocabulary import VOCABULARY_32, VOCABULARY_64

# Triton looks annotations up like other names; these have no meaning to it.
BASE = {"Real": None, "Reals": None, "tl": tl}
# Triton compiles a kernel anew for an argument that is 1 or a multiple of 16. That pays for the lengths of rows in
# memory (n, columns, depth), and not for these arguments.
ANY_NUMBER = ("count", "blocks", "tiles", "terms", "segment", "rows")
NAMES = {"float32": VOCABULARY_32 | BASE, "float64": VOCABULARY_64 | BASE}


def as_device(function: FunctionType) -> Any:
    """A formula as a device function."""
    function.__globals__["tl"] = tl  # the interpreter needs it in every function that it runs
    return device(function)


@cache
def _names(name: str, dtype: str) -> dict[str, Any]:
    """The globals of kernels: the vocabulary's words in a dtype, and an activation's functions as `formula`."""
    source = row_of(name).formula
    binding = Binding(NAMES[dtype], compile=as_device, constant=constant)
    formula = ModuleType(source.__name__)
    for word, function in interface_of(source).items():
        setattr(formula, word, binding(function))
    return {**NAMES[dtype], "formula": formula}


@cache
def device_function(function: Callable[..., Any], name: str, dtype: str) -> Any:
    """A function bound and compiled for kernels of the activation `name` to call."""
    return Binding(_names(name, dtype), compile=as_device, constant=constant)(function)


@cache
def kernel(template: Callable[..., Any], name: str, dtype: str, *any_number: str) -> Any:
    """The kernel `template` for the activation `name`, its arithmetic in one dtype.

    `any_number` are arguments beside those of ANY_NUMBER of which Triton is to know nothing.
    """
    function = Binding(_names(name, dtype), compile=as_device, constant=constant).named(template)
    function.__globals__["tl"] = tl
    return triton.jit(function) if INTERPRETED else Compiled(function, do_not_specialize=[*ANY_NUMBER, *any_number])
