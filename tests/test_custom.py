"""Activations without a closed form: within the tolerance of the definition's integrals, or an error."""

from functools import partial

import numpy as np
import pytest
from mpmath import mp
from scipy.special import expit

import fastmoments as fm
from fastmoments.compare import Residual
from fastmoments.elementwise import gain
from fastmoments.moments import moments_vjp
from tests.definitions import DEFINITIONS
from tests.derivatives import PARTIALS
from tests.test_inputs import gaussian

SMOOTH = {
    "tanh": np.tanh,
    "sigmoid": expit,
    "silu": lambda x: x * expit(x),
    "softplus": lambda x: np.log1p(np.exp(x)),
    "gelu_tanh": lambda x: x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
}
PAIRS = [(0.3, -0.5, 1.0, 0.5, 0.4), (-2.0, 1.0, 4.0, 0.25, -0.6), (0.0, 1.5, 2.0, 2.0, 1.9)]
TOL = 1e-10


def integrated(f, mu_1, mu_2, var_1, var_2, cov_12):
    """Means, variances, gains, covariance and partials by trapezoidal sums over two independent normals.

    Poles at a distance d from the line cause an error exp(-2 pi d / step); derivatives are the density's.
    """
    line = np.arange(-9.0, 9.0, 0.05)
    z = np.meshgrid(line, line, indexing="ij")
    weight = np.exp(-0.5 * (z[0] ** 2 + z[1] ** 2)) * 0.05**2 / (2 * np.pi)
    covariance = np.array([[var_1, cov_12], [cov_12, var_2]])
    x = np.einsum("ij,j...->i...", np.linalg.cholesky(covariance), np.array(z))
    precision = np.linalg.inv(covariance)
    score = np.einsum("ij,j...->i...", precision, x)
    one, two = f(mu_1 + x[0]), f(mu_2 + x[1])
    mean = lambda values: float(np.sum(weight * values))  # noqa: E731
    a, b = one - mean(one), two - mean(two)
    partials = (
        mean(a * b * score[0]),
        mean(a * b * score[1]),
        0.5 * mean(a * b * (score[0] ** 2 - precision[0, 0])),
        0.5 * mean(a * b * (score[1] ** 2 - precision[1, 1])),
        mean(a * b * (score[0] * score[1] - precision[0, 1])),
    )
    return {"mean": mean(one), "var": mean(a * a), "gain": mean(a * x[0]) / var_1, "cov": mean(a * b)} | dict(
        zip(PARTIALS, partials, strict=True)
    )


@pytest.mark.parametrize("name", SMOOTH)
def test_values_and_derivatives(name):
    columns = np.array(PAIRS).T
    found = dict(zip(PARTIALS, getattr(fm, f"{name}_cov_partials")(*columns), strict=True))
    found["cov"] = getattr(fm, f"{name}_cov")(*columns)
    found |= {kind: getattr(fm, f"{name}_{kind}")(columns[0], columns[2]) for kind in ("mean", "var", "gain")}
    assert np.array_equal(getattr(fm, f"{name}_marginals")(columns[0], columns[2]), (found["mean"], found["var"]))
    for i, inputs in enumerate(PAIRS):
        for key, want in integrated(SMOOTH[name], *inputs).items():
            # all are of order one
            assert abs(found[key][i] - want) <= TOL, (key, found[key][i], want)


@pytest.mark.parametrize("var", [10.0, 100.0])
@pytest.mark.parametrize("name", ["tanh", "silu"])
def test_gradient_of_a_variance_needs_no_series(name, var):
    """At standard deviations from three on, the series of a variance converges slowly or not at all."""
    z, mu, sd = np.arange(-12.0, 12.0, 0.005), 0.3, np.sqrt(var)
    weight = 0.005 * np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)
    a = SMOOTH[name](mu + sd * z)
    a = a - np.sum(weight * a)
    want = np.sum(weight * a * a * z) / sd, 0.5 * np.sum(weight * a * a * (z * z - 1.0)) / var
    found = getattr(fm, f"{name}_moments_vjp")([mu], [[var]], [0.0], [[1.0]])
    np.testing.assert_allclose([found.mu_bar[0], found.cov_bar[0, 0]], want, rtol=10 * TOL)


