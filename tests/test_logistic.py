"""Sigmoid, tanh, SiLU, softplus and log-sigmoid against integrals of their definitions."""

import mpmath as mp
import numpy as np
import pytest

import fastmoments as fm
from fastmoments.composed.logistic_mixture import mixture
from tests.definitions import DEFINITIONS

SOFTPLUS_OF_2X = fm.Softplus(2.0)
FUNCTIONS = {
    "sigmoid": (fm.Sigmoid(), DEFINITIONS["sigmoid"]),
    "tanh": (fm.Tanh(), mp.tanh),
    "silu": (fm.SiLU(), DEFINITIONS["silu"]),
    "softplus": (fm.Softplus(), DEFINITIONS["softplus"]),
    "softplus of 2x": (SOFTPLUS_OF_2X, lambda x: mp.log1p(mp.exp(2 * x)) / 2),
    "log_sigmoid": (fm.LogSigmoid(), lambda x: -mp.log1p(mp.exp(-x))),
}
NAMES = pytest.mark.parametrize("name", FUNCTIONS)
TOL = 1e-10  # the contract: of the spread for means, of both standard deviations for covariances
# mu_1, mu_2, var_1, var_2, rho: usual, narrow, wide beside narrow near -1, wide at 1, far in a tail
PAIRS = [
    (0.3, -0.5, 1.3, 0.8, 0.6),
    (0.5, -1.0, 1e-4, 2.0, 0.9),
    (-0.2, 1.0, 54.0, 0.44, -0.9999),
    (0.7, 0.2, 100.0, 40.0, 0.999),
    (1.0, -3.0, 30.0, 30.0, -1.0),
    (-14.0, -12.0, 1.0, 0.7, 0.95),
    (2.0, 1.0, 9.0, 16.0, 1.0),
]


def expected(f, mu, var):
    """E f(X) to 30 digits."""
    with mp.workdps(30):
        sd = mp.sqrt(mp.mpf(var))
        points = {mp.mpf(z) for z in range(-32, 34, 2)} | ({-mu / sd} if abs(mu) < 30 * sd else set())
        return mp.quad(lambda z: f(mu + sd * z) * mp.npdf(z), sorted(points))


def covariance(f, pair):
    """Cov(f(X_1), f(X_2)) by trapezoids over Z_1 and Z_2 in double precision."""
    mu_1, mu_2, var_1, var_2, rho = pair
    # the poles at pi / sd decide the step
    step = min(0.25, 0.25 / max(1.0, np.sqrt(max(var_1, var_2))))
    # in the tail f^2 grows like exp(2 sd z)
    end = 9.5 + (4.0 if max(mu_1, mu_2) < -5.0 else 0.0)
    z = np.arange(-9.5, end, step)
    w = step * np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)
    one, second_mean = f(mu_1 + np.sqrt(var_1) * z), w @ f(mu_2 + np.sqrt(var_2) * z)
    total = 0.0
    for z_1, value, weight in zip(z, one - w @ one, w, strict=True):
        x_2 = mu_2 + np.sqrt(var_2) * (rho * z_1 + np.sqrt(1.0 - rho * rho) * z)
        total += weight * value * (w @ (f(x_2) - second_mean))
    sds = [np.sqrt(w @ (g - w @ g) ** 2) for g in (one, f(mu_2 + np.sqrt(var_2) * z))]
    return total, sds[0] * sds[1]


def of_numpy(name):
    """f up to a constant, which changes no covariance: tanh has digits in its tail as 2 sigmoid(2x)."""
    if name == "tanh":
        return lambda x: 2.0 * fm.Sigmoid().function(np, 2.0 * x)
    return lambda x: FUNCTIONS[name][0].function(np, x)


def test_the_mixture_is_sigmoid_with_positive_shares():
    for step, error in ((0.125, 5e-15), (0.06, 2e-15)):
        scale, share = mixture(step)
        assert (share > 0.0).all()
        with mp.workdps(25):
            x = np.linspace(-20.0, 20.0, 81)
            found = [mp.fsum(p * mp.ncdf(s * t) for s, p in zip(scale, share, strict=True)) for t in x]
            assert max(abs(a - DEFINITIONS["sigmoid"](mp.mpf(t))) for a, t in zip(found, x, strict=True)) < error


