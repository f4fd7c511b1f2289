"""The accuracy contract at points that no table has: their truth is integrated as the test runs."""

from itertools import product

import pytest
from mpmath import mpf

from fastmoments_kernels.catalogue import CATALOGUE
from tests import conformance, points, truth
from tests.points import Case

# 1e-18 is a two-hundredth of float64's eps.
DIGITS = 18

activations = pytest.mark.parametrize("row", CATALOGUE, ids=lambda row: row.name)


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


def judge(row, seed, kind, count):
    """Float32's points are judged in both dtypes: they are exact in either."""
    single = cases(row, points.unseen(seed, "float32", kind, count))
    double = single + cases(row, points.unseen(seed, "float64", kind, count))
    failures = []
    for backend, function in product(conformance.BACKENDS, conformance.FUNCTIONS):
        for dtype, drawn in (("float32", single), ("float64", double)):
            worst = conformance.worst(row, backend, dtype, function, drawn)
            # every partial of a jump is undefined between duplicates
            assert worst.judged or (kind == "duplicate" and function.startswith("d_")), worst.excluded
            failures += [worst.where] if worst.error > conformance.BOUND else []
    assert not failures, "\n".join(failures)


@pytest.mark.parametrize("kind", points.KINDS)
@activations
def test_unseen_points(row, kind):
    judge(row, 20260, kind, 1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", points.KINDS)
@activations
def test_more_unseen_points(row, kind, seed):
    judge(row, seed, kind, 4)
