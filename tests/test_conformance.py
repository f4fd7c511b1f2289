"""Every activation on every backend in every dtype against 50-digit truth, by the accuracy contract."""

import pytest

from fastmoments_kernels.catalogue import CATALOGUE
from tests import conformance, points

activations = pytest.mark.parametrize("row", CATALOGUE, ids=lambda row: row.name)


@pytest.mark.parametrize("function", conformance.FUNCTIONS)
@pytest.mark.parametrize("dtype", conformance.DTYPES)
@pytest.mark.parametrize("backend", conformance.BACKENDS)
@activations
def test_conformance(row, backend, dtype, function):
    worst = conformance.worst(row, backend, dtype, function, points.table(row.name, dtype))
    assert worst.judged > 0.6 * (worst.judged + sum(worst.excluded.values())), worst.excluded
    assert worst.error <= conformance.BOUND, worst.where
    key = conformance.key(row, backend, dtype, function)
    best = conformance.recorded().get(key)
    assert best is not None, f"no record of {key}: run python -m tests.record_accuracy"
    limit = max(conformance.SLACK * best, conformance.FLOOR)
    assert worst.error <= limit, f"recorded {best}, limit {limit:.3g}\n{worst.where}"
