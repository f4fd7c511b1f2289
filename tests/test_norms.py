"""RMSNorm and LayerNorm of Gaussian groups against mpmath, quadrature, samples, and each other."""

import math

import numpy as np
import pytest

from fastmoments.frameworks import numpy as words
from fastmoments.joint.norms import Norm
from tests import norm_truths

RNG = np.random.default_rng(0)
U, W = RNG.normal(size=4), RNG.normal(size=4)
GENERIC = (lambda a: a @ a.T / 4)(RNG.normal(size=(4, 4)))


def errors(found, mean, cov, slope):
    """Over the standard deviations; of slopes over the largest."""
    sd = np.sqrt(np.diag(cov))
    means = np.abs(found.mean - mean) / sd
    covs = np.abs(found.cov - cov) / np.outer(sd, sd)
    return means.max(), covs.max(), np.abs(found.slope - slope).max() / np.abs(slope).max()


@pytest.mark.parametrize(("mu", "var", "eps"), [(0.7, 1.0, 1e-5), (0.0, 0.25, 0.1), (3.0, 0.25, 10.0)])
def test_one_element(mu, var, eps):
    mean, var_out, slope = norm_truths.of_one(mu, var, eps)
    norm = Norm(eps, False)
    found = norm.moments(words, np.array([mu]), np.array([[var]]))
    assert errors(found, mean, [[var_out]], np.array([[slope]])) < (1e-13,) * 3
    of_one = norm.marginals(words, np.array([mu]), np.array([var]))
    assert abs(of_one[0][0] - mean) < 1e-13 and abs(of_one[1][0] / var_out - 1.0) < 1e-13


def test_one_element_is_a_sign():
    ratios = np.array([0.0, 0.7, -3.0, 6.0, 1e6])
    found = Norm(0.0, False).moments(words, 2.0 * ratios[:, None], np.full((5, 1, 1), 4.0))
    mean = np.array([math.erf(x / math.sqrt(2.0)) for x in ratios])
    slope = np.exp(-0.5 * ratios**2) / math.sqrt(2.0 * math.pi)
    np.testing.assert_allclose(found.mean[:, 0], mean, atol=1e-15)
    np.testing.assert_allclose(found.cov[:, 0, 0], 1.0 - mean**2, atol=1e-15)
    np.testing.assert_allclose(found.slope[:, 0, 0], slope, atol=1e-15)


def test_one_direction_is_a_sign():
    """X = u G is 0 where G is: the slope has no limit across u, and slope @ cov has one."""
    u, ratio = np.array([1.0, 2.0, -1.0]), 0.5
    found = Norm(0.0, False).moments(words, ratio * u, np.outer(u, u))
    side, mean = u / np.sqrt(2.0), math.erf(ratio / math.sqrt(2.0))
    cross = math.sqrt(2.0 / math.pi) * math.exp(-0.5 * ratio**2) * np.outer(side, u)
    np.testing.assert_allclose(found.mean, mean * side, rtol=1e-13)
    np.testing.assert_allclose(found.cov, (1.0 - mean**2) * np.outer(side, side), rtol=1e-13)
    np.testing.assert_allclose(found.slope @ np.outer(u, u), cross, rtol=1e-13)


@pytest.mark.parametrize("eps", [0.1, 1e-5, 0.0])
def test_two_elements(eps):
    mu, cov = np.array([0.3, -0.5]), np.array([[1.0, 0.6], [0.6, 0.8]])
    mean, cov_out, cross = norm_truths.of_two(mu, cov, eps)
    found = Norm(eps, False).moments(words, mu, cov)
    # the quadrature's own error is 1e-13
    assert np.abs(found.mean - mean).max() < 3e-13
    assert np.abs(found.cov - cov_out).max() < 3e-13
    assert np.abs(found.slope @ cov - cross).max() < 3e-13


@pytest.mark.parametrize(("n", "var", "eps"), [(2, 0.3, 0.0), (6, 1.0, 1e-5)])
def test_equal_variances(n, var, eps):
    mu = np.linspace(-1.0, 2.0, n)
    truth = norm_truths.of_equal(mu, var, eps)
    norm = Norm(eps, False)
    assert max(errors(norm.moments(words, mu, var * np.eye(n)), *truth)) < 1e-13
    assert np.abs(norm.marginals(words, mu, np.full(n, var))[1] / np.diag(truth[1]) - 1.0).max() < 1e-13


