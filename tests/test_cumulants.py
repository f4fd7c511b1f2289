"""Corrections by third and fourth cumulants, against quadrature over inputs, chi-square laws and Sobol points."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from scipy import integrate, stats

import fastmoments as fm
from fastmoments.checked.result import AccuracyWarning
from fastmoments.compare import Affine, Residual
from fastmoments.compare.networks import steps, value
from fastmoments.cumulants.definite import semidefinite
from fastmoments.cumulants.distance import are_near
from fastmoments.frameworks import numpy as numpy_words

Layers = list[Any]


def network(
    activation: Any, inputs: int, width: int, depth: int, seed: int, outputs: int = 4, skip: bool = False
) -> Layers:
    """A random network: weights N(0, 2 / fan-in), biases N(0, 1/4); square layers may have the identity beside."""
    rng, layers, n = np.random.default_rng([2000, seed]), [], inputs
    for _ in range(depth):
        A, b = rng.normal(size=(width, n)) * np.sqrt((1 if skip else 2) / n), 0.5 * rng.normal(size=width)
        layers.append(Residual(activation, A, b, "identity" if skip and n == width else None))
        n = width
    return [*layers, Affine(rng.normal(size=(outputs, n)) / np.sqrt(n))]


def by_quadrature(layers: Layers, mu: Any, var: float, nodes: int = 48) -> fm.Moments:
    """Mean and covariance of a smooth network of two inputs N(mu, var I), by Gauss-Hermite quadrature."""
    z, w = np.polynomial.hermite_e.hermegauss(nodes)
    x = mu + np.sqrt(var) * np.stack(np.meshgrid(z, z), -1).reshape(-1, 2)
    weights = np.outer(w, w).ravel() / w.sum() ** 2
    y = value(steps(layers, 2), x)
    mean = weights @ y
    return fm.Moments(mean, (y - mean).T @ (weights[:, None] * (y - mean)))


def by_points(layers: Layers, mu: Any, cov: Any, count: int = 2**16) -> fm.Moments:
    z = stats.qmc.MultivariateNormalQMC(np.zeros(len(mu)), engine=stats.qmc.Sobol(len(mu), seed=0)).random(count)
    y = value(steps(layers, len(mu)), mu + z @ np.linalg.cholesky(cov).T)
    return fm.Moments(y.mean(0), np.cov(y.T, bias=True))


def errors(found: Any, truth: fm.Moments) -> Any:
    """Of means in standard deviations, of these relative to themselves, of covariances in the Frobenius norm."""
    sd = np.sqrt(np.diag(truth.cov))
    of_mean, of_sd = (found.mean - truth.mean) / sd, np.sqrt(np.diag(found.cov)) / sd - 1
    of_cov = np.linalg.norm(found.cov - truth.cov) / np.linalg.norm(truth.cov)
    return np.array([np.sqrt(np.mean(of_mean**2)), np.sqrt(np.mean(of_sd**2)), of_cov])


@pytest.mark.parametrize("activation", ["tanh", "gelu", "probit", "sin"])
def test_errors_fall_by_the_square_of_the_variance(activation: str) -> None:
    """The closure leaves out cumulants of the order of the variance; behind them is its square."""
    layers = network(activation, 2, 16, 3, 1)
    mu, found = np.array([0.4, -0.3]), []
    for var in (1e-3, 1e-4):
        truth, corrected = (
            by_quadrature(layers, mu, var),
            fm.propagate(layers, mu, var * np.eye(2), cumulants=True),
        )
        found.append((errors(corrected.closure, truth), errors(corrected, truth)))
    (closure, corrected), (closure_small, corrected_small) = found
    # sds of outputs with little variance follow later
    assert (closure / closure_small)[1:].max() < 16
    assert (corrected / corrected_small > 50).all()
    assert (corrected_small < 0.01 * closure_small).all()


@pytest.mark.parametrize("n", [16, 64])
def test_a_sum_of_squares_is_chi_square(n: int) -> None:
    """Relu(a (sum x_i^2 - n)) of a chi-square law, whose skewness is (8 / n)^1/2 and excess kurtosis 12 / n."""
    square = fm.Polynomial((0.0, 0.0, 1.0))
    layers = [Residual(square, np.eye(n)), Residual("relu", np.ones((1, n)) / n, [-1.0])]
    law = stats.chi2(n, scale=1 / n)
    first, second = (
        integrate.quad(lambda x, p=p: (x - 1) ** p * law.pdf(x), 1, 1 + 20 / np.sqrt(n))[0] for p in (1, 2)
    )
    truth = fm.Moments(np.array([first]), np.array([[second - first**2]]))
    found = fm.propagate(layers, np.zeros(n), np.eye(n), cumulants=True)
    closure, corrected = errors(found.closure, truth), errors(found, truth)
    assert corrected[0] < closure[0]
    # the next terms of Edgeworth's series are smaller by the root of n
    assert (corrected[1:] < 1 / np.sqrt(n) * closure[1:]).all()


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("activation", ["relu", "heaviside", "gelu"])
def test_wide_networks(activation: str, skip: bool) -> None:
    layers = network(activation, 32, 32, 4, 2, skip=skip)
    mu, cov = np.zeros(32), np.eye(32)
    truth = by_points(layers, mu, cov)
    found = fm.propagate(layers, mu, cov, cumulants=True)
    own = 0.02  # of the points' covariances
    of_closure, of_corrected = errors(found.closure, truth), errors(found, truth)
    assert bool(found.small)
    assert (of_corrected[:2] < 0.6 * of_closure[:2] + 0.004).all()
    assert of_corrected[2] < 0.5 * of_closure[2] + own


def test_one_hidden_layer_is_exact_already() -> None:
    layers = network("relu", 5, 7, 1, 3)
    found = fm.propagate(layers, np.ones(5), np.eye(5), cumulants=True)
    np.testing.assert_array_equal(found.cov, found.closure.cov)
    np.testing.assert_array_equal(found.mean, found.closure.mean)
    assert "unchecked" in repr(found)


def test_a_relu_of_both_signs_is_a_skip() -> None:
    """Relu(x) - relu(-x) = x: a residual layer of its own, or as two neurons more."""
    rng, n = np.random.default_rng(4), 6
    A, B = rng.normal(size=(2, n, n)) / np.sqrt(n)
    last = rng.normal(size=(3, n)) / np.sqrt(n)
    own = [Residual("relu", A), Residual("relu", B, C="identity"), Affine(last)]
    eye = np.eye(n)
    both = [
        Residual("relu", A),
        Residual("relu", np.concatenate([B, eye, -eye])),
        Affine(last @ np.concatenate([eye, eye, -eye], 1)),
    ]
    one, two = (fm.propagate(x, np.zeros(n), np.eye(n), cumulants=True) for x in (own, both))
    truth = by_points(own, np.zeros(n), np.eye(n))
    assert (errors(one, truth) < 0.7 * errors(one.closure, truth)).all()
    # both corrections are of the same order; the skip's own has no bends to approximate
    assert (errors(one, truth) < 1.2 * errors(two, truth)).all()


@pytest.mark.parametrize("seed", range(12))
def test_narrow_and_deep_networks_keep_covariances(seed: int) -> None:
    rng = np.random.default_rng([5, seed])
    activation = ["relu", "gelu", "heaviside", "tanh", "leaky_relu", "abs"][seed % 6]
    inputs, width = int(rng.integers(1, 4)), int(rng.choice([2, 4, 8]))
    layers = network(activation, inputs, width, int(rng.integers(3, 9)), seed, skip=seed % 4 == 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AccuracyWarning)
        mean, cov, *_ = fm.propagate(layers, rng.normal(size=inputs), 9.0 * np.eye(inputs), cumulants=True)
    assert np.isfinite(mean).all() and np.isfinite(cov).all()
    assert (np.diag(cov) >= 0).all()
    assert np.linalg.eigvalsh(cov).min() >= -1e-12 * np.trace(cov)


def test_a_correction_that_is_not_small_leaves_the_closure() -> None:
    layers = network("heaviside", 1, 3, 12, 1)[:-1]
    with pytest.warns(AccuracyWarning, match="stand; tol= checks"):
        found = fm.propagate(layers, np.zeros(1), np.eye(1), cumulants=True)
    assert not found.small
    np.testing.assert_array_equal(found.cov, found.closure.cov)


def test_rows_of_a_batch_are_as_alone() -> None:
    layers = network("gelu", 3, 8, 3, 6)
    rng = np.random.default_rng(6)
    mu, root = rng.normal(size=(4, 3)), rng.normal(size=(4, 3, 3))
    cov = root @ root.mT
    together, shared = (fm.propagate(layers, mu, x, cumulants=True) for x in (cov, cov[0]))
    for k in range(4):
        for batch, own in ((together, cov[k]), (shared, cov[0])):
            alone = fm.propagate(layers, mu[k], own, cumulants=True)
            np.testing.assert_allclose(batch.mean[k], alone.mean, rtol=1e-6, atol=1e-7)
            np.testing.assert_allclose(batch.cov[k], alone.cov, rtol=1e-6, atol=1e-7 * np.trace(alone.cov))


@pytest.mark.parametrize("scale", [1e-60, 1e60])
def test_scales_do_not_count(scale: float) -> None:
    """Relu networks without biases are homogeneous, although third and fourth powers leave float64."""
    layers = [Residual("relu", x.A) if isinstance(x, Residual) else x for x in network("relu", 6, 12, 3, 7)]
    one, two = (fm.propagate(layers, np.zeros(6), s * s * np.eye(6), cumulants=True) for s in (1.0, scale))
    np.testing.assert_allclose(two.mean / scale, one.mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(two.cov / scale**2, one.cov, rtol=1e-5, atol=1e-6)


def test_neurons_without_variance() -> None:
    layers = network("relu", 4, 8, 3, 8)
    certain = fm.propagate(layers, np.ones(4), np.zeros((4, 4)), cumulants=True)
    np.testing.assert_allclose(certain.mean, value(steps(layers, 4), np.ones(4)), rtol=1e-12)
    np.testing.assert_array_equal(certain.cov, np.zeros_like(certain.cov))
    # a dead neuron: its input is 50 standard deviations below 0
    first = layers[0]._replace(b=np.concatenate([[-50.0 * np.linalg.norm(layers[0].A[0])], layers[0].b[1:]]))
    without = layers[0]._replace(A=layers[0].A[1:], b=layers[0].b[1:])
    second = layers[1]._replace(A=layers[1].A[:, 1:])
    dead = fm.propagate([first, *layers[1:]], np.zeros(4), np.eye(4), cumulants=True)
    rest = fm.propagate([without, second, *layers[2:]], np.zeros(4), np.eye(4), cumulants=True)
    np.testing.assert_allclose(dead.cov, rest.cov, rtol=1e-5, atol=1e-7)


def test_float32() -> None:
    layers = network("gelu", 8, 16, 3, 9)
    single = [type(x)(*(y.astype(np.float32) if hasattr(y, "astype") else y for y in x)) for x in layers]
    one = fm.propagate(layers, np.zeros(8), np.eye(8), cumulants=True)
    two = fm.propagate(single, np.zeros(8, np.float32), np.eye(8, dtype=np.float32), cumulants=True)
    assert two.cov.dtype == two.mean.dtype == np.float32
    np.testing.assert_allclose(two.mean, one.mean, atol=2e-5)
    np.testing.assert_allclose(two.cov, one.cov, atol=5e-5 * np.trace(one.cov))


@pytest.mark.parametrize(
    ("activation", "skip"), [("relu", False), ("tanh", False), ("tanh", True), ("heaviside", True)]
)
def test_gradients_of_torch(activation: str, skip: bool) -> None:
    """Along mean and covariance, against differences; the second layer has to be made positive semidefinite."""
    torch = pytest.importorskip("torch")
    layers = network(activation, 4, 6, 3, 10, skip=skip)
    mu, cov = np.full(4, 0.2), 0.5 * np.eye(4) + 0.5
    weights = np.random.default_rng(1).normal(size=(4, 4))
    weights = weights + weights.T

    def loss(mean: Any, cov: Any) -> Any:
        return mean.sum() + (cov * weights).sum()

    tensors = [type(x)(*(torch.tensor(y) if hasattr(y, "astype") else y for y in x)) for x in layers]
    given = [torch.tensor(x, requires_grad=True) for x in (mu, cov)]
    found = fm.propagate(tensors, *given, cumulants=True)
    bars = torch.autograd.grad(found.mean.sum() + (found.cov * torch.tensor(weights)).sum(), given)
    d_mu = np.random.default_rng(2).normal(size=4)
    for directions in ((d_mu, 0.0 * cov), (0.0 * mu, np.outer(d_mu, d_mu))):
        # cumulants are in float32, whose rounding is a few 1e-4 of such a difference
        step, at = 2e-3, []
        for k in (-1, 1):
            moved = (x + k * step * d for x, d in zip((mu, cov), directions, strict=True))
            corrected = fm.propagate(layers, *moved, cumulants=True)
            at.append(loss(corrected.mean, corrected.cov))
        difference = (at[1] - at[0]) / (2 * step)
        along = sum(float((bar.numpy() * d).sum()) for bar, d in zip(bars, directions, strict=True))
        assert along == pytest.approx(difference, rel=2e-3, abs=2e-4)


def test_what_has_no_cumulants_passes_them_on() -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    linear = torch.nn.Linear
    model = torch.nn.Sequential(
        linear(6, 24), torch.nn.ReLU(), torch.nn.LayerNorm(24), linear(24, 24), torch.nn.ReLU(), linear(24, 3)
    )
    model = model.double().eval()
    mu, cov = torch.zeros(6, dtype=torch.float64), torch.eye(6, dtype=torch.float64)
    notes = [x.note for x in fm.describe(model, mu).values if "norm" in x.kind]
    assert notes and all("no own cumulants" in note for note in notes)
    with torch.no_grad():
        found = fm.propagate(model, mu, cov, cumulants=True)
        y = model(torch.from_numpy(np.random.default_rng(0).normal(size=(200_000, 6)))).numpy()
    truth = fm.Moments(y.mean(0), np.cov(y.T))
    closure = fm.Moments(*(x.numpy() for x in found.closure))
    corrected = fm.Moments(found.mean.numpy(), found.cov.numpy())
    assert np.isfinite(corrected.cov).all()
    assert (errors(corrected, truth) < 1.2 * errors(closure, truth) + 0.005).all()


def test_semidefinite_keeps_variances() -> None:
    rng = np.random.default_rng(11)
    full = rng.normal(size=(3, 6, 6))
    full = 0.5 * (full + full.mT) + 2.0 * np.eye(6)
    assert np.einsum("bii->bi", full).min() > 0
    assert np.linalg.eigvalsh(full).min() < 0
    found = semidefinite(numpy_words, full)
    assert np.linalg.eigvalsh(found).min() > -1e-12
    np.testing.assert_allclose(np.einsum("bii->bi", found), np.einsum("bii->bi", full), rtol=1e-12)
    full[1, 2, :] = full[1, :, 2] = np.nan
    known = np.isfinite(semidefinite(numpy_words, full))
    np.testing.assert_array_equal(known, np.isfinite(full))


@pytest.mark.slow
def test_jax_has_the_same_moments_and_gradients(jax_double_precision: Any) -> None:
    jax = pytest.importorskip("jax")
    layers = network("heaviside", 3, 5, 2, 12)
    arrays = [type(x)(*(jax.numpy.asarray(y) if hasattr(y, "astype") else y for y in x)) for x in layers]
    mu, cov = np.full(3, 0.2), np.eye(3)

    @jax.jit
    def mean(mu: Any) -> Any:
        return fm.propagate(arrays, mu, jax.numpy.asarray(cov), cumulants=True)[:2]

    found = mean(jax.numpy.asarray(mu))
    wanted = fm.propagate(layers, mu, cov, cumulants=True)
    np.testing.assert_allclose(found[0], wanted.mean, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(found[1], wanted.cov, rtol=1e-5, atol=1e-6)


def test_one_output_that_moves_far_is_enough() -> None:
    """The first output's mean is one sd off; the root mean square over all 100 would be a tenth."""
    mean, cov = np.zeros((1, 100)), np.eye(100)[None]
    moved = mean + np.eye(1, 100)
    assert are_near(np, (mean, cov), (mean, cov), 0.5).all()
    assert not are_near(np, (moved, cov), (mean, cov), 0.5).any()
    assert not are_near(np, (np.nan * moved, cov), (mean, cov), 0.5).any()
    wide = cov + 8.0 * np.eye(100)[:, :1] * np.eye(100)[:1]
    assert not are_near(np, (mean, wide), (mean, cov), 0.5).any()