def test_derivatives_of_wide_pairs_and_those_that_are_0():
    pair = (0.3, -0.5, 10.0, 8.0, 4.0)
    want, found = integrated(np.tanh, *pair), fm.tanh_cov_partials(*pair)
    for key, got in zip(PARTIALS, found, strict=True):
        assert abs(got - want[key]) <= TOL, (key, got, want[key])
    # tanh is odd: derivatives along the means are 0 up to rounding
    odd = fm.tanh_cov_partials(0.0, 0.0, 1.0, 1.0, -1.0)
    assert abs(odd.d_mu_1) <= TOL and odd.d_cov_12 > 0.1


@pytest.mark.parametrize("var", [9.0, 16.0, 25.0, 100.0])
def test_a_function_may_grow(var):
    """exp has closed forms: mean exp(v / 2), covariance exp(v) (exp(c) - 1)."""
    found = fm.moments(fm.Custom(np.exp), [0.0, 0.0], [[var, 0.5 * var], [0.5 * var, var]])
    sd = np.sqrt(np.exp(var) * np.expm1(var))
    np.testing.assert_allclose(found.mean, np.exp(0.5 * var), rtol=0, atol=TOL * sd)
    np.testing.assert_allclose(found.cov[0], np.exp(var) * np.expm1([var, 0.5 * var]), rtol=0, atol=TOL * sd**2)


def test_squares_may_underflow():
    for mu in (-300.0, -400.0, -700.0):
        np.testing.assert_allclose(fm.sigmoid_mean(mu, 1.0), np.exp(mu + 0.5), rtol=TOL)


def test_agrees_with_closed_forms():
    """A function of the catalogue, passed as Custom, has the moments of its closed form."""
    mu, cov = gaussian(40)
    gelu_like = fm.Custom(lambda x: np.maximum(x, 0.0), tol=1e-6, kinks=(0.0,))
    found, expected = fm.moments(gelu_like, mu, cov), fm.relu_moments(mu, cov)
    sd = np.sqrt(np.diag(expected.cov))
    assert np.all(np.abs(found.mean - expected.mean) <= 1e-6 * sd)
    assert np.all(np.abs(found.cov - expected.cov) <= 1e-6 * sd[:, None] * sd)
    assert np.array_equal(found.cov, found.cov.T)
    got, want = (fm.moments(f, mu, cov) for f in ("tanh", fm.Custom(np.tanh)))
    assert all(np.abs(a - b).max() <= TOL for a, b in zip(got, want, strict=True))


@pytest.mark.parametrize("name", SMOOTH)
def test_gradient_is_that_of_the_moments(name):
    mu, cov = gaussian(4)
    mean_bar, cov_bar = np.cos(np.arange(4.0)), np.cos(np.add.outer(np.arange(4.0), np.arange(4.0)))
    moments = getattr(fm, f"{name}_moments")
    total = lambda *x: sum(np.sum(a * b) for a, b in zip(moments(*x), (mean_bar, cov_bar), strict=True))  # noqa: E731
    mu_bar, cov_in_bar = getattr(fm, f"{name}_moments_vjp")(mu, cov, mean_bar, cov_bar)
    step = 1e-4
    along_mu = np.sin(np.arange(1.0, 5.0))
    along_cov = np.outer(along_mu, along_mu)
    forward, backward = (total(mu + s * along_mu, cov + s * along_cov) for s in (step, -step))
    slope = np.sum(along_mu * mu_bar) + np.sum(along_cov * cov_in_bar)
    # a central difference: step^2 times a third derivative of order one
    assert abs((forward - backward) / (2 * step) - slope) <= 10 * step**2


