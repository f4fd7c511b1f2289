"""Softmax, log-sum-exp and log-softmax of Gaussian groups: integrals of the definition over few numbers."""

import numpy as np
import pytest
from scipy.special import logsumexp, softmax

from fastmoments.frameworks import numpy as words
from fastmoments.joint.points import square_root, sums_by_points
from fastmoments.joint.softmax import LogSoftmax, LogSumExp, Softmax
from tests.integrals_of_groups import of_factors

FUNCTIONS = {
    Softmax: lambda x: softmax(x, axis=1),
    LogSumExp: lambda x: logsumexp(x, axis=1, keepdims=True),
    LogSoftmax: lambda x: x - logsumexp(x, axis=1, keepdims=True),
}
INF = float("inf")


def logits(n, rank, sd, seed=0):
    """Means and factors: covariances of this rank, of this sd."""
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(n, rank))
    return rng.normal(size=n), sd * factors / np.linalg.norm(factors, axis=1, keepdims=True)


@pytest.mark.parametrize("group", FUNCTIONS)
@pytest.mark.parametrize("sd", [0.01, 0.5, 1.0])
def test_two_logits_are_exact(group, sd):
    mu, factors = logits(2, 2, sd)
    mean, cov = of_factors(FUNCTIONS[group], mu, factors, 80)
    found = group(2).moments(words, mu, factors @ factors.T)
    # of the sigmoid's and softplus's moments
    np.testing.assert_allclose(found.mean, mean, rtol=0, atol=1e-9)
    np.testing.assert_allclose(found.cov, cov, rtol=0, atol=1e-9 * cov.max())
    assert group(2).exact and not group(3).exact and group(3).closure


@pytest.mark.parametrize("group", FUNCTIONS)
@pytest.mark.parametrize(("n", "rank"), [(3, 3), (4, 2), (10, 2), (30, 3), (64, 2)])
@pytest.mark.parametrize(("sd", "means", "covs"), [(0.03, 1e-4, 1e-4), (0.3, 2e-3, 1e-2), (1.0, 5e-3, 3e-2)])
def test_more_logits_are_within_the_stated_error(group, n, rank, sd, means, covs):
    mu, factors = logits(n, rank, sd, n)
    mean, cov = of_factors(FUNCTIONS[group], mu, factors, 24)
    found = group(n).moments(words, mu, factors @ factors.T)
    largest = np.sqrt(np.diag(cov).max())
    assert np.abs(found.mean - mean).max() <= means * largest
    # the log-sum-exp's variance is that of a mean over logits
    assert (
        np.abs(found.cov - cov).max()
        <= (1.0 if group is not LogSumExp else 2.0 if sd > 0.03 else 10.0) * covs * largest**2
    )
    if group is Softmax:
        np.testing.assert_allclose(found.mean.sum(), 1.0, rtol=1e-14)
        # the larger of scale and rounding of n numbers
        np.testing.assert_allclose(found.cov.sum(0), 0.0, rtol=0, atol=1e-13)
        assert np.linalg.eigvalsh(found.cov).min() >= -1e-14
        want = np.diag(mean) - np.outer(mean, mean) - cov
        assert np.abs(found.slope - want).max() <= covs * np.abs(want).max()


@pytest.mark.parametrize("group", FUNCTIONS)
def test_slopes_are_changes_of_the_means(group):
    mu, factors = logits(4, 3, 0.8)
    step, found = 1e-4, group(4).moments(words, mu, factors @ factors.T)
    for j in range(4):
        ahead, behind = (
            of_factors(FUNCTIONS[group], mu + s * step * np.eye(4)[j], factors, 30)[0] for s in (1.0, -1.0)
        )
        np.testing.assert_allclose(found.slope[:, j], (ahead - behind) / (2 * step), rtol=0, atol=2e-3)
    if group is LogSumExp:
        np.testing.assert_array_equal(found.curvature[0], Softmax(4).moments(words, mu, factors @ factors.T).slope)


