"""Activations that are sums of others, against integrals of the definition."""

import numpy as np
import pytest
from mpmath import mp, mpf
from scipy.special import ndtr

import fastmoments as fm
from tests.pair_integrals import REGULAR, nodes

SCALE, ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717


def exponential(x):
    return np.expm1(np.minimum(x, 0.0))


# the activation, its definition and where that breaks
FUNCTIONS = {
    "hardtanh": (fm.HardTanh(), lambda x: np.clip(x, -1.0, 1.0), (-1.0, 1.0)),
    "from": (fm.HardTanh(-0.5, None), lambda x: np.maximum(x, -0.5), (-0.5,)),
    "to": (fm.HardTanh(None, 0.75), lambda x: np.minimum(x, 0.75), (0.75,)),
    "relu6": (fm.ReLU6(), lambda x: np.clip(x, 0.0, 6.0), (0.0, 6.0)),
    "hardsigmoid": (fm.HardSigmoid(), lambda x: np.clip(x / 6.0 + 0.5, 0.0, 1.0), (-3.0, 3.0)),
    "softshrink": (fm.SoftShrink(), lambda x: x - np.clip(x, -0.5, 0.5), (-0.5, 0.5)),
    "hardshrink": (fm.HardShrink(), lambda x: np.where(np.abs(x) > 0.5, x, 0.0), (-0.5, 0.5)),
    "threshold": (fm.Threshold(0.25, -1.0), lambda x: np.where(x > 0.25, x, -1.0), (0.25,)),
    "piecewise": (
        fm.Piecewise((-1.0, 0.0, 2.0), (1.0, -2.0, 0.5, 3.0), (0.0, 1.0, -0.5), 0.25),
        lambda x: np.select(
            [x < -1.0, x < 0.0, x < 2.0], [x + 1.25, -1.75 - 2.0 * x, 0.5 * x - 0.75], 3.0 * x - 6.25
        ),
        (-1.0, 0.0, 2.0),
    ),
    "elu": (fm.ELU(0.75), lambda x: np.where(x > 0.0, x, 0.75 * exponential(x)), (0.0,)),
    "selu": (fm.SELU(), lambda x: SCALE * np.where(x > 0.0, x, ALPHA * exponential(x)), (0.0,)),
    "celu": (fm.CELU(0.5), lambda x: np.where(x > 0.0, x, 0.5 * exponential(2.0 * x)), (0.0,)),
    "exp": (fm.Exp(), np.exp, ()),
}
OTHERS = {
    "relu": (fm.ReLU(), lambda x: np.maximum(x, 0.0), (0.0,)),
    "gelu": (fm.GELU(), lambda x: x * ndtr(x), ()),
    "step": (fm.Heaviside(), lambda x: np.heaviside(x, 0.5), (0.0,)),
    "gaussian": (fm.Gaussian(1.5, 0.25), lambda x: np.exp(-0.75 * (x - 0.25) ** 2), ()),
}
# mu_1, mu_2, sd_1, sd_2
POINTS = {
    "middle": (0.5, -0.25, 1.0, 1.5),
    "tail": (4.0, 0.5, 0.75, 0.5),
    "low": (-3.0, -1.5, 0.5, 1.0),
    "narrow": (0.0625, -0.03125, 2.0**-5, 2.0**-6),
    "one narrow": (0.0078125, 0.5, 2.0**-7, 1.0),
}
FLAT = 1e-25  # what nodes up to 12 sds leave out where a kink lies beyond
RHOS = (-1.0, -0.5, 0.875, 1.0 - 2.0**-10, 1.0)


