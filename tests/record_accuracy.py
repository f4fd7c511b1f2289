"""Writes tests/accuracy.json: the worst error of every function over the reference tables.

Run `python -m tests.record_accuracy` after adding an activation or a backend, and after improving one.
"""

import json
from itertools import product

from fastmoments_kernels.catalogue import CATALOGUE
from tests import conformance, points


def main():
    record = {}
    for row, backend, dtype in product(CATALOGUE, conformance.BACKENDS, conformance.DTYPES):
        cases = points.table(row.name, dtype)
        for function in conformance.FUNCTIONS:
            worst = conformance.worst(row, backend, dtype, function, cases)
            record[conformance.key(row, backend, dtype, function)] = float(f"{worst.error:.3g}")
    conformance.RECORD.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
