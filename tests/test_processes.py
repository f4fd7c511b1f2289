"""Processes that end or fork around a call, or have no threads or no compiler."""

import os
import subprocess
import sys

import numpy as np
import pytest

import fastmoments as fm
from fastmoments_kernels import threads

HANGS = 600  # seconds: it bounds a hang only; a busy machine compiles in less
CALL = """
import atexit, os, signal, sys, threading, time
import numpy as np, fastmoments as fm
fm.set_num_threads(3)
def call():
    total = fm.relu_moments(np.linspace(-1.0, 1.0, 200), np.eye(200) + 0.1).cov.sum()
    os.write(1, f"{total}\\n".encode())
"""
LATE = {
    "atexit": "atexit.register(call)",
    "thread": "threading.Thread(target=lambda: (threading.main_thread().join(), call())).start()",
}
FORK = """
fm.relu_mean(0.0, 1.0)
from numba.core.compiler_lock import global_compiler_lock
held = threading.Event()
def compile_for_a_while():
    with global_compiler_lock:
        held.set()
        time.sleep(1.0)
threading.Thread(target=compile_for_a_while).start()
held.wait()
child = os.fork()
if not child:
    signal.alarm(300)  # ends the process if it hangs
call()
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def printed(program, **environment):
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=HANGS,
    )
    assert done.returncode == 0, done.stderr
    return [float(line) for line in done.stdout.split()]


@pytest.fixture(scope="module")
def expected():
    fm.relu_mean(0.0, 1.0)  # compiled code is kept on disk, also by the next lines
    return fm.relu_moments(np.linspace(-1.0, 1.0, 200), np.eye(200) + 0.1).cov.sum()


@pytest.mark.feature("NumPy", "threads, fork, spawn")
@pytest.mark.parametrize("before", ["", "call()\n"], ids=["first", "again"])
@pytest.mark.parametrize("late", LATE)
def test_calls_after_the_main_thread_has_ended(late, before, expected):
    """Calls work when no pool of threads, old or new, takes work any more."""
    assert printed(CALL + before + LATE[late]) == [expected] * (2 if before else 1)


@pytest.mark.feature("NumPy", "threads, fork, spawn")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_a_child_forked_while_another_thread_compiles(expected):
    """The child has a copy of Numba's lock, and no thread that would release it."""
    assert printed(CALL + FORK) == [expected, expected]


def test_what_no_thread_begins_the_caller_does(monkeypatch):
    """The caller does each part once, where threads are refused and where one is late."""
    done = []

    class Pool:
        def submit(self, work):
            raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threads, "num_threads", lambda: 4)
    for pool in (Pool(), threads._executor()):
        monkeypatch.setattr(threads, "_pool", pool)
        threads.run(lambda first, step: done.append((first, step)), (), 9)
        assert sorted(done) == [(first, 4) for first in range(4)]
        done.clear()


@pytest.mark.parametrize(
    "call", ["fm.relu_mean(0.0, 1.0)", "fm.relu_moments([0.0], [[1.0]])", "fm.njit.relu_mean", "fm.ufuncs.relu_cov"]
)
def test_without_numbas_compiler_the_variable_is_named(call):
    done = subprocess.run(
        [sys.executable, "-c", f"import fastmoments as fm; {call}"],
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        timeout=HANGS,
    )
    assert done.stderr.splitlines()[-1].startswith("RuntimeError: NUMBA_DISABLE_JIT: ")
