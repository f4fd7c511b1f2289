"""Formulas and loops compiled by Numba, kept on disk until a kernel source changes."""

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from types import ModuleType
from typing import Any

import numba
import numpy as np
from numba import types
from numba.core.ccallback import CFunc
from numba.core.compiler_lock import global_compiler_lock

from fastmoments_kernels.bind import Binding
from fastmoments_kernels.cpu.kept import Kept, kernels, on_disk
from fastmoments_kernels.cpu.vocabulary import VOCABULARY, binding, inline
from fastmoments_kernels.formulas.identity import has_series, interface_of

TESTED = ("0.68.1",)  # the versions of Numba whose internals `lean` was tested with; others compile as usual

jit = numba.njit(error_model="numpy")

COMPILED = {real: binding(real, words, jit) for real, words in VOCABULARY.items()}
# functions of one neuron are always inlined, so that LLVM makes the loop over neurons one of vectors
INLINED = {real: binding(real, words, inline) for real, words in VOCABULARY.items()}
compiled_formula = COMPILED["float64"]
OF_PAIRS = ("cov", "cov_10", "cov_20", "product_11", "cov_dparameters")


if hasattr(os, "register_at_fork"):
    # A child has no thread that would release the lock or finish a compilation: a fork waits for both
    os.register_at_fork(
        before=global_compiler_lock.acquire,
        after_in_parent=global_compiler_lock.release,
        after_in_child=global_compiler_lock.release,
    )


@cache
def formula_binding(formula: ModuleType, parameters: int, real: str = "float64") -> Binding:
    """The binding of `formula`, NEURON, PARAMETERS and HAS_SERIES, which loops read, to an activation and a dtype.

    Loops for matrices of different dtypes that compute in one dtype share its compiled functions.
    """
    compiled = ModuleType(formula.__name__)
    for name, function in interface_of(formula).items():
        setattr(compiled, name, (COMPILED if name in OF_PAIRS else INLINED)[real](function))
    names = {"formula": compiled, **_tuples(formula, parameters)}
    return binding(real, names | {"HAS_SERIES": has_series(formula)}, inline)


def _tuples(formula: ModuleType, parameters: int) -> dict[str, Any]:
    """Tuples as long as a neuron's features and as its parameters."""
    one = np.ones(1)
    features = formula.neuron(one, one, (one,) * parameters)
    return {"NEURON": (0.0,) * len(features), "PARAMETERS": (0.0,) * parameters}


def pack_binding(formula: ModuleType, parameters: int) -> Binding:
    """The binding of `formula`, NEURON and PARAMETERS for loops over packs."""
    compiled = ModuleType(formula.__name__)
    for name, function in interface_of(formula).items():
        setattr(compiled, name, (COMPILED if name in OF_PAIRS else INLINED)["pack"](function))
    return binding("pack", {"formula": compiled, **_tuples(formula, parameters)}, jit)


def entry(template: Callable[..., Any], binding: Binding, name: str, signature: Any) -> Any:
    """The loop `template` for one activation, as Python calls it: it releases the GIL and is kept by `name`."""

    def compile() -> Any:
        loop = numba.njit(error_model="numpy", nogil=True)(binding.copy(template, name))
        loop._cache = Kept(name)
        loop.compile(signature)
        loop.disable_compile()
        return loop

    return _made(name, compile)


def ufunc_loop(template: Callable[..., Any], names: Mapping[str, Any], name: str) -> Any:
    """A loop with NumPy's signature, void(char **args, intp *n, intp *steps, void *), kept like `entry`."""

    def compile() -> Any:
        pointer = types.CPointer(types.int64)
        arguments = (pointer, pointer, pointer, types.voidptr)
        loop: Any = CFunc(Binding(names, compile=jit).copy(template, name), (arguments, types.void), {}, {})
        loop._cache = Kept(name)
        loop.compile()
        return loop

    return _made(name, compile)


def _made(name: str, compile: Callable[[], Any]) -> Any:
    """What `compile` returns, or reads from disk, while nobody else compiles the same."""
    check_enabled()
    # a thread that compiles holds this lock already
    with global_compiler_lock, nullcontext() if on_disk(name) else kernels().alone(name), _compiling(name):
        loop = compile()
    _loaded.add(name)
    return loop


def _compiling(name: str) -> AbstractContextManager[None]:
    """How the entry is compiled."""
    if numba.__version__ not in TESTED:
        return nullcontext()
    from fastmoments_kernels.cpu.lean import lean

    return lean(name)


def check_enabled() -> None:
    """Raise if Numba is told not to compile."""
    if numba.config.DISABLE_JIT:
        raise RuntimeError(
            "NUMBA_DISABLE_JIT: the kernels for arrays in main memory exist only as code that Numba compiles; "
            "unset the variable, or set it to 0, before Numba is imported"
        )


def is_ready(name: str) -> bool:
    """Whether the entry or loop of this name is compiled: in this process, or its object code is on disk."""
    return name in _loaded or on_disk(name)


_loaded: set[str] = set()  # the names of what this process has compiled or read
