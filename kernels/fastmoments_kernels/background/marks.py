"""Marks of what is compiled and kept on disk, and locks so that only one process compiles an entry.

An entry is what is compiled at once; its text names it. Marks spare a process that finds an entry compiled, or not
yet, the import of Numba. They are hints: without the machine code behind a mark an entry is compiled again.
"""

import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

# what Numba reads to choose the processor that it compiles for, and how
OF_NUMBA = ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NUMBA_ENABLE_AVX", "NUMBA_OPT")
PAUSE = 0.2  # seconds between two looks at a lock


@cache
def base() -> Path | None:
    """The folder of the caches of all versions: NUMBA_CACHE_DIR, or fastmoments in the user's cache folder."""
    if os.environ.get("NUMBA_CACHE_DIR"):
        return Path(os.environ["NUMBA_CACHE_DIR"])
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fastmoments"
    except RuntimeError:  # no home
        return None


@cache
def folder() -> Path | None:
    """The folder of this version's marks on this processor; None where none can be written."""
    parent = base()
    if parent is None:
        return None
    path = parent / f"kernels-{_digest()}-marks"
    try:
        path.mkdir(parents=True, exist_ok=True)
        os.utime(path)  # unused folders are removed
        with tempfile.TemporaryFile(dir=path):
            return path
    except OSError:
        return None


def _digest() -> str:
    """A name for the kernels' sources, Numba, Python and the processor."""
    package = Path(__file__).parents[1]
    total = hashlib.sha256()
    for source in sorted(package.rglob("*.py")) or sorted(package.rglob("*.pyc")):
        total.update(source.read_bytes())
    settings = [os.environ.get(name, "") for name in OF_NUMBA]
    total.update(repr((sys.implementation.cache_tag, sys.maxsize, _numba(), _processor(), settings)).encode())
    return total.hexdigest()[:16]


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
    path = folder()
    return path is not None and (path / f"{entry}.ready").exists()


def put(entry: str) -> None:
    """Mark the entry as compiled."""
    _write(f"{entry}.ready", "")


def put_failure(entry: str, reason: str) -> None:
    """Note why the entry cannot be compiled."""
    _write(f"{entry}.failed", reason)


def failure(entry: str, since: float) -> str | None:
    """Why compiling the entry failed at a time after `since`; None if it did not."""
    path = folder()
    with suppress(OSError):
        if path is not None and (path / f"{entry}.failed").stat().st_mtime >= since:
            return (path / f"{entry}.failed").read_text() or "it failed"
    return None


def _write(name: str, text: str) -> None:
    path = folder()
    with suppress(OSError):  # a full disk: the next process compiles again
        if path is not None:
            (path / name).write_text(text)


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