@pytest.mark.parametrize("group", FUNCTIONS)
@pytest.mark.parametrize("sd", [0.0, 1e-3, 0.3, 1.0])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_independent_logits(group, sd, n):
    mu, sds = np.array([0.4, -0.3, 1.0])[:n], sd * np.array([1.0, 0.5, 0.8])[:n]
    mean, cov = of_factors(FUNCTIONS[group], mu, np.diag(sds), 40)
    found = group(n).marginals(words, mu, sds * sds)
    np.testing.assert_allclose(found[0], mean, rtol=0, atol=1e-7)
    # as documented: 1e-3 of themselves below variances of 1e-4
    np.testing.assert_allclose(
        found[1], np.diag(cov), rtol=1e-3 if sd == 1e-3 else 1e-6, atol=1e-9 if sd == 1e-3 else 1e-7
    )


def test_a_thousand_independent_logits():
    rng = np.random.default_rng(1)
    mu, sd = rng.normal(size=1000), rng.uniform(0.0, 1.5, size=1000)
    mean, var = Softmax(1000).marginals(words, mu, sd * sd)
    x = mu + sd * rng.normal(size=(10_000, 1000))
    p = softmax(x, axis=1)
    assert abs(mean.sum() - 1.0) <= 1e-6
    # 6 standard errors: their distributions have long tails
    assert (np.abs(mean - p.mean(0)) <= 6.0 * p.std(0) / np.sqrt(len(p)) + 1e-9).all()
    assert abs(var.sum() / p.var(0).sum() - 1.0) <= 0.1
    total = LogSumExp(1000).marginals(words, mu, sd * sd)
    lse = logsumexp(x, axis=1)
    assert abs(total[0][0] - lse.mean()) <= 5.0 * lse.std() / np.sqrt(len(p))
    assert abs(total[1][0] / lse.var() - 1.0) <= 5.0 * np.sqrt(2.0 / len(p)) * 1.5


@pytest.mark.parametrize("mask", [-INF, -1e9])
@pytest.mark.parametrize("n", [2, 3, 5])
def test_masked_logits_count_for_nothing(mask, n):
    mu, factors = logits(n, n, 0.7)
    cov = factors @ factors.T
    masked, wide = np.append(mu, mask), np.zeros((n + 1, n + 1))
    wide[:n, :n] = cov
    if mask == -INF:
        wide[n] = wide[:, n] = 0.1
    found, want = Softmax(n + 1).moments(words, masked, wide), Softmax(n).moments(words, mu, cov)
    assert found.mean[n] == 0.0 and not found.cov[n].any() and not found.slope[n].any()
    # other points than those of n logits
    np.testing.assert_allclose(found.mean[:n], want.mean, rtol=0, atol=2e-3)
    np.testing.assert_allclose(found.cov[:n, :n], want.cov, rtol=0, atol=2e-3)
    p, var = Softmax(n + 1).marginals(words, masked, np.diag(wide))
    assert p[n] == 0.0 and var[n] == 0.0 and np.isfinite(var).all()
    total = LogSumExp(n + 1).moments(words, masked, wide)
    np.testing.assert_allclose(total.mean, LogSumExp(n).moments(words, mu, cov).mean, rtol=0, atol=3e-3)
    one = Softmax(n + 1).moments(words, np.array([0.3] + [mask] * n), np.eye(n + 1))
    assert one.mean.tolist() == [1.0] + [0.0] * n and not one.cov.any()