@pytest.mark.parametrize("mu", [0.0, 0.7, -3.0, 20.0])
@pytest.mark.parametrize("name", SMOOTH)
def test_derivatives_without_variance(name, mu):
    """Derivatives are f' and f'' of the definition to 50 digits, for one neuron and for one beside another."""
    with mp.workdps(50):
        slope, bend = (float(mp.diff(DEFINITIONS[name], mp.mpf(mu), order)) for order in (1, 2))
    other = integrated(SMOOTH[name], -0.5, 0.0, 0.5, 1.0, 0.0)["gain"]
    found = [getattr(fm, f"{name}_gain")(mu, 0.0)]
    wanted = [slope]
    found += getattr(fm, f"{name}_cov_partials")(mu, -0.5, 0.0, 0.5, 0.0)[::2]
    wanted += [0.0, 0.0, slope * other]
    mean_bar, cov_bar = [0.5, 0.0], [[0.25, 0.125], [0.125, 0.0]]
    mu_bar, cov_in_bar = getattr(fm, f"{name}_moments_vjp")([mu, -0.5], np.diag([0.0, 0.5]), mean_bar, cov_bar)
    found += [mu_bar[0], cov_in_bar[0, 0], cov_in_bar[0, 1]]
    wanted += [0.5 * slope, 0.5 * bend / 2 + 0.25 * slope**2, 0.125 * slope * other]
    # all are of order one
    assert np.abs(np.array(found) - wanted).max() <= TOL


def test_slopes_on_kinks():
    elu = lambda x: np.where(x > 0.0, x, np.expm1(np.minimum(x, 0.0)))  # noqa: E731
    bent = fm.Custom(lambda x: np.where(x > 1.0, 3.0 * x - 2.0, x**2), kinks=(1.0,))
    slope = partial(gain, var=0.0)
    assert abs(slope(fm.Custom(elu, kinks=(0.0,)), 0.0) - 1.0) <= TOL
    assert np.abs(slope(bent, [0.5, 1.0, 1.0 + 1e-6, 2.0]) - [1.0, 2.5, 3.0, 3.0]).max() <= TOL
    assert abs(slope(fm.Custom(lambda x: np.maximum(x, 0.0)), 0.0) - 0.5) <= TOL
    jump = fm.Custom(np.sign, kinks=(0.0,))
    assert np.isnan(slope(jump, 0.0)) and slope(jump, 1e-3) == 0.0
    # a weight of 0 gives a gradient of 0 where the derivative does not exist
    mu_bar, cov_bar = moments_vjp(bent, [1.0, 0.5], np.zeros((2, 2)), [0.0, 1.0], np.zeros((2, 2)))
    assert np.abs(mu_bar - [0.0, 1.0]).max() <= TOL and np.abs(np.diag(cov_bar) - [0.0, 1.0]).max() <= TOL
    assert np.isnan(moments_vjp(bent, [1.0], np.zeros((1, 1)), [1.0], np.zeros((1, 1))).cov_bar).all()


def test_the_network_is_linearised_by_slopes():
    result = fm.compare.linearise([Residual("tanh", [[1.0]])], np.array([0.7]), np.array([[0.25]]))
    assert abs(result.cov[0, 0] - 0.25 / np.cosh(0.7) ** 4) <= TOL


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_covariance_with_a_constant(bad):
    cov = np.array([[1.0, 0.2, bad], [0.2, 1.0, bad], [bad, bad, 0.0]])
    found = fm.tanh_moments([0.1, 0.2, 0.3], cov).cov
    assert (found[2] == 0.0).all() and np.isfinite(found).all()
    found = fm.tanh_moments([0.1, 0.2, np.nan], np.diag([1.0, 1.0, 0.0])).cov
    assert np.isnan(found[2]).all() and np.isfinite(found[:2, :2]).all()
    assert fm.tanh_cov(0.1, 0.3, 1.0, 0.0, bad) == 0.0


