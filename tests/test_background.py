"""The process that compiles: it serves later calls and processes, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.processes import ROOT, python

HANGS = 600  # seconds: they bound a hang only
SECONDS = 0.1  # between two looks
linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are read from Linux's /proc")

# what a user's script does first, and what it can see
CALL = """
import sys, numpy as np, fastmoments as fm
print(float(fm.relu_mean(0.0, 1.0)), "numba" in sys.modules, *fm.plan(0.0).routes.values())
"""
# a parent that lives on: it prints its process that compiles, forks, and waits to be killed
PARENT = (
    CALL
    + """
import os, time
from fastmoments_kernels.background import process
print(process._child.pid, flush=True)
child = os.fork()
if child == 0:
    time.sleep(600)
print(child, flush=True)
time.sleep(600)
"""
)
SWITCH = (
    CALL
    + """
import time
found, end = {fm.relu_mean(0.0, 1.0)}, time.monotonic() + 300.0
while "compiled" not in fm.plan(0.0).routes.values():
    assert time.monotonic() < end
    time.sleep(0.1)
    found.add(fm.relu_mean(0.0, 1.0))
assert "numba" in sys.modules and max(found) - min(found) <= 8 * 2.3e-16
"""
)


@pytest.fixture
def cache(tmp_path):
    """An empty cache, and the default setting."""
    return {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "FASTMOMENTS_COMPILE": None}


def marked(cache):
    """Wait until an entry is marked as compiled."""
    end = time.monotonic() + HANGS
    while not list(Path(cache["NUMBA_CACHE_DIR"]).rglob("*.ready")):
        assert time.monotonic() < end
        time.sleep(SECONDS)


def state(pid):
    """The state of a process in /proc, such as S or Z; None if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return None


def test_what_a_short_script_leaves_compiled_serves_the_next(cache):
    first = python("-c", CALL, **cache)
    assert first.split()[1:] == ["False", "numpy"]
    marked(cache)  # by a process that outlived the script
    again = python("-c", CALL, **cache)
    assert again.split()[1:] == ["True", "compiled"]
    assert float(again.split()[0]) == pytest.approx(float(first.split()[0]), rel=8 * sys.float_info.epsilon)


def test_a_process_changes_over_while_it_runs(cache, tmp_path, monkeypatch):
    """Also where the cache's folder is given as seen from the working directory, in which nothing else is left."""
    monkeypatch.setattr("tests.processes.ROOT", tmp_path)
    cache |= {"NUMBA_CACHE_DIR": "cache", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    python("-c", SWITCH, **cache)
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]
    assert {path.parents[1] for path in tmp_path.rglob("*.ready")} == {tmp_path / "cache"}


@linux
def test_it_ends_with_its_parent(cache):
    """Killed, with a forked child left that has a copy of the pipe; before that it waits, small and no zombie."""
    environment = {name: value for name, value in {**os.environ, **cache}.items() if value is not None}
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as parent:
        parent.stdout.readline()
        compiler, forked = (int(parent.stdout.readline()) for _ in range(2))
        try:
            marked(cache)
            end = time.monotonic() + HANGS
            # a bare interpreter: Numba and LLVM take ten times as much
            while resident(compiler) > 30e6 or state(compiler) != "S":
                assert state(compiler) not in ("Z", None) and time.monotonic() < end
                time.sleep(SECONDS)
            parent.kill()
            parent.wait()
            while state(compiler) not in ("Z", None):  # a zombie of the container's first process is not ours
                assert time.monotonic() < end
                time.sleep(SECONDS)
        finally:
            parent.kill()
            os.kill(forked, signal.SIGKILL)


def resident(pid):
    """Memory in use, in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_waiting_compiles_at_once_with_a_line(cache):
    done = subprocess.run(
        [sys.executable, "-c", CALL],
        cwd=ROOT,
        env=os.environ | {"NUMBA_CACHE_DIR": cache["NUMBA_CACHE_DIR"], "FASTMOMENTS_COMPILE": "wait"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split()[1:] == ["True", "compiled"]
    assert done.stderr.startswith("fastmoments: compiling relu_mean (float64)") and done.stderr.count("\n") == 1


BROKEN = """
import sys, time, fastmoments as fm
sys.executable = sys.argv[1]
start = time.monotonic()
while time.monotonic() - start < 3.0:
    fm.relu_mean(0.0, 1.0)
    time.sleep(0.05)
"""


@pytest.mark.skipif(os.name != "posix", reason="a script with another program's name")
def test_a_python_that_does_not_run_is_told_of_once(cache, tmp_path):
    """It is tried twice; nothing of it is left open."""
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 3\n")
    python.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", BROKEN, str(python)],
        cwd=ROOT,
        env={name: value for name, value in {**os.environ, **cache}.items() if value is not None},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.count("Warning") == 1
    assert "relu_mean (float64) is answered by NumPy, slowly: it cannot be compiled: the process" in done.stderr


def test_never_imports_no_compiler_and_starts_nothing(cache):
    cache["FASTMOMENTS_COMPILE"] = "never"
    program = CALL + "from fastmoments_kernels.background import process; print(process._child)"
    assert python("-c", program, **cache).split()[1:] == ["False", "numpy", "None"]
    assert not list(Path(cache["NUMBA_CACHE_DIR"]).rglob("*.*"))
