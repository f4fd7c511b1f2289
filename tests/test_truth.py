"""Tests of the tests' truth: two independent derivations agree, and known values come out."""

import numpy as np
import pytest
from mpmath import mp, mpf

from tests import points, series, truth
from tests.derivatives import PARTIALS
from tests.rows import activations

# The tables have 25 digits.
DIGITS, TOLERANCE = 24, mpf(10) ** -23
QUICK = ("plain", "tail", "near1", "zero")
SLOW = ("smallrho", "mixedscale", "huge", "tiny", "nearm1", "exact1", "exactm1", "dup", "anti", "nearequal")
# the points whose condition numbers are those of a neighbouring point
ON_LINE = ("exact1", "exactm1", "dup", "anti")


@pytest.mark.parametrize("regime", QUICK)
@activations
def test_integrated_definition_agrees_with_the_tables(row, regime):
    agree_with_table(row, regime, 2)


@pytest.mark.slow
@pytest.mark.parametrize("regime", [*QUICK, *SLOW])
@activations
def test_more_rows_agree(row, regime):
    agree_with_table(row, regime, 15)


def agree_with_table(row, regime, count):
    """Compare the first cases; each three are a neuron, its pair, and the pair exchanged."""
    cases = [case for case in points.table(row.name, "float64") if case.regime == regime]
    compared = 0
    for case in cases[:count]:
        found = integrate(row, case)
        for name in set(found) & set(case.truth):
            value, cond = case.truth[name]
            if not mp.isfinite(value):
                continue
            assert close(found[name].value, value), (name, case.inputs, found[name].value, value)
            compared += 1
            # the tables' conditions have four digits and a finite difference, and count parameters too
            judged = abs(value) > 1e-300 and cond > 1e-3 and regime not in ON_LINE and not case.parameters
            if judged:
                assert close(found[name].cond, cond, 2e-3), (name, case.inputs, found[name].cond, cond)
    assert compared >= 2 * len(cases[:count])


def integrate(row, case):
    f, g = (truth.activation(row, which, **case.parameters) for which in (0, 1))
    if len(case.inputs) == 2:
        return truth.neuron_truth(f, *case.inputs, DIGITS)
    return truth.pair_truth(f, g, *case.inputs, DIGITS)


def close(a, b, tolerance=TOLERANCE):
    with mp.workdps(40):
        return abs(a - b) <= tolerance * abs(b) or abs(a - b) < mpf(10) ** -320


@pytest.mark.parametrize("kind", ["plain", pytest.param("near_one", marks=pytest.mark.slow)])
@activations
def test_neurons_may_be_exchanged(row, kind):
    f, names = truth.activation(row), ("cov", *PARTIALS)
    exchanged = ("cov", "d_mu_2", "d_mu_1", "d_var_2", "d_var_1", "d_cov_12")
    mu_1, mu_2, var_1, var_2, cov_12 = points.unseen(7, "float32", kind, 1)[0]
    one = truth.pair_truth(f, f, mu_1, mu_2, var_1, var_2, cov_12)
    other = truth.pair_truth(f, f, mu_2, mu_1, var_2, var_1, cov_12)
    for name, twin in zip(names, exchanged, strict=True):
        assert close(one[name].value, other[twin].value, mpf(10) ** -18), name


@pytest.mark.parametrize("rho", [-0.999, -0.3, 0.0, 1e-9, 0.7, 0.99999])
def test_bivariate_cdf_in_the_quadrant(rho):
    with mp.workdps(40):
        quadrant = mpf(1) / 4 + mp.asin(mpf(rho)) / (2 * mp.pi)
        assert close(truth.bivariate_cdf(0, 0, rho).value, quadrant, mpf(10) ** -20)


@pytest.mark.parametrize("h, k", [(1.5, -0.5), (-7.0, 2.0), (4.0, 9.0), (-30.0, -1.0)])
@pytest.mark.parametrize("rho", [-0.9, 0.5, 0.9999])
def test_bivariate_cdf_on_both_sides_is_the_marginal(h, k, rho):
    with mp.workdps(600):
        both = truth.bivariate_cdf(h, k, rho).value + truth.bivariate_cdf(h, -k, -rho).value
        assert close(both, mp.ncdf(h), mpf(10) ** -19)


def test_bivariate_cdf_of_independent_tails():
    with mp.workdps(40):
        assert close(truth.bivariate_cdf(-20, -30, 0).value, mp.ncdf(-20) * mp.ncdf(-30), mpf(10) ** -20)


@activations
def test_series_agrees_with_the_integral(row):
    """The truth's two routes agree: the sum of Hermite coefficients, and the integral over both neurons."""
    f, sd, rho = truth.activation(row), np.array([1.0, 0.5, 2.0]), np.array([0.45, -0.3, 0.2])
    mu, cov = np.array([0.3, -1.2, -6.0]), np.diag(sd**2)
    for (i, j), r in zip(((0, 1), (0, 2), (1, 2)), rho, strict=True):
        cov[i, j] = cov[j, i] = r * sd[i] * sd[j]
    neurons = series.Neurons(f, mu, np.diag(cov))
    pairs, own = neurons.pairs(cov), neurons.values()
    for i, j in ((0, 1), (2, 0), (1, 2)):
        found = truth.pair_truth(f, f, mu[i], mu[j], cov[i, i], cov[j, j], cov[i, j], 18)
        assert_alike(found, pairs, (i, j))
        assert_alike(truth.neuron_truth(f, mu[i], cov[i, i], 18), own, (i,))


def assert_alike(found, arrays, place):
    for name, (value, cond) in found.items():
        number, other = arrays[name].value[place], arrays[name].cond[place]
        # sums of long doubles have errors relative to their terms, as the condition number says
        assert abs(number - series.long(value)) <= 1e-17 * (1 + other) * abs(number), (name, place)
        assert abs(other - float(cond)) <= 1e-9 * other, (name, place)
