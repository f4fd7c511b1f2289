"""Checked answers of JAX functions."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fastmoments as fm

jax = pytest.importorskip("jax")
jnp = jax.numpy


def network(seed=0, widths=(3, 6, 2), dtype="float64"):
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


def test_derivatives_are_those_of_the_exact_moments_of_one_hidden_layer(jax_double_precision):
    arguments = network()
    wanted = jax.grad(read, (0, 1, 2))(*arguments)
    found = jax.grad(read, (0, 1, 2))(*arguments, tol=2e-3)
    for one, two in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        assert np.linalg.norm(one - two) < 0.01 * np.linalg.norm(two)


def test_answers_are_those_of_lists_of_layers(jax_double_precision):
    weights, mu, cov = network(1, (4, 8, 8, 2))
    found = fm.propagate(lambda x: dense(weights, x), mu, cov, tol=0.02, seed=3)
    first, second, (weight, bias) = weights
    layers = [
        *(fm.compare.Residual("relu", *map(np.asarray, x)) for x in (first, second)),
        fm.compare.Affine(weight, bias),
    ]
    layers[-1] = fm.compare.Affine(np.asarray(weight), np.asarray(bias))
    plain = fm.propagate(layers, np.asarray(mu), np.asarray(cov), tol=0.02, seed=3)
    assert isinstance(found.mean, jax.Array) and found.count == plain.count
    assert_allclose(found.mean, plain.mean, rtol=1e-9)
    assert_allclose(found.cov, plain.cov, rtol=1e-9)
    assert_allclose(found.points, plain.points, rtol=1e-9, atol=1e-12)


def test_a_batch_and_float32():
    weights, mu, cov = network(1, (4, 8, 2), "float32")
    result = fm.propagate(lambda x: dense(weights, x), jnp.stack([mu, 2.0 * mu]), cov, tol=0.02)
    assert result.mean.dtype == result.error.dtype == result.points[0].dtype == jnp.float32
    assert result.met.tolist() == [True, True] and result.cov.shape == (2, 2, 2)
    assert result.quantile([0.1, 0.9]).shape == (2, 2, 2)
    again = fm.propagate(lambda x: dense(weights, x), mu, cov, tol=0.02)
    assert_array_equal(again.points, result.points[0])


def test_jit_is_refused_and_cumulants_are_not(jax_double_precision):
    weights, mu, cov = network()
    with pytest.raises(TypeError, match="tol: it needs values.*use cumulants=True inside"):
        jax.jit(lambda mu: fm.propagate(lambda x: dense(weights, x), mu, cov, tol=0.1).mean)(mu)
    found = jax.jit(lambda mu: fm.propagate(lambda x: dense(weights, x), mu, cov, cumulants=True))(mu)
    assert_allclose(found.mean, fm.propagate(lambda x: dense(weights, x), mu, cov, cumulants=True).mean, rtol=1e-12)
