"""The maximum of Gaussian groups: by integrals of the definition, or by samples at the error that is stated."""

import numpy as np
import pytest
from scipy.special import erf, ndtr

from fastmoments.frameworks import numpy as words
from fastmoments.joint.exact_maximum import exact_maximum
from fastmoments.joint.maxima import Maximum
from fastmoments.joint.orthants import trivariate_normal_cdf
from fastmoments.joint.truncation import truncated_maximum
from tests.integrals_of_groups import independent_maximum, one_factor_maximum, panels

RNG = np.random.default_rng(5)
# elements share a factor by these loadings: n = 2, 3, 4; weak, strong, opposed, one that varies most
FACTORS = [
    (np.array([0.3, -0.2]), np.array([0.5, 0.4]), np.array([1.0, 0.7])),
    (np.array([0.3, -0.2, 0.5]), np.array([0.5, -0.6, 0.1]), np.array([1.0, 0.7, 0.4])),
    (np.array([0.3, -0.2, 0.5, 0.0]), np.array([0.5, 0.4, 0.9, 0.7]), np.array([1.0, 0.7, 0.4, 1.0])),
    (np.array([0.1, 0.0, 0.2, 0.0]), np.array([1.0, -1.0, 0.9, 3.0]), np.array([0.3, 0.2, 0.2, 0.3])),
    (np.array([0.0, 0.0, 0.0, 0.0]), np.array([1.0, 1.0, 1.0, 1.0]), np.array([0.1, 0.1, 0.1, 0.1])),
    (np.array([2.0, -3.0, 0.0, 1.5]), np.array([0.0, 5.0, 0.1, 0.0]), np.array([0.01, 0.5, 0.7, 0.3])),
]


def of_factor(mu, factor, sd):
    return mu, np.outer(factor, factor) + np.diag(sd * sd)


@pytest.mark.parametrize("case", FACTORS)
def test_up_to_four_elements_are_exact(case):
    mean, var, p = one_factor_maximum(*case)
    found = Maximum(len(case[0])).moments(words, *of_factor(*case))
    scale = np.sqrt(np.max(np.diag(of_factor(*case)[1])))
    # as documented
    assert abs(found.mean[0] - mean) <= 1e-12 * scale
    assert abs(found.cov[0, 0] - var) <= 4e-12 * scale**2
    np.testing.assert_allclose(found.slope[0], p, rtol=0, atol=1e-12)


def test_curvature_is_the_change_of_the_probabilities():
    mu, factor, sd = FACTORS[2]
    found = Maximum(4).moments(words, *of_factor(mu, factor, sd)).curvature[0]
    step = 1e-3
    for j in range(4):
        ahead, behind = (one_factor_maximum(mu + s * step * np.eye(4)[j], factor, sd)[2] for s in (1.0, -1.0))
        # the third derivative is about 1
        np.testing.assert_allclose(found[:, j], (ahead - behind) / (2 * step), rtol=0, atol=step**2)


def three_dimensional(h, r_12, r_13, r_23):
    """P(Z < h) by integrals over Z_1 and the part of Z_2 that is independent of it; panels resolve steps."""
    s_2 = np.sqrt((1.0 - r_12) * (1.0 + r_12))
    slope = (r_23 - r_12 * r_13) / s_2
    s_3 = np.sqrt(1.0 - r_13 * r_13 - slope * slope)
    meeting = (h[1] / s_2 - h[2] / slope) / (r_12 / s_2 - r_13 / slope)
    steep = (h[1] / r_12, s_2 / r_12), (h[2] / r_13, np.hypot(slope, s_3) / r_13), (meeting, s_3)
    ends = [np.linspace(-9.0, h[0], 20), *(x + w * np.linspace(-8.0, 8.0, 17) for x, w in steep)]
    z, w = panels(np.unique(np.clip(np.concatenate(ends), -9.0, h[0])))
    w = w * np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)
    total = 0.0
    for x, weight in zip(z, w, strict=True):
        top = np.clip((h[1] - r_12 * x) / s_2, -9.0, 9.0)
        knee = (h[2] - r_13 * x) / slope + s_3 / slope * np.linspace(-8.0, 8.0, 17)
        y, u = panels(np.unique(np.clip(np.concatenate([np.linspace(-9.0, top, 9), knee]), -9.0, top)))
        values = np.exp(-0.5 * y * y) / np.sqrt(2.0 * np.pi) * ndtr((h[2] - r_13 * x - slope * y) / s_3)
        total += weight * (u @ values)
    return total


