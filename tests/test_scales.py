"""Every scale of numbers, from 1e-300 to 1e300 in variances: by homogeneity to the bit, and by closed forms.

Kinked activations are homogeneous: inputs times a power of two give outputs times its powers, without rounding.
Smooth ones have closed forms where means are 0, of which mpmath knows every digit at every scale.
"""

import numpy as np
import pytest
from mpmath import mp, mpf

import fastmoments as fm
from fastmoments_kernels import cpu, eager
from tests.conformance import BOUND, error

TINY = np.finfo(float).tiny
POWERS = (-498, -331, -310, -40, -22, 0, 22, 40, 310, 331, 498)  # of sd
SCALES = (1e-300, 1e-190, 1e-185, 1e-30, 1.0, 1e30, 1e185, 1e190, 1e300)  # of variances
# how a function scales with the sd, by the homogeneity of f: the orders of its outputs for the ramp and the step
KINDS = {"mean": (1, 0), "var": (2, 0), "gain": (0, -1), "mean_dvar": (-1, -2), "cov": (2, 0)}
PARTIALS = {"var_partials": ((1, 0), (-1, -2)), "cov_partials": ((1, 1, 0, 0, 0), (-1, -1, -2, -2, -2))}
RAMPS = ("relu", "leaky_relu", "abs")


def inputs(kind):
    rng = np.random.default_rng(7)
    sd, rho = rng.uniform(0.5, 2.0, (2, 60)), np.tanh(rng.normal(size=60) * 2)
    rho[:8] = 1.0, -1.0, 1 - 1e-12, -1 + 1e-9, 0.0, 0.5, 0.5, -0.5
    mu = sd * rng.normal(size=(2, 60)) * 2
    mu[:, 5:8] = sd[:, 5:8] * [[0.75, 0.0, 0.25], [0.75, 0.0, -0.25]]  # ties of the standardised means
    var = sd * sd
    edge = np.sqrt(var[0]) * np.sqrt(var[1])
    return (*mu, *var, rho * edge) if kind.startswith("cov") else (mu[0], var[0])


def scaled(values, kind, power):
    orders = (1, 1, 2, 2, 2) if kind.startswith("cov") else (1, 2)
    return tuple(np.ldexp(x, order * power) for x, order in zip(values, orders, strict=True))


# compiled for relu: the others share its formulas
@pytest.mark.parametrize("name, module", [("relu", cpu), *((name, eager) for name in (*RAMPS, "heaviside"))])
@pytest.mark.parametrize("kind", [*KINDS, *PARTIALS])
def test_homogeneous_activations_scale_to_the_bit(name, module, kind):
    own = [0.01] * (1 + kind.startswith("cov")) if name == "leaky_relu" else []
    given = inputs(kind)

    def function(*arguments):
        with np.errstate(all="ignore"):
            found = module.elementwise(name, kind)(*arguments, *own)
        return found if isinstance(found, tuple) else (found,)

    orders = (PARTIALS | {key: ((a,), (b,)) for key, (a, b) in KINDS.items()})[kind][name not in RAMPS]
    expected = function(*given)
    for power in POWERS:
        found = function(*scaled(given, kind, power))
        for got, value, order in zip(found, expected, orders, strict=True):
            assert np.isfinite(got[np.isfinite(value)]).all() and np.isfinite(value).any()
            assert is_equal(got, np.ldexp(value, order * power)), (power, order)


def is_equal(got, expected):
    """Whether results are equal to the bit; below the smallest normal number they may be lost."""
    lost = np.abs(expected) < TINY
    return np.array_equal(got[~lost], expected[~lost], equal_nan=True) and (np.abs(got[lost]) <= TINY).all()


def matrix():
    rng = np.random.default_rng(3)
    root = rng.normal(size=(20, 21))
    cov = root @ root.T / 20
    cov[3], cov[:, 3] = cov[4], cov[:, 4]  # duplicates
    cov[3, 3] = cov[3, 4] = cov[4, 3] = cov[4, 4]
    cov = 0.5 * (cov + cov.T)
    mu = rng.normal(size=20)
    mu[3] = mu[4]
    return mu, cov