def integral(f, g, point, rho):
    """Cov(f(X_1), g(X_2)), of f less f(mu_1) and g less g(mu_2), Var f(X_1) and Var g(X_2)."""
    mu_1, mu_2, sd_1, sd_2 = point
    left = np.sqrt((1.0 - rho) * (1.0 + rho))
    breaks = [(x - mu_1) / sd_1 for x in f[2]]
    steep = [(x - mu_2) / sd_2 / rho + left * np.linspace(-8.0, 8.0, 9) / rho for x in g[2]]
    z, w = nodes(np.concatenate([REGULAR, breaks, *steep]))
    e, u = np.zeros((z.size, 1)), np.ones((z.size, 1))
    if left > 0.0:
        kinks = [((x - mu_2) / sd_2 - rho * z)[:, None] / left for x in g[2]]
        e, u = nodes(np.concatenate([np.broadcast_to(REGULAR[::2], (z.size, 7)), *kinks], axis=1))
    values = f[1](mu_1 + sd_1 * z) - f[1](np.float64(mu_1))
    others = g[1](mu_2 + sd_2 * (rho * z[:, None] + left * e)) - g[1](np.float64(mu_2))
    given = np.einsum("ij,ij->i", u, others)
    var_g = w @ np.einsum("ij,ij->i", u, others**2) - (w @ given) ** 2
    return (values * w) @ (given - w @ given), (values**2) @ w - (values @ w) ** 2, var_g


def arguments(point, rho, dtype=np.float64):
    mu_1, mu_2, sd_1, sd_2 = map(dtype, point)
    return mu_1, mu_2, sd_1 * sd_1, sd_2 * sd_2, dtype(rho * sd_1 * sd_2)


