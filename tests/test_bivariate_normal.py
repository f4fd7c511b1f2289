"""The bivariate normal distribution function and its logarithm against 20 digits, from the middle to 1e-300."""

import numpy as np
import pytest
from mpmath import mp, mpf
from scipy.optimize import brentq

import fastmoments as fm
from fastmoments_kernels.formulas.bivariate import REACHES, span
from tests import points, truth
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


@pytest.mark.parametrize("dtype", DTYPES)
def test_next_to_perfect_negative_correlation(dtype):
    """P(X_1 > 0, X_2 > 0) where the determinant is a rounding error: exponents round to many powers of e."""
    rng = np.random.default_rng(5)
    (mu_1, mu_2), (sd_1, sd_2) = (rng.normal(0.0, sd, (2, 1000)).astype(dtype) for sd in (2.0, 0.5))
    var_1, var_2, cov = sd_1 * sd_1, sd_2 * sd_2, -abs(sd_1 * sd_2)
    assert np.any(np.float64(var_1) * var_2 > np.float64(cov) * cov)
    found = fm.relu_cov_partials(mu_1, mu_2, var_1, var_2, cov).d_cov_12
    for i, got in enumerate(found):
        h, k = (mpf(float(mu[i])) / mp.sqrt(mpf(float(var[i]))) for mu, var in ((mu_1, var_1), (mu_2, var_2)))
        exact = max(mp.ncdf(k) - mp.ncdf(-h), mpf(0))
        # rho is -1 to a few eps, of which P has a root at worst, where the limits meet
        assert (
            abs(got - exact)
            <= 4 * np.sqrt(np.finfo(dtype).eps) * mp.npdf(max(abs(h), abs(k))) + 8 * np.finfo(dtype).eps
        )
    assert np.isfinite(found).all()


def test_infinite_limits_leave_the_marginal():
    inf = np.inf
    h = np.array([inf, -inf, 0.5, 0.5])
    k = np.array([-1.0, 3.0, inf, -inf])
    with mp.workdps(30):
        marginals = [mp.ncdf(-1), mpf(0), mp.ncdf(mpf(0.5)), mpf(0)]
    for got, want in zip(fm.bivariate_normal_cdf(h, k, 0.3), marginals, strict=True):
        assert error(got, want, mpf(1), "float64") <= BOUND


def where_rules_end(h, k):
    """Correlations for which the quadrature is about to take its next rule."""

    def beyond(rho, reach):
        eta = np.sqrt((1 - rho) / (1 + rho))
        return span(h, k, eta, 2 * rho / ((1 + rho) * (1 + eta))) - reach

    ends = [reach for reach in REACHES if beyond(0.999, reach) > 0 > beyond(1e-9, reach)]
    return [brentq(beyond, 1e-9, 0.999, (reach * (1 - 1e-6),)) for reach in ends]


def test_every_rule_has_enough_nodes():
    found = 0
    for h, k in ((0.25, -0.5), (1.5, 1.25), (-1.0, -2.5), (3.5, -0.125)):
        for rho in where_rules_end(h, k):
            for sign in (1, -1):
                # mild at correlations of either sign, because h has the correlation's sign
                want = truth.bivariate_cdf(sign * h, k, sign * rho, 18)
                got = fm.bivariate_normal_cdf(sign * h, k, sign * rho)
                assert error(got, want.value, want.cond, "float64") <= BOUND, (h, k, rho, sign)
                found += 1
    assert found > 4 * len(REACHES)


def test_points_do_not_depend_on_each_other():
    rng = np.random.default_rng(0)
    h, k = rng.normal(size=(2, 20_000)) * 10 ** rng.uniform(-3, 1, 20_000)
    rho = np.tanh(rng.normal(size=20_000) * 3)
    rho[::50], h[7], k[8] = np.sign(rho[::50]), np.nan, np.inf
    found, order = fm.bivariate_normal_cdf(h, k, rho), rng.permutation(20_000)
    assert np.array_equal(fm.bivariate_normal_cdf(h[order], k[order], rho[order]), found[order], equal_nan=True)
    assert np.array_equal(fm.bivariate_normal_cdf(h[::-3], k[::-3], rho[::-3]), found[::-3], equal_nan=True)
    assert all(fm.bivariate_normal_cdf(h[i], k[i], rho[i]) == found[i] for i in range(50, 80))
    out = rho.copy()
    assert np.array_equal(fm.bivariate_normal_cdf(h, k, out, out=out), found, equal_nan=True)
    assert fm.bivariate_normal_cdf(h[:0], k[:0], rho[:0]).size == 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_logarithm_of_the_farthest_tails(dtype):
    """The logarithm is minus half the least value of the quadratic form, plus terms below eps."""
    real = np.dtype(dtype).type
    for far in map(real, (-3e8, -1e10, -1e17)):
        half = mpf(float(far)) ** 2 / 2
        cases = {
            (far, np.inf, 0.5): half,
            (real(0.5), far, 0.25): half,
            (far, -2 * far, 0.5): half,
            (far, far, 1.0): half,
            (far, far, 0.5): half * 4 / 3,
            (far, far, -0.5): half * 4,
            (far, 4 * far, 0.0): half * 17,
        }
        for (h, k, rho), size in cases.items():
            found = fm.log_bivariate_normal_cdf(h, real(k), real(rho))
            # condition numbers: 2 along the limits, up to 2 along the correlation
            assert error(found, -size, mpf(2), dtype) <= BOUND, (h, k, rho, found, size)
    assert fm.log_bivariate_normal_cdf(-1e200, 0.0, 0.5) == -np.inf


def test_logarithm_at_infinite_limits():
    with mp.workdps(30):
        want = mp.log(mp.ncdf(mpf(0.5)))
    assert error(fm.log_bivariate_normal_cdf(np.inf, 0.5, 0.3), want, mpf(1), "float64") <= BOUND
