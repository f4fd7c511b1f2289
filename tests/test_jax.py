"""JAX: transformations, by value. The conformance tests judge accuracy against the tables."""

from functools import cache

import numpy as np
import pytest
from mpmath import mp, mpf

import fastmoments as fm
from fastmoments_kernels.catalogue import CATALOGUE
from tests import conformance, truth
from tests.quadrature import nodes_and_weights
from tests.rows import function, names, one_name
from tests.test_inputs import gaussian

jax = pytest.importorskip("jax")
jnp = jax.numpy

dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])

# (mu_1, mu_2, var_1, var_2, cov_12): an ordinary pair, one neuron on the kink, two equal neurons
PAIRS = ((0.25, -0.5, 1.0, 2.0, 0.75), (0.0, 0.5, 1.0, 0.5, -0.25), (0.5, 0.5, 1.5, 1.5, 0.75))


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


@cache
def exact(name, inputs):
    row = next(row for row in CATALOGUE if row.name == name)
    f = truth.activation(row)
    return truth.pair_truth(f, f, *inputs)


@pytest.mark.feature("JAX", "first derivatives")
@pytest.mark.feature("JAX", "forward mode")
@pytest.mark.feature("JAX", "vmap")
@pytest.mark.feature("JAX", "compiled")
@names
@dtypes
def test_first_derivatives_by_value(name, dtype):
    def cov(pair):
        return function(name, "cov")(*pair)

    def both_modes(pair):
        return cov(pair), jax.jacfwd(cov)(pair), jax.grad(cov)(pair)

    with jax.enable_x64(dtype == "float64"):
        results = jax.jit(jax.vmap(both_modes))(jnp.asarray(PAIRS, dtype))
    for inputs, value, *gradients in zip(PAIRS, *results, strict=True):
        expected = exact(name, inputs)
        assert conformance.error(value, *expected["cov"], dtype) <= conformance.BOUND
        for gradient in gradients:
            for key, got in zip(conformance.PARTIALS, gradient, strict=True):
                assert conformance.error(got, *expected[key], dtype) <= conformance.BOUND, key


def by_conditioning(name, inputs):
    """Cov(f(X_1), f(X_2)) as an integral over X_1 of the textbook's E[f(X_2) | X_1]."""
    mu_1, mu_2, var_1, var_2, cov_12 = inputs
    sd_1, slope = mp.sqrt(var_1), cov_12 / var_1
    mean = {
        "relu": lambda m, s: m * mp.ncdf(m / s) + s * mp.npdf(m / s),
        "heaviside": lambda m, s: mp.ncdf(m / s),
    }[name]
    left, right = mp.sqrt(var_2 - cov_12 * slope), mp.sqrt(var_2)

    def integrand(z):
        x = sd_1 * z
        f = x + mu_1 if name == "relu" else 1
        return f * mp.npdf(z) * (mean(mu_2 + slope * x, left) - mean(mu_2, right))

    # from the kink on, three panels cover the density to 30 digits
    start, radius = -mu_1 / sd_1, mpf(7) / 3
    rule = list(zip(*nodes_and_weights(40), strict=True))
    middles = [start + i * radius for i in (1, 3, 5)]
    return radius * sum(w * integrand(middle + radius * x) for middle in middles for x, w in rule)


@cache
def hessian_truth(name, inputs):
    """Second differences in 30 digits, of which a step of 1e-7 leaves 14."""
    with mp.workdps(30):
        step, at = mpf(10) ** -7, [mpf(x) for x in inputs]

        def value(*moves):
            moved = [x + step * sum(sign for j, sign in moves if j == i) for i, x in enumerate(at)]
            return by_conditioning(name, moved)

        def second(i, j):
            corners = [value((i, a), (j, b)) * a * b for a in (1, -1) for b in (1, -1)]
            return sum(corners) / (4 * step**2)

        rows = [[float(second(i, j)) if i <= j else 0.0 for j in range(5)] for i in range(5)]
    return np.array(rows) + np.triu(rows, 1).T


