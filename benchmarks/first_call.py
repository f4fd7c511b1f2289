"""Measure first calls, each in a process of its own with an empty cache, and print a table.

`python -m benchmarks.first_call` or `make first-call`; arguments choose rows by their names. Seconds are those of
the whole process, less the import of PyTorch, and of the calls alone. Other processes lengthen the wall clock's.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text().split("```python\n")[1].split("```")[0]
PRELUDE = """
import os, resource, sys, time
def clocks():
    return time.perf_counter(), time.process_time()
outside = 0.0, 0.0
"""
SMALL = """
import numpy as np, fastmoments as fm
mu, cov = np.linspace(-1.0, 1.0, 8), np.eye(8) + 0.5
"""
REPORT = """
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e9 if sys.platform == "darwin" else 1e6)
wall, processor = clocks()
print("\\nmeasured", processor - before[1], processor - outside[1], outside[0], memory)
"""
TORCH = """
began = clocks()
import torch
torch.set_num_threads(1)
outside = [b - a for a, b in zip(began, clocks())]
"""


class Case(NamedTuple):
    """A program in two parts, of which the second is measured by itself, and the setting."""

    name: str
    what: str
    before: str
    measured: str
    compilation: str


CASES = (
    Case("relu", "relu_moments, n = 8", SMALL, "fm.relu_moments(mu, cov)", "background"),
    Case("readme", "the README's block, without importing PyTorch", TORCH, README, "background"),
    Case(
        "large",
        "relu_moments, n = 2048, which waits",
        SMALL,
        "fm.relu_moments(np.zeros(2048), np.eye(2048))",
        "background",
    ),
    Case("wait", "relu_moments, n = 8, compiled", SMALL, "fm.relu_moments(mu, cov)", "wait"),
    Case("gelu", "gelu_moments, n = 8, compiled", SMALL, "fm.gelu_moments(mu, cov)", "wait"),
    Case("vjp", "relu_moments_vjp, n = 8, compiled", SMALL, "fm.relu_moments_vjp(mu, cov, mu, cov)", "wait"),
    Case("cdf", "bivariate_normal_cdf, compiled", SMALL, "fm.bivariate_normal_cdf(mu, 0.0, 0.5)", "wait"),
    Case("warm_up", 'warm_up("relu")', SMALL, 'fm.warm_up("relu")', "wait"),
)


class Measured(NamedTuple):
    """Wall and processor seconds of the process, processor seconds of what is measured, and most memory in GB."""

    wall: float
    processor: float
    of_call: float
    memory: float


def measure(case: Case) -> Measured:
    """Run a case in a new process with an empty cache."""
    program = "\n".join([PRELUDE, case.before, "before = clocks()", case.measured, REPORT])
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as cache:
        chosen = {"NUMBA_CACHE_DIR": cache, "FASTMOMENTS_COMPILE": case.compilation}
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env=os.environ | threads | chosen,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            check=True,
        )
        wall = time.perf_counter() - began
    of_call, processor, outside, memory = map(float, done.stdout.split("measured")[1].split())
    return Measured(wall - outside, processor, of_call, memory)


def main(names: list[str]) -> None:
    """Print the table."""
    print("| in an empty cache | wall, s | processor, s | of the call, s | memory, GB |\n|---|--:|--:|--:|--:|")
    for case in CASES:
        if not names or case.name in names:
            found = measure(case)
            times = " | ".join(f"{x:.2f}" for x in found)
            print(f"| {case.what} | {times} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
