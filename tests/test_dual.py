"""Dual activations against published kernels and integrals of the definition, on every library, and derivatives."""

import mpmath
import numpy as np
import pytest

import fastmoments as fm

VARS_1, VARS_2 = np.array([1.3, 0.5, 4.0, 1e-6, 2.0, 1.0]), np.array([0.7, 0.5, 1.0, 1e4, 2.0, 3.0])
RHOS = np.array([0.4, -0.9, 0.99, 0.2, 0.0, -0.3])
COVS = RHOS * np.sqrt(VARS_1 * VARS_2)
EPS = np.finfo(np.float64).eps


def arc_cosine(order, var_1, var_2, cov_12):
    """Half of the arc-cosine kernels: E of two steps for order 0, of two ramps for order 1 (Cho & Saul, eq. 1)."""
    with mpmath.workdps(40):
        v, w, c = map(mpmath.mpf, (var_1, var_2, cov_12))
        theta = mpmath.acos(c / mpmath.sqrt(v * w))
        if order == 0:
            return float((mpmath.pi - theta) / (2 * mpmath.pi))
        angular = mpmath.sin(theta) + (mpmath.pi - theta) * mpmath.cos(theta)
        return float(mpmath.sqrt(v * w) * angular / (2 * mpmath.pi))


def williams(var_1, var_2, cov_12):
    """E erf(X_1) erf(X_2) (Williams, eq. 11), and its derivative along cov_12."""
    scale = np.sqrt((1 + 2 * var_1) * (1 + 2 * var_2))
    return 2 / np.pi * np.arcsin(2 * cov_12 / scale), 4 / np.pi / np.sqrt(scale**2 - 4 * cov_12**2)


def check_relu(found, tol):
    triples = list(zip(VARS_1, VARS_2, COVS, strict=True))
    values, slopes = (np.array([arc_cosine(order, *x) for x in triples]) for order in (1, 0))
    scale = np.sqrt(VARS_1 * VARS_2)
    np.testing.assert_array_less(np.abs(np.asarray(found.value, float) - values), tol * scale)
    np.testing.assert_array_less(np.abs(np.asarray(found.slope, float) - slopes), tol)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_relu_has_the_arc_cosine_kernels(dtype):
    found = fm.dual("relu", VARS_1.astype(dtype), VARS_2.astype(dtype), COVS.astype(dtype))
    assert found.value.dtype == found.slope.dtype == dtype
    # rounding of rho = 0.99 is felt by its angle
    check_relu(found, 32 * np.finfo(dtype).eps)


def test_erf_is_williams():
    value, slope = williams(VARS_1, VARS_2, COVS)
    found = fm.dual(fm.Erf(), VARS_1, VARS_2, COVS)
    np.testing.assert_allclose(found.value, value, rtol=32 * EPS)
    np.testing.assert_allclose(found.slope, slope, rtol=32 * EPS)


def test_each_neuron_has_its_own_parameters():
    """E sin(2 X_1) sin(X_2 / 2) = exp(-(4 var_1 + var_2 / 4) / 2) sinh(cov_12), by characteristic functions."""
    keep = VARS_2 < 10
    v, w, c = VARS_1[keep], VARS_2[keep], COVS[keep]
    found = fm.dual(fm.Sin(omega=(2.0, 0.5)), v, w, c)
    decay = np.exp(-(4 * v + w / 4) / 2)
    np.testing.assert_allclose(found.value, decay * np.sinh(c), rtol=64 * EPS)
    np.testing.assert_allclose(found.slope, decay * np.cosh(c), rtol=64 * EPS)


def test_an_activation_with_a_mean_is_its_integral():
    """Gelu, whose mean is not 0, by 60 x 60 Gauss-Hermite points."""
    z, weights = np.polynomial.hermite_e.hermegauss(60)
    weights = weights / weights.sum()
    var_1, var_2, rho = 0.8, 0.5, 0.6
    x = np.sqrt(var_1) * z[:, None] + 0.0 * z
    y = np.sqrt(var_2) * (rho * z[:, None] + np.sqrt(1 - rho**2) * z)
    exact = []
    for f in (lambda x: x * mpmath.ncdf(x), lambda x: mpmath.ncdf(x) + x * mpmath.npdf(x)):
        one, two = (np.vectorize(lambda x, f=f: float(f(x)))(points) for points in (x, y))
        exact.append(weights @ (one * two) @ weights)
    found = fm.dual("gelu", var_1, var_2, rho * np.sqrt(var_1 * var_2))
    np.testing.assert_allclose(found, exact, rtol=1e-11)


