"""Checked answers of JAX functions."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import ndtr

import fastmoments as fm

jax = pytest.importorskip("jax")
jnp = jax.numpy


def network(seed=0, widths=(2, 3, 2), dtype="float64"):
    """Weights and biases of dense layers, mu and cov."""
    rng = np.random.default_rng(seed)
    weights = [
        (rng.standard_normal((two, one)) * np.sqrt(2.0 / one), 0.5 * rng.standard_normal(two))
        for one, two in zip(widths, widths[1:], strict=False)
    ]
    factor = rng.standard_normal((widths[0], widths[0]))
    cov = factor @ factor.T / widths[0] + 0.5 * np.eye(widths[0])
    return jax.tree.map(lambda x: jnp.asarray(x, dtype), (weights, rng.standard_normal(widths[0]), cov))


def dense(weights, x):
    """ReLU layers, the last without."""
    for weight, bias in weights[:-1]:
        x = jax.nn.relu(x @ weight.T + bias)
    return x @ weights[-1][0].T + weights[-1][1]


def read(weights, mu, cov, **options):
    mean, found, *_ = fm.propagate(lambda x: dense(weights, x), mu, cov, **options)
    return (mean * jnp.arange(1.0, 3.0)).sum() + (found * jnp.arange(1.0, 5.0).reshape(2, 2)).sum()


@pytest.mark.slow
def test_derivatives_are_those_of_the_exact_moments_of_one_hidden_layer(jax_double_precision):
    arguments = network()
    wanted = jax.grad(read, (0, 1, 2))(*arguments)
    found = jax.grad(read, (0, 1, 2))(*arguments, tol=2e-3)
    for one, two in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        assert np.linalg.norm(one - two) < 0.01 * np.linalg.norm(two)


# XLA compiles the closure anew for the pilots of more than two inputs, and cumulants
@pytest.mark.slow
def test_answers_are_those_of_lists_of_layers(jax_double_precision):
    weights, mu, cov = network(1, (4, 8, 8, 2))
    found = fm.propagate(lambda x: dense(weights, x), mu, cov, tol=0.02, seed=3)
    *hidden, last = [tuple(map(np.asarray, pair)) for pair in weights]
    layers = [*(fm.compare.Residual("relu", *pair) for pair in hidden), fm.compare.Affine(*last)]
    plain = fm.propagate(layers, np.asarray(mu), np.asarray(cov), tol=0.02, seed=3)
    assert isinstance(found.mean, jax.Array) and found.count == plain.count
    assert_allclose(found.mean, plain.mean, rtol=1e-9)
    assert_allclose(found.cov, plain.cov, rtol=1e-9)
    assert_allclose(found.points, plain.points, rtol=1e-9, atol=1e-12)


def test_derivatives_along_paths(jax_double_precision):
    # E max(X, Y) grows with mu_x by Phi((mu_x - mu_y) / theta), theta^2 the variance of X - Y, and with the sum of
    # both variances by phi / (2 theta)
    mu, cov = jnp.array([0.3, -0.2]), jnp.array([[1.0, 0.3], [0.3, 0.5]])
    theta = np.sqrt(1.0 + 0.5 - 0.6)

    def larger(mu, cov):
        return fm.propagate(lambda x: jnp.sort(x)[1:], mu, cov, tol=0.01).mean[0]

    of_mu, of_cov = jax.grad(larger, (0, 1))(mu, cov)
    assert_allclose(of_mu, ndtr(np.array([0.5, -0.5]) / theta), rtol=0.02)
    slope = np.exp(-0.125 / theta**2) / np.sqrt(2.0 * np.pi) / (2.0 * theta)
    # the gradient depends on the upper triangle
    assert_allclose(of_cov, slope * np.array([[1.0, -2.0], [0.0, 1.0]]), rtol=0.02, atol=1e-12)


def test_a_batch_and_float32():
    mu, cov = jnp.asarray([0.3, -0.2], "float32"), jnp.asarray([[1.0, 0.3], [0.3, 0.5]], "float32")
    result = fm.propagate(jnp.sort, jnp.stack([mu, 2.0 * mu]), cov, tol=0.02)
    assert result.mean.dtype == result.error.dtype == result.points[0].dtype == jnp.float32
    assert result.met.tolist() == [True, True] and result.cov.shape == (2, 2, 2) and result.closure is None
    assert result.quantile([0.1, 0.9]).shape == (2, 2, 2)
    again = fm.propagate(jnp.sort, mu, cov, tol=0.02)
    assert_array_equal(again.points, result.points[0])


@pytest.mark.slow
def test_cumulants_may_be_compiled(jax_double_precision):
    weights, mu, cov = network(1, (4, 8, 2))
    found = jax.jit(lambda mu: fm.propagate(lambda x: dense(weights, x), mu, cov, cumulants=True))(mu)
    assert_allclose(found.mean, fm.propagate(lambda x: dense(weights, x), mu, cov, cumulants=True).mean, rtol=1e-12)


def test_jit_is_refused(jax_double_precision):
    weights, mu, cov = network()
    with pytest.raises(TypeError, match="tol: it needs values.*use cumulants=True inside"):
        jax.jit(lambda mu: fm.propagate(lambda x: dense(weights, x), mu, cov, tol=0.1).mean)(mu)