def test_layer_norm_of_equal_variances():
    mu = np.array([-1.0, 0.2, 2.0])
    # less its mean it is isotropic in two dimensions
    basis = np.array([[1.0, -1.0, 0.0], [1.0, 1.0, -2.0]]) / np.sqrt([[2.0], [6.0]])
    mean, cov, slope = norm_truths.of_equal(basis @ mu, 0.5, 1e-5, n=3)
    found = Norm(1e-5, True).moments(words, mu, 0.5 * np.eye(3))
    truth = basis.T @ mean, basis.T @ cov @ basis, basis.T @ slope @ basis
    assert max(errors(found, *truth)) < 1e-13


CASES = {
    "generic": (U, GENERIC, 1e-5),
    "mean 0": (0.0 * U, GENERIC, 1e-2),
    "rank 1": (U, np.outer(W, W), 1e-3),
    "no variance in one, little in another": (U, np.diag([0.0, 1.0, 2.0, 1e-6]), 0.1),
    "sd / mean 1e-2": (U, 1e-4 * GENERIC, 0.0),
    "sd / mean 1e-4": (U, 1e-8 * GENERIC, 0.0),
    "sd / mean 1e-6": (U, 1e-12 * GENERIC, 1e-5),
}


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_any_covariance(name, centred):
    mu, cov, eps = CASES[name]
    centre = np.eye(4) - 0.25 * centred
    mean, cov_out, slope = norm_truths.of_any(centre @ mu, centre @ cov @ centre, eps, step=0.15)
    found = Norm(eps, centred).moments(words, mu, cov)
    of_mean, of_cov, of_slope = errors(found, mean, cov_out, slope @ centre)
    # means are numbers of about 1, whatever their standard deviations
    assert of_mean < 1e-13 + 4e-15 / np.sqrt(np.diag(cov_out).min())
    assert of_cov < 1e-12
    assert of_slope < 1e-13


@pytest.mark.parametrize("centred", [False, True])
def test_marginals_are_those_of_a_diagonal_covariance(centred):
    rng = np.random.default_rng(3)
    for n in (2, 3, 17):
        for eps in (0.0, 1e-5, 1.0):
            mu = rng.normal(size=(20, n)) * 10.0 ** rng.integers(-2, 3, size=(20, 1))
            var = rng.gamma(1.0, 1.0, size=(20, n))
            norm = Norm(eps, centred)
            full = norm.moments(words, mu, var[..., None] * np.eye(n))
            mean, found = norm.marginals(words, mu, var)
            own = np.einsum("...ii->...i", full.cov)
            np.testing.assert_allclose(mean, full.mean, atol=1e-14)
            # what a feature that carries Q loses is rounding of its own variance
            q = eps + (mu * mu + var).mean(-1, keepdims=True)
            assert (np.abs(found - own) / (own + 0.1 * var.mean(-1, keepdims=True) / q)).max() < 1e-13


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("power", [-498, -30, 498])
def test_scales(power, centred):
    scale, norm = 2.0**power, Norm(0.0, centred)
    one, other = norm.moments(words, U, GENERIC), norm.moments(words, scale * U, GENERIC * scale * scale)
    np.testing.assert_array_equal(one.mean, other.mean)
    np.testing.assert_array_equal(one.cov, other.cov)
    np.testing.assert_array_equal(one.slope, other.slope * scale)
    var = np.diag(GENERIC)
    for a, b in zip(norm.marginals(words, U, var), norm.marginals(words, scale * U, var * scale**2), strict=True):
        np.testing.assert_array_equal(a, b)


def test_elements_of_a_batch_do_not_depend_on_each_other():
    """One needs few nodes, one many, one is nan."""
    mu = np.stack([10.0 * U, 0.0 * U, U * [np.nan, 1.0, 1.0, 1.0]])
    cov = np.stack([GENERIC, np.outer(W, W), GENERIC])
    given = mu.copy(), cov.copy()
    norm = Norm(1e-12, True)
    found, alone = norm.moments(words, mu, cov), [norm.moments(words, mu[k], cov[k]) for k in range(2)]
    for k in range(2):
        np.testing.assert_allclose(found.mean[k], alone[k].mean, atol=1e-14)
        np.testing.assert_allclose(found.cov[k], alone[k].cov, atol=1e-14)
    assert all(np.isnan(x[2]).all() for x in found[:3])
    np.testing.assert_array_equal(mu, given[0])
    np.testing.assert_array_equal(cov, given[1])
    nowhere = norm.moments(words, mu[:0], cov[:0])
    assert [x.shape for x in nowhere[:3]] == [(0, 4), (0, 4, 4), (0, 4, 4)]


