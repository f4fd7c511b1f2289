"""Writes tests/accuracy.json: the worst error of every function over the reference tables.

usage: python -m tests.record_accuracy [activation ...] [backend ...]       all if none is given

Run it after adding an activation or a backend, and after improving one. With --print, records are printed only:
how Triton's kernels, which are interpreted in processes of their own, report.
"""

import json
import os
import subprocess
import sys
from itertools import product

from tqdm import tqdm

from fastmoments_kernels.catalogue import CATALOGUE
from tests import conformance


def main(arguments):
    shown = "--print" in arguments
    rows = [row for row in CATALOGUE if row.name in arguments] or CATALOGUE
    backends = [backend for backend in conformance.BACKENDS if backend in arguments] or conformance.BACKENDS
    if shown:
        print(json.dumps(measured(rows[0], backends[0])))
        return
    for row, backend in tqdm(list(product(rows, backends)), unit="backend"):
        found = {key: error for key, (error, _) in in_its_process(row, backend).items()}
        # read again: several of these may run at once
        record = conformance.recorded() | found
        conformance.RECORD.write_text(json.dumps(dict(sorted(record.items())), indent=1) + "\n")


def measured(row, backend):
    """Errors and where they are, by key."""
    return {
        key: (float(f"{worst.error:.3g}"), worst.where) for key, worst in conformance.errors(row, backend).items()
    }


def in_its_process(row, backend):
    """`measured` here, or where Triton interprets."""
    if backend != "gpu":
        return measured(row, backend)
    command = [sys.executable, "-Wignore", "-m", "tests.record_accuracy", "--print", row.name, backend]
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


if __name__ == "__main__":
    main(sys.argv[1:])
