"""Numba's cache, kept by name: a compiled function is on disk for all processes of this version and processor.

Numba's own cache needs the sources' files, fails for ever on a damaged file of its own, and keeps two files for a
function, of which two processes may each write one.
"""

import hashlib
import pickle
import sys
from functools import cache
from typing import Any

import llvmlite
import numba
from numba.core import sigutils
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

from fastmoments_kernels import storage
from fastmoments_kernels.cpu.machine import TARGET

SUFFIX = ".nbc"


@cache
def kernels() -> storage.Store:
    """Where they are kept: another version of the sources, of what compiles or runs, or processor has its own."""
    versions = numba.__version__, llvmlite.__version__, sys.implementation.cache_tag, getattr(sys, "abiflags", "")
    return storage.Store(repr((storage.digest(), versions, TARGET)), numba.config.CACHE_DIR)


def on_disk(name: str) -> bool:
    """Whether the machine code of this name is there, and whole."""
    return kernels().read(name + SUFFIX) is not None


class Kept:
    """What Numba asks of a cache, for the function of a name.

    Parameters
    ----------
    name : names everything that the function depends on but for the types of its arguments.
    by_types : whether it is compiled for several types.
    """

    cache_path = None  # Numba shows it

    def __init__(self, name: str, by_types: bool = False) -> None:
        self._name, self._by_types = name, by_types

    def _file(self, signature: Any) -> str:
        if not self._by_types:
            return self._name + SUFFIX
        arguments, _ = sigutils.normalize_signature(signature)
        return f"{self._name}-{hashlib.sha256(str(arguments).encode()).hexdigest()[:12]}{SUFFIX}"

    def load_overload(self, signature: Any, context: Any) -> Any:
        """The compiled function, None if it is not on disk."""
        content = kernels().read(self._file(signature))
        if content is None:
            return None
        context.refresh()
        return CompileResult._rebuild(context, *pickle.loads(content))

    def save_overload(self, signature: Any, result: Any) -> None:
        """Keep the compiled function, unless there are addresses of this process in it."""
        if not result.library.has_dynamic_globals:
            kernels().write(self._file(signature), dumps(result._reduce()))

    def flush(self) -> None:
        """Keep what there is: other processes use it."""
