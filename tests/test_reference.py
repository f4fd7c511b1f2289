"""The readable reference agrees with the tests' truth, to the accuracy that it states."""

import pytest

from fastmoments_kernels import reference
from tests import points
from tests.rows import activations

# nested adaptive quadrature with 1e-12 a level, and f(X) of order sd
TOLERANCE = 1e-10


@pytest.mark.parametrize("name", ["mean", "gain", "var", "cov"])
@activations
def test_reference(row, name):
    count = 3 if name == "cov" else 12
    cases = [case for case in points.table(row.name, "float64") if case.regime == "plain" and name in case.truth]
    for case in cases[:count]:
        one, two = (row.activation(**{key: pair[i] for key, pair in case.parameters.items()}) for i in (0, 1))
        second = {"other": two} if name == "cov" else {}
        got = getattr(reference, name)(one, *case.inputs, **second)
        scale = max(1.0, *(abs(x) for x in case.inputs))
        assert abs(got - float(case.truth[name][0])) <= TOLERANCE * scale, case.inputs
