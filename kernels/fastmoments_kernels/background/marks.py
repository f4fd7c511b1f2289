"""Marks of what is compiled and kept on disk, and locks so that only one process compiles an entry.

An entry is what is compiled at once; its text names it. Marks spare a process that finds an entry compiled, or not
yet, the import of Numba. They are hints: without the machine code behind a mark an entry is compiled again.
"""

import os
import sys
import time
from contextlib import AbstractContextManager, suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from fastmoments_kernels.storage import PATIENCE, Store, digest

# what Numba reads to choose the processor that it compiles for, and how
OF_NUMBA = ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NUMBA_ENABLE_AVX", "NUMBA_OPT")


@cache
def _store() -> Store:
    """The marks of this version of the kernels, Numba and Python, on this processor."""
    settings = [os.environ.get(name, "") for name in OF_NUMBA]
    key = "marks", digest(), sys.implementation.cache_tag, sys.maxsize, _numba(), _processor(), settings
    return Store(repr(key), os.environ.get("NUMBA_CACHE_DIR", ""))


@cache
def folder() -> Path | None:
    """The folder that marks are written to; None where none can be written."""
    return _store().writable()


def base() -> Path | None:
    """The folder of such folders that is chosen; None for a user without a home."""
    return _store().base


def _numba() -> bytes:
    """Numba's version, without importing it."""
    found = find_spec("numba")
    with suppress(OSError):
        if found is not None and found.origin is not None:
            return Path(found.origin).with_name("_version.py").read_bytes()
    return b""


def _processor() -> str:
    """The processor's model and features, as far as the system tells them quickly."""
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(errors="replace").partition("\n\n")[0].splitlines()
        told = ("model name", "flags", "Features", "CPU implementer", "CPU part")
        return "\n".join(line for line in lines if line.startswith(told))
    return os.environ.get("PROCESSOR_IDENTIFIER", "")


def has(entry: str) -> bool:
    """Whether the entry is compiled and on disk."""
    return _store().read(f"{entry}.ready") is not None


def put(entry: str) -> None:
    """Mark the entry as compiled."""
    _store().write(f"{entry}.ready", b"")


def put_failure(entry: str, reason: str) -> None:
    """Note why the entry cannot be compiled."""
    _store().write(f"{entry}.failed", f"{time.time()} {reason}".encode())


def failure(entry: str, since: float) -> str | None:
    """Why compiling the entry failed at a time after `since`; None if it did not."""
    when, _, reason = (_store().read(f"{entry}.failed") or b"").decode().partition(" ")
    return reason if when and float(when) >= since else None


def alone(entry: str, wait: bool) -> AbstractContextManager[bool]:
    """Hold the entry's lock; False if another process holds it, after some patience if `wait`."""
    return _store().alone(entry, PATIENCE if wait else 0.0)