@pytest.mark.parametrize(
    ("h", "rho", "bar"),
    [
        ((0.3, -0.4, 0.8), (0.5, -0.2, 0.3), 1e-14),
        ((-2.0, -1.0, -1.5), (-0.3, -0.4, -0.2), 1e-14),
        ((0.1, 0.2, 0.15), (0.99, 0.98, 0.985), 1e-13),
        ((0.3, 0.31, 0.29), (1 - 1e-4, 1 - 2e-4, 1 - 1.5e-4), 1e-12),
        ((0.1, -0.2, 0.2), (0.9999, -0.9998, -0.9999), 1e-12),
    ],
)
def test_three_dimensional_probabilities(h, rho, bar):
    want = three_dimensional(np.array(h), *rho)
    found = trivariate_normal_cdf(words, *(np.array([x]) for x in (*h, *rho)))[0]
    assert abs(found - want) <= bar


def test_ties_share_and_copies_change_nothing():
    mu, cov = np.array([0.2, -0.1]), np.array([[1.0, 0.3], [0.3, 2.0]])
    two = exact_maximum(words, mu, cov)
    for index in ([0, 0, 1], [0, 1, 0], [0, 0, 1, 1], [1, 0, 0, 0]):
        found = exact_maximum(words, mu[index], cov[np.ix_(index, index)])
        np.testing.assert_allclose(found.mean, two.mean, rtol=1e-14)
        np.testing.assert_allclose(found.cov, two.cov, rtol=1e-13)
        share = np.array([1.0 / index.count(i) for i in index])
        np.testing.assert_allclose(found.slope[0], two.slope[0, index] * share, rtol=0, atol=1e-13)
        spread = two.curvature[0][np.ix_(index, index)] * share * share[:, None]
        np.testing.assert_allclose(found.curvature[0], spread, rtol=0, atol=1e-15)
    for n in (2, 3, 4, 6):
        for cov in (np.zeros((n, n)), np.ones((n, n))):
            found = Maximum(n).moments(words, np.full(n, 0.5), cov)
            assert found.mean == 0.5 and abs(found.cov - cov[0, 0]) < 1e-15
            np.testing.assert_allclose(found.slope, 1.0 / n, rtol=1e-15)


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1], [0, 2, 1], [2, 1, 0]])
def test_elements_that_depend_on_each_other_exactly(order):
    # max(X, -X, 0) = |X|, and a mean of two is never the largest
    line = np.array([1.0, -1.0, 0.0])[order]
    found = exact_maximum(words, 0.3 * line, 2.0 * np.outer(line, line))
    mean = 2.0 / np.sqrt(np.pi) * np.exp(-0.0225) + 0.3 * erf(0.15)
    np.testing.assert_allclose((found.mean[0], found.cov[0, 0]), (mean, 2.09 - mean**2), rtol=1e-13)
    np.testing.assert_allclose(found.slope[0] @ line, erf(0.15), rtol=1e-13)
    mixing = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])[order]
    found = exact_maximum(words, mixing @ [1.0, 0.3], mixing @ mixing.T)
    truth = exact_maximum(words, np.array([1.0, 0.3]), np.eye(2))
    # correlations of 1 that are rounded: see orthant
    np.testing.assert_allclose((found.mean, found.cov[0]), (truth.mean, truth.cov[0]), rtol=0, atol=1e-7)


