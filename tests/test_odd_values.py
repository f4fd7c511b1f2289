"""Odd values: nan, inf, no variance, correlations of one and beyond, one triangle, a pair exchanged."""

from functools import partial

import numpy as np
import pytest

import fastmoments as fm
from fastmoments_kernels.catalogue import row_of
from fastmoments_kernels.formulas.identity import interface_of
from tests.rows import function, names, numbers
from tests.test_inputs import dtypes, gaussian


@names
@dtypes
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["mu", "cov"])
def test_nan_stays_with_its_neuron(name, dtype, bad, where):
    mu, cov = gaussian(70, dtype)
    clean = function(name, "moments")(mu, cov)
    if where == "mu":
        mu[7] = bad
    else:
        cov[7, 7] = abs(bad)
    result = function(name, "moments")(mu, cov)
    rest = np.delete(np.arange(70), 7)
    assert np.isnan(result.cov[7, rest]).all() or np.isinf(bad)
    assert np.array_equal(result.cov[np.ix_(rest, rest)], clean.cov[np.ix_(rest, rest)])
    assert np.array_equal(result.mean[rest], clean.mean[rest])


@names
@dtypes
def test_nan_in_one_covariance(name, dtype):
    mu, cov = gaussian(70, dtype)
    clean = function(name, "moments")(mu, cov).cov
    cov[3, 66] = np.nan
    result = function(name, "moments")(mu, cov).cov
    assert np.isnan(result[3, 66]) and np.isnan(result[66, 3])
    clean[3, 66] = clean[66, 3] = result[3, 66] = result[66, 3] = 0.0
    assert np.array_equal(result, clean)


@names
@dtypes
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_covariance_with_a_constant_is_0_whatever_is_given(name, dtype, bad):
    mu, cov = gaussian(70, dtype)
    cov[7] = cov[:, 7] = bad
    cov[7, 7] = 0.0
    result = function(name, "moments")(mu, cov).cov
    assert (np.delete(result[7], 7) == 0.0).all() and np.isfinite(result).all()


@names
@dtypes
def test_covariance_with_a_constant_that_is_nan_is_nan(name, dtype):
    mu, cov = gaussian(70, dtype)
    cov[7] = cov[:, 7] = 0.0
    mu[7] = np.nan
    result = function(name, "moments")(mu, cov).cov
    assert np.isnan(result[7]).all() and np.isfinite(np.delete(np.delete(result, 7, 0), 7, 1)).all()


@names
def test_beyond_one_by_rounding_is_one_and_by_mistake_nan(name):
    cov = function(name, "cov")
    rounding = 1.0 + 4 * np.finfo(np.float64).eps
    assert cov(0.3, 0.3, 1.0, 1.0, rounding) == cov(0.3, 0.3, 1.0, 1.0, 1.0)
    assert np.isnan(cov(0.3, 0.3, 1.0, 1.0, 1.001))
    with pytest.warns(RuntimeWarning, match="cov: not positive semidefinite"):
        matrix = function(name, "moments")([0.3, 0.3], [[1.0, 1.001], [1.001, 1.0]]).cov
    assert np.isnan(matrix[0, 1]) and np.isfinite(np.diagonal(matrix)).all()


@names
@pytest.mark.parametrize("mu", [-2.0, 2.0])
def test_zero_variance_is_the_function_itself(name, mu):
    formula = row_of(name).formula
    mean, var = formula.function(mu, *numbers(name)), interface_of(formula)["conditional_var"](mu)
    # not to the bit, because another compiler has another exp
    close = partial(np.testing.assert_allclose, rtol=4 * np.finfo(np.float64).eps, atol=0)
    close(function(name, "mean")(mu, 0.0), mean)
    close(function(name, "var")(mu, 0.0), var)
    assert function(name, "cov")(mu, 1.0, 0.0, 1.0, 0.5) == 0.0
    cov = np.array([[0.0, 0.3, 0.0], [0.3, 1.0, 0.2], [0.0, 0.2, 1.0]])
    result = function(name, "moments")([mu, 1.0, 1.0], cov)
    close(result.mean[0], mean)
    close(result.cov[0], [var, 0.0, 0.0])
    partials = function(name, "cov_partials")(mu, 1.0, 0.0, 1.0, 0.0)
    assert np.isfinite(partials).all()


@pytest.mark.parametrize(
    "name",
    [
        "npn",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("gaussian", "npn_linear", "gaussian_mixture")),
    ],
)
@pytest.mark.parametrize("tau", [-0.3, -5.0])  # with the variances below E f(X) exists, or does not
def test_a_negative_precision_is_nan_everywhere(name, tau):
    """A negative precision makes its neuron and all pairs with it nan, even where moments exist."""
    taus = np.array([1.0, tau, 2.0])
    own = {"weights": [0.5, 1.5], "taus": np.stack([taus, np.ones(3)], 1)} if "mixture" in name else {"tau": taus}
    pair = {key: (x[1], x[2]) if np.ndim(x) == np.ndim(taus) + ("mixture" in name) else x for key, x in own.items()}
    mu, cov = np.array([0.2, 0.7, -0.4]), np.array([[1.0, 0.3, 0.2], [0.3, 0.5, 0.1], [0.2, 0.1, 1.0]])
    is_bad = np.array([False, True, False])
    for kind in ("mean", "var", "gain"):
        for var in (np.diag(cov), np.zeros(3)):
            assert np.array_equal(np.isnan(getattr(fm, f"{name}_{kind}")(mu, var, **own)), is_bad), kind
    for kind in ("cov", "cov_partials"):
        found = getattr(fm, f"{name}_{kind}")(mu[1], mu[2], cov[1, 1], cov[2, 2], cov[1, 2], **pair)
        assert np.isnan(found).all(), kind
    mean, out = getattr(fm, f"{name}_moments")(mu, cov, **own)
    assert np.array_equal(np.isnan(mean), is_bad) and np.array_equal(np.isnan(out), is_bad | is_bad[:, None])
    mu_bar, cov_bar = getattr(fm, f"{name}_moments_vjp")(mu, cov, np.ones(3), np.ones((3, 3)), **own)
    assert np.isnan(mu_bar[1]) and np.isnan(cov_bar[1]).all() and np.isnan(cov_bar[:, 1]).all()


@names
def test_only_the_upper_triangle_is_read(name):
    mu, cov = gaussian(70)
    upper = np.triu(cov) + np.tril(np.full_like(cov, np.nan), -1)
    assert np.array_equal(function(name, "moments")(mu, upper).cov, function(name, "moments")(mu, cov).cov)


@names
def test_exchanging_a_pair_changes_no_bit(name):
    rng = np.random.default_rng(3)
    mu_1, mu_2 = rng.normal(size=(2, 2000)) * 2
    var_1, var_2 = rng.uniform(0.1, 3, size=(2, 2000))
    rho = np.where(rng.random(2000) < 0.5, rng.uniform(-1, 1, 2000), np.sign(rng.normal(size=2000)) * (1 - 1e-9))
    cov_12 = rho * np.sqrt(var_1 * var_2)
    one = function(name, "cov")(mu_1, mu_2, var_1, var_2, cov_12)
    assert np.array_equal(one, function(name, "cov")(mu_2, mu_1, var_2, var_1, cov_12))
