"""fm.compare against closed forms, integrals and mpmath."""

import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import integrate, stats

import fastmoments as fm
from fastmoments.compare import Affine, Residual

EPS = np.finfo(np.float64).eps
RELU = fm.ReLU()
METHODS = {
    "analytic": fm.compare.analytic,
    "linearise": fm.compare.linearise,
    "unscented 1995": fm.compare.unscented,
    "unscented 2002": partial(fm.compare.unscented, weights="2002"),
}


def gaussian(n, seed=0, batch=(), rank=None):
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((*batch, n, n if rank is None else rank))
    return rng.standard_normal((*batch, n)), root @ np.swapaxes(root, -1, -2)


def relu_layer(n, m):
    """relu(A x + b) + C x + d: one layer, so that the analytic moments are the true ones."""
    rng = np.random.default_rng(0)
    return Residual(RELU, *(rng.standard_normal(shape) for shape in ((m, n), m, (m, n), m)))


# Networks without an activation: every method is exact.


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("rank", [4, 2])
def test_affine_networks_are_exact(method, rank):
    rng = np.random.default_rng(1)
    W_1, b_1, W_2 = rng.standard_normal((5, 4)), rng.standard_normal(5), rng.standard_normal((3, 5))
    mu, cov = gaussian(4, batch=(2, 3), rank=rank)
    result = METHODS[method]([Affine(W_1, b_1), Affine(W_2)], mu, cov)
    W = W_2 @ W_1
    # The 2002 weights divide differences of size 1e-3 by 1e-6; what is left of 16 digits is about 10.
    tolerance = 1e-9 if method == "unscented 2002" else 1e-13
    assert_allclose(result.mean, mu @ W.T + W_2 @ b_1, rtol=0, atol=tolerance * 10)
    assert_allclose(result.cov, W @ cov @ W.T, rtol=0, atol=tolerance * np.abs(W @ cov @ W.T).max())


def test_mean_field_on_an_affine_layer_uses_and_returns_diagonals():
    weight = np.array([[1.0, 2.0], [3.0, -1.0]])
    result = fm.compare.mean_field([Affine(weight)], np.array([1.0, 1.0]), np.array([[2.0, 0.7], [0.7, 1.0]]))
    assert_allclose(result.mean, [3, 2], rtol=4 * EPS)
    assert_allclose(result.cov, [[2 + 4, 0], [0, 18 + 1]], rtol=4 * EPS)


@pytest.mark.parametrize(
    "method", [*METHODS.values(), fm.compare.mean_field, partial(fm.compare.monte_carlo, samples=32)]
)
def test_what_is_no_covariance_is_refused(method):
    cov = np.array([[2.0, 0.5], [0.5, 1.0]])
    layers = [Affine(np.eye(2))]
    with pytest.raises(ValueError, match=r"cov\[0, 1\] = 0\.0 and cov\[1, 0\] = 0\.3.*pass L @ L\.mT"):
        method(layers, np.zeros(2), np.linalg.cholesky(cov))
    with pytest.raises(ValueError, match=r"cov: .*-1\.0 at|negative|semidefinite"):
        method(layers, np.zeros(2), np.diag([1.0, -1.0]))
    rounded = cov + [[0.0, 1e-15], [0.0, 0.0]]
    assert rounded[0, 1] != rounded[1, 0]
    found = method(layers, np.zeros(2), rounded)
    assert_allclose(found.cov, found.cov.T, rtol=4 * EPS)


def test_rounding_of_a_covariance_in_float32_passes():
    cov = np.array([[2.0, 0.5], [0.5000001, 1.0]], np.float32)
    assert cov[0, 1] != cov[1, 0]
    assert fm.compare.linearise([Affine(np.eye(2))], np.zeros(2), cov).cov[1, 0] == 0.5


# One layer with an activation.


def test_analytic_matches_the_arc_cosine_kernel():
    """E relu(X) relu(Y) for standard X, Y of correlation r: Cho & Saul 2009, eq. 6 with n = 1."""
    r = 0.6
    result = fm.compare.analytic([Residual(RELU, np.eye(2))], np.zeros(2), np.array([[1, r], [r, 1]]))
    product = (np.sqrt(1 - r * r) + r * (np.pi - np.arccos(r))) / (2 * np.pi)
    assert_allclose(result.mean, np.full(2, 1 / np.sqrt(2 * np.pi)), rtol=1e-14)
    assert_allclose(result.cov[0, 1], product - 1 / (2 * np.pi), rtol=1e-13)