@pytest.mark.parametrize("n", [1, 2, 4])
def test_all_masked_certain_equal_and_nan(n):
    none = np.full(n, -INF)
    assert not Softmax(n).moments(words, none, np.eye(n)).mean.any()
    assert not Softmax(n).marginals(words, none, np.ones(n))[0].any()
    assert LogSumExp(n).moments(words, none, np.eye(n)).mean == -INF
    assert LogSumExp(n).marginals(words, none, np.ones(n))[0] == -INF
    mu = np.arange(n) * 700.0
    for group, function in FUNCTIONS.items():
        found = group(n).moments(words, mu, np.zeros((n, n)))
        np.testing.assert_allclose(found.mean, function(mu[None])[0], rtol=1e-14)
        assert not found.cov.any()
        same = group(n).moments(words, np.ones(n), np.ones((n, n)))
        np.testing.assert_allclose(same.mean, function(np.ones((1, n)))[0], rtol=0, atol=1e-14)
    bad = np.zeros((2, n))
    bad[0, 0] = np.nan
    found = Softmax(n).moments(words, bad, np.broadcast_to(np.eye(n), (2, n, n)))
    assert np.isnan(found.mean[0]).any() and np.isfinite(found.mean[1]).all()
    assert Softmax(n).moments(words, bad[:0], np.zeros((0, n, n))).cov.shape == (0, n, n)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_a_variance_of_nan_reaches_its_group(n):
    cov = np.stack([np.eye(n), np.eye(n)])
    cov[0, 0, 0] = np.nan
    mu = np.zeros((2, n))
    for group in FUNCTIONS:
        for found in group(n).moments(words, mu, cov)[:2]:
            assert np.isnan(found[0]).all() and np.isfinite(found[1]).all()
        for found in group(n).marginals(words, mu, np.einsum("bii->bi", cov)):
            assert np.isnan(found[0]).all() and np.isfinite(found[1]).all()


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_the_log_softmax_of_a_certain_class_has_its_own_digits(n):
    # with X_2 alone of any size beside X_1: -log(1 + e^(X_2 - X_1)) of a mean of -15, by an integral
    mu, cov = np.array([0.0, -15.0, -90.0, -90.0, -90.0])[:n], np.eye(n) + 100.0
    z, w = np.polynomial.hermite_e.hermegauss(80)
    values = -np.log1p(np.exp(-15.0 + np.sqrt(2.0) * z)) if n > 1 else 0.0 * z
    mean = w @ values / w.sum()
    found = LogSoftmax(n).moments(words, mu, cov)
    bar = 1e-6 if n == 2 else 0.5  # few points are in the tail that matters
    np.testing.assert_allclose(found.cov[0, 0], w @ (values - mean) ** 2 / w.sum(), rtol=bar)
    assert np.linalg.eigvalsh(found.cov)[0] >= -1e-13
    for top in (15.0, 30.0, 60.0):
        assert (LogSoftmax(n).marginals(words, np.append(top, np.zeros(n - 1)), np.ones(n))[1] >= 0.0).all()


@pytest.mark.parametrize("like", [np.float32, np.float64])
def test_tiny_variances_are_linear(like):
    mu, factors = logits(4, 2, 1.0)
    p = softmax(mu[None])[0]
    slope = np.diag(p) - np.outer(p, p)
    cov = factors @ factors.T
    for sd in (1e-5, 1e-8, 1e-12, 1e-18):
        given = mu.astype(like), (cov * sd * sd).astype(like)
        found, total = (group(4).moments(words, *given).cov / like(sd) / like(sd) for group in (Softmax, LogSumExp))
        # what rounding of exponentials leaves of deviations of 1e-3 at most
        bar = 2e-3 if like == np.float32 else 1e-6
        np.testing.assert_allclose(found, slope @ cov @ slope, rtol=0, atol=bar * np.abs(slope @ cov @ slope).max())
        np.testing.assert_allclose(total[0, 0], p @ cov @ p, rtol=bar)