def test_a_certain_winner_and_other_scales():
    mu, cov = np.array([50.0, 0.0, -1e9, 0.0]), np.diag([1e-12, 1.0, 1e6, 0.0])
    found = exact_maximum(words, mu, cov)
    assert found.mean == 50.0 and found.cov == 1e-12 and found.slope.tolist() == [[1.0, 0.0, 0.0, 0.0]]
    mu, cov = of_factor(*FACTORS[3])
    one = exact_maximum(words, mu, cov)
    for scale in (2.0**-300, 2.0**300):
        found = exact_maximum(words, scale * mu, scale * scale * cov)
        np.testing.assert_allclose(
            (found.mean / scale, found.cov[0] / scale**2), (one.mean, one.cov[0]), rtol=1e-12
        )
    single = np.array(mu), np.array(cov)
    found = exact_maximum(words, mu.astype(np.float32), cov.astype(np.float32))
    assert found.mean.dtype == np.float32
    # differences of 0.2 among variances of 9
    np.testing.assert_allclose(found.mean, one.mean, rtol=2e-5)
    np.testing.assert_allclose(found.slope, one.slope, atol=1e-3)
    assert np.array_equal(mu, single[0]) and np.array_equal(cov, single[1])


@pytest.mark.parametrize("n", [1, 2, 3, 4, 6])
def test_batches_and_nan(n):
    mu = RNG.normal(size=(2, 3, n))
    cov = np.broadcast_to(np.eye(n) + 0.2, (2, 3, n, n)).copy()
    mu[0, 0, 0] = np.nan
    found = Maximum(n).moments(words, mu, cov)
    shapes = (2, 3, 1), (2, 3, 1, 1), (2, 3, 1, n), (2, 3, 1, n, n)
    assert tuple(x.shape for x in found) == shapes
    assert np.isnan(found.mean[0, 0]).all() and np.isfinite(found.mean.reshape(6)[1:]).all()
    alone = Maximum(n).moments(words, mu[1, 2], cov[1, 2])
    for one, all_ in zip(alone, found, strict=True):
        np.testing.assert_allclose(one, all_[1, 2], rtol=1e-13, atol=1e-15)
    none = Maximum(n).moments(words, mu[:0], cov[:0])
    assert none.mean.shape == (0, 3, 1)
    assert [x.shape for x in Maximum(n).marginals(words, mu, np.abs(mu))] == [(2, 3, 1)] * 2


@pytest.mark.parametrize("n", [2, 4, 5, 40])
def test_independent_elements(n):
    for spread in (0.0, 1.0):
        mu, sd = RNG.normal(size=n), np.exp(spread * RNG.normal(size=n))
        mean, square, p = independent_maximum(mu, sd)
        found = Maximum(n).marginals(words, mu, sd * sd)
        # as documented
        np.testing.assert_allclose(found[0], mean, rtol=0, atol=1e-9 * np.sqrt(square - mean**2))
        np.testing.assert_allclose(found[1], square - mean**2, rtol=2e-9)
        # the pass is exact for them, but for its 48 values
        whole = Maximum(n).moments(words, mu, np.diag(sd * sd))
        np.testing.assert_allclose(whole.slope[0], p, rtol=0, atol=2e-3)
        np.testing.assert_allclose(whole.cov[0], square - mean**2, rtol=2e-3)
    found = Maximum(n).marginals(words, np.zeros(n), np.zeros(n))
    assert found[0] == 0.0 and found[1] == 0.0


@pytest.mark.parametrize("n", [1, 2, 3, 5])
@pytest.mark.parametrize("like", [np.float32, np.float64])
def test_masked_elements_count_for_nothing(n, like):
    mu, factors = RNG.normal(size=n).astype(like), RNG.normal(size=(n, n))
    cov = (factors @ factors.T + 2.0).astype(like)
    wide, keep = np.full(n + 2, -np.inf, dtype=like), np.arange(n) + 1
    wide[keep] = mu
    for beside in (0.0, 0.7):
        full = np.full((n + 2, n + 2), beside, dtype=like)
        full[np.ix_(keep, keep)] = cov
        # the same approximation
        of = truncated_maximum if n > 2 else exact_maximum
        found, want = Maximum(n + 2).moments(words, wide, full), of(words, mu, cov)
        bar = 1e-2 if n > 2 else 1e-4 if like == np.float32 else 1e-13
        sd = np.sqrt(want.cov[0, 0])
        np.testing.assert_allclose(found.mean, want.mean, rtol=0, atol=bar * sd)
        np.testing.assert_allclose(found.cov, want.cov, rtol=2 * bar)
        np.testing.assert_allclose(found.slope[0, keep], want.slope[0], rtol=0, atol=2 * bar)
        assert not found.slope[0, [0, -1]].any() and found.mean.dtype == like
        assert not found.curvature[0, 0].any() and np.isfinite(found.curvature).all()
        found = Maximum(n + 2).marginals(words, wide, np.diag(full))
        want = Maximum(n).marginals(words, mu, np.diag(cov))
        np.testing.assert_allclose(found, want, rtol=1e-5 if like == np.float32 else 1e-8)


