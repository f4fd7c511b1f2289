"""Formulas and loops compiled by Numba, kept on disk until a kernel source changes."""

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numba
import numpy as np
from numba import types
from numba.core.compiler_lock import global_compiler_lock

from fastmoments_kernels.bind import Binding
from fastmoments_kernels.cpu.machine import TARGET
from fastmoments_kernels.cpu.vocabulary import VOCABULARY, binding, inline
from fastmoments_kernels.formulas.identity import has_series, interface_of

STALE = 30 * 86400.0  # seconds after which another version's machine code is removed

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
    one = np.ones(1)
    features = formula.neuron(one, one, (one,) * parameters)
    names = {"formula": compiled, "NEURON": (0.0,) * len(features), "PARAMETERS": (0.0,) * parameters}
    return binding(real, names | {"HAS_SERIES": has_series(formula)}, inline)


def pack_binding(formula: ModuleType, parameters: int) -> Binding:
    """The binding of `formula` and PARAMETERS for loops over packs."""
    compiled = ModuleType(formula.__name__)
    for name, function in interface_of(formula).items():
        setattr(compiled, name, (COMPILED if name in OF_PAIRS else INLINED)["pack"](function))
    return binding("pack", {"formula": compiled, "PARAMETERS": (0.0,) * parameters}, jit)


def entry(template: Callable[..., Any], binding: Binding, name: str, signature: Any) -> Any:
    """The loop `template` for one activation, as Python calls it: it releases the GIL and is cached by `name`."""
    with disk_cache() as enabled:
        decorate = numba.njit(signature, error_model="numpy", nogil=True, cache=enabled)
        return decorate(binding.copy(template, name))


def ufunc_loop(template: Callable[..., Any], names: Mapping[str, Any], name: str) -> Any:
    """A loop with NumPy's signature, void(char **args, intp *n, intp *steps, void *), cached like `entry`."""
    pointer = types.CPointer(types.int64)
    with disk_cache() as enabled:
        signature = types.void(pointer, pointer, pointer, types.voidptr)
        return numba.cfunc(signature, cache=enabled)(Binding(names, compile=jit).copy(template, name))


@cache
def _directory() -> Path:
    """The cache's folder, one per digest of the kernel sources and of the processor; processes may share it.

    Numba notices an edit of the file that a loop stands in, not of the formulas bound into it: an upgrade or an
    edit needs another folder. So does another processor: two that write one of Numba's index files at once both
    give their code the number 1, and each would load the other's.
    """
    package = Path(__file__).parents[1]
    digest = hashlib.sha256(repr(TARGET).encode())
    for source in sorted(package.rglob("*.py")):
        digest.update(source.read_bytes())
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fastmoments"
    base = Path(numba.config.CACHE_DIR) if numba.config.CACHE_DIR else default
    return base / f"kernels-{digest.hexdigest()[:16]}"


@contextmanager
def disk_cache() -> Iterator[bool]:
    """Point Numba's cache at our folder while a loop is decorated; False if it cannot be written."""
    if numba.config.DISABLE_JIT:
        raise RuntimeError(
            "NUMBA_DISABLE_JIT: the kernels for arrays in main memory exist only as code that Numba compiles; "
            "unset the variable, or set it to 0, before Numba is imported"
        )
    # The setting is one for all threads. Numba's own lock guards it: a thread that compiles holds that lock already
    with global_compiler_lock:
        before, folder = numba.config.CACHE_DIR, _directory()
        enabled = _made(folder)
        numba.config.CACHE_DIR = str(folder) if enabled else before
        try:
            yield enabled
        finally:
            numba.config.CACHE_DIR = before


def _made(folder: Path) -> bool:
    """Make the folder, and remove folders that no process has used for long; whether it is there."""
    try:
        if folder.exists():
            os.utime(folder)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            _remove_stale(folder.parent)
    except OSError:
        return False
    return True


def _remove_stale(base: Path) -> None:
    for folder in base.glob("kernels-*"):
        with suppress(OSError):  # another process may remove it at the same time
            if time.time() - folder.stat().st_mtime > STALE:
                shutil.rmtree(folder)