@pytest.mark.parametrize("name, orders", [("relu", (1, 2)), ("heaviside", (0, 0))])
def test_matrices_scale_to_the_bit(name, orders):
    mu, cov = matrix()
    moments, vjp = getattr(fm, f"{name}_moments"), getattr(fm, f"{name}_moments_vjp")
    plain, bars = moments(mu, cov), (np.ones(20), np.eye(20) + 0.5)
    pulled = vjp(mu, cov, *bars)
    for power in POWERS:
        given = np.ldexp(mu, power), np.ldexp(cov, 2 * power)
        found = moments(*given)
        assert np.array_equal(found.mean, np.ldexp(plain.mean, orders[0] * power)), power
        assert np.array_equal(found.cov, np.ldexp(plain.cov, orders[1] * power)), power
        units = np.ldexp(bars[0], -orders[0] * power), np.ldexp(bars[1], -orders[1] * power)
        if np.isfinite(units[1]).all() and (units[1] != 0.0).all():
            mu_bar, cov_bar = vjp(*given, *units)
            assert np.array_equal(mu_bar, np.ldexp(pulled[0], -power)), power
            assert np.array_equal(cov_bar, np.ldexp(pulled[1], -2 * power)), power


@pytest.mark.parametrize("var", SCALES)
def test_a_step_or_probit_of_two_centred_neurons_is_an_arcsine(var):
    """Cov = asin(r) / (2 pi), r the correlation, with probit's noise in the variances (Sheppard 1899)."""
    v, c = mpf(var), mpf(var / 2)
    for name, noise, factor in (("heaviside", 0, 1), ("probit", 1, 1), ("erf", mpf(1) / 2, 4)):
        with mp.workdps(40):
            truth = factor * mp.asin(c / (v + noise)) / (2 * mp.pi)
        got = getattr(fm, f"{name}_cov")(0.0, 0.0, var, var, var / 2)
        assert error(got, truth, mpf(3), "float64") <= BOUND, (name, got, mp.nstr(truth, 17))


@pytest.mark.parametrize("var", SCALES)
def test_bumps_of_two_centred_neurons(var):
    """E s_1 s_2 = det(I + T Sigma)^(-1/2)."""
    v, c, q = mpf(var), mpf(var / 2), 2
    with mp.workdps(700):
        truth = 1 / mp.sqrt((1 + v) ** 2 - c * c) - 1 / (1 + v)
        spread = 1 / mp.sqrt(1 + 2 * v) - 1 / (1 + v)
    for name, factor in (("gaussian", 1), ("npn", q * q)):
        # condition numbers: up to 4 for a variance, and as much for a precision
        for got, want in (
            (getattr(fm, f"{name}_cov")(0.0, 0.0, var, var, var / 2), truth),
            (getattr(fm, f"{name}_var")(0.0, var), spread),
            (getattr(fm, f"{name}_marginals")(0.0, var).var, spread),
        ):
            assert error(got, factor * want, mpf(8), "float64") <= BOUND, (name, got)
    found = fm.npn_moments(np.zeros(2), np.array([[var, var / 2], [var / 2, var]])).cov
    assert error(found[0, 1], 4 * truth, mpf(8) + spread / truth, "float64") <= BOUND


@pytest.mark.parametrize(
    "mu, var, truth", [(1.0, 1e70, "3.4084505690810466e69"), (-2.0, 3e33, "1.0225351707243139e33")]
)
def test_gelu_of_a_wide_neuron(mu, var, truth):
    assert error(fm.gelu_var(mu, var), mpf(truth), mpf(1), "float64") <= BOUND
    assert fm.gelu_marginals(mu, var).var == fm.gelu_var(mu, var)


def test_gelu_is_relu_of_what_is_wide_and_half_a_line_of_what_is_narrow():
    rng = np.random.default_rng(11)
    for var in 10.0 ** rng.uniform(36, 300, 300):
        rho = np.tanh(rng.normal())
        # gelu - relu is bounded by 0.17, and relu's sd is 1e18 at least: less than eps of every term
        wide, kinked = (f(0.0, 0.0, var, var, rho * var) for f in (fm.gelu_cov, fm.relu_cov))
        np.testing.assert_allclose(wide, kinked, rtol=20 * np.finfo(float).eps * (1 + 1 / abs(rho)))
    for var in 10.0 ** rng.uniform(-300, -20, 50):
        np.testing.assert_allclose(fm.gelu_cov(0.0, 0.0, var, var, var / 2), var / 8, rtol=8 * np.finfo(float).eps)


