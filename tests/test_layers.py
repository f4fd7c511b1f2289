"""Affine and residual layers: by the contract where A X + b is exact, else in 50 digits; and singular layers."""

import itertools
from functools import cache

import numpy as np
import pytest
from mpmath import mp

import fastmoments as fm
from fastmoments_kernels.catalogue import row_of
from tests import truth
from tests.rows import function
from tests.test_inputs import gaussian

# a sum of n products has an error of n eps of its absolute sum; 8 covers the few such sums that a layer chains
ROUNDINGS = 8


def exact(*arrays):
    return [mp.matrix(np.asarray(array, dtype=np.float64).tolist()) for array in arrays]


def assert_within(got, expected, scale, n):
    eps = np.finfo(got.dtype).eps
    rows, columns = expected.rows, expected.cols
    difference = np.array([[float(got[i, j] - expected[i, j]) for j in range(columns)] for i in range(rows)])
    assert np.max(np.abs(difference) / scale) <= ROUNDINGS * n * eps


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_affine_moments(dtype):
    mu, cov = gaussian(5, dtype)
    weight, bias = np.random.default_rng(2).normal(size=(7, 5)).astype(dtype), np.arange(7, dtype=dtype)
    result = fm.affine_moments(mu, cov, weight, bias)
    with mp.workdps(50):
        w, c, m = exact(weight, cov, mu)
        scale = np.abs(weight) @ np.abs(cov) @ np.abs(weight).T
        assert_within(result.cov, w * c * w.T, scale, 5)
        assert_within(result.mean[:, None], w * m + exact(bias)[0], np.abs(weight) @ np.abs(mu)[:, None] + 7, 5)
    assert result.cov.dtype == dtype and np.array_equal(result.cov, result.cov.T)


# numbers of a few bits, so that A X + b has an exact mean and covariance in float32 too
MU, COV = np.array([0.5, -1.0, 0.25]), np.array([[2.0, 0.5, -0.75], [0.5, 1.0, 0.25], [-0.75, 0.25, 1.5]])
A, B = np.array([[1.0, 0.5, -1.0], [0.25, -1.0, 0.5], [-0.5, 0.0, 2.0]]), np.array([0.25, -0.5, 1.0])
SKIPS = {"matrix": np.array([[0.5, -1.0, 0.0], [2.0, 0.25, 1.0], [-0.75, 0.5, 0.125]]), "identity": np.eye(3)}


@cache
def truth_behind(name):
    """(means, K, gains) of f(A X + b) in 20 digits, each with the error that the contract allows, in eps."""
    f, mu, cov = truth.activation(row_of(name)), A @ MU + B, A @ COV @ A.T
    n = len(mu)
    neurons = [truth.neuron_truth(f, mu[i], cov[i, i]) for i in range(n)]

    def allowed(value):
        return 8 * float((1 + value.cond) * abs(value.value))

    full, errors = np.zeros((n, n)), np.zeros((n, n))
    for i in range(n):
        full[i, i], errors[i, i] = float(neurons[i]["var"].value), allowed(neurons[i]["var"])
    for i, j in itertools.combinations(range(n), 2):
        pair = truth.cov_truth(f, f, mu[i], mu[j], cov[i, i], cov[j, j], cov[i, j])
        full[i, j] = full[j, i] = float(pair.value)
        scale = np.sqrt(full[i, i] * full[j, j]) + float(pair.cond * abs(pair.value))
        errors[i, j] = errors[j, i] = 8 * scale
    of = {kind: [neuron[kind] for neuron in neurons] for kind in ("mean", "gain")}
    vectors = [(np.array([float(x.value) for x in of[k]]), np.array([allowed(x) for x in of[k]])) for k in of]
    return vectors[0], (full, errors), vectors[1]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("skip", ["matrix", "identity", None])
@pytest.mark.parametrize("name", ["relu", pytest.param("gelu", marks=pytest.mark.slow)])
def test_residual_moments_to_the_contract(name, skip, dtype):
    (mean, mean_error), (full, full_error), (gain, gain_error) = truth_behind(name)
    matrix = SKIPS.get(skip, np.zeros((3, 3)))
    given = [x.astype(dtype) for x in (MU, COV, A, B)]
    C = matrix.astype(dtype) if skip == "matrix" else skip
    result = fm.residual_moments(name, *given, C, return_cross=True)
    # the maps' products are exact; each sum rounds once more, of the size of its terms
    mixed, skipped = A @ COV @ matrix.T, matrix @ COV @ matrix.T
    both = gain[:, None] * mixed + (gain[:, None] * mixed).T
    size = np.abs(gain[:, None] * mixed)
    eps, size = np.finfo(dtype).eps, 8 * (np.abs(full) + size + size.T + np.abs(skipped))
    spread = gain_error[:, None] * np.abs(mixed)
    assert (np.abs(result.cov - (full + both + skipped)) <= eps * (full_error + spread + spread.T + size)).all()
    through = matrix @ MU
    size = 8 * (np.abs(mean) + np.abs(through))
    assert (np.abs(result.mean - (mean + through)) <= eps * (mean_error + size)).all()
    cross, added = (gain[:, None] * (A @ COV)).T, (matrix @ COV).T
    size = (gain_error[:, None] * np.abs(A @ COV)).T + 8 * (np.abs(cross) + np.abs(added))
    assert (np.abs(result.cross - (cross + added)) <= eps * size).all()


