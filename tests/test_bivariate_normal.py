"""The bivariate normal distribution function and its logarithm against 20 digits, from the middle to 1e-300."""

import numpy as np
import pytest
from mpmath import mp, mpf

import fastmoments as fm
from tests import points
from tests.conformance import BOUND, DTYPES, error


@pytest.mark.parametrize("dtype", DTYPES)
def test_against_the_table(dtype):
    cases = points.normal_table(dtype)
    inputs = np.array([case.inputs for case in cases], dtype).T
    found = {"cdf": fm.bivariate_normal_cdf(*inputs), "log_cdf": fm.log_bivariate_normal_cdf(*inputs)}
    found |= fm.bivariate_normal_cdf_partials(*inputs)._asdict()
    assert list(found) == list(points.NORMAL_VALUES)
    for name, got in found.items():
        assert got.dtype == dtype
        for case, number in zip(cases, got, strict=True):
            value, cond = case.truth[name]
            units = error(number, value, cond, dtype)
            assert units <= BOUND, (name, case.inputs, number, mp.nstr(value, 20), units)


def test_limits_of_perfect_correlation():
    h, k = np.array([-1.0, 0.5, -7.0, 2.0]), np.array([0.25, -0.5, -3.0, -1.0])
    same = [min(map(mpf, map(float, pair))) for pair in zip(h, k, strict=True)]
    for got, low in zip(fm.bivariate_normal_cdf(h, k, 1.0), same, strict=True):
        assert error(got, mp.ncdf(low), low**2, "float64") <= BOUND
    # P(-X <= k, X <= h) = Phi(h) - Phi(-k), 0 where -k >= h
    opposite = fm.bivariate_normal_cdf(np.array([1.0, 0.5, -1.0]), np.array([2.0, -0.5, 0.5]), -1.0)
    with mp.workdps(30):
        assert error(opposite[0], mp.ncdf(1) - mp.ncdf(-2), mpf(1), "float64") <= BOUND
    assert opposite[1] == opposite[2] == 0.0


def test_infinite_limits_leave_the_marginal():
    inf = np.inf
    h = np.array([inf, -inf, 0.5, 0.5])
    k = np.array([-1.0, 3.0, inf, -inf])
    with mp.workdps(30):
        marginals = [mp.ncdf(-1), mpf(0), mp.ncdf(mpf(0.5)), mpf(0)]
    for got, want in zip(fm.bivariate_normal_cdf(h, k, 0.3), marginals, strict=True):
        assert error(got, want, mpf(1), "float64") <= BOUND
