"""Every activation on every backend in every dtype against 50-digit truth, by the accuracy contract."""

import sys
from itertools import product

import pytest

from fastmoments_kernels.catalogue import CATALOGUE
from tests import conformance
from tests.record_accuracy import NAMES, NORMAL, in_its_process
from tests.rows import FAMILIES

# Numba compiles half a minute an activation, XLA and Triton's interpreter take a whole one
QUICK = {"cpu": (*FAMILIES, NORMAL), "xla": ("relu", NORMAL), "gpu": ("relu",)}


def cases():
    for name, backend in product(NAMES, conformance.BACKENDS):
        marks = [pytest.mark.slow] if name not in QUICK.get(backend, (name,)) else []
        if backend == "gpu":
            marks.append(pytest.mark.skipif(sys.platform != "linux", reason="Triton has wheels for Linux only"))
        yield pytest.param(name, backend, marks=marks, id=f"{name}-{backend}")


@pytest.mark.feature("NumPy", "values, float32 and float64")
@pytest.mark.feature("JAX", "values, float32 and float64")
@pytest.mark.parametrize("name, backend", list(cases()))
def test_conformance(name, backend):
    recorded, failures = conformance.recorded(), []
    for key, (error, where) in in_its_process(name, backend).items():
        if key.endswith("/unseen"):  # by the contract, not by the recorded errors
            failures += [where] if error > conformance.BOUND else []
            continue
        assert key in recorded, f"no record of {key}: run python -m tests.record_accuracy"
        limit = min(conformance.BOUND, max(conformance.SLACK * recorded[key], conformance.floor(backend)))
        failures += [f"recorded {recorded[key]}, limit {limit:.3g}\n{where}"] if error > limit else []
    assert not failures, "\n".join(failures)


def test_an_activation_without_rows_is_told_where_they_come_from():
    with pytest.raises(AssertionError, match="python -m tests.draw_unseen absent"):
        conformance.errors(CATALOGUE[0]._replace(name="absent"), "eager")
