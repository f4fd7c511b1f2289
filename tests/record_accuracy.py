"""Writes tests/accuracy.json: the worst error of every function over the reference tables and over unseen rows.

usage: python -m tests.record_accuracy [activation ...] [backend ...] [unseen]       all if none is given

With "unseen" only those rows are judged anew; bivariate_normal counts as an activation.

Run it after adding an activation or a backend, and after improving one. With --print, records are printed only:
how Triton's kernels, which are interpreted in processes of their own, report.
"""

import json
import sys
from itertools import product

from tqdm import tqdm

from fastmoments_kernels.catalogue import CATALOGUE, row_of
from tests import conformance
from tests.processes import python

NORMAL = "bivariate_normal"
NAMES = [*(row.name for row in CATALOGUE), NORMAL]


def main(arguments):
    chosen = [name for name in NAMES if name in arguments] or NAMES
    backends = [backend for backend in conformance.BACKENDS if backend in arguments] or conformance.BACKENDS
    sources = ["unseen"] if "unseen" in arguments else list(conformance.SOURCES)
    if "--print" in arguments:
        print(json.dumps(measured(chosen[0], backends[0], sources)))
        return
    for name, backend in tqdm(list(product(chosen, backends)), unit="backend"):
        conformance.record({key: error for key, (error, _) in in_its_process(name, backend, sources).items()})


def measured(name, backend, sources=tuple(conformance.SOURCES)):
    """Errors and where they are, by key."""
    is_normal = name == NORMAL
    found = conformance.normal_errors(backend) if is_normal else conformance.errors(row_of(name), backend, sources)
    return {key: (rounded(worst), worst.where) for key, worst in found.items()}


def rounded(worst):
    """The error as it is recorded."""
    return float(f"{worst.error:.3g}")


def in_its_process(name, backend, sources=tuple(conformance.SOURCES)):
    """`measured` here, or where Triton interprets."""
    if backend != "gpu":
        return measured(name, backend, sources)
    command = ["-Wignore", "-m", "tests.record_accuracy", "--print", name, backend]
    command += ["unseen"] if sources == ["unseen"] else []
    return json.loads(python(*command, TRITON_INTERPRET="1"))


if __name__ == "__main__":
    main(sys.argv[1:])