@pytest.mark.parametrize("method", [fm.compare.analytic, fm.compare.mean_field])
@pytest.mark.parametrize("mu, var", [(0.3, 2.0), (-1.5, 0.5)])
def test_one_neuron_with_skip_against_quadrature(method, mu, var):
    layer = Residual(RELU, *map(np.array, ([[2.0]], [0.5], [[-0.7]], [1.0])))

    def moment(function):
        density = stats.norm(mu, np.sqrt(var)).pdf
        pieces = [mu - 12 * np.sqrt(var), -0.25, mu + 12 * np.sqrt(var)]  # the kink of relu(2 x + 0.5)
        return sum(
            integrate.quad(lambda x: function(max(2 * x + 0.5, 0) - 0.7 * x + 1) * density(x), a, b)[0]
            for a, b in zip(pieces[:-1], pieces[1:], strict=True)
        )

    mean = moment(lambda y: y)
    result = method([layer], np.array([mu]), np.array([[var]]))
    # quad's own tolerance is 1.5e-8; its Gauss-Kronrod error on these smooth pieces is far below.
    assert_allclose(result.mean, [mean], rtol=1e-11)
    assert_allclose(result.cov, [[moment(lambda y: (y - mean) ** 2)]], rtol=1e-11)


def test_mean_field_is_exact_for_one_layer_with_independent_inputs():
    layer = relu_layer(4, 3)
    mu, var = np.array([0.5, -1, 0, 2]), np.array([1.0, 0.2, 3, 0.5])
    exact = fm.compare.analytic([layer], mu, np.diag(var))
    result = fm.compare.mean_field([layer], mu, np.diag(var))
    assert_allclose(result.mean, exact.mean, rtol=1e-13)
    assert_allclose(result.cov, np.diag(np.diag(exact.cov)), rtol=1e-13)


@pytest.mark.parametrize(
    "layer, value, slope",
    [
        (Residual(RELU, [[2.0]], [1.0], [[3.0]], [10.0]), 16, 5),
        (Residual(RELU, [[2.0]], [-5.0], "identity"), 1, 1),
        (Residual(fm.Heaviside(), [[2.0]], None, "identity"), 2, 1),
    ],
)
def test_linearise_on_hand_worked_layers(layer, value, slope):
    result = fm.compare.linearise([layer, Affine([[2.0]])], np.array([1.0]), np.array([[0.25]]))
    assert_allclose(result.mean, [2 * value], rtol=4 * EPS)
    assert_allclose(result.cov, [[0.25 * (2 * slope) ** 2]], rtol=4 * EPS)


@pytest.mark.parametrize(
    "activation, value, slope",
    [
        (fm.Sin(omega=2.0, phase=0.5), np.sin(2.5), 2 * np.cos(2.5)),
        (fm.NPN(tau=np.array([2.0])), 1 - 2 / np.e, 4 / np.e),
        (fm.GaussianMixture(weights=[3.0, 1.0], taus=[2.0, 1.0], centers=[0.0, 1.0]), 3 / np.e + 1, -6 / np.e),
    ],
)
def test_activations_with_parameters(activation, value, slope):
    layer = Residual(activation, [[1.0]])
    result = fm.compare.linearise([layer], np.array([1.0]), np.array([[0.25]]))
    assert_allclose(result.mean, [value], rtol=4 * EPS)
    assert_allclose(result.cov, [[slope**2 / 4]], rtol=8 * EPS)


@pytest.mark.parametrize("activation", [fm.Custom(np.tanh), "tanh"])
def test_activations_without_a_closed_form(activation):
    """n = 1: the points mu +- sigma."""
    result = fm.compare.unscented([Residual(activation, [[1.0]])], np.array([1.0]), np.array([[0.25]]))
    low, high = np.tanh([0.5, 1.5])
    assert_allclose(result.mean, [(low + high) / 2], rtol=4 * EPS)
    assert_allclose(result.cov, [[(high - low) ** 2 / 4]], rtol=16 * EPS)


def test_a_stochastic_activation_is_not_sampled_as_its_mean():
    layers = [Affine([[1.0]]), Residual(fm.BernoulliProbit(), [[1.0]])]
    with pytest.raises(ValueError, match=r"layers\[1\]: expected an activation with one value"):
        fm.compare.monte_carlo(layers, np.zeros(1), np.eye(1), 64)


# The unscented transform.


def test_unscented_1995_on_a_hand_worked_kink():
    """n = 1: the points mu +- sigma with weight 1/2 each, 0 for the centre."""
    result = fm.compare.unscented([Residual(RELU, [[1.0]])], np.array([0.0]), np.array([[4.0]]))
    assert_allclose(result.mean, [1.0], rtol=4 * EPS)
    assert_allclose(result.cov, [[1.0]], rtol=4 * EPS)