def test_constants():
    found = Norm(0.0, False).moments(words, np.array([3.0, 4.0]), np.zeros((2, 2)))
    np.testing.assert_allclose(found.mean, np.array([3.0, 4.0]) / np.sqrt(12.5), rtol=1e-15)
    np.testing.assert_array_equal(found.cov, 0.0)
    for size in (1e200, 1e-200):
        mean, var = Norm(0.0, False).marginals(words, np.array([3.0 * size, 4.0 * size]), np.zeros(2))
        np.testing.assert_allclose(mean, found.mean, rtol=1e-14)
        np.testing.assert_array_equal(var, 0.0)
    nothing = Norm(1e-4, True).moments(words, np.full(3, 7.0), np.zeros((3, 3)))
    np.testing.assert_array_equal(nothing.mean, 0.0)
    np.testing.assert_allclose(nothing.slope, 100.0 * (np.eye(3) - 1.0 / 3.0), rtol=1e-14)
    for one in (Norm(1e-5, True).moments(words, np.ones(1), np.ones((1, 1)))[:3],):
        assert not any(x.any() for x in one)
    for undefined in (Norm(0.0, True), Norm(0.0, False)):
        found = undefined.moments(words, np.zeros(1), np.zeros((1, 1)))
        assert np.isnan(found.mean).all() and np.isnan(found.cov).all()
        assert np.isnan(undefined.marginals(words, np.zeros(1), np.zeros(1))).all()


def test_eps_is_checked():
    with pytest.raises(ValueError, match="eps: expected"):
        Norm(-1e-5, False)


@pytest.mark.parametrize("centred", [False, True])
def test_float32(centred):
    """In eps: 4 of the largest mean, 8 of covariances and slopes."""
    rng = np.random.default_rng(5)
    for n, scale in ((1 + centred, 1.0), (6, 1.0), (64, 1.0), (64, 0.01)):
        mu, root = rng.normal(size=n).astype("f"), rng.normal(size=(n, n)).astype("f")
        cov = np.float32(scale / n) * (root @ root.T)
        norm, eps = Norm(1e-5, centred), np.finfo("f").eps
        found = norm.moments(words, mu, cov)
        truth = norm.moments(words, mu.astype("d"), cov.astype("d"))
        assert all(x.dtype == np.float32 for x in found[:3])
        sd = np.sqrt(np.diag(truth.cov))
        assert np.abs(found.mean - truth.mean).max() < 4 * eps * np.abs(truth.mean).max()
        assert (np.abs(found.cov - truth.cov) / np.outer(sd, sd)).max() < 8 * eps
        assert np.abs(found.slope - truth.slope).max() < 8 * eps * np.abs(truth.slope).max()
        var = np.diag(cov).copy()
        mean, var_out = norm.marginals(words, mu, var)
        of_double = norm.marginals(words, mu.astype("d"), var.astype("d"))
        assert mean.dtype == var_out.dtype == np.float32
        assert np.abs(mean - of_double[0]).max() < 4 * eps * np.abs(of_double[0]).max()
        assert np.abs(var_out / of_double[1] - 1.0).max() < 8 * eps


def test_samples():
    """Two groups: the rule within, and A C_gh B^T between them, which is of first order."""
    rng = np.random.default_rng(2)
    mu, root = rng.normal(size=12), rng.normal(size=(12, 12)) / np.sqrt(12.0)
    cov, norm = root @ root.T, Norm(1e-5, True)
    one, two = (norm.moments(words, mu[s], cov[s, s]) for s in (slice(6), slice(6, 12)))
    x = (mu + rng.normal(size=(2**17, 12)) @ root.T).reshape(-1, 2, 6)
    x = x - x.mean(-1, keepdims=True)
    y = (x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5)).reshape(-1, 12)
    truth = np.cov(y.T)
    sd = np.sqrt(np.diag(truth))
    assert (np.abs(np.concatenate([one.mean, two.mean]) - y.mean(0)) / sd).max() < 5 / np.sqrt(len(y))
    off = np.abs(truth - np.block([[one.cov, one.slope @ cov[:6, 6:] @ two.slope.T], [0 * one.cov, two.cov]]))
    off /= np.outer(sd, sd)
    assert max(off[:6, :6].max(), off[6:, 6:].max()) < 8 / np.sqrt(len(y))
    assert off[:6, 6:].max() < 0.05