@NAMES
def test_f_itself(name):
    activation, f = FUNCTIONS[name]
    x = np.array([-700.0, -30.0, -1.278, -1e-9, 0.0, 0.4, 7.0, 50.0])
    with mp.workdps(30):
        wanted = np.array([float(f(mp.mpf(t))) for t in x])
    assert np.abs(activation.function(np, x) - wanted).max() <= 4e-16 * np.abs(wanted).max()
    assert np.allclose(activation.function(np, x), wanted, rtol=4e-16 if name == "tanh" else 2e-14, atol=0.0)


@pytest.mark.parametrize("var", [1e-6, 0.5, 9.0, 30.0, 1e4])
def test_mean_of_sigmoid_to_its_own_digits_in_the_tail(var):
    mu = np.array([-30.0, -12.0, -3.0, 0.3])
    wanted = np.array([float(expected(DEFINITIONS["sigmoid"], m, var)) for m in mu])
    assert np.abs(fm.sigmoid_mean(mu, var) / wanted - 1.0).max() <= 1e-13


@pytest.mark.parametrize(
    "var", [1e-12, 3.0, *(pytest.param(v, marks=pytest.mark.slow) for v in (1e-3, 0.64, 12.0, 200.0))]
)
@NAMES
def test_one_neuron(name, var):
    """Means to the spread, variances and gains to their own digits, on both sides."""
    activation, f = FUNCTIONS[name]
    for mu in (-9.0, 0.6):
        with mp.workdps(40):
            # f less f(mu), which cancels nothing
            at_mu, unit = f(mp.mpf(mu)), mp.diff(f, mu) * mp.sqrt(var)  # integrals are to 30 digits of 1
            rise = lambda x, at_mu=at_mu, unit=unit: (f(x) - at_mu) / unit  # noqa: E731
            mean, square = (
                unit * expected(rise, mu, var),
                unit**2 * expected(lambda x, rise=rise: rise(x) ** 2, mu, var),
            )
            gain = (
                unit
                * expected(lambda x, mu=mu, rise=rise: rise(x) * (x - mu) / mp.sqrt(var), mu, var)
                / mp.sqrt(var)
            )
            wanted = square - mean**2
        found = fm.marginals(activation, mu, var)
        # the mean is rounded beside f(mu)
        assert abs(found.mean - float(at_mu + mean)) <= 1e-13 * float(mp.sqrt(square)) + 4e-16 * abs(float(at_mu))
        assert abs(found.var / float(wanted) - 1.0) <= 1e-11
        assert abs(fm.gain(activation, mu, var) / float(gain) - 1.0) <= 1e-11


@pytest.mark.parametrize("pair", PAIRS)
@NAMES
def test_covariances(name, pair):
    activation = FUNCTIONS[name][0]
    wanted, unit = covariance(of_numpy(name), pair)
    mu_1, mu_2, var_1, var_2, rho = pair
    cov_12 = rho * np.sqrt(var_1 * var_2)
    found = fm.cov(activation, mu_1, mu_2, var_1, var_2, cov_12)
    assert abs(found - wanted) <= TOL * unit
    # the matrix of both, with the variances on its diagonal, is the same
    full = fm.moments(activation, [mu_1, mu_2], [[var_1, cov_12], [cov_12, var_2]]).cov
    assert abs(full[0, 1] - wanted) <= TOL * unit and full[0, 1] == full[1, 0]
    assert np.array_equal(np.diag(full), fm.var(activation, [mu_1, mu_2], [var_1, var_2]))


@pytest.mark.parametrize("pair", PAIRS)
@NAMES
def test_partials_are_slopes_of_the_covariance(name, pair):
    """Central differences inside |rho| < 1, off by 8e-7 at rho = 0.9 from the fifth derivative."""
    activation, (mu_1, mu_2, var_1, var_2, rho) = FUNCTIONS[name][0], pair
    cov_12 = 0.9 * rho * np.sqrt(var_1 * var_2)
    point = np.array([mu_1, mu_2, var_1, var_2, cov_12])
    sizes = np.array([np.sqrt(var_1), np.sqrt(var_2), var_1, var_2, np.sqrt(var_1 * var_2)])
    unit = np.sqrt(fm.var(activation, mu_1, var_1) * fm.var(activation, mu_2, var_2))
    steps = 3e-3 * np.diag(sizes)
    # of fourth order: (8 (f(h) - f(-h)) - f(2h) + f(-2h)) / 12
    f = [fm.cov(activation, *(point + k * steps).T) for k in (1, -1, 2, -2)]
    slopes = (8.0 * (f[0] - f[1]) - f[2] + f[3]) / (12.0 * 3e-3)
    found = np.array(fm.cov_partials(activation, *point)) * sizes
    assert np.abs(found - slopes).max() <= 1e-6 * unit


