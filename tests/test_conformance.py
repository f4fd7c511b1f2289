"""Every activation on every backend in every dtype against 50-digit truth, by the accuracy contract."""

import sys
from itertools import product

import pytest

from fastmoments_kernels.catalogue import CATALOGUE
from tests import conformance
from tests.record_accuracy import in_its_process

# XLA compiles and Triton's interpreter runs a minute an activation
QUICK = {"xla": ("relu", "heaviside"), "gpu": ("relu",)}


def cases():
    for row, backend in product(CATALOGUE, conformance.BACKENDS):
        marks = [pytest.mark.slow] if row.name not in QUICK.get(backend, (row.name,)) else []
        if backend == "gpu":
            marks.append(pytest.mark.skipif(sys.platform != "linux", reason="Triton has wheels for Linux only"))
        yield pytest.param(row, backend, marks=marks, id=f"{row.name}-{backend}")


@pytest.mark.feature("NumPy", "values, float32 and float64")
@pytest.mark.feature("JAX", "values, float32 and float64")
@pytest.mark.parametrize("row, backend", list(cases()))
def test_conformance(row, backend):
    recorded, failures = conformance.recorded(), []
    for key, (error, where) in in_its_process(row, backend).items():
        assert key in recorded, f"no record of {key}: run python -m tests.record_accuracy"
        limit = min(conformance.BOUND, max(conformance.SLACK * recorded[key], conformance.FLOOR))
        failures += [f"recorded {recorded[key]}, limit {limit:.3g}\n{where}"] if error > limit else []
    assert not failures, "\n".join(failures)
