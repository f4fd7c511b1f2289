"""The process that compiles: one entry, then the next that its parent names, until the parent has ended.

An entry is compiled by a fresh interpreter, so that memory does not add up; between two entries the process is a
bare one that waits. On Windows, where a process cannot become another program, one interpreter does all.
"""

import os
import select
import signal
import sys
from contextlib import suppress

from fastmoments_kernels.background import marks

NICE = 5  # what else the user runs goes first; much lower, a busy machine would never compile


def main(entry: str) -> None:
    """Compile the entry if it is not empty, then what standard input names."""
    for name in ("SIGINT", "SIGHUP", "SIGTSTP"):  # of the parent's terminal; stopped, it would keep a lock
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    with suppress(AttributeError, OSError):
        os.setpriority(os.PRIO_PROCESS, 0, max(NICE, os.getpriority(os.PRIO_PROCESS, 0)))
    while entry or (entry := _next()):
        compile_alone(entry)
        entry = ""
        if os.name == "posix":
            os.execv(sys.executable, [*sys.orig_argv[:-1], ""])


def _next() -> str:
    """The next line of standard input, without a buffer that exec would lose; empty once the parent has ended."""
    if os.name != "posix":
        return sys.stdin.readline().strip()
    waiting = select.poll()
    waiting.register(0, select.POLLIN)
    line = b""
    while not line.endswith(b"\n"):
        # what is still to be read is not compiled: nobody waits for it
        if any(event & select.POLLHUP for _, event in waiting.poll()):
            return ""
        line += os.read(0, 1)
    return line.decode().strip()


def compile_alone(entry: str) -> None:
    """Compile and mark the entry, unless another process is at it or was."""
    with marks.alone(entry, wait=False) as mine:
        if not mine or marks.has(entry):
            return
        try:
            from fastmoments_kernels.background import entries

            entries.compile_entry(entries.from_text(entry))
            marks.put(entry)
        except Exception as error:  # the parent tells it
            marks.put_failure(entry, f"{type(error).__name__}: {error}")