@pytest.mark.parametrize("weights", ["1995", "2002"])
@pytest.mark.parametrize("rank", [3, 1])
def test_unscented_is_exact_for_the_mean_of_a_quadratic(monkeypatch, weights, rank):
    monkeypatch.setattr("fastmoments.compare.networks.evaluate", lambda activation, x: x * x)
    A = np.random.default_rng(2).standard_normal((2, 3))
    mu, cov = gaussian(3, rank=rank)
    result = fm.compare.unscented([Residual(RELU, A)], mu, cov, weights=weights)
    # 1e-9 for the 2002 weights as above.
    assert_allclose(result.mean, (A @ mu) ** 2 + np.diag(A @ cov @ A.T), rtol=1e-9)


def test_unscented_2002_is_linearise_away_from_kinks():
    layer = Residual(RELU, np.eye(3), [5.0, -5.0, 5.0])
    mu, cov = gaussian(3)
    result = fm.compare.unscented([layer], mu, cov, weights="2002")
    expected = fm.compare.linearise([layer], mu, cov)
    assert_allclose(result.mean, expected.mean, rtol=1e-9)
    assert_allclose(result.cov, expected.cov, rtol=1e-9, atol=1e-12)


def test_nothing_needs_tqdm(monkeypatch):
    code = "import sys, fastmoments; sys.exit('tqdm' in sys.modules or 'matplotlib' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    monkeypatch.setitem(sys.modules, "tqdm", None)
    fm.compare.monte_carlo([Affine(np.eye(2))], *gaussian(2))
    fm.propagate([Affine(np.eye(2))], *gaussian(2), tol=0.1)


# inputs


def test_inputs_are_left_alone_and_may_be_read_only():
    layer, (mu, cov) = relu_layer(3, 2), gaussian(3)
    arrays = [mu, cov, *layer[1:]]
    copies = [array.copy() for array in arrays]
    for array in arrays:
        array.flags.writeable = False
    for method in (*METHODS.values(), fm.compare.mean_field, partial(fm.compare.monte_carlo, samples=32)):
        method([layer], mu, cov)
    for array, copy in zip(arrays, copies, strict=True):
        assert_allclose(array, copy, rtol=0)


EYE = np.eye(2)
BAD_NETWORKS = [
    ([], ValueError, "layers: expected at least one"),
    ([EYE], TypeError, r"layers\[0\]: expected Affine or Residual, got ndarray"),
    (
        [Affine(EYE), Affine(np.eye(3))],
        ValueError,
        r"layers\[1\]\.weight: expected shape \(m, 2\), got \(3, 3\)",
    ),
    ([Affine(EYE, np.ones(3))], ValueError, r"layers\[0\]\.bias: expected shape \(2,\), got \(3,\)"),
    ([Residual(RELU, np.ones((3, 2)), C=EYE)], ValueError, r"layers\[0\]\.C: expected shape \(3, 2\)"),
    ([Residual(RELU, np.ones((3, 2)), C="identity")], ValueError, r"layers\[0\]\.C: .*square"),
]


@pytest.mark.parametrize("layers, error, message", BAD_NETWORKS)
@pytest.mark.parametrize("method", [*METHODS.values(), fm.compare.mean_field, fm.compare.monte_carlo])
def test_errors_name_the_layer(method, layers, error, message):
    with pytest.raises(error, match=message):
        method(layers, np.zeros(2), EYE)


@pytest.mark.parametrize(
    "mu, cov, message",
    [
        (0.0, EYE, "mu: "),
        (np.zeros(2), np.eye(3), "cov: "),
        (np.zeros((4, 2)), np.ones((3, 2, 2)), "cov: .*broadcast"),
    ],
)
@pytest.mark.parametrize("method", [fm.compare.linearise, fm.compare.unscented, fm.compare.mean_field])
def test_errors_name_the_input(method, mu, cov, message):
    with pytest.raises(ValueError, match=message):
        method([Affine(EYE)], mu, cov)


INDEFINITE = np.array([[1.0, 2.0], [2.0, 1.0]])


@pytest.mark.parametrize(
    "call, message",
    [
        (partial(fm.compare.unscented, weights="1996"), "weights: "),
        (partial(fm.compare.monte_carlo, method="halton"), "method: "),
        (partial(fm.compare.monte_carlo, samples=31), "samples: "),
        (partial(fm.compare.monte_carlo, samples=48, method="sobol"), "samples: "),
    ],
)
def test_errors_name_the_option(call, message):
    with pytest.raises(ValueError, match=message):
        call([Affine(EYE)], np.zeros(2), EYE)


@pytest.mark.parametrize("method", [fm.compare.unscented, fm.compare.monte_carlo])
def test_an_indefinite_input_is_refused(method):
    with pytest.raises(ValueError, match="^cov: .*semidefinite"):
        method([Affine(EYE)], np.zeros(2), INDEFINITE)
