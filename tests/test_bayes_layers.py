"""Gaussian weights and cross-covariances, against the sums of the definitions, on every framework."""

from contextlib import nullcontext

import numpy as np
import pytest

import fastmoments as fm
from tests.rows import function
from tests.test_inputs import gaussian

N, M = 4, 3
EPS = np.finfo(float).eps
# sums of N products of numbers below 10, a few such sums in a chain
CLOSE = dict(rtol=64 * EPS, atol=640 * EPS)


def weights():
    rng = np.random.default_rng(1)
    return rng.normal(size=(M, N)), rng.uniform(0, 0.5, (M, N)), rng.normal(size=M), rng.uniform(0, 0.5, M)


def moments_by_sums(mu, cov, mean, var, bias, bias_var):
    """E and Cov of Y = W X + b term by term: E W_ij W_kl X_j X_l over independent weights."""
    out_mean, out = np.zeros(M), np.zeros((M, M))
    for i in range(M):
        out_mean[i] = sum(mean[i, j] * mu[j] for j in range(N)) + bias[i]
        for k in range(M):
            for j in range(N):
                for m in range(N):
                    second = mean[i, j] * mean[k, m] + (var[i, j] if (i, j) == (k, m) else 0.0)
                    out[i, k] += second * (cov[j, m] + mu[j] * mu[m]) - mean[i, j] * mean[k, m] * mu[j] * mu[m]
        out[i, i] += bias_var[i]
    return out_mean, out


def test_linear_moments_and_marginals_are_the_sums():
    (mu, cov), layer = gaussian(N), weights()
    mean, var, bias, bias_var = layer
    result = fm.bayes_linear_moments(mu, cov, mean, var, bias, bias_var, return_cross=True)
    expected = moments_by_sums(mu, cov, *layer)
    for got, want in zip(result, (*expected, cov @ mean.T), strict=True):
        np.testing.assert_allclose(got, want, **CLOSE)
    assert np.array_equal(result.cov, result.cov.T)
    marginal = fm.bayes_linear_marginals(mu, np.diag(cov), *layer)
    expected = moments_by_sums(mu, np.diag(np.diag(cov)), *layer)
    np.testing.assert_allclose(marginal.mean, expected[0], **CLOSE)
    np.testing.assert_allclose(marginal.var, np.diag(expected[1]), **CLOSE)


@pytest.mark.parametrize("name", ["relu", "npn"])
def test_activations_take_the_linear_moments(name):
    (mu, cov), layer = gaussian(N), weights()
    linear = fm.bayes_linear_moments(mu, cov, *layer)
    full = fm.bayes_linear_moments(mu, cov, *layer, activation=name)
    for got, want in zip(full, function(name, "moments")(*linear), strict=True):
        assert np.array_equal(got, want)
    var = np.diag(cov)
    separate = function(name, "marginals")(*fm.bayes_linear_marginals(mu, var, *layer))
    for got, want in zip(fm.bayes_linear_marginals(mu, var, *layer, activation=name), separate, strict=True):
        assert np.array_equal(got, want)


def test_no_variance_is_the_certain_layer():
    (mu, cov), (mean, _, bias, _) = gaussian(N), weights()
    certain = fm.affine_moments(mu, cov, mean, bias, return_cross=True)
    drawn = fm.bayes_linear_moments(mu, cov, mean, np.zeros((M, N)), bias, np.zeros(M), return_cross=True)
    for got, want in zip(drawn, certain, strict=True):
        assert np.array_equal(got, want)