@pytest.mark.parametrize("n", [1, 2, 4, 6, pytest.param(257, marks=pytest.mark.slow)])
def test_groups_of_masked_elements_alone(n):
    none = np.full((2, n), -np.inf)
    none[1, -1] = 3.0
    mean, cov, slope = Maximum(n).moments(words, none, np.broadcast_to(np.eye(n), (2, n, n)))[:3]
    assert mean[0] == -np.inf and not cov[0].any() and not slope[0].any()
    np.testing.assert_allclose((mean[1, 0], cov[1, 0, 0], slope[1, 0, -1]), (3.0, 1.0, 1.0), rtol=1e-2)
    mean, var = Maximum(n).marginals(words, none, np.ones((2, n)))
    assert mean[0] == -np.inf and var[0] == 0.0
    np.testing.assert_allclose((mean[1, 0], var[1, 0]), (3.0, 1.0), rtol=2e-9)


@pytest.mark.parametrize("n", [2, 4, 5, 40])
def test_nan_of_one_element_reaches_the_maximum(n):
    for number in (0, 1):
        given = [np.zeros((2, n)), np.ones((2, n))]
        given[number][0, 0] = np.nan
        for found in Maximum(n).marginals(words, *given):
            assert np.isnan(found[0]) and np.isfinite(found[1])


def window(side, reach):
    """Correlations of the pixels of a square that fall with their distance."""
    place = np.stack(np.meshgrid(range(side), range(side)), -1).reshape(-1, 2)
    return np.exp(-np.linalg.norm(place[:, None] - place, axis=-1) / reach)


@pytest.mark.parametrize(
    ("cov", "bar"),
    [
        (window(3, 1.0), 1e-2),
        (window(3, 3.0), 1e-2),
        (window(4, 1.0), 1e-2),
        (window(7, 3.0), 3e-2),
        (np.cov(np.random.default_rng(3).normal(size=(5, 9))), 2e-2),
    ],
)
def test_more_elements_against_samples(cov, bar):
    n, rng = len(cov), np.random.default_rng(2)
    mu = rng.normal(size=n)
    x = mu + rng.normal(size=(60_000, n)) @ np.linalg.cholesky(cov).T
    largest = x.max(1)
    p = np.bincount(x.argmax(1), minlength=n) / len(x)
    found = Maximum(n).moments(words, mu, cov)
    # bars as documented, and 3 standard errors: of a mean 0.4 %, of a variance 0.6 %
    assert abs(found.mean[0] - largest.mean()) <= (bar + 0.012) * largest.std()
    assert abs(found.cov[0, 0] / largest.var() - 1.0) <= 2e-2 + 0.02
    assert np.abs(found.slope[0] - p).max() <= 2e-2
    np.testing.assert_allclose(found.slope.sum(), 1.0, rtol=1e-14)
    np.testing.assert_allclose(found.curvature[0].sum(1), 0.0, atol=1e-12)
    assert not Maximum(n).exact and "variance 2e-2" in Maximum(n).closure


def test_large_groups_and_what_is_refused():
    mean, square, _ = independent_maximum(np.zeros(257), np.ones(257))
    found = Maximum(257).moments(words, np.zeros(257), np.eye(257))
    assert abs(found.mean[0] - mean) <= 6e-2 * np.sqrt(square - mean**2) and found.slope.shape == (1, 257)
    assert abs(found.cov[0, 0] / (square - mean**2) - 1.0) <= 0.4 and "3e-1" in Maximum(257).closure
    assert abs(found.slope.sum() - 1.0) < 1e-12
    with pytest.raises(ValueError, match="n: expected at least one element, got 0"):
        Maximum(0)
