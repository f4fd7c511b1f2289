"""The accuracy contract at new random points, whose truth is integrated as the test runs.

Rows of tests/data/unseen.csv, drawn by another seed, are judged with the tables' in test_conformance.py.
"""

from itertools import product

import pytest
from mpmath import mpf

from tests import conformance, points, truth
from tests.points import Case
from tests.rows import activations

# 1e-18 is a two-hundredth of float64's eps.
DIGITS = 18
SEED = 7

# without waiting for a compiler or an interpreter
BACKENDS = ("cpu", "eager", "eager.on_torch")


def cases(row, pair):
    """The values of each function at a pair, at its first neuron, and without variance."""
    f, (mu_1, mu_2, var_1, var_2, _) = truth.activation(row), pair
    return [
        Case((mu_1, var_1), {}, truth.neuron_truth(f, mu_1, var_1, DIGITS)),
        Case(pair, {}, truth.pair_truth(f, f, *pair, DIGITS)),
        Case((mu_1, 0.0), {}, truth.neuron_truth(f, mu_1, 0.0, DIGITS)),
        Case((mu_1, mu_2, 0.0, var_2, 0.5 * var_2), {}, {"cov": (mpf(0), mpf(0))}),
    ]


def judge(row, exact_in, kind):
    """Judge a point in both dtypes if it is exact in float32."""
    (pair,) = points.unseen(SEED, exact_in, kind, 1)
    drawn = cases(row, pair)
    dtypes = ("float32", "float64") if exact_in == "float32" else ("float64",)
    failures = []
    for backend, dtype, function in product(BACKENDS, dtypes, conformance.FUNCTIONS):
        worst = conformance.worst(row, backend, dtype, function, drawn)
        # every partial of a jump is undefined between duplicates
        assert worst.judged or (kind == "duplicate" and function.startswith("d_")), worst.excluded
        failures += [worst.where] if worst.error > conformance.BOUND else []
    assert not failures, "\n".join(failures)


@pytest.mark.parametrize("kind, exact_in", [("plain", "float32"), ("tail", "float64"), ("near_one", "float32")])
@activations
def test_unseen_points(row, kind, exact_in):
    judge(row, exact_in, kind)


# a minute where f is smooth and |rho| = 1
@pytest.mark.slow
@pytest.mark.parametrize("kind", points.KINDS)
@activations
def test_every_kind_of_point(row, kind):
    judge(row, "float32", kind)