@pytest.mark.feature("NumPy", "layers")
@pytest.mark.parametrize("skip", ["matrix", "identity", None])
@pytest.mark.parametrize("name", ["relu", "heaviside"])
def test_residual_moments_are_stein_lemma(name, skip):
    n = 6
    mu, cov = gaussian(n)
    rng = np.random.default_rng(4)
    A, b, d = rng.normal(size=(n, n)), rng.normal(size=n), rng.normal(size=n)
    C = rng.normal(size=(n, n)) if skip == "matrix" else skip
    result = fm.residual_moments(name, mu, cov, A, b, C, d)
    matrix = {"matrix": C, "identity": np.eye(n), None: np.zeros((n, n))}[skip]
    inner = fm.affine_moments(mu, cov, A, b)
    mean, full = fm.moments(name, *inner)
    gains = function(name, "gain")(inner.mean, np.diagonal(inner.cov))
    with mp.workdps(50):
        k, a, c, s, g = exact(full, A, matrix, cov, np.diag(gains))
        cross = g * a * s * c.T
        scale = np.abs(full) + 2 * np.abs(np.diag(gains) @ A) @ np.abs(cov) @ np.abs(matrix).T
        scale = scale + scale.T + np.abs(matrix) @ np.abs(cov) @ np.abs(matrix).T
        assert_within(result.cov, k + cross + cross.T + c * s * c.T, scale, n)
    expected = mean + matrix @ mu + d
    assert np.allclose(result.mean, expected, rtol=0, atol=64 * np.finfo(float).eps)
    assert np.array_equal(result.cov, result.cov.T)


@pytest.mark.parametrize("skip", ["matrix", "identity"])
def test_what_is_certain_is_uncorrelated_on_a_jump_too(skip):
    """X_1 = 0 and X_2 ~ N(1, 1): the variance of H(X_2) + X_2 is Phi (1 - Phi) + 1 + 2 phi at 1."""
    mu, cov, eye = np.array([0.0, 1.0]), np.diag([0.0, 1.0]), np.eye(2)
    C = eye if skip == "matrix" else skip
    _, full, cross = fm.residual_moments("heaviside", mu, cov, eye, C=C, return_cross=True)
    p, slope = mp.ncdf(1), mp.npdf(1)
    expected = np.diag([0.0, float(p * (1 - p) + 1 + 2 * slope)]), np.diag([0.0, float(1 + slope)])
    for got, truly in zip((full, cross), expected, strict=True):
        assert np.max(np.abs(got - truly)) <= ROUNDINGS * 2 * np.finfo(float).eps


def test_residual_moments_batch():
    mu, cov = gaussian(4, batch=(3,))
    A = np.random.default_rng(5).normal(size=(4, 4))
    whole = fm.residual_moments("relu", mu, cov, A, C="identity")
    one = fm.residual_moments("relu", mu[1], cov[1], A, C="identity")
    eps = np.finfo(float).eps
    assert np.max(np.abs(whole.cov[1] - one.cov)) <= 64 * eps * np.abs(one.cov).max()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("seed", range(5))
def test_singular_products_go_through(dtype, seed):
    """Rows of A that cancel give A cov A^T variances that are 0 up to rounding, of either sign."""
    rng = np.random.default_rng(seed)
    mu, cov = gaussian(3, dtype, seed=seed)
    root = rng.normal(size=(3, 1)).astype(dtype)
    cov = root @ root.T
    A = rng.normal(size=(40, 3)).astype(dtype)
    A[::2] -= np.outer(A[::2] @ root[:, 0] / (root[:, 0] @ root[:, 0]), root[:, 0]).astype(dtype)
    for layer in range(3):
        weight = A if layer == 0 else rng.normal(size=(40, 40)).astype(dtype) / 6
        mu, cov = fm.residual_moments("relu", mu, cov, weight)
        assert np.isfinite(cov).all() and np.isfinite(mu).all()
    assert np.linalg.eigvalsh(cov.astype(np.float64)).min() >= -40 * np.finfo(dtype).eps * np.trace(cov)


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ("A: expected shape (m, 3), got (2, 4)", {"A": np.zeros((2, 4))}),
        ("b: expected shape (2,), got (3,)", {"A": np.zeros((2, 3)), "b": np.zeros(3)}),
        ('C: "identity" needs a square A', {"A": np.zeros((2, 3)), "C": "identity"}),
        ('C: expected a matrix, "identity" or None', {"A": np.zeros((2, 3)), "C": "eye"}),
        ("C: expected shape (2, 3)", {"A": np.zeros((2, 3)), "C": np.zeros((3, 3))}),
        ("d: expected shape (2,)", {"A": np.zeros((2, 3)), "d": np.zeros(1)}),
    ],
)
def test_layers_name_what_is_wrong(message, arguments):
    with pytest.raises(ValueError) as error:
        fm.residual_moments("relu", np.zeros(3), np.eye(3), **arguments)
    assert message in str(error.value)