@pytest.mark.slow  # tracing and compiling second derivatives takes minutes
@pytest.mark.parametrize("name", ["relu", "heaviside"])
def test_hessian_by_value(name, x64):
    hessian = jax.jit(jax.vmap(jax.hessian(lambda pair: function(name, "cov")(*pair))))
    for inputs, found in zip(PAIRS, hessian(jnp.asarray(PAIRS)), strict=True):
        expected = hessian_truth(name, inputs)
        # the differences' own error is the larger: 1e-14 relative to the function's fourth derivative
        assert np.abs(found - expected).max() <= 1e-12 * np.abs(expected).max()


@pytest.mark.feature("JAX", "first derivatives")
@pytest.mark.feature("JAX", "derivatives of one argument only")
@names
def test_gradient_of_moments(name, x64):
    mu, cov = gaussian(4)
    bars = gaussian(4, seed=1)

    def scalar(mu, cov):
        result = function(name, "moments")(mu, cov)
        return (result.mean * bars[0]).sum() + (result.cov * bars[1]).sum()

    mu_bar, upper = jax.jit(jax.grad(scalar, (0, 1)))(jnp.asarray(mu), jnp.asarray(cov))
    expected = expected_gradient(name, mu, cov, *bars)
    vjp = function(name, "moments_vjp")(*map(jnp.asarray, (mu, cov, *bars)))
    on_numpy = function(name, "moments_vjp")(mu, cov, *bars)
    # sums of n products of numbers of order one, each within the contract's 8 eps (1 + cond)
    tolerance = 4 * conformance.BOUND * 8 * np.finfo(np.float64).eps
    assert not np.tril(upper, -1).any()
    for found in ((mu_bar, (upper + upper.T) / 2), vjp, on_numpy):
        for got, value in zip(found, expected, strict=True):
            assert np.abs(got - value).max() <= tolerance * np.abs(value).max()
    assert np.array_equal(vjp.cov_bar, vjp.cov_bar.T)


def expected_gradient(name, mu, cov, mean_bar, cov_bar):
    """The chain rule over the definition's derivatives, pair by pair."""
    row = next(row for row in CATALOGUE if row.name == name)
    f, n = truth.activation(row), len(mu)
    mu_bar, var_bar, out = np.zeros(n), np.zeros(n), np.zeros((n, n))
    for i in range(n):
        for j in range(i + 1, n):
            pair = exact(name, (mu[i], mu[j], cov[i, i], cov[j, j], cov[i, j]))
            d = [2 * cov_bar[i, j] * float(pair[key].value) for key in conformance.PARTIALS]
            mu_bar[[i, j]] += d[:2]
            var_bar[[i, j]] += d[2:4]
            out[i, j] = out[j, i] = d[4] / 2
        by_mu, by_var = neuron_gradient(f, mu[i], cov[i, i], mean_bar[i], cov_bar[i, i])
        mu_bar[i] += by_mu
        var_bar[i] += by_var
    return mu_bar, out + np.diag(var_bar)


def neuron_gradient(f, mu, var, mean_bar, var_bar):
    """Central differences in 30 digits of a neuron's mean and variance."""
    step = mpf(10) ** -10

    def value(mu, var):
        found = truth.neuron_truth(f, mu, var, 35)
        return mean_bar * found["mean"].value + var_bar * found["var"].value

    with mp.workdps(40):
        mu, var = mpf(mu), mpf(var)
        by_mu = (value(mu + step, var) - value(mu - step, var)) / (2 * step)
        by_var = (value(mu, var + step) - value(mu, var - step)) / (2 * step)
    return float(by_mu), float(by_var)


@names
@dtypes
def test_gradients_where_neurons_vanish_or_repeat(name, dtype):
    mu = np.array([0.5, 0.5, -1.0, 0.25], dtype)
    cov = np.array([[1.0, 1.0, 0.0, 0.5], [1.0, 1.0, 0.0, 0.5], [0.0] * 4, [0.5, 0.5, 0.0, 1.0]], dtype)
    with jax.enable_x64(dtype == "float64"):
        bars = jnp.ones(4, dtype), jnp.ones((4, 4), dtype)
        result = function(name, "moments_vjp")(jnp.asarray(mu), jnp.asarray(cov), *bars)
    assert result.mu_bar.dtype == result.cov_bar.dtype == dtype
    assert np.isfinite(result.mu_bar).all() and np.isfinite(result.cov_bar).all()


