"""The bivariate normal distribution function and its logarithm against 18 digits, from the middle to 1e-300."""

import numpy as np
import pytest
from mpmath import mp, mpf

import fastmoments as fm
from tests import truth
from tests.conformance import BOUND, error

# h, k, rho: middle, both tails, correlations near 0 and +-1, probabilities down to the smallest normal number
POINTS = [
    (0.0, 0.0, 0.5),
    (0.3, -1.2, -0.7),
    (1.5, 0.25, 0.05),
    (-2.0, 3.0, 0.95),
    (-5.0, -5.0, -0.5),
    (-8.0, -8.0, -0.25),
    (-3.0, -3.0, -0.9375),
    (4.0, 6.0, 0.875),
    (-20.0, -22.5, 0.3125),
    (-1.0, -1.0, 0.99999),
    (0.75, -0.5, -0.9999),
    (-0.75, 0.5, -0.9999),
    (-10.0, 9.875, -0.999),
    (-4.0, 1.0, 1e-7),
    (-36.5, 0.5, 0.5),
    (-7.0, -7.5, -0.75),
]


@pytest.fixture(scope="module", params=("float64", "float32"))
def judged(request):
    """Points that are numbers of the dtype, and their truth."""
    points = np.array(POINTS, dtype=request.param)
    return request.param, points.T, [truth.bivariate_cdf(*map(float, point), 18) for point in points]


def test_bivariate_normal_cdf(judged):
    dtype, points, truths = judged
    for got, want, point in zip(fm.bivariate_normal_cdf(*points), truths, points.T, strict=True):
        units = error(got, want.value, want.cond, dtype)
        assert units <= BOUND, (point, got, mp.nstr(want.value, 20), units)


def test_log_bivariate_normal_cdf(judged):
    dtype, points, truths = judged
    for got, want, point in zip(fm.log_bivariate_normal_cdf(*points), truths, points.T, strict=True):
        with mp.workdps(400):
            value = mp.log(want.value)
        # d log P / dx x = cond, so that of log P is cond / |log P|
        units = error(got, value, want.cond / abs(value), dtype)
        assert units <= BOUND, (point, got, mp.nstr(value, 20), units)


def along_h(h, k, rho):
    return mp.npdf(h) * mp.ncdf((k - rho * h) / mp.sqrt(1 - rho * rho))


def density(h, k, rho):
    square = 1 - rho * rho
    return mp.exp(-(h * h - 2 * rho * h * k + k * k) / (2 * square)) / (2 * mp.pi * mp.sqrt(square))


def test_partials(judged):
    """By the textbook's forms in 60 digits; their condition numbers by differences."""
    dtype, points, _ = judged
    slopes = fm.bivariate_normal_cdf_partials(*points)
    forms = (along_h, lambda h, k, rho: along_h(k, h, rho), density)
    for found, form in zip(slopes, forms, strict=True):
        for got, point in zip(found, points.T, strict=True):
            with mp.workdps(60):
                at = tuple(map(mpf, map(float, point)))
                value = form(*at)
                orders = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
                cond = sum(abs(x * mp.diff(form, at, n)) for x, n in zip(at, orders, strict=True)) / abs(value)
            assert error(got, value, cond, dtype) <= BOUND, (point, got, mp.nstr(value, 20))


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