def test_zero_variance_nan_and_float32():
    mu, var = np.array([0.5, np.nan, 0.5, 0.5], np.float32), np.array([0.0, 1.0, np.nan, 1.0], np.float32)
    mean, spread = fm.tanh_marginals(mu, var)
    assert mean.dtype == np.float32 and mean[0] == pytest.approx(np.tanh(0.5), rel=2e-7) and spread[0] == 0.0
    assert np.isnan(mean[1:3]).all() and np.isnan(spread[1:3]).all() and np.isfinite([mean[3], spread[3]]).all()
    cov = np.array([[1.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 0.0]], np.float32)
    found = fm.tanh_moments(np.array([0.1, np.nan, 0.3], np.float32), cov)
    assert np.isnan(found.cov[1]).all() or np.isnan(found.cov[1, :2]).all()
    assert found.cov[2, 2] == 0.0 and found.cov[0, 2] == 0.0 and np.isfinite(found.cov[0, 0])
    assert fm.tanh_moments(np.zeros((2, 0)), np.zeros((2, 0, 0))).cov.shape == (2, 0, 0)


def test_what_cannot_be_met_is_said():
    sign, broken = fm.Custom(np.sign), fm.Custom(np.sign, kinks=(0.0,))
    with pytest.raises(fm.ToleranceError, match="tol: 1e-10 cannot be met at mu = 0.3, var = 2.*kinks"):
        fm.marginals(sign, 0.3, 2.0)
    with pytest.raises(fm.ToleranceError, match="neurons 0 and 1 .rho = 0.999.*1024 terms"):
        fm.moments(broken, [0.0, 0.0], [[1.0, 0.999], [0.999, 1.0]])
    # asin(rho) 2 / pi
    assert abs(fm.moments(broken, [0.0, 0.0], [[1.0, 0.5], [0.5, 1.0]]).cov[0, 1] - 1 / 3) < 1e-10
    with pytest.raises(ValueError, match="function: expected one value per element"):
        fm.marginals(fm.Custom(np.sum), 0.0, 1.0)
    with pytest.raises(ValueError, match="tol: expected a number between 0 and 1"):
        fm.Custom(np.tanh, tol=0.0)
    with pytest.raises(TypeError, match="kinks: expected a tuple of numbers, got 1.0"):
        fm.Custom(np.abs, kinks=1.0)
    with pytest.raises(ValueError, match="kinks: expected finite numbers"):
        fm.Custom(np.abs, kinks=(np.nan,))
    assert hash(fm.Custom(np.abs, kinks=[0])) == hash(fm.Custom(np.abs, kinks=(0.0,)))
    assert type(fm.tanh_mean(0.0, 1.0)) is np.float64
    with pytest.raises(TypeError, match="out: functions of activations without a closed form are no ufuncs"):
        fm.gelu_tanh_mean(np.zeros(2), 1.0, out=np.zeros(2))


@pytest.mark.feature("PyTorch", "fm.Custom")
def test_torch():
    torch = pytest.importorskip("torch")
    mu, cov = (torch.from_numpy(x).requires_grad_() for x in gaussian(3))
    mean, out = fm.gelu_tanh_moments(mu, cov)
    (mean.sum() + out.sum()).backward()
    arrays = mu.detach().numpy(), cov.detach().numpy()
    expected = fm.gelu_tanh_moments_vjp(*arrays, np.ones(3), np.ones((3, 3)))
    assert np.array_equal(out.detach().numpy(), fm.gelu_tanh_moments(*arrays).cov)
    # symmetrising cov, which is symmetric, changes no bit
    assert np.array_equal(mu.grad.numpy(), expected.mu_bar) and np.array_equal(cov.grad.numpy(), expected.cov_bar)
    leaves = mu.detach().requires_grad_(), cov.diagonal().detach().requires_grad_()
    assert torch.autograd.gradcheck(fm.gelu_tanh_mean, leaves)
    with pytest.raises(NotImplementedError, match="first derivatives only"):
        torch.autograd.functional.hessian(lambda m: fm.gelu_tanh_moments(m, cov.detach()).cov.sum(), mu.detach())


def test_ready_made_are_found_by_name():
    assert fm.marginals("sigmoid", 0.0, 3.0).mean == pytest.approx(0.5, abs=1e-12)
    assert "by quadrature to 1e-10" in fm.gelu_tanh_moments.__doc__
    assert "in closed form to 1e-10" in fm.sigmoid_moments.__doc__