@pytest.mark.feature("JAX", "empty, n = 1, batches")
@one_name  # XLA compiles for every shape
@dtypes
@pytest.mark.parametrize("n, batch", [(0, ()), (1, ()), (5, (2, 3)), (5, (0,))])
def test_moments_of_any_shape(name, dtype, n, batch):
    mu, cov = gaussian(n, dtype, batch)
    expected = function(name, "moments")(mu.astype(float), cov.astype(float))
    with jax.enable_x64(dtype == "float64"):
        result = function(name, "moments")(jnp.asarray(mu), jnp.asarray(cov))
    assert result.mean.dtype == result.cov.dtype == dtype
    assert result.mean.shape == mu.shape and result.cov.shape == cov.shape
    assert np.array_equal(result.cov, np.swapaxes(result.cov, -1, -2))
    # of order one; conditions of a random pair are below 8
    tolerance = 8 * conformance.BOUND * np.finfo(dtype).eps
    assert np.allclose(result.mean, expected.mean, rtol=0, atol=tolerance)
    assert np.allclose(result.cov, expected.cov, rtol=0, atol=tolerance)


@names
def test_negative_variance_is_nan(name):
    for kind, arguments in {
        "mean": (0.5, -1.0),
        "var": (0.5, -1.0),
        "gain": (0.5, -1.0),
        "cov": (0.5, 0.5, -1.0, -1.0, 0.5),
    }.items():
        first, *rest = arguments
        assert np.isnan(function(name, kind)(jnp.float32(first), *rest)), kind
    result = function(name, "moments")(jnp.zeros(2), jnp.asarray([[-1.0, 0.0], [0.0, 1.0]]))
    assert np.isnan(result.mean[0]) and np.isnan(result.cov[0]).all() and np.isfinite(result.cov[1, 1])


def test_differences_of_products_are_exact_when_compiled(x64):
    """A compiler that contracts products and sums must not change the difference of two nearly equal products."""
    from fastmoments_kernels.xla.vocabulary import difference_of_products

    rng = np.random.default_rng(0)
    for dtype in (np.float32, np.float64):
        a, b, c = rng.uniform(0.5, 2.0, (3, 500)).astype(dtype)
        d = (a * b / c).astype(dtype)
        found = np.asarray(jax.jit(difference_of_products)(a, b, c, d))
        with mp.workdps(40):
            rows = zip(*(map(float, x) for x in (a, b, c, d)), strict=True)
            expected = np.array([float(mpf(p) * q - mpf(r) * s) for p, q, r, s in rows])
        # the result's rounding, and that of the difference of both products' errors
        eps = np.finfo(dtype).eps
        assert (np.abs(found - expected) <= eps * np.abs(expected) + eps**2 * (a * b)).all()
        assert not np.asarray(jax.jit(difference_of_products)(a, b, 2 * b, a / 2)).any()


def test_bivariate_normal_cdf(x64):
    h, k, rho = 0.5, -0.25, 0.625
    expected = truth.bivariate_cdf(h, k, rho)
    found = fm.bivariate_normal_cdf(jnp.float64(h), k, rho)
    assert conformance.error(found, *expected, "float64") <= conformance.BOUND
    logarithm = fm.log_bivariate_normal_cdf(jnp.float64(h), k, rho)
    assert abs(logarithm - float(mp.log(expected.value))) <= conformance.BOUND * np.finfo(float).eps


@pytest.mark.feature("JAX", "out=, where=", "refused")
def test_what_is_refused():
    mu, cov = jnp.zeros(2), jnp.eye(2)
    with pytest.raises(TypeError, match="out: JAX arrays"):
        fm.relu_moments(mu, cov, out=np.eye(2))
    with pytest.raises(TypeError, match="where: JAX arrays"):
        fm.relu_mean(mu, 1.0, where=np.array([True, False]))
    with pytest.raises(ValueError, match=r"cov: expected shape \(..., 2, 2\)"):
        fm.relu_moments(mu, jnp.eye(3))
    with pytest.raises(ValueError, match="precision: JAX has float64"):
        fm.relu_moments(mu, cov, precision="float64")
    with pytest.raises(TypeError, match="check: values"):
        jax.jit(lambda mu, cov: fm.relu_moments(mu, cov, check=True))(mu, cov)
