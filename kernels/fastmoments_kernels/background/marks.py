"""Marks of what is compiled and kept on disk, and locks so that only one process compiles an entry.

An entry is what is compiled at once; its text names it. Marks spare a process that finds an entry compiled, or not
yet, the import of Numba. They are hints: without the machine code behind a mark an entry is compiled again.
"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fastmoments_kernels.storage import Store, digest

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

# what Numba reads to choose the processor that it compiles for, and how
OF_NUMBA = ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NUMBA_ENABLE_AVX", "NUMBA_OPT")
PAUSE = 0.2  # seconds between two looks at a lock


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


@contextmanager
def alone(entry: str, wait: bool) -> Iterator[bool]:
    """Hold the entry's lock; False if another process holds it and `wait` is.

    The system releases the lock of a process that ends, however it ends. Without locks or a folder several
    processes may compile the same entry, which takes time only.
    """
    path = folder()
    if path is None:
        yield True
        return
    try:
        file = (path / f"{entry}.lock").open("a")
    except OSError:
        yield True
        return
    with file:
        taken = _take(file, wait)
        try:
            yield taken
        finally:
            if taken:
                _release(file)


def _take(file: Any, wait: bool) -> bool:
    while True:
        try:
            _lock(file)
            return True
        except (BlockingIOError, PermissionError):  # Windows' word for a lock that is held
            if not wait:
                return False
            time.sleep(PAUSE)
        except OSError:  # a file system without locks
            return True


def _lock(file: Any) -> None:
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    else:
        import msvcrt

        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)


def _release(file: Any) -> None:
    # by itself, not by closing the file: a child that was forked meanwhile has it open too
    with suppress(OSError):
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_UN)
        else:
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