@pytest.mark.parametrize("skip", ["matrix", "identity"])
def test_residual_layers_of_gaussian_weights(skip):
    """Cov(f(Y), X) = gain Cov(Y, X), Stein's lemma, gives the blocks of the joint covariance of (f(Y), X)."""
    (mu, cov), rng = gaussian(N), np.random.default_rng(3)
    A, var, b, b_var = (
        rng.normal(size=(N, N)),
        rng.uniform(0, 0.5, (N, N)),
        rng.normal(size=N),
        rng.uniform(0, 0.5, N),
    )
    C = "identity" if skip == "identity" else rng.normal(size=(N, N))
    matrix = np.eye(N) if skip == "identity" else C
    result = fm.residual_moments("relu", mu, cov, A, b, C, A_var=var, b_var=b_var, return_cross=True)
    inner = fm.bayes_linear_moments(mu, cov, A, var, b, b_var)
    f = fm.relu_moments(*inner)
    shared = fm.relu_gain(inner.mean, np.diag(inner.cov))[:, None] * (A @ cov)
    joint = np.block([[f.cov, shared], [shared.T, cov]])
    through = np.hstack([np.eye(N), matrix])
    np.testing.assert_allclose(result.cov, through @ joint @ through.T, **CLOSE)
    np.testing.assert_allclose(result.cross, (through @ joint[:, N:]).T, **CLOSE)
    np.testing.assert_allclose(result.mean, f.mean + matrix @ mu, **CLOSE)


def call(layer, convert):
    (mu, cov), (mean, var, bias, bias_var) = gaussian(N), weights()
    given = [convert(x) for x in (mu, cov, mean, var, bias, bias_var)]
    mu, cov, mean, var, bias, bias_var = given
    if layer == "affine":
        return fm.affine_moments(mu, cov, mean, bias, return_cross=True)
    if layer == "residual":
        return fm.residual_moments("relu", mu, cov, mean, bias, mean, bias, A_var=var, return_cross=True)
    if layer == "linear":
        return fm.bayes_linear_moments(mu, cov, mean, var, bias, bias_var, activation="relu", return_cross=True)
    spread = cov.diagonal() if not hasattr(cov, "numpy") else cov.diagonal().clone()
    return fm.bayes_linear_marginals(mu, spread, mean, var, bias, bias_var, activation="relu")


LAYERS = ("affine", "residual", "linear", "marginals")


@pytest.mark.feature("PyTorch", "layers")
@pytest.mark.feature("JAX", "layers")
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_frameworks_agree(layer, framework):
    library = pytest.importorskip(framework)
    convert = library.from_numpy if framework == "torch" else library.numpy.asarray
    with library.enable_x64(True) if framework == "jax" else nullcontext():
        found = call(layer, convert)
    for got, want in zip(found, call(layer, np.asarray), strict=True):
        assert framework in type(got).__module__ or "jaxlib" in type(got).__module__
        np.testing.assert_allclose(np.asarray(got), want, **CLOSE)


@pytest.mark.feature("PyTorch", "layers")
@pytest.mark.parametrize("layer", LAYERS)
def test_gradients(layer):
    torch = pytest.importorskip("torch")
    (mu, cov), (mean, var, bias, bias_var) = gaussian(N), weights()
    leaves = [torch.from_numpy(x).requires_grad_() for x in (mu, mean, var, bias, bias_var)]

    def of(mu, mean, var, bias, bias_var):
        c = torch.from_numpy(cov)
        if layer == "affine":
            return fm.affine_moments(mu, c, mean, bias).cov, mu
        if layer == "residual":
            return fm.residual_moments("relu", mu, c, mean, bias, mean, bias, A_var=var, b_var=bias_var)
        if layer == "linear":
            return fm.bayes_linear_moments(mu, c, mean, var, bias, bias_var, activation="relu")
        return fm.bayes_linear_marginals(mu, c.diagonal(), mean, var, bias, bias_var, activation="relu")

    assert torch.autograd.gradcheck(lambda *x: tuple(of(*x)), leaves, fast_mode=True)


@pytest.mark.parametrize(
    ("message", "change"),
    [
        ("weight_var: it must hold variances >= 0", {"weight_var": -np.ones((M, N))}),
        ("weight_var: expected shape (3, 4), got (4, 3)", {"weight_var": np.ones((N, M))}),
        ("bias_var: expected shape (3,), got (2,)", {"bias_var": np.ones(2)}),
        ("var: expected mu's shape (4,), got (3,)", {"var": np.ones(3)}),
    ],
)
def test_bayes_layers_name_what_is_wrong(message, change):
    arguments = {
        "mu": np.zeros(N),
        "var": np.ones(N),
        "weight_mean": np.ones((M, N)),
        "weight_var": np.ones((M, N)),
    }
    with pytest.raises(ValueError) as error:
        fm.bayes_linear_marginals(**arguments | change)
    assert message in str(error.value)
