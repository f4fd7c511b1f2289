"""Machine code kept on disk: where, whole or not at all, and made by one process at a time.

It needs neither Numba nor NumPy: what a file is worth is up to its caller, whose key says what it depends on.
"""

import hashlib
import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from fastmoments_kernels.cautions import warn

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

STALE = 30 * 86400.0  # seconds after which another version's machine code is removed
PATIENCE = 120.0  # seconds that one process waits for another, which may be stopped; then both compile
PAUSE = 0.05  # seconds between two looks at a lock
PYC_HEADER = 16  # bytes before the code; they hold the source's date
CHECKSUM = hashlib.sha256().digest_size


@cache
def digest() -> str:
    """A name for all of the package's code: its sources, or the byte code where that is all there is.

    They may lie in a folder or in a zip file.
    """
    total = hashlib.sha256()
    for name, code in sorted(_code(files("fastmoments_kernels"), "")):
        total.update(name.encode() + code)
    return total.hexdigest()[:16]


def _code(folder: Any, prefix: str) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.is_dir() and entry.name != "__pycache__":
            yield from _code(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(".py"):
            yield prefix + entry.name, entry.read_bytes()
        elif entry.name.endswith(".pyc"):
            yield prefix + entry.name, entry.read_bytes()[PYC_HEADER:]


class Store:
    """Files by name, in a folder that is named by `key`.

    Parameters
    ----------
    key : says what the files depend on; files of another key are in another folder, those of a key that nobody
        used for a month are removed.
    chosen : the folder of these folders, `base`; default `fastmoments` in the user's cache folder, None for a user
        without a home.

    Where that cannot be written, files go to a folder in the temporary directory that only the user may write to.
    What can be read is read.
    """

    def __init__(self, key: str, chosen: str = "") -> None:
        self._name = f"kernels-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
        base = Path(chosen) if chosen else _of_user()
        self.base = base and base.absolute()  # the program may change its working directory
        self._in_use: set[Path] = set()
        self._can_write = True

    @property
    def folders(self) -> list[Path]:
        """The folders that files may be in, the best first."""
        bases = [self.base] if self.base else []
        with suppress(OSError):  # no temporary directory either
            bases.append(_temporary())
        return [base / self._name for base in bases]

    def read(self, name: str) -> bytes | None:
        """What was written under this name, None if nothing was or the file is damaged."""
        for folder in self.folders:
            with suppress(OSError):
                if folder.parent == self.base or _is_ours(folder.parent):
                    found = (folder / name).read_bytes()
                    content = memoryview(found)[CHECKSUM:]
                    if hashlib.sha256(content).digest() == found[:CHECKSUM]:
                        self._used(folder)
                        return bytes(content)
        return None

    def write(self, name: str, content: bytes) -> None:
        """Keep `content` under this name, or warn once that there is no place for it."""
        checksum = hashlib.sha256(content).digest()
        for folder in self._made():
            # a name of its own, also among the machines that share the folder
            part = folder / f"{name}.{os.urandom(8).hex()}.part"
            try:
                part.write_bytes(checksum + content)
                os.replace(part, folder / name)
            except OSError:  # a full disk, perhaps
                with suppress(OSError):
                    part.unlink()
            else:
                self._used(folder)
                return
        if self._can_write:
            self._can_write = False
            warn(
                "compiled kernels cannot be kept on disk, so that every process compiles them anew: set "
                "NUMBA_CACHE_DIR to a folder that can be written",
                RuntimeWarning,
            )

    def writable(self) -> Path | None:
        """The first folder that can be written; None if there is none."""
        for folder in self._made():
            with suppress(OSError), tempfile.TemporaryFile(dir=folder):
                return folder
        return None

    @contextmanager
    def alone(self, name: str, patience: float = PATIENCE) -> Iterator[bool]:
        """Hold the lock of a name; False if another process, or thread, still holds it after `patience` seconds.

        The system releases the lock of a process that ends, however it ends. Where no folder can be written to, or
        its file system has no locks, nobody is kept out: several may make the same file, which takes time only.
        """
        for folder in self._made():
            with suppress(OSError):  # it may only be read
                lock = os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o666)
                break
        else:
            yield True
            return
        _locks.add(lock)
        try:
            end = time.monotonic() + patience
            while not (held := _locked(lock)) and time.monotonic() < end:
                time.sleep(PAUSE)
            yield held
        finally:
            if lock in _locks:
                _locks.remove(lock)
                os.close(lock)

    def _made(self) -> Iterator[Path]:
        """The folders that are there or can be made."""
        for folder in self.folders:
            with suppress(OSError):
                if folder.parent != self.base:
                    folder.parent.mkdir(mode=0o700, exist_ok=True)
                    if not _is_ours(folder.parent):
                        continue
                if not folder.exists():
                    folder.mkdir(parents=True, exist_ok=True)
                    _remove_stale(folder.parent)
                yield folder

    def _used(self, folder: Path) -> None:
        """Note that the folder is in use, once a process."""
        if folder not in self._in_use:
            self._in_use.add(folder)
            with suppress(OSError):  # it may be read-only
                os.utime(folder)


def _of_user() -> Path | None:
    """The folder for all versions in the user's cache folder; None for a user without a home."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fastmoments"
    except RuntimeError:
        return None


def _temporary() -> Path:
    """The folder for all versions in the temporary directory."""
    user = os.getuid() if hasattr(os, "getuid") else "user"  # Windows: everybody has a temporary directory
    return Path(tempfile.gettempdir()) / f"fastmoments-{user}"


def _is_ours(folder: Path) -> bool:
    """Whether nobody else can write there; the code in it will be run."""
    if not hasattr(os, "getuid"):
        return True
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022


_locks: set[int] = set()  # the open files of this process's locks


def _locked(lock: int) -> bool:
    """Take the lock; False if it is taken."""
    try:
        if sys.platform == "win32":
            msvcrt.locking(lock, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # the latter on Windows
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _let_go() -> None:
    """In a forked child, which would hold the locks of its parent for as long as it runs."""
    while _locks:
        os.close(_locks.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


def _remove_stale(base: Path) -> None:
    for folder in base.glob("kernels-*"):
        with suppress(OSError):  # another process may remove it at the same time
            if time.time() - folder.stat().st_mtime > STALE:
                shutil.rmtree(folder)
