"""Products, gates and products of matrices of Gaussian values, against integrals of the definition."""

import numpy as np
import pytest
import torch
from numpy.polynomial.hermite_e import hermegauss
from scipy.special import expit, ndtr

import fastmoments as fm
from fastmoments.frameworks import words_of
from fastmoments.joint.gates import Gate
from fastmoments.joint.matrix_products import MatrixProduct
from fastmoments.joint.products import Product
from tests.pair_integrals import nodes

WORDS = {
    "numpy": (words_of(fm.plan(np.zeros(1))), np.asarray),
    "torch": (words_of(fm.plan(torch.zeros(1))), torch.as_tensor),
}
RNG = np.random.default_rng


def gaussian(seed, n, rank=None, sd=1.0):
    """A mean and a covariance of n values."""
    rng = RNG(seed)
    root = sd * rng.standard_normal((n, rank or n)) / np.sqrt(rank or n)
    return rng.standard_normal(n), root @ root.T


def polynomial_moments(function, mean, cov):
    """Mean, covariance and covariance with the inputs of polynomials of degree 2, by a rule exact to degree 5."""
    points, weights = hermegauss(3)
    n = len(mean)
    grid = np.stack([x.ravel() for x in np.meshgrid(*[points] * n, indexing="ij")], -1)
    density = np.prod(np.stack(np.meshgrid(*[weights / np.sqrt(2.0 * np.pi)] * n, indexing="ij")), 0).ravel()
    values, vectors = np.linalg.eigh(cov)
    x = mean + grid @ (vectors * np.sqrt(np.maximum(values, 0.0))).T
    y = function(x)
    center = density @ y
    apart = (y - center) * density[:, None]
    return center, apart.T @ (y - center), apart.T @ (x - mean)


def found_by(function, sizes, mean, cov, library="numpy"):
    """Mean, covariance and covariance with the inputs by a joint function of values of these sizes."""
    words, array = WORDS[library]
    ends = np.cumsum([0, *sizes])
    parts = [slice(*pair) for pair in zip(ends, ends[1:], strict=False)]
    means = [array(mean[None, part]) for part in parts]
    found = function.moments(words, means, lambda i, j: array(cov[None, parts[i], parts[j]]))
    rows = sum(slope(array(cov[None, :, part])) for slope, part in zip(found.slopes, parts, strict=True))
    return [np.asarray(x)[0] for x in (found.mean, found.cov, rows.swapaxes(1, 2))]


ROUNDING = 64.0 * np.finfo(float).eps


def check(found, truth, eps=ROUNDING):
    """Within eps of the standard deviations."""
    sd = np.sqrt(np.diag(truth[1]))
    assert (np.abs(found[0] - truth[0]) <= eps * (sd + np.abs(truth[0]))).all()
    assert (np.abs(found[1] - truth[1]) <= eps * np.outer(sd, sd)).all()
    assert (np.abs(found[2] - truth[2]) <= eps * np.abs(truth[2]).max()).all()


@pytest.mark.parametrize("library", WORDS)
@pytest.mark.parametrize("rank", [6, 2, 1])
def test_products(rank, library):
    mean, cov = gaussian(rank, 6, rank)
    truth = polynomial_moments(lambda x: x[:, :3] * x[:, 3:], mean, cov)
    check(found_by(Product(), [3, 3], mean, cov, library), truth)


@pytest.mark.parametrize("library", WORDS)
@pytest.mark.parametrize("count, p, d, q", [(1, 2, 2, 2), (2, 1, 2, 1), (1, 1, 3, 1), (2, 2, 1, 1)])
def test_products_of_matrices(count, p, d, q, library):
    left, right = count * p * d, count * d * q
    mean, cov = gaussian(p, left + right)

    def product(x):
        return (x[:, :left].reshape(-1, count, p, d) @ x[:, left:].reshape(-1, count, d, q)).reshape(len(x), -1)

    truth = polynomial_moments(product, mean, cov)
    check(found_by(MatrixProduct(count, p, d, q), [left, right], mean, cov, library), truth)


GATES = {
    "relu": (fm.ReLU(), lambda y: np.maximum(y, 0.0), 1e-12),
    "gelu": (fm.GELU(), lambda y: y * ndtr(y), 1e-12),
    "sigmoid": ("sigmoid", expit, 1e-9),
    "silu": ("silu", lambda y: y * expit(y), 1e-9),
    "hardsigmoid": (fm.HardSigmoid(), lambda y: np.clip(y / 6.0 + 0.5, 0.0, 1.0), 1e-12),
    "square": (fm.Polynomial((0.0, 0.0, 1.0)), lambda y: y * y, 1e-12),
    "exp": (fm.Exp(), np.exp, 1e-12),
    "step": (fm.Heaviside(), lambda y: np.heaviside(y, 0.5), 1e-12),
}


