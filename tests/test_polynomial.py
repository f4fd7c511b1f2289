"""Polynomials as activations, against a rule of quadrature that is exact for them."""

import numpy as np
import pytest
from numpy.polynomial.hermite_e import hermegauss
from numpy.polynomial.polynomial import polyval

import fastmoments as fm

WEIGHTS = {
    "square": (0.0, 0.0, 1.0),
    "cube": (0.0, 0.0, 0.0, 1.0),
    "sextic": (1.0, -0.5, 0.25, 0.0, 0.1, 0.0, 0.01),
}
POINT = np.array([0.4, -1.2]), np.array([[1.5, 0.6], [0.6, 0.8]])
RHOS = (0.3, 1.0, -1.0)


def pair(rho):
    """A Gaussian pair of this correlation, and nodes and weights that are exact up to degree 15."""
    mu, (var_1, var_2) = POINT[0], np.diag(POINT[1])
    z, w = hermegauss(8)
    z_1, z_2 = np.meshgrid(z, z, indexing="ij")
    x = mu[0] + np.sqrt(var_1) * z_1, mu[1] + np.sqrt(var_2) * (rho * z_1 + np.sqrt(1.0 - rho * rho) * z_2)
    return (*mu, var_1, var_2, rho * np.sqrt(var_1 * var_2)), x, np.outer(w, w) / (2.0 * np.pi)


@pytest.mark.parametrize("rho", RHOS)
@pytest.mark.parametrize("one", WEIGHTS)
@pytest.mark.parametrize("two", WEIGHTS)
def test_covariances(one, two, rho):
    arguments, (x_1, x_2), weight = pair(rho)
    f, g = polyval(x_1, WEIGHTS[one]), polyval(x_2, WEIGHTS[two])
    means = [(weight * h).sum() for h in (f, g)]
    truth = (weight * (f - means[0]) * (g - means[1])).sum()
    size = np.sqrt((weight * (f - means[0]) ** 2).sum() * (weight * (g - means[1]) ** 2).sum())
    found = fm.cross_cov(fm.Polynomial(WEIGHTS[one]), fm.Polynomial(WEIGHTS[two]), *arguments)
    assert abs(found - truth) <= 1e-13 * size
    if one == two:
        assert abs(fm.cov(fm.Polynomial(WEIGHTS[one]), *arguments) - truth) <= 1e-13 * size
        assert fm.mean(fm.Polynomial(WEIGHTS[one]), arguments[0], arguments[2]) == pytest.approx(
            means[0], rel=1e-13
        )


@pytest.mark.parametrize("name", WEIGHTS)
def test_derivatives_are_differences(name):
    """Central ones, whose error is 1e-10 and rounding 1e-11."""
    p, (arguments, *_) = fm.Polynomial(WEIGHTS[name]), pair(0.3)
    step = 1e-5
    for k, found in enumerate(fm.cov_partials(p, *arguments)):
        up, down = ([x + s * step * (i == k) for i, x in enumerate(arguments)] for s in (1.0, -1.0))
        assert found == pytest.approx((fm.cov(p, *up) - fm.cov(p, *down)) / (2.0 * step), rel=1e-7, abs=1e-7)
    mu, var = arguments[0], arguments[2]
    difference = (fm.gain(p, mu + step, var) - fm.gain(p, mu - step, var)) / (2.0 * step)
    assert fm.curvature(p, mu, var) == pytest.approx(difference, rel=1e-7)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_matrices(dtype):
    mean, cov = fm.moments(fm.Polynomial((0.0, 0.0, 1.0)), *(x.astype(dtype) for x in POINT))
    mu, full = POINT
    var = np.diag(full)
    np.testing.assert_allclose(mean, mu**2 + var, rtol=4 * np.finfo(dtype).eps)
    wanted = 4.0 * np.outer(mu, mu) * full + 2.0 * full**2
    sd = np.sqrt(np.diag(wanted))
    assert (np.abs(cov - wanted) <= 16 * np.finfo(dtype).eps * np.outer(sd, sd)).all()
    assert cov.dtype == dtype


def test_beside_a_kink():
    """Cov(X_1^2, relu(X_2)) by Stein's lemma, twice."""
    arguments, _, _ = pair(0.3)
    mu_1, mu_2, _, var_2, cov_12 = arguments
    found = fm.cross_cov(fm.Polynomial((0.0, 0.0, 1.0)), fm.ReLU(), *arguments)
    h = mu_2 / np.sqrt(var_2)
    density = np.exp(-0.5 * h * h) / np.sqrt(2.0 * np.pi * var_2)
    assert found == pytest.approx(2.0 * mu_1 * cov_12 * fm.relu_gain(mu_2, var_2) + cov_12**2 * density, rel=1e-13)


@pytest.mark.parametrize(
    "weights, error", [((), ValueError), ((1.0,), ValueError), (2.0, TypeError), (("x",), TypeError)]
)
def test_what_is_no_polynomial_is_refused(weights, error):
    with pytest.raises(error, match="weights"):
        fm.Polynomial(weights)