@pytest.mark.parametrize("name", ["tanh", "silu", "softplus"])
def test_nothing_without_variance_and_one_neuron_alone(name):
    activation, f = FUNCTIONS[name]
    mu, cov = np.array([0.4, -1.0]), np.array([[0.0, 0.0], [0.0, 2.0]])
    found = fm.moments(activation, mu, cov)
    at_mu, slope, bend = (float(mp.diff(f, 0.4, k)) for k in (0, 1, 2))
    assert abs(found.mean[0] - at_mu) <= 1e-15 and (found.cov[0] == 0.0).all() and found.cov[1, 1] > 0.0
    assert abs(fm.gain(activation, 0.4, 0.0) - slope) <= 1e-14
    assert abs(fm.curvature(activation, 0.4, 0.0) - bend) <= 1e-14
    bars = fm.moments_vjp(activation, mu, cov, np.array([1.0, 0.0]), np.array([[0.0, 0.5], [0.5, 0.0]]))
    assert abs(bars.mu_bar[0] - slope) <= 1e-14 and abs(bars.cov_bar[0, 0] - 0.5 * bend) <= 1e-14
    assert abs(bars.cov_bar[0, 1] - 0.5 * slope * fm.gain(activation, -1.0, 2.0)) <= 1e-14
    alone = fm.moments(activation, np.array([0.3]), np.array([[2.0]]))
    assert alone.cov[0, 0] == fm.var(activation, 0.3, 2.0) and alone.mean[0] == fm.mean(activation, 0.3, 2.0)
    for shape in ((0,), (3, 0), (0, 2)):
        assert fm.moments(activation, np.zeros(shape), np.zeros((*shape, shape[-1]))).cov.size == 0
    assert fm.mean(activation, np.zeros((0, 3)), 1.0).shape == (0, 3)


def test_what_is_no_number_stays_with_its_neuron():
    mu, cov = np.array([np.nan, 0.2, np.inf, 0.1]), np.full((4, 4), 0.5) + np.eye(4)
    found = fm.silu_moments(mu, cov)
    assert np.isnan(found.cov[[0, 2]]).all() and np.isfinite(found.cov[np.ix_([1, 3], [1, 3])]).all()
    assert np.isnan(found.mean[[0, 2]]).all() and np.isfinite(found.mean[[1, 3]]).all()
    assert np.isnan(fm.tanh_cov(0.0, 0.0, 1.0, 1.0, 1.1))
    with pytest.raises(ValueError, match="beta: expected a number > 0, got -1"):
        fm.Softplus(-1.0)
    with pytest.raises(ValueError, match="var: it must hold variances >= 0"):
        fm.tanh_mean(0.0, -1.0)


@NAMES
def test_float32(name):
    activation = FUNCTIONS[name][0]
    rng = np.random.default_rng(2)
    root = rng.normal(size=(20, 6, 6))
    mu, cov = rng.normal(size=(20, 6)), root @ root.mT
    found = fm.moments(activation, mu.astype(np.float32), cov.astype(np.float32))
    wanted = fm.moments(activation, *(x.astype(np.float32).astype(np.float64) for x in (mu, cov)))
    sd = np.sqrt(np.einsum("...ii->...i", wanted.cov))
    assert found.cov.dtype == np.float32
    assert (np.abs(found.mean - wanted.mean) <= 2e-6 * (1.0 + sd)).all()
    assert (np.abs(found.cov - wanted.cov) <= 2e-5 * sd[..., :, None] * sd[..., None, :]).all()


def test_many_neurons_and_batches_give_what_each_gives_alone():
    rng = np.random.default_rng(5)
    mu, var = rng.normal(size=(3, 900)), np.exp(rng.uniform(-8.0, 6.0, size=(3, 900)))
    mean, spread = fm.silu_marginals(mu, var)
    for i, j in ((0, 0), (1, 400), (2, 899)):
        alone = fm.silu_marginals(mu[i, j], var[i, j])
        assert np.allclose([mean[i, j], spread[i, j]], alone, rtol=1e-12, atol=0.0)
    root = rng.normal(size=(4, 5, 5))
    mu, cov = rng.normal(size=(4, 5)), root @ root.mT
    batch = fm.tanh_moments(mu, cov)
    for k in range(4):
        alone = fm.tanh_moments(mu[k], cov[k])
        assert np.abs(batch.cov[k] - alone.cov).max() <= 1e-10 and np.abs(batch.mean[k] - alone.mean).max() <= 1e-14