def gated_moments(function, mean, cov, breaks):
    """Moments of X_i g(Y_i), i = 1, 2: X given Y is Gaussian, which leaves an integral over Y."""
    (a, b), xx, xy, yy = (mean[:2], mean[2:]), cov[:2, :2], cov[:2, 2:], cov[2:, 2:]
    sd_1, along = np.sqrt(yy[0, 0]), yy[0, 1] / yy[0, 0]
    sd_2 = np.sqrt(yy[1, 1] - along * yy[0, 1])
    ends = np.linspace(-12.0, 12.0, 25)
    z_1, w_1 = nodes(np.concatenate([ends, (breaks - b[0]) / sd_1]))
    y_1 = b[0] + sd_1 * z_1
    center = b[1] + along * (y_1 - b[0])
    z_2, w_2 = nodes(np.concatenate([np.broadcast_to(ends, (len(z_1), 25)), (breaks - center[:, None]) / sd_2], 1))
    y = np.stack([np.broadcast_to(y_1[:, None], z_2.shape), center[:, None] + sd_2 * z_2], -1)
    weight = w_1[:, None] * w_2
    slopes = xy @ np.linalg.inv(yy)
    x, g = a + (y - b) @ slopes.T, function(y)
    left = xx - slopes @ xy.T
    values = x * g
    center = np.einsum("zw,zwi->i", weight, values)
    cov_out = np.einsum("zw,zwi,zwj->ij", weight, values - center, values - center)
    cov_out += left * np.einsum("zw,zwi,zwj->ij", weight, g, g)
    with_y = np.einsum("zw,zwi,zwj->ij", weight, values - center, y - b)
    with_x = with_y @ slopes.T + np.diag(np.einsum("zw,zwi->i", weight, g)) @ left
    return center, cov_out, np.concatenate([with_x, with_y], 1)


@pytest.mark.parametrize(
    "name, library", [*((name, "numpy") for name in GATES), ("relu", "torch"), ("silu", "torch")]
)
def test_gates(name, library):
    activation, function, tolerance = GATES[name]
    breaks = np.array([-3.0, 3.0]) if name == "hardsigmoid" else np.zeros(1)
    for seed in range(2):
        mean, cov = gaussian(seed, 4, sd=0.7 + seed)
        truth = gated_moments(function, mean, cov, breaks)
        check(found_by(Gate(activation, np.arange(2)), [2, 2], mean, cov, library), truth, tolerance)


@pytest.mark.parametrize("name", ["relu", "sigmoid", "step"])
def test_an_element_that_gates_two_counts_once(name):
    activation, _, _ = GATES[name]
    mean, cov = gaussian(5, 3)
    twice = cov[np.ix_([0, 1, 2, 2], [0, 1, 2, 2])]
    shared = found_by(Gate(activation, np.array([0, 0])), [2, 1], mean, cov)
    apart = found_by(Gate(activation, np.array([0, 0])), [2, 1], mean + 0.0, cov + 0.0)
    check(apart, shared)
    # X_1 g(Y) and X_2 g(Y) with X_2 = X_1: the same value twice
    same = twice[np.ix_([0, 0, 2], [0, 0, 2])]
    found = found_by(Gate(activation, np.array([0, 0])), [2, 1], mean[[0, 0, 2]], same)
    np.testing.assert_allclose(found[1], found[1][0, 0], rtol=1e-12)


def test_a_gate_without_variance_is_a_factor():
    mean, cov = gaussian(1, 4)
    cov[2:], cov[:, 2:] = 0.0, 0.0
    found = found_by(Gate(fm.ReLU(), np.arange(2)), [2, 2], np.array([1.0, 2.0, 0.5, -3.0]), cov)
    factor = np.array([0.5, 0.0])
    np.testing.assert_allclose(found[0], factor * [1.0, 2.0], rtol=1e-15)
    np.testing.assert_allclose(found[1], np.outer(factor, factor) * cov[:2, :2], rtol=1e-14)