@pytest.mark.parametrize("where", POINTS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_covariances_are_integrals(name, where):
    f = FUNCTIONS[name]
    for rho in RHOS:
        exact, var_1, var_2 = integral(f, f, POINTS[where], rho)
        for dtype, tol in ((np.float64, 1e-12), (np.float32, 64 * np.finfo(np.float32).eps)):
            got = fm.cov(f[0], *arguments(POINTS[where], rho, dtype))
            assert got.dtype == dtype
            assert abs(got - exact) <= tol * np.sqrt(var_1 * var_2) + FLAT, (rho, dtype)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_neurons_are_integrals(name):
    """Mean, variance, and derivatives of the mean by the scores of the density: E f (x - mu) / var ..."""
    activation, f, breaks = FUNCTIONS[name]
    for mu, sd in [(0.5, 1.0), (-2.0, 0.5), (0.0625, 2.0**-6), (3.0, 2.0)]:
        z, w = nodes(np.concatenate([REGULAR, [(x - mu) / sd for x in breaks]]))
        at_mu = float(f(np.float64(mu)))
        values = f(mu + sd * z) - at_mu
        spread = np.sqrt(w @ values**2 - (w @ values) ** 2)
        assert abs(fm.mean(activation, mu, sd**2) - (w @ values + at_mu)) <= 1e-13 * (spread + abs(at_mu)) + FLAT
        assert fm.var(activation, mu, sd**2) == pytest.approx(spread**2, rel=1e-12, abs=FLAT)
        assert abs(fm.gain(activation, mu, sd**2) - w @ (values * z) / sd) <= 1e-12 * spread / sd + FLAT
        bend = w @ (values * (z * z - 1.0)) / sd**2
        assert abs(fm.curvature(activation, mu, sd**2) - bend) <= 1e-12 * spread / sd**2 + FLAT
        np.testing.assert_array_equal(fm.marginals(activation, mu, sd**2).var, fm.var(activation, mu, sd**2))


@pytest.mark.parametrize("name", ["elu", "selu", "celu"])
def test_multiples_of_one_input(name):
    # the conditions X_1 > 0 and s X_1 > 0 are one, whatever rounding makes of the pair
    activation, function, _ = FUNCTIONS[name]
    rng = np.random.default_rng(8)
    mu, sd, s = rng.normal(size=60), np.exp(0.5 * rng.normal(size=60)), np.resize([3.0, 0.7, -0.3, 2.1, 1.0], 60)
    beyond = np.resize([1.0, 1.0 + 2**-52, 1.0 - 2**-53], 60)
    z, w = np.polynomial.legendre.leggauss(40)
    knot = np.clip(-mu / sd, -10.0, 10.0)[:, None]
    ends = np.sort(np.concatenate([np.tile(np.linspace(-10.0, 10.0, 9), (60, 1)), knot], 1), 1)
    half = 0.5 * np.diff(ends)[..., None]
    x = (ends[:, :-1, None] + half * (z + 1.0)).reshape(60, -1)
    w = (half * w).reshape(60, -1) * np.exp(-0.5 * x * x) / np.sqrt(2.0 * np.pi)
    values = [function(factor[:, None] * (mu[:, None] + sd[:, None] * x)) for factor in (np.ones(60), s)]
    one, two = (y - (w * y).sum(1)[:, None] for y in values)
    want, scale = (w * one * two).sum(1), np.sqrt((w * one * one).sum(1) * (w * two * two).sum(1))
    given = mu, s * mu, sd * sd, s * s * sd * sd, s * sd * sd * beyond
    # the root of a rounding error is left
    np.testing.assert_array_less(np.abs(fm.cov(activation, *given) - want) / scale, 1e-6)


def test_the_curvature_of_the_catalogue():
    z, w = nodes(np.append(REGULAR, -0.5))
    for activation, f in (
        ("relu", OTHERS["relu"][1]),
        (fm.GELU(), OTHERS["gelu"][1]),
        (fm.Custom(np.tanh), np.tanh),
    ):
        bend = w @ (f(0.5 + z) * (z * z - 1.0))
        assert fm.curvature(activation, 0.5, 1.0) == pytest.approx(bend, abs=1e-10)


def test_saturated_neurons_keep_their_digits():
    """Var = E (1 - f)^2 - (E (1 - f))^2, all of which lies 12.7 sds from the mean."""
    with mp.workdps(60):
        mu, sd = mpf(20), mpf(3) / 2

        def tail(power):
            ends = sorted([mpf(-1), *(1 - sd * k / 2 for k in range(31))])
            return mp.quad(lambda x: (1 - max(x, -1)) ** power * mp.npdf(x, mu, sd), ends)

        exact = tail(2) - tail(1) ** 2
    assert 1e-39 < exact < 1e-37
    assert fm.var(fm.HardTanh(), 20.0, 2.25) == pytest.approx(float(exact), rel=1e-12, abs=0.0)
    assert fm.moments(fm.HardTanh(), [20.0], [[2.25]]).cov[0, 0] == pytest.approx(float(exact), rel=1e-12, abs=0.0)


def difference(function, at, direction, h=1e-4):
    """The derivative along a direction by central differences of fourth order."""
    values = [function(*(x + s * d for x, d in zip(at, direction, strict=True))) for s in (-2 * h, -h, h, 2 * h)]
    return (values[0] - 8.0 * values[1] + 8.0 * values[2] - values[3]) / (12.0 * h)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_derivatives_are_differences(name):
    activation, rng = FUNCTIONS[name][0], np.random.default_rng(0)
    at = [np.array(x) for x in (0.4, -0.3, 1.2, 0.8, -0.5)]
    partials = fm.cov_partials(activation, *at)
    for i, slope in enumerate(partials):
        direction = [float(i == j) for j in range(5)]
        assert difference(lambda *x: fm.cov(activation, *x), at, direction) == pytest.approx(slope, abs=1e-9)
    root, mean_bar, bar = rng.normal(size=(3, 5)), rng.normal(size=3), rng.normal(size=(3, 3))
    mu, cov, bar = rng.normal(size=3), root @ root.T / 4.0, bar + bar.T
    found = fm.moments_vjp(activation, mu, cov, mean_bar, bar)
    along = rng.normal(size=3), rng.normal(size=(3, 3))
    along = along[0], along[1] + along[1].T

    def weighed(mu, cov):
        mean, full = fm.moments(activation, mu, cov)
        return mean_bar @ mean + (bar * full).sum()

    expected = found.mu_bar @ along[0] + (found.cov_bar * along[1]).sum()
    assert difference(weighed, (mu, cov), along) == pytest.approx(expected, rel=1e-8, abs=1e-8)
    np.testing.assert_array_equal(found.cov_bar, found.cov_bar.T)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_matrices_hold_all_pairs_and_odd_values(name):
    activation, rng = FUNCTIONS[name][0], np.random.default_rng(1)
    root = rng.normal(size=(2, 6, 8))
    mu, cov = rng.normal(size=(2, 6)), root @ root.mT / 8.0
    cov[:, 1], cov[:, :, 1] = cov[:, 0], cov[:, :, 0]  # two neurons that are one
    cov[:, 2] = cov[:, :, 2] = 0.0
    mu[0, 3], given = np.nan, cov.copy()
    mean, full = fm.moments(activation, mu, cov)
    np.testing.assert_array_equal(cov, given)
    np.testing.assert_array_equal(full, full.mT)
    var = np.einsum("...ii->...i", cov)
    pairs = fm.cov(activation, mu[..., None], mu[..., None, :], var[..., None], var[..., None, :], cov)
    own = fm.var(activation, mu, var)
    scale = np.sqrt(own[..., None] * own[..., None, :])
    np.testing.assert_array_equal(np.isnan(full), np.isnan(pairs))
    assert (np.nan_to_num(np.abs(full - pairs)) <= 1e-13 * np.nan_to_num(scale)).all()
    assert (full[:, 2, [0, 1, 2, 4, 5]] == 0.0).all()
    np.testing.assert_allclose(mean[:, 2], FUNCTIONS[name][1](mu[:, 2]), rtol=1e-15)
    assert fm.moments(activation, np.zeros((0, 3)), np.zeros((0, 3, 3))).cov.shape == (0, 3, 3)
    with pytest.warns(RuntimeWarning, match="not positive semidefinite"):
        assert np.isnan(fm.moments(activation, [0.0, 0.0], [[1.0, 2.0], [2.0, 1.0]]).cov[0, 1])


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("name", ["hardtanh", "hardshrink", "elu", "celu", "exp"])
def test_beside_others(name, other):
    for f, g in ((FUNCTIONS[name], OTHERS[other]), (OTHERS[other], FUNCTIONS[name])):
        for where in ("middle", "low", "one narrow"):
            for rho in (-0.5, 0.875, 1.0):
                exact, var_1, var_2 = integral(f, g, POINTS[where], rho)
                got = fm.cross_cov(f[0], g[0], *arguments(POINTS[where], rho))
                assert abs(got - exact) <= 1e-12 * np.sqrt(var_1 * var_2), (where, rho)


def test_composed_beside_composed_and_a_wave():
    for one, two in (("elu", "exp"), ("celu", "selu"), ("hardtanh", "elu"), ("exp", "relu6")):
        exact, var_1, var_2 = integral(FUNCTIONS[one], FUNCTIONS[two], POINTS["middle"], 0.5)
        got = fm.cross_cov(FUNCTIONS[one][0], FUNCTIONS[two][0], *arguments(POINTS["middle"], 0.5))
        assert abs(got - exact) <= 1e-12 * np.sqrt(var_1 * var_2)
    sine = (fm.Sin(), np.sin, ())
    exact, var_1, var_2 = integral(FUNCTIONS["hardtanh"], sine, POINTS["middle"], 0.5)
    got = fm.cross_cov(fm.HardTanh(), sine[0], *arguments(POINTS["middle"], 0.5))
    assert abs(got - exact) <= 1e-10 * np.sqrt(var_1 * var_2)


@pytest.mark.parametrize("dtype, widest", [(np.float64, 4e6), (np.float32, 180.0)])
def test_too_wide_inputs_are_nan(dtype, widest):
    """Of knots 2 apart: within the width the variance is almost that of a sign, and beyond it rounding."""
    known, lost = (fm.var(fm.HardTanh(), dtype(0.0), dtype((factor * widest) ** 2)) for factor in (0.5, 1.5))
    assert known == pytest.approx(1.0 - 4.0 / 3.0 / np.sqrt(2.0 * np.pi) / (0.5 * widest), abs=2e-3)
    assert np.isnan(lost)
    assert fm.mean(fm.HardTanh(), dtype(0.0), dtype((1.5 * widest) ** 2)) == pytest.approx(0.0, abs=1e-3)
    cov = np.diag([1.0, (1.5 * widest) ** 2]).astype(dtype)
    full = fm.moments(fm.HardTanh(), np.zeros(2, dtype), cov).cov
    assert np.isnan(full[1]).all() and np.isfinite(full[0, 0])
