"""Threads: one pool of Python's own, over kernels that release the GIL.

Numba's threading layers either end a forked child or abort on concurrent calls; a pool made anew after a
fork does neither.
"""

import operator
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

_pool: ThreadPoolExecutor | None = None
_threads: int | None = None


def set_num_threads(n: int) -> None:
    """Use at most n threads from now on; the bits of a result do not depend on n."""
    global _threads
    try:
        count = operator.index(n)
    except TypeError:
        raise TypeError(f"n: expected a whole number of threads, got {n!r}") from None
    if count < 1:
        raise ValueError(f"n: expected at least one thread, got {n}")
    _threads = count


def num_threads() -> int:
    """The number set by `set_num_threads`, else NUMBA_NUM_THREADS, else the processors this process may use."""
    if _threads is not None:
        return _threads
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return int(os.environ.get("NUMBA_NUM_THREADS") or usable or 1)


def run(kernel: Callable[..., Any], arguments: tuple[Any, ...], tasks: int) -> list[Any]:
    """Call kernel(*arguments, first, step) for first = 0 ... step - 1 on step <= tasks threads; return the answers.

    The calling thread makes the calls that no other thread has begun: all of them where no thread can be started,
    as at the end of a process.
    """
    workers = max(1, min(num_threads(), tasks)) if tasks > 1 else 1
    waiting, answers = deque(range(workers)), list[Any]()

    def work() -> None:
        while waiting:
            try:
                first = waiting.popleft()
            except IndexError:  # another thread was faster
                return
            answers.append(kernel(*arguments, first, workers))

    others = _started(work, workers - 1)
    work()
    for other in others:
        if not other.cancel():
            other.result()
    return answers


def _started(work: Callable[[], None], count: int) -> list[Future[None]]:
    """Submit `count` calls to other threads, or as many as the interpreter starts."""
    calls: list[Future[None]] = []
    with suppress(RuntimeError):  # the interpreter is shutting down, or may have no more threads
        for _ in range(count):
            calls.append(_executor().submit(work))
    return calls


def _executor() -> ThreadPoolExecutor:
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(max_workers=os.cpu_count(), thread_name_prefix="fastmoments")
    return _pool


def _forget_pool() -> None:
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)
