"""Covariances of two different activations against integrals of the definition."""

import numpy as np
import pytest

import fastmoments as fm
from fastmoments.cross import cross_matrix
from fastmoments.elementwise import cov
from tests.pair_integrals import (
    FUNCTIONS,
    NAMES,
    POINTS,
    RHOS,
    arguments,
    truth,
    variances,
)

KINKED = {"relu", "leaky_relu", "abs", "heaviside"}
SMOOTH = {"probit", "bernoulli_probit", "erf", "gelu"}


def is_series(one, two):
    pair = {one, two}
    return len(pair) == 2 and ("tanh" in pair or (pair & {"sin", "cos"} and bool(pair & (KINKED | SMOOTH))))


@pytest.mark.feature("NumPy", "covariances of two activations")
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("one", NAMES)
@pytest.mark.parametrize("where", POINTS)
def test_every_pair_is_its_integral(where, one, dtype):
    """Closed forms to 1e-12, series and Customs to their 1e-10; float32 to 64 eps of the inputs' dtype."""
    point, i = POINTS[where], NAMES.index(one)
    var_1, var_2 = variances(point)
    for j, two in enumerate(NAMES):
        exact = np.array([truth(point, rho)[i, j] for rho in RHOS])
        got = fm.cross_cov(FUNCTIONS[one][0], FUNCTIONS[two][0], *arguments(point, RHOS, dtype))
        assert got.dtype == dtype
        tol = 1e-10 if is_series(one, two) or one == two == "tanh" else 1e-12
        tol = max(tol, 64 * np.finfo(dtype).eps if dtype == np.float32 else 0.0)
        error = np.abs(got - exact) / np.sqrt(var_1[i] * var_2[j])
        assert (error <= tol).all(), (two, error / tol, got, exact)


@pytest.mark.parametrize(
    ("f", "g"),
    [("relu", fm.ReLU()), (fm.NPN(tau=2.0), fm.NPN(tau=0.5)), (fm.Sin(2.0), fm.Sin(phase=1.0)), ("tanh", "tanh")],
)
def test_one_class_is_cov(f, g):
    given = arguments(POINTS["middle"], RHOS)
    pair = f
    if isinstance(f, fm.NPN):
        pair = fm.NPN(tau=(2.0, 0.5))
    elif isinstance(f, fm.Sin):
        pair = fm.Sin(omega=(2.0, 1.0), phase=(0.0, 1.0))
    assert np.array_equal(fm.cross_cov(f, g, *given), cov(pair, *given))


def test_mixtures_of_different_numbers_of_bumps():
    """A mixture of one bump beside one of two is the sum of its covariances with each."""
    given = arguments(POINTS["middle"], RHOS)
    two = fm.GaussianMixture((0.5, -0.25), (1.0, 2.0), (0.125, -0.5))
    got = fm.cross_cov(fm.GaussianMixture((1.5,), (3.0,), (0.0,)), two, *given)
    parts = [
        fm.cross_cov(fm.Gaussian(3.0), fm.Gaussian(tau, at), *given) for tau, at in ((1.0, 0.125), (2.0, -0.5))
    ]
    assert np.abs(got - 1.5 * (0.5 * parts[0] - 0.25 * parts[1])).max() <= 16 * np.finfo(float).eps


def test_a_custom_with_kinks_beside_a_kink():
    """hardtanh as a Custom beside relu is relu's difference: hardtanh(x) = relu(x + 1) - relu(x - 1) - 1."""
    hardtanh = fm.Custom(lambda x: np.clip(x, -1.0, 1.0), tol=1e-6, kinks=(-1.0, 1.0))
    mu_1, *rest = arguments(POINTS["middle"], 0.875)
    got = fm.cross_cov(hardtanh, "relu", mu_1, *rest)
    exact = fm.relu_cov(mu_1 + 1.0, *rest) - fm.relu_cov(mu_1 - 1.0, *rest)
    scale = np.sqrt(fm.relu_var(rest[0], rest[2]))  # hardtanh's standard deviation is below 1
    assert abs(got - exact) <= 1e-6 * scale
    with pytest.raises(
        fm.ToleranceError, match="rho = 1: 1024 terms of the series of a Custom function beside relu"
    ):
        fm.cross_cov(hardtanh, "relu", *arguments(POINTS["middle"], 1.0))