def test_a_step_has_an_infinite_slope_beside_itself():
    """E delta(X_1) delta(X_2) is the density at 0."""
    found = fm.dual("heaviside", 2.0, 0.5, [0.6, 1.0, -1.0, 0.0])
    density = 1 / (2 * np.pi * np.sqrt(1 - np.array([0.6, 0.0]) ** 2))
    np.testing.assert_allclose(found.slope, [density[0], np.inf, np.inf, density[1]], rtol=8 * EPS)
    np.testing.assert_allclose(found.value[:2], [arc_cosine(0, 2.0, 0.5, 0.6), 0.5], rtol=8 * EPS)
    # scales of which products underflow
    assert fm.dual("heaviside", 1e-200, 1e-200, 0.0).slope == pytest.approx(1e200 / (2 * np.pi), rel=1e-14)


def test_jumps_apart_leave_a_finite_slope():
    """A jump at 1 with rho = -1, or with other variances, meets no other; at rho = 1 it meets itself."""
    activation = fm.Threshold(1.0, 0.0)
    finite, infinite = fm.dual(activation, 1.0, 1.0, -1.0), fm.dual(activation, 1.0, 1.0, 1.0)
    assert np.isfinite(finite.slope)
    assert infinite.slope == np.inf
    assert np.isfinite(fm.dual(activation, 1.0, 4.0, 2.0).slope)
    # an odd pair of jumps meets at rho = -1, with heights of one sign
    assert fm.dual(fm.HardShrink(0.5), 1.0, 1.0, -1.0).slope == np.inf
    # without variance both are away from the jumps, where the slope is 0
    assert fm.dual(fm.HardShrink(0.5), 0.0, 0.0, 0.0).slope == 0.0


def test_arrays_broadcast_and_numbers_take_their_dtype():
    found = fm.dual("relu", np.float32([[1.0], [2.0]]), 1.0, np.float32([0.1, 0.2, 0.3]))
    assert found.value.shape == found.slope.shape == (2, 3)
    assert found.value.dtype == np.float32
    assert fm.dual("relu", np.ones(2, int), 1, 0).value.dtype == np.float64
    half = fm.dual("relu", np.ones(1, np.float16), 1.0, 0.5)
    assert half.value.dtype == np.float16
    np.testing.assert_array_equal(half.value, np.float16(arc_cosine(1, 1.0, 1.0, 0.5)))


def test_extremes():
    """No variance, an impossible pair, nan in one place, inputs that are kept."""
    given = [np.array([0.0, 1.0, np.nan, 1e-300, 1e300]), np.array([1.0, 1.0, 1.0, 1e-300, 1e300])]
    covs = np.array([0.0, 1.5, 0.1, 0.5e-300, 0.5e300])
    before = [x.copy() for x in (*given, covs)]
    value, slope = fm.dual("relu", *given, covs)
    assert np.isnan([value[1], value[2], slope[1], slope[2]]).all()
    assert (value[0], slope[0]) == (0.0, 0.25)
    scaled = value[3:] / np.array([1e-300, 1e300])
    np.testing.assert_allclose(scaled, arc_cosine(1, 1.0, 1.0, 0.5), rtol=16 * EPS)
    for array, copy in zip((*given, covs), before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match="var_1: it must hold variances >= 0"):
        fm.dual("relu", -1.0, 1.0, 0.0)
    with pytest.raises(ValueError, match="broadcast"):
        fm.dual("relu", np.ones(2), np.ones(3), 0.0)
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match="var_1 is from numpy but var_2 is from torch"):
        fm.dual("relu", np.ones(2), torch.ones(2), 0.0)


def test_torch(double_precision):
    torch = pytest.importorskip("torch")
    found = fm.dual("relu", *map(torch.as_tensor, (VARS_1, VARS_2, COVS)))
    assert isinstance(found.value, torch.Tensor)
    check_relu(found, 32 * EPS)


def test_dask(synchronous):
    da = pytest.importorskip("dask.array")
    found = fm.dual("relu", *(da.from_array(x, chunks=2) for x in (VARS_1, VARS_2, COVS)))
    check_relu(fm.Dual(*(x.compute() for x in found)), 32 * EPS)
    step = fm.dual("heaviside", da.ones(3, chunks=2), 1.0, da.from_array(np.array([1.0, 0.5, 0.0]), chunks=2))
    np.testing.assert_array_equal(np.isinf(step.slope.compute()), [True, False, False])


