"""Dense covariances and their gradients by the accuracy contract of matrices.

|error_ij| <= 8 eps (sqrt(K_ii K_jj) + cond_ij |K_ij|), exactly symmetric, eigenvalues above -n eps trace, and
permuted inputs give the permuted result. Gradients have the same bound, with a derivative's scale between equal
neurons in place of sqrt(K_ii K_jj).
"""

import numpy as np
import pytest

from tests.conformance import BOUND
from tests.matrices import REAL, SHAPES, alive_neurons, draw, expected, single
from tests.rows import activations, families, function

shapes = pytest.mark.parametrize("kind, n", SHAPES)
dtypes = pytest.mark.parametrize("dtype", ("float64", "float32"))


def moments(row, mu, cov, dtype):
    mean, out = function(row.name, "moments")(mu.astype(dtype), cov.astype(dtype))
    assert mean.dtype == out.dtype == dtype
    return mean, out


def assert_within(got, want, size, dtype, what):
    """Assert that errors are within 8 eps of `size`."""
    info = np.finfo(dtype)
    allowed = np.maximum(BOUND * info.eps * size, info.tiny)
    excess = np.abs(got - want) - allowed
    judged = ~np.isnan(want)
    assert judged.any()
    # a nan that should be a number exceeds every bound
    excess = np.where(judged, np.where(np.isnan(excess), np.inf, excess), -np.inf)
    worst = np.unravel_index(np.argmax(excess), excess.shape)
    share = abs(got[worst] - want[worst]) / allowed[worst]
    assert excess[worst] <= 0, f"{what} at {worst}: got {got[worst]!r}, truth {want[worst]!r}, {share:.3g} bounds"


def judge(row, kind, n, dtype, count):
    mu, cov = draw(kind, n)
    want = expected(row, kind, n, count)
    mean, out = moments(row, mu, cov, dtype)
    assert_within(mean, want.mean, np.abs(want.mean) + want.mean_size, dtype, "mean")
    sd = np.sqrt(np.diag(want.cov))
    assert_within(out, want.cov, sd[:, None] * sd + want.cov_size, dtype, "cov")


@dtypes
@shapes
@activations
def test_moments(row, kind, n, dtype):
    judge(row, kind, n, dtype, count=1)


@pytest.mark.slow
@dtypes
@pytest.mark.parametrize("n", (65, 130))
@pytest.mark.parametrize("kind", ("strong", "singular"))
@activations
def test_many_pairs(row, kind, n, dtype):
    judge(row, kind, n, dtype, count=40)


@dtypes
@shapes
@activations
def test_result_is_a_covariance(row, kind, n, dtype):
    assert_covariance(moments(row, *draw(kind, n), dtype)[1])


def assert_covariance(out):
    assert np.array_equal(out, out.T)
    values = np.linalg.eigvalsh(out.astype(np.float64))
    assert values[0] >= -len(out) * np.finfo(out.dtype).eps * np.trace(out)


@dtypes
@shapes
@activations
def test_permuted_neurons_give_the_permuted_result(row, kind, n, dtype):
    assert_permutes(row, *draw(kind, n), dtype)


def assert_permutes(row, mu, cov, dtype):
    n = len(mu)
    order = np.random.default_rng(n).permutation(n)
    mean, out = moments(row, mu, cov, dtype)
    mean_2, out_2 = moments(row, mu[order], cov[np.ix_(order, order)], dtype)
    assert np.array_equal(mean[order], mean_2)
    sd = np.sqrt(np.diag(out).astype(np.float64))
    # the bound without its second term, which is not negative
    assert_within(out_2, out[np.ix_(order, order)], (sd[:, None] * sd)[np.ix_(order, order)], dtype, "cov")


@pytest.mark.parametrize(
    "kind, n",
    [
        ("tails", 5),
        ("duplicated", 65),
        ("nearly_duplicated", 65),
        ("zero_variance", 5),
        ("strong", 65),
        ("singular", 65),
    ],
)
@families
def test_routes_agree(row, kind, n):
    """The matrix, by series or formula, is that of the pair function, which the tables judge, and a covariance."""
    mu, cov = draw(kind, n)
    for dtype in ("float64", "float32"):
        _, out = moments(row, mu, cov, dtype)
        assert_covariance(out)
        assert_permutes(row, mu, cov, dtype)
        i, j = np.triu_indices(n, 1)
        pairs = function(row.name, "cov")(mu[i], mu[j], cov[i, i], cov[j, j], cov[i, j])
        sd = np.sqrt(function(row.name, "var")(mu, np.diag(cov)))
        assert_within(out[i, j], pairs, (sd[:, None] * sd)[i, j] + np.abs(pairs), dtype, "cov")


def gradient(neurons, cov, mean_bar, cov_bar):
    """Return mu_bar and cov_bar: values, and the sum of the errors that one eps makes in their terms."""
    own, pairs, scales = neurons.values(), neurons.pairs(cov), neurons.scales()
    pairs = {name: (pairs[name].value, pairs[name].cond, scales[name]) for name in scales}
    own = {name: (*value, 0) for name, value in own.items()}
    weights = np.where(np.eye(len(cov)), 0, 2 * cov_bar)
    return (
        _contract(own, pairs, mean_bar, np.diag(cov_bar), weights, lambda value, cond, scale: value),
        _contract(
            own,
            pairs,
            *(np.abs(x) for x in (mean_bar, np.diag(cov_bar), weights)),
            # a value of 0 has an infinite condition number
            lambda value, cond, scale: np.where(value == 0, 0, np.abs(value) * (1 + cond)) + scale,
        ),
    )


def _contract(own, pairs, mean_bar, var_bar, weights, of):
    """Sum the terms that `of` makes of each derivative's value, condition number and scale."""
    off = {name: np.where(weights == 0, 0, weights * of(*pairs[name])) for name in pairs}
    mu_bar = mean_bar * of(*own["gain"]) + var_bar * of(*own["var_d_mu"]) + off["d_mu_1"].sum(axis=1)
    diagonal = mean_bar * of(*own["mean_d_var"]) + var_bar * of(*own["var_d_var"]) + off["d_var_1"].sum(axis=1)
    return mu_bar, off["d_cov_12"] / 2 + np.diag(diagonal)


@pytest.mark.feature("NumPy", "first derivatives", "closed forms")
@dtypes
@pytest.mark.parametrize("kind, n", [shape for shape in SHAPES if shape[0] in ("typical", "tails")])
@activations
def test_gradient(row, kind, n, dtype):
    mu, cov = draw(kind, n)
    rng = np.random.default_rng(n)
    mean_bar, cov_bar = single(rng.standard_normal(n)), single(rng.standard_normal((n, n)))
    cov_bar = np.tril(cov_bar) + np.tril(cov_bar, -1).T
    want, size = gradient(alive_neurons(row, kind, n), cov, mean_bar.astype(REAL), cov_bar.astype(REAL))
    vjp = function(row.name, "moments_vjp")
    got = vjp(*(x.astype(dtype) for x in (mu, cov, mean_bar, cov_bar)))
    assert np.array_equal(got[1], got[1].T)
    for name, *numbers in zip(("mu_bar", "cov_bar"), got, want, size, strict=True):
        assert_within(*numbers, dtype, name)