def test_products_of_independent_values_have_their_variances():
    mean, _ = gaussian(3, 4)
    var = np.array([0.5, 1.5, 2.0, 0.25])
    words, _ = WORDS["numpy"]
    truth = polynomial_moments(lambda x: x[:, :2] * x[:, 2:], mean, np.diag(var))
    for function in (Product(), Gate(fm.Polynomial((0.0, 1.0)), np.arange(2)), MatrixProduct(2, 1, 1, 1)):
        found = function.marginals(words, [mean[None, :2], mean[None, 2:]], [var[None, :2], var[None, 2:]])
        np.testing.assert_allclose(found[0][0], truth[0], rtol=1e-14)
        np.testing.assert_allclose(found[1][0], np.diag(truth[1]), rtol=1e-14)


QUADRATIC = {
    "a product beside a square": lambda x: x[..., :2] * x[..., 1:] + x[..., :2] ** 2,
    "a product of matrices": lambda x: (x[..., :, None] * x[..., None, :]).reshape(*x.shape[:-1], 9),
    "a square less a product": lambda x: x[..., :1] * x[..., 1:2] - 0.5 * x[..., 2:] ** 2,
}


@pytest.mark.parametrize("name", QUADRATIC)
def test_networks_of_products_are_exact(name):
    mean, cov = gaussian(7, 3)
    truth = polynomial_moments(QUADRATIC[name], mean, cov)
    found = fm.propagate(QUADRATIC[name], torch.as_tensor(mean)[None], torch.as_tensor(cov)[None])
    sd = np.sqrt(np.diag(truth[1]))
    np.testing.assert_allclose(found.mean[0], truth[0], rtol=0.0, atol=1e-13 * sd.max())
    assert (np.abs(found.cov[0].numpy() - truth[1]) <= 1e-12 * np.outer(sd, sd)).all()


@pytest.mark.parametrize("activation", [fm.ReLU(), pytest.param(fm.GELU(), marks=pytest.mark.slow)])
def test_gradients(activation):
    """Of gates and products, by differences."""
    words, _ = WORDS["torch"]
    mean, cov = (torch.as_tensor(x) for x in gaussian(2, 4))

    def moments(mean, root):
        cov = root @ root.mT
        parts = slice(0, 2), slice(2, 4)
        outputs = []
        for function in (Gate(activation, np.arange(2)), Product(), MatrixProduct(1, 1, 2, 1)):
            found = function.moments(
                words, [mean[None, part] for part in parts], lambda i, j: cov[None, parts[i], parts[j]]
            )
            outputs += [found.mean, found.cov]
        return tuple(outputs)

    root = torch.linalg.cholesky(cov)
    assert torch.autograd.gradcheck(moments, (mean.requires_grad_(), root.requires_grad_()))


def test_float32():
    mean, cov = gaussian(4, 4)
    truth = gated_moments(GATES["gelu"][1], mean.astype(np.float32), cov.astype(np.float32), np.zeros(1))
    found = found_by(Gate(fm.GELU(), np.arange(2)), [2, 2], mean.astype(np.float32), cov.astype(np.float32))
    assert found[1].dtype == np.float32
    check(found, truth, 64.0 * np.finfo(np.float32).eps)


@pytest.mark.usefixtures("jax_double_precision")
@pytest.mark.parametrize(
    "function, of", [
        (Product(), lambda x: x[:, :2] * x[:, 2:]),
        (MatrixProduct(1, 1, 2, 1), lambda x: (x[:, :2] * x[:, 2:]).sum(1, keepdims=True)),
        (Gate(fm.Polynomial((0.0, 1.0)), np.arange(2)), lambda x: x[:, :2] * x[:, 2:]),
    ],
)  # fmt: skip
def test_on_jax(function, of):
    """Under jit, and the gradient of the mean: slopes."""
    jax = pytest.importorskip("jax")
    words = words_of(fm.plan(jax.numpy.zeros(1)))
    mean, cov = gaussian(6, 4)
    truth = polynomial_moments(of, mean, cov)
    mean, cov = jax.numpy.asarray(mean), jax.numpy.asarray(cov)

    def moments(mean, cov):
        parts = slice(0, 2), slice(2, 4)
        found = function.moments(
            words, [mean[None, part] for part in parts], lambda i, j: cov[None, parts[i], parts[j]]
        )
        rows = sum(slope(cov[None, :, part]) for slope, part in zip(found.slopes, parts, strict=True))
        return found.mean[0], found.cov[0], rows[0].T

    check([np.asarray(x) for x in jax.jit(moments)(mean, cov)], truth)
    slopes = jax.jacobian(lambda mean: moments(mean, cov)[0])(mean)
    np.testing.assert_allclose(np.asarray(slopes) @ cov, truth[2], rtol=1e-12, atol=1e-12)
