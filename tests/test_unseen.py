"""The accuracy contract at points that no table has: their truth is integrated as the test runs."""

from itertools import product

import pytest
from mpmath import mpf

from tests import conformance, points, truth
from tests.points import Case
from tests.rows import activations

# 1e-18 is a two-hundredth of float64's eps.
DIGITS = 18

# without waiting for a compiler or an interpreter
BACKENDS = ("cpu", "eager", "eager.on_torch")


def cases(row, pairs):
    """Return what each function should give at these pairs, at their first neurons, and without variance."""
    f, found = truth.activation(row), []
    for pair in pairs:
        mu_1, mu_2, var_1, var_2, _ = pair
        found.append(Case((mu_1, var_1), {}, truth.neuron_truth(f, mu_1, var_1, DIGITS)))
        found.append(Case(pair, {}, truth.pair_truth(f, f, *pair, DIGITS)))
        found.append(Case((mu_1, 0.0), {}, truth.neuron_truth(f, mu_1, 0.0, DIGITS)))
        found.append(Case((mu_1, mu_2, 0.0, var_2, 0.5 * var_2), {}, {"cov": (mpf(0), mpf(0))}))
    return found


def judge(row, seed, exact_in, kind, count):
    """Points that are exact in float32 are judged in both dtypes."""
    drawn = cases(row, points.unseen(seed, exact_in, kind, count))
    dtypes = ("float32", "float64") if exact_in == "float32" else ("float64",)
    failures = []
    for backend, dtype, function in product(BACKENDS, dtypes, conformance.FUNCTIONS):
        worst = conformance.worst(row, backend, dtype, function, drawn)
        # every partial of a jump is undefined between duplicates
        assert worst.judged or (kind == "duplicate" and function.startswith("d_")), worst.excluded
        failures += [worst.where] if worst.error > conformance.BOUND else []
    assert not failures, "\n".join(failures)


@pytest.mark.parametrize(
    "kind, exact_in",
    [("plain", "float32"), ("tail", "float64"), ("near_one", "float32"), ("exactly_one", "float32")],
)
@activations
def test_unseen_points(row, kind, exact_in):
    judge(row, 20260, exact_in, kind, 1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("exact_in", conformance.DTYPES)
@pytest.mark.parametrize("kind", points.KINDS)
@activations
def test_more_unseen_points(row, kind, exact_in, seed):
    judge(row, seed, exact_in, kind, 3)