def test_singular_and_indefinite_roots_and_single_precision():
    factors = np.random.default_rng(0).normal(size=(6, 3))
    cov = factors @ factors.T
    root = square_root(words, cov)
    np.testing.assert_allclose(root @ root.T, cov, rtol=0, atol=1e-13)
    assert not np.triu(root, 1).any()
    beyond = square_root(words, 2.0 * np.ones((3, 3)) - np.eye(3))
    assert np.abs(beyond).max() <= 1.0 + 1e-15
    mu = np.linspace(-1.0, 1.0, 6)
    single = sums_by_points(words, mu.astype(np.float32), cov.astype(np.float32))
    double = sums_by_points(words, mu, cov)
    for one, other in zip(single, double, strict=True):
        assert one.dtype == np.float32
        np.testing.assert_allclose(one, other, rtol=0, atol=2e-5)
    small = sums_by_points(words, mu.astype(np.float32), (1e-8 * cov).astype(np.float32))
    # of variances of 1e-8: relative to themselves
    np.testing.assert_allclose(
        small.cov / 1e-8, sums_by_points(words, mu, 1e-8 * cov).cov / 1e-8, rtol=0, atol=1e-3
    )


@pytest.mark.parametrize("rank", [1, 3])
def test_gradients_of_pytorch_are_those_of_the_truth(rank):
    """Also at covariances that are singular, towards those that are not."""
    torch = pytest.importorskip("torch")
    from fastmoments.frameworks import torch as tensors

    mean, factors = logits(3, rank, 0.7)
    cov, rng = factors @ factors.T, np.random.default_rng(0)
    weights, turn, other = rng.normal(size=3), rng.normal(size=(3, 3)), rng.normal(size=(3, 3))
    direction = other @ other.T

    def of_truth(mu, cov):
        values, vectors = np.linalg.eigh(cov)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        p, k = of_factors(FUNCTIONS[Softmax], mu, root, 30)
        total, spread = of_factors(FUNCTIONS[LogSumExp], mu, root, 30)
        return p @ weights + (k * turn).sum() + total[0] + spread[0, 0]

    mu, given = torch.tensor(mean, requires_grad=True), torch.tensor(cov, requires_grad=True)
    found = sums_by_points(tensors, mu, given)
    value = found.mean @ torch.tensor(weights) + (found.cov * torch.tensor(turn)).sum()
    (value + found.log_mean + found.log_var).backward()
    step = 1e-3
    ahead, now = (of_truth(mean, cov + s * step * direction) for s in (1.0, 0.0))
    want = (ahead - now) / step
    # of points, and of a difference on one side
    assert abs((given.grad.numpy() * direction).sum() - want) <= 2e-3 * (1.0 + abs(want))
    for j in range(3):
        e = 1e-4 * np.eye(3)[j]
        want = (of_truth(mean + e, cov) - of_truth(mean - e, cov)) / 2e-4
        assert abs(mu.grad[j].item() - want) <= 1e-2


def test_under_jit(jax_double_precision):
    import jax

    from fastmoments.frameworks import jax as arrays

    mu, factors = logits(3, 2, 0.7)
    cov = factors @ factors.T
    found = jax.jit(lambda *x: sums_by_points(arrays, *x))(mu, cov)
    for one, other in zip(found, sums_by_points(words, mu, cov), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-14)


@pytest.mark.slow  # XLA compiles for long
def test_gradients_under_jit(jax_double_precision):
    import jax

    from fastmoments.frameworks import jax as arrays

    mu, factors = logits(3, 1, 0.7)
    cov = factors @ factors.T
    gradients = jax.jit(jax.grad(lambda *x: LogSumExp(3).moments(arrays, *x).mean[0], (0, 1)))(mu, cov)
    found = LogSumExp(3).moments(words, mu, cov)
    # Stein and Price, of which the points know as much as of the slopes
    np.testing.assert_allclose(gradients[0], found.slope[0], rtol=0, atol=2e-3)
    np.testing.assert_allclose(gradients[1], 0.5 * found.curvature[0], rtol=0, atol=2e-3)


def test_what_is_refused():
    with pytest.raises(ValueError, match="n: expected at least one logit, got 0"):
        Softmax(0)