def test_parameters_broadcast_with_the_arrays():
    taus = np.array([0.5, 1.0, 2.0])
    given = arguments(POINTS["middle"], np.array([[0.5], [-0.875]]))
    for other in ("gelu", "sin", "tanh", fm.NPN(r=np.ones(3))):
        whole = fm.cross_cov(fm.Gaussian(taus), other, *given)
        assert whole.shape == (2, 3)
        for i, tau in enumerate(taus):
            one = fm.cross_cov(fm.Gaussian(float(tau)), other, *given)
            assert np.abs(whole[:, i] - np.ravel(one)[: 2 * 3 : one.size // 2]).max() <= 1e-15


@pytest.mark.parametrize(
    ("f", "g"), [("relu", "gelu"), (fm.Gaussian(np.array([1.0, 2.0])), "cos"), ("tanh", "sin")]
)
@pytest.mark.parametrize("batch", [(), (2,)])
def test_a_matrix_has_every_pair(f, g, batch):
    rng = np.random.default_rng(0)
    mu_1, mu_2 = rng.normal(size=(*batch, 2)), rng.normal(size=(*batch, 3))
    root = rng.normal(size=(*batch, 5, 5))
    full = root @ root.mT
    var = np.einsum("...ii->...i", full)
    given = mu_1, mu_2, var[..., :2], var[..., 2:], full[..., :2, 2:]
    got = cross_matrix(f, g, *given)
    assert got.shape == (*batch, 2, 3)
    for i in range(2):
        for j in range(3):
            own = fm.Gaussian(1.0 + i) if isinstance(f, fm.Gaussian) else f
            pair = mu_1[..., i], mu_2[..., j], var[..., i], var[..., 2 + j], full[..., i, 2 + j]
            assert np.abs(got[..., i, j] - fm.cross_cov(own, g, *pair)).max() <= 1e-14


@pytest.mark.parametrize(
    ("f", "g"), [("relu", "heaviside"), ("gelu", "npn"), ("sin", "npn_linear"), ("tanh", "abs")]
)
def test_odd_values(f, g):
    """Without variance 0, whatever cov_12 holds; nan for what no pair has, and for nan; empty arrays stay empty."""
    assert fm.cross_cov(f, g, 0.0, 0.5, 0.0, 1.0, 0.0) == 0.0
    assert fm.cross_cov(f, g, 0.0, 0.5, 1.0, 0.0, 0.75) == 0.0
    assert np.isnan(fm.cross_cov(f, g, 0.0, 0.5, 1.0, 1.0, 1.0 + 1e-12))
    assert np.isfinite(fm.cross_cov(f, g, 0.0, 0.5, 1.0, 1.0, 1.0 + 4e-16))
    for i in range(5):
        given = [0.25, 0.5, 1.0, 1.0, 0.5]
        given[i] = np.nan
        assert np.isnan(fm.cross_cov(f, g, *given)), i
    assert fm.cross_cov(f, g, np.zeros((0, 1)), 0.5, 1.0, 1.0, np.zeros(2)).shape == (0, 2)
    with pytest.raises(ValueError, match="var_2: it must hold variances >= 0"):
        fm.cross_cov(f, g, 0.0, 0.5, 1.0, -1.0, 0.5)


def test_what_is_refused():
    with pytest.raises(ValueError, match="expected one of relu"):
        fm.cross_cov("relu", "rel", 0.0, 0.0, 1.0, 1.0, 0.5)
    with pytest.raises(ValueError, match=r"broadcast together.* g.tau \(2,\)"):
        fm.cross_cov("relu", fm.Gaussian(np.ones(2)), np.zeros(3), 0.0, 1.0, 1.0, 0.5)
    with pytest.raises(TypeError, match=r"mu_1 is float64 but f\.tau is float32"):
        fm.cross_cov(fm.Gaussian(np.float32(1.0) * np.ones(2, np.float32)), "relu", np.zeros(2), 0.0, 1.0, 1.0, 0.5)