@pytest.mark.slow
def test_jax(jax_double_precision):
    jax = pytest.importorskip("jax")
    check_relu(fm.dual("relu", *map(jax.numpy.asarray, (VARS_1, VARS_2, COVS))), 32 * EPS)
    along = jax.grad(lambda v: sum(fm.dual("relu", v, v, v)))(1.3)
    assert along == pytest.approx(0.5, abs=EPS)


def test_a_pair_that_is_one_has_derivatives(double_precision):
    """E relu^2 = v / 2 and E relu'^2 = 1 / 2; E clip^2' = P(|X| < 1), whose own is by the density's."""
    torch = pytest.importorskip("torch")
    v = torch.tensor(1.3, requires_grad=True)
    density = float(np.exp(-0.5 / 1.3) / np.sqrt(2 * np.pi * 1.3))
    inside = 1.0 - 2.0 * float(mpmath.ncdf(-1 / mpmath.sqrt(1.3)))
    # E clip(X)^2 grows along v with E (clip^2)'' / 2, whose deltas are at the kinks
    of_value = inside - 2.0 * density
    for activation, slopes in (("relu", (0.5, 0.0)), (fm.HardTanh(), (of_value, -density / 1.3))):
        found = fm.dual(activation, v, v, v)
        got = [torch.autograd.grad(x, v)[0].item() for x in found]
        np.testing.assert_allclose(got, slopes, atol=1e-14)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_derivatives_beside_a_duplicate(sign, double_precision):
    """E relu(X_1) relu(X_2) beside a copy, and beside the opposite: (0, 0, 1/2) and 0, by Cho & Saul's J_1."""
    torch = pytest.importorskip("torch")
    given = [torch.tensor(x, requires_grad=True) for x in (1.3, 1.3, 1.3 * sign)]
    got = torch.autograd.grad(fm.dual("relu", *given).value, given)
    np.testing.assert_allclose([x.item() for x in got], [0.0, 0.0, 0.5 * (sign > 0)], atol=4 * EPS)


def published_kernels(x, value_and_slope, depth, weight_var, bias_var):
    """The recursion of Lee et al. (2018) and Jacot et al. (2018) on published dual activations, pair by pair."""
    nngp = weight_var * x @ x.T / x.shape[1] + bias_var
    ntk = nngp.copy()
    for _ in range(depth):
        v, w = np.broadcast_arrays(np.diag(nngp)[:, None], np.diag(nngp)[None])
        value, slope = value_and_slope(v, w, nngp)
        nngp = weight_var * value + bias_var
        ntk = nngp + weight_var * slope * ntk
    return nngp, ntk


def cho_saul(v, w, c):
    return [np.vectorize(lambda *x, order=order: arc_cosine(order, *x))(v, w, c) for order in (1, 0)]


@pytest.mark.parametrize(("activation", "published"), [("relu", cho_saul), ("erf", williams)])
def test_the_example_has_the_published_kernels(activation, published, double_precision, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.syspath_prepend("examples")
    import neural_kernels

    x = np.random.default_rng(0).standard_normal((4, 3))
    exact = published_kernels(x, published, 3, 1.7, 0.1)
    for given in (x, torch.as_tensor(x)):
        found = neural_kernels.kernels(given, activation, 3, 1.7, 0.1)
        # an angle near 0 feels rounding of rho like its root; the points are apart
        np.testing.assert_allclose(np.array([np.asarray(k) for k in found]), exact, rtol=1e-13)


def test_the_example_is_differentiable_on_its_diagonal(monkeypatch, one_thread):
    """Without biases and with weight_var = 2 the NTK beside itself is (depth + 1) 2 |x|^2 / features."""
    pytest.importorskip("torch")
    monkeypatch.syspath_prepend("examples")
    import neural_kernels

    x, found, gradient = neural_kernels.on_torch()
    assert found.ntk.diagonal().numpy() == pytest.approx(4.0, abs=64 * EPS)
    np.testing.assert_allclose(gradient.numpy(), 8.0 * x.numpy(), atol=1e-13)


@pytest.mark.slow
def test_the_example_on_jax_is_that_on_torch(monkeypatch):
    pytest.importorskip("jax")
    pytest.importorskip("torch")
    monkeypatch.syspath_prepend("examples")
    import neural_kernels

    (x, found, _), (y, also) = neural_kernels.on_torch(), neural_kernels.on_jax()
    for one, two in zip((x, *found), (y, *also), strict=True):
        np.testing.assert_allclose(np.asarray(one), np.asarray(two), atol=1e-13)