@pytest.mark.parametrize("name, below", [("relu", 0.0), ("leaky_relu", 0.01), ("abs", -1.0)])
def test_means_farther_out_than_numbers_count_sds(name, below):
    """mu / sd may be beyond the largest number: the neuron is a line."""
    mean, var = (getattr(fm, f"{name}_{kind}") for kind in ("mean", "var"))
    for size, square in ((1e200, 1e-300), (1e300, 1e-320), (1e10, 0.0)):
        assert mean(size, square) == size and var(size, square) == square
        np.testing.assert_allclose(mean(-size, square), -below * size, rtol=2 * np.finfo(float).eps)
    found = getattr(fm, f"{name}_moments")([1e200, 0.0], [[1e-300, 0.0], [0.0, 1.0]])
    assert found.mean[0] == 1e200 and found.cov[0, 0] == 1e-300 and found.cov[0, 1] == 0.0
    single = np.float32(1e30), np.float32(1e-30)
    assert mean(*single) == single[0] and var(*single) == single[1]


def test_a_step_far_out():
    assert fm.heaviside_mean(1e200, 1e-300) == 1.0 and fm.heaviside_mean(-1e300, 1e-320) == 0.0
    assert fm.heaviside_var(1e200, 1e-300) == 0.0


@pytest.mark.parametrize("framework", ["numpy", "torch", "jax"])
def test_float32_bumps_lose_nothing_on_the_way(framework):
    """tau var overflows in float32, or a bump underflows where its product with the amplitude does not."""
    arrays = {"numpy": np.float32, "torch": pytest.importorskip("torch").tensor, "jax": np.float32}[framework]
    if framework == "jax":
        arrays = pytest.importorskip("jax.numpy").float32
    real = lambda x: float(np.float32(x))  # noqa: E731
    mu, var, q, tau = real(0.17391), real(1.534e-4), 1e8, 1e8
    with mp.workdps(40):
        root = mp.sqrt(1 + mpf(1e8) * mpf(real(5.4e35)))
        mean = mp.exp(-mpf(1e8) / root**2 / 2) / root
        w = 1 / (1 + mpf(tau) * mpf(var))
        square = mpf(tau) * w * mpf(mu) ** 2
        gain = mpf(q) * mpf(tau) * w * mpf(mu) * mp.sqrt(w) * mp.exp(-square / 2)
    got = fm.gaussian_mean(arrays(0.0), arrays(real(5.4e35)), tau=1e8, center=1.0)
    assert error(np.asarray(got), mean, mpf(2), "float32") <= BOUND
    got = fm.npn_gain(arrays(mu), arrays(var), q=q, tau=tau)
    assert error(np.asarray(got), gain, 4 * square, "float32") <= BOUND


def mixture(mu_1, mu_2, var_1, var_2, cov_12):
    """Cov(f(X_1), f(X_2)) of f(x) = sum w exp(-tau (x - c)^2 / 2), by the determinants of I + T Sigma."""
    total = mpf(0)
    for w, t, c in zip(*MIXTURE, strict=True):
        for v, s, d in zip(*MIXTURE, strict=True):
            a, b, x, y = 1 + t * var_1, 1 + s * var_2, mu_1 - mpf(c), mu_2 - mpf(d)
            det = a * b - t * s * cov_12**2
            square = (t * b * x**2 - 2 * t * s * cov_12 * x * y + s * a * y**2) / det
            apart = mp.exp(-t * x**2 / a / 2 - s * y**2 / b / 2) / mp.sqrt(a * b)
            total += mpf(w) * mpf(v) * (mp.exp(-square / 2) / mp.sqrt(det) - apart)
    return total


MIXTURE = (0.75, 0.375), (1, 2), (0.25, 0.5)


def test_mixtures_of_neurons_of_any_scale():
    rng, judged = np.random.default_rng(1), 0
    own = [x for values in MIXTURE for value in values for x in (value, value)]
    for i in range(60):
        var = 10.0 ** rng.uniform(-290, 290, 2) if i % 2 else np.full(2, 10.0 ** rng.uniform(-290, 290))
        mu = rng.normal(size=2) * np.minimum(2 * np.sqrt(var) + 2, 1e3)
        inputs = (*mu, *var, np.tanh(2 * rng.normal()) * np.sqrt(var[0]) * np.sqrt(var[1]))
        with mp.workdps(700):  # variances apart by 580 digits
            exact, step = [mpf(float(x)) for x in inputs], mpf(10) ** -20
            value = mixture(*exact)
            if abs(value) < TINY:
                continue
            moved = ([x * (1 + step) if j == k else x for k, x in enumerate(exact)] for j in range(5))
            cond = 1 + sum(abs((mixture(*x) - value) / (step * value)) for x in moved)
        got = eager.elementwise("gaussian_mixture", "cov")(*map(np.asarray, inputs), *own)
        assert error(got, value, cond, "float64") <= BOUND, (inputs, got, mp.nstr(value, 17))
        judged += 1
    assert judged > 50
