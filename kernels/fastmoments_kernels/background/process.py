"""The process that compiles, seen from its parent: started at the first entry, one for all of them.

It reads entries from a pipe, whose end tells it that the parent has ended. Entries that other processes compile are
left to them.
"""

import atexit
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

from fastmoments_kernels.background import marks

# argv: the parent's sys.path, so that both import the same files, and an entry
PROGRAM = (
    "import sys; sys.path[:] = sys.argv[1].split(chr(10)); "
    "from fastmoments_kernels.background.program import main; main(sys.argv[2])"
)
TRIES = 2  # how often an entry is given to a process; one may have been killed for its memory

_guard = threading.Lock()
_child: subprocess.Popen[bytes] | None = None
_given: dict[str, "_Given"] = {}


class _Given(NamedTuple):
    """How often an entry was given to a process, when first, and to which last."""

    times: int
    since: float
    process: int


class CannotCompileError(Exception):
    """The process could not compile an entry; the message says why."""


def available() -> bool:
    """Whether this program can start another Python, and marks can be written for it to answer by."""
    name = Path(sys.executable or "").name.lower()
    # a frozen program or one that embeds Python would start itself again
    return not getattr(sys, "frozen", False) and name.startswith(("python", "pypy")) and marks.folder() is not None


def give(entry: str) -> bool:
    """Have the entry compiled in the background; False where no process can be started."""
    global _child
    with _guard:
        before = _given.get(entry) or _Given(0, time.time(), 0)
        alive = _child is not None and _child.poll() is None
        if reason := marks.failure(entry, before.since) if before.times else None:
            raise CannotCompileError(reason)
        if _child is not None and alive and before.process == _child.pid:
            return True
        if before.times >= TRIES:
            raise CannotCompileError("the process that compiles it ended before it was done")
        if not available():
            return False
        try:
            if _child is None or not alive:
                _leave()
                _child = _start(entry)
            elif _child.stdin is not None:
                _child.stdin.write(f"{entry}\n".encode())
        except OSError:  # no memory, no more processes, not allowed
            return False
        _given[entry] = _Given(before.times + 1, before.since, _child.pid)
        return True


def _start(entry: str) -> subprocess.Popen[bytes]:
    path = "\n".join(os.path.abspath(place) for place in sys.path)
    base = marks.base()  # not as this process was told, perhaps relative to its working directory
    chosen = {} if base is None else {"NUMBA_CACHE_DIR": str(base)}
    flags = ("BELOW_NORMAL_PRIORITY_CLASS", "CREATE_NO_WINDOW", "CREATE_NEW_PROCESS_GROUP")  # Windows
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, path, entry],
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=marks.folder(),
        env=os.environ | chosen,
        creationflags=sum(getattr(subprocess, flag, 0) for flag in flags),
    )


def _leave() -> None:
    """Let the process go on by itself: subprocess would warn of one that still runs."""
    global _child
    if _child is not None:
        if _child.poll() is None:
            _child.returncode = 0
        if _child.stdin is not None:
            _child.stdin.close()
    _child = None


def _forget() -> None:
    """In a forked child: it has a pipe to the parent's process, which would not see the parent's end."""
    _guard.release()
    if _child is not None:
        _child.returncode = 0  # not a child of this process
    _leave()
    _given.clear()


atexit.register(_leave)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_guard.acquire, after_in_parent=_guard.release, after_in_child=_forget)
