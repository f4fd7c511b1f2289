"""KL divergence and Wasserstein distance against integrals, mpmath and closed forms."""

import mpmath
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import integrate, linalg, stats

import fastmoments as fm

EPS = np.finfo(np.float64).eps


def gaussian(n, seed=0, batch=()):
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((*batch, n, n))
    return rng.standard_normal((*batch, n)), root @ np.swapaxes(root, -1, -2)


def normal(mean, var):
    return fm.Moments(np.array([mean]), np.array([[var]]))


@pytest.mark.parametrize("mean_q, var_q", [(0.5, 2.0), (-1.0, 0.3)])
def test_kl_divergence_of_two_normals_is_the_integral(mean_q, var_q):
    p, q = stats.norm(0.2, 1.1), stats.norm(mean_q, np.sqrt(var_q))
    integral, _ = integrate.quad(lambda x: p.pdf(x) * (p.logpdf(x) - q.logpdf(x)), -15, 15, epsabs=1e-13)
    result = fm.compare.kl_divergence(normal(0.2, 1.1**2), normal(mean_q, var_q))
    assert_allclose(result, integral, rtol=1e-11)


def test_kl_divergence_against_fifty_digits():
    (mean_p, cov_p), (mean_q, cov_q) = gaussian(4, seed=1), gaussian(4, seed=2)
    with mpmath.workdps(50):
        P, Q, r = (mpmath.matrix(array.tolist()) for array in (cov_p, cov_q, (mean_q - mean_p)))
        inverse = Q**-1
        trace = sum((inverse * P)[i, i] for i in range(4))
        truth = (trace + (r.T * inverse * r)[0] - 4 + mpmath.log(mpmath.det(Q) / mpmath.det(P))) / 2
    result = fm.compare.kl_divergence(fm.Moments(mean_p, cov_p), fm.Moments(mean_q, cov_q))
    # The condition number of cov_q, some hundred, times n eps.
    assert_allclose(result, float(truth), rtol=4 * EPS * np.linalg.cond(cov_q))


@pytest.mark.parametrize("distance", [fm.compare.kl_divergence, fm.compare.wasserstein])
def test_distances_refuse_one_triangle(distance):
    mean, cov = gaussian(3)
    good, bad = fm.Moments(mean, cov), fm.Moments(mean, np.triu(cov))
    with pytest.raises(ValueError, match=r"q: cov: expected a symmetric matrix, but cov\["):
        distance(good, bad)


def test_kl_divergence_of_close_gaussians_keeps_its_digits():
    mean, cov = gaussian(3)
    assert fm.compare.kl_divergence(normal(0.0, 1.0), normal(1e-9, 1.0)) == pytest.approx(0.5e-18, rel=1e-12)
    # x - log(1 + x) for x = 1e-5 is of second order, and x has a relative error of eps / x
    close = fm.compare.kl_divergence(normal(0.0, 1 + 1e-5), normal(0.0, 1.0))
    assert close == pytest.approx((1e-5 - np.log1p(1e-5)) / 2, rel=1e-5)
    assert 0 <= fm.compare.kl_divergence(fm.Moments(mean, cov), fm.Moments(mean, cov)) < 1e-27


def test_kl_divergence_where_no_density_exists():
    singular, regular = np.array([[1.0, 2.0], [2.0, 4.0]]), np.eye(2)
    pairs = [(regular, singular), (singular, regular), (singular, singular), (regular, np.zeros((2, 2)))]
    for cov_p, cov_q in pairs:
        p, q = fm.Moments(np.zeros(2), cov_p), fm.Moments(np.zeros(2), cov_q)
        assert fm.compare.kl_divergence(p, q) == np.inf
    # a small covariance is not singular, in any units
    tiny = fm.compare.kl_divergence(*(fm.Moments(np.zeros(2), np.diag([1e-30, 1.0])),) * 2)
    assert tiny == 0


def test_distances_broadcast():
    mean, cov = gaussian(3, batch=(4, 1))
    p, q = fm.Moments(mean, cov), fm.Moments(*gaussian(3, seed=1, batch=(5,)))
    for distance in (fm.compare.kl_divergence, fm.compare.wasserstein):
        result = distance(p, q)
        assert result.shape == (4, 5)
        one = distance(fm.Moments(mean[2, 0], cov[2, 0]), fm.Moments(q.mean[3], q.cov[3]))
        assert_allclose(result[2, 3], one, rtol=1e-12)


@pytest.mark.parametrize("distance", [fm.compare.kl_divergence, fm.compare.wasserstein])
def test_distances_of_nan_are_nan_and_leave_the_others_alone(distance):
    mean, cov = gaussian(2, batch=(3,))
    q = fm.Moments(*gaussian(2, seed=1))
    expected = distance(fm.Moments(mean, cov), q)
    mean[0, 1] = np.nan
    cov[1, 0, 1] = np.nan
    assert_allclose(distance(fm.Moments(mean, cov), q), [np.nan, np.nan, expected[2]], rtol=1e-13)


@pytest.mark.parametrize("values_q", [(2.0, 0.5, 3.0), (2.0, 0.0, 0.0)])
def test_wasserstein_of_commuting_covariances(values_q):
    rotation = np.linalg.qr(np.random.default_rng(3).standard_normal((3, 3)))[0]
    values_p, shift = np.array([1.0, 4.0, 0.0]), np.array([1.0, -2.0, 0.5])
    p = fm.Moments(np.zeros(3), rotation * values_p @ rotation.T)
    q = fm.Moments(shift, rotation * values_q @ rotation.T)
    truth = np.sqrt(shift @ shift + np.sum((np.sqrt(values_p) - np.sqrt(values_q)) ** 2))
    # a zero eigenvalue has the error eps, its square root sqrt(eps); squared and summed, that is eps again
    assert_allclose(fm.compare.wasserstein(p, q), truth, rtol=1e-7)


def test_wasserstein_is_the_textbook_formula():
    (mean_p, cov_p), (mean_q, cov_q) = gaussian(4, seed=1), gaussian(4, seed=2)
    root = linalg.sqrtm(cov_p)
    trace = np.trace(cov_p + cov_q - 2 * linalg.sqrtm(root @ cov_q @ root).real)
    truth = np.sqrt(np.sum((mean_p - mean_q) ** 2) + trace)
    result = fm.compare.wasserstein(fm.Moments(mean_p, cov_p), fm.Moments(mean_q, cov_q))
    assert_allclose(result, truth, rtol=1e-11)


def test_wasserstein_of_close_gaussians_keeps_its_digits():
    assert_allclose(fm.compare.wasserstein(normal(0.0, (1 + 1e-9) ** 2), normal(0.0, 1.0)), 1e-9, rtol=1e-6)


@pytest.mark.parametrize("distance", [fm.compare.kl_divergence, fm.compare.wasserstein])
@pytest.mark.parametrize(
    "cov, message", [(np.array([[1.0, 2.0], [2.0, 1.0]]), "cov: .*semidefinite"), (np.eye(3), "cov: .*shape")]
)
def test_distances_name_the_argument(distance, cov, message):
    good, bad = fm.Moments(np.zeros(2), np.eye(2)), fm.Moments(np.zeros(2), cov)
    with pytest.raises(ValueError, match=f"^p.*{message}"):
        distance(bad, good)
    with pytest.raises(ValueError, match=f"^q.*{message}"):
        distance(good, bad)
