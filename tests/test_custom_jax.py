"""Activations without a closed form on JAX: within the tolerance of the definition's integrals, or nan."""

import numpy as np
import pytest
from mpmath import mp

import fastmoments as fm
from fastmoments.elementwise import cov, cov_partials, gain, marginals, mean
from fastmoments.moments import moments_vjp
from tests.definitions import DEFINITIONS
from tests.derivatives import PARTIALS
from tests.test_custom import PAIRS, integrated
from tests.test_inputs import gaussian

jax = pytest.importorskip("jax")
jnp = jax.numpy

TOL = {"float32": 64 * float(np.finfo(np.float32).eps), "float64": 1e-10}
ELU = fm.Custom(lambda x: jnp.maximum(x, jnp.expm1(jnp.minimum(x, 0.0))), kinks=(0.0,))
RELU6 = fm.Custom(lambda x: jnp.clip(x, 0.0, 6.0), kinks=(0.0, 6.0))
# f to 30 digits; the activation; where f or f' breaks
FUNCTIONS = {
    "silu": (DEFINITIONS["silu"], "silu", ()),
    "softplus": (DEFINITIONS["softplus"], "softplus", ()),
    "relu6": (lambda x: min(max(x, 0), 6), RELU6, (0, 6)),
}
# numbers that float32 has too
NEURONS = [(0.25, 2.0**-20), (5.5, 2.0**-7), (-2.5, 0.5), (0.25, 3.0), (-4.0, 30.0)]


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


def truth(f, kinks, mu, sd):
    """(f(mu), E g, E g^2, E f', E f'' / 2) with g = f(X) - f(mu), by panels that end at kinks and powers of 4."""
    with mp.workdps(25):
        inner = [*kinks, *(sign * mp.mpf(4) ** k for k in range(-2, 5) for sign in (-1, 1))]
        regular = (mu + mp.mpf(sd) * k for k in range(-12, 13, 3))
        ends = sorted(x for x in [*inner, *regular] if abs(x - mu) <= 12 * sd)
        at_mu = f(mp.mpf(mu))

        def expected(value):
            def integrand(x):
                z = (x - mu) / sd
                return value(f(x) - at_mu, z) * mp.npdf(z) / sd

            return mp.quad(integrand, ends, method="gauss-legendre", maxdegree=4)

        values = (
            lambda g, z: g,
            lambda g, z: g * g,
            lambda g, z: g * z / sd,
            lambda g, z: g * (z * z - 1) / sd**2 / 2,
        )
        return [float(x) for x in (at_mu, *map(expected, values))]


@pytest.mark.feature("JAX", "fm.Custom")
@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        # XLA compiles for seconds a function
        pytest.param("softplus", "float64", marks=pytest.mark.slow),
        ("relu6", "float64"),
        pytest.param("silu", "float32", marks=pytest.mark.slow),
    ],
)
def test_neurons(name, dtype):
    """Mean, variance, gain and the mean's derivatives, each in its unit, for sd from 1e-6 to 30."""
    f, activation, kinks = FUNCTIONS[name]
    at_mu, shift, square, slope, by_var = np.transpose([truth(f, kinks, *point) for point in NEURONS])
    mu, sd = np.transpose(NEURONS)
    arrays = jnp.asarray(mu, dtype), jnp.asarray(sd**2, dtype)

    def everything(mu, var):
        by_mean = jax.grad(lambda *x: mean(activation, *x).sum(), argnums=(0, 1))(mu, var)
        return *marginals(activation, mu, var), gain(activation, mu, var), *by_mean

    found, spread, slopes, by_mu, along_var = jax.jit(everything)(*arrays)
    assert found.dtype == spread.dtype == dtype
    # f's own rounding: a sum and a product
    size, rounding = np.sqrt(square), 4 * float(np.finfo(dtype).eps) * np.abs(at_mu)
    limit = TOL[dtype] * size + rounding
    assert (np.abs(found - (at_mu + shift)) <= limit).all()
    assert (np.abs(spread - (square - shift**2)) <= limit * size).all()
    assert (np.abs(slopes - slope) * sd <= limit).all()
    assert (np.abs(by_mu - slope) * sd <= limit).all()
    assert (np.abs(along_var - by_var) * sd**2 <= limit).all()


@pytest.mark.slow
def test_partials_of_pairs():
    """The five derivatives of the covariance by trapezoids in the plane."""
    found = dict(zip(PARTIALS, cov_partials("tanh", *map(jnp.asarray, np.transpose(PAIRS))), strict=True))
    for i, pair in enumerate(PAIRS):
        want = integrated(np.tanh, *pair)
        # all are of order one
        assert max(abs(found[key][i] - want[key]) for key in found) <= TOL["float64"]


def test_pairs_in_float32():
    columns = [jnp.asarray(x, "float32") for x in np.transpose(PAIRS)]
    found = cov("tanh", *columns)
    wanted = [integrated(np.tanh, *map(float, pair))["cov"] for pair in zip(*columns, strict=True)]
    assert found.dtype == "float32" and np.abs(found - np.array(wanted)).max() <= TOL["float32"]


def test_a_matrix_and_its_gradient_by_closed_forms():
    """max(x, 0) with its kink given is ReLU, for which NumPy's closed forms are exact."""
    mu, full = gaussian(5)
    bars = np.cos(np.arange(5.0)), np.cos(np.add.outer(np.arange(5.0), np.arange(5.0)))
    # of its series 1022 terms leave 1e-9
    activation = fm.Custom(lambda x: jnp.maximum(x, 0.0), tol=1e-8, kinks=(0.0,))
    found, expected = fm.moments(activation, *map(jnp.asarray, (mu, full))), fm.relu_moments(mu, full)
    # means and variances are of order one, and the weights below at most 1
    np.testing.assert_allclose(found.mean, expected.mean, rtol=0, atol=1e-10)
    np.testing.assert_allclose(found.cov, expected.cov, rtol=0, atol=1e-8)
    assert np.array_equal(found.cov, found.cov.T)
    slopes = moments_vjp(activation, *map(jnp.asarray, (mu, full, *bars)))
    for got, want in zip(slopes, fm.relu_moments_vjp(mu, full, *bars), strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-7)


def test_what_cannot_be_met_is_nan():
    full = np.eye(4)
    full[0, 1], full[1, 2], full[2, 3] = 0.9999, 0.3, 1.1
    found = fm.moments(RELU6, jnp.zeros(4), jnp.asarray(full))
    # a kink and a correlation near 1, and one beyond 1: those pairs alone
    lost = np.isin(np.arange(16), (1, 4, 11, 14)).reshape(4, 4)
    assert np.array_equal(np.isnan(found.cov), lost) and np.isfinite(found.mean).all()
    unsaid = fm.Custom(RELU6.function)
    assert np.isnan(marginals(unsaid, jnp.array([0.3, 3.0]), 1e-2)).tolist() == [[True, False], [True, False]]
    assert np.isnan(marginals(fm.Custom(lambda x: jnp.exp(25.0 * x)), jnp.zeros(2), 1.0)).all()
    assert np.isnan(marginals(unsaid, jnp.array([3.0, jnp.nan]), jnp.array([-1.0, 1.0]))).all()


def test_little_variance_and_none():
    """Derivatives are f', f'' and f''' of the definition; on kinks the means of both sides, or nan."""
    at = [0.7, -3.0, 0.0]
    with mp.workdps(40):
        first, second, third = ([float(mp.diff(DEFINITIONS["silu"], x, k)) for x in at] for k in (1, 2, 3))
    for var in (0.0, 1e-14):
        by_mean = jax.grad(lambda *x: mean("silu", *x).sum(), argnums=(0, 1))(jnp.array(at), jnp.full(3, var))
        by_gain = jax.grad(lambda *x: gain("silu", *x).sum(), argnums=(0, 1))(jnp.array(at), jnp.full(3, var))
        np.testing.assert_allclose(by_mean, [first, np.array(second) / 2], rtol=0, atol=1e-12)
        np.testing.assert_allclose(by_gain, [second, np.array(third) / 2], rtol=0, atol=1e-12)
    partials = cov_partials("silu", jnp.array(at[:2]), -0.5, 0.0, 0.5, 0.0)
    beside = integrated(lambda x: x / (1.0 + np.exp(-x)), -0.5, 0.0, 0.5, 1.0, 0.0)["gain"]
    np.testing.assert_allclose(partials.d_cov_12, np.array(first[:2]) * beside, rtol=0, atol=1e-10)
    assert all((x == 0.0).all() for x in partials[:4])
    mu = jnp.array([0.0, 6.0, 3.0])
    assert gain(RELU6, mu, 0.0).tolist() == [0.5, 0.5, 1.0]
    slopes = jax.grad(lambda v: mean(RELU6, mu, v).sum())(jnp.zeros(3))
    assert np.isnan(slopes).tolist() == [True, True, False] and slopes[2] == 0.0
    # f'' of ELU is 1 below 0 and 0 above
    assert abs(jax.grad(lambda v: mean(ELU, 0.0, v))(jnp.array(0.0)) - 0.25) <= 1e-12
    assert np.isnan(gain(fm.Custom(jnp.sign, kinks=(0.0,)), jnp.zeros(1), 0.0)).all()


@pytest.mark.slow
def test_second_derivatives_follow_kinks():
    """The mean of the sign is 2 Phi(mu / sd) - 1, of which derivatives pass a jump; along a small variance: nan."""
    sign = fm.Custom(jnp.sign, kinks=(0.0,))
    slope, bend = (g(lambda m: mean(sign, m, 2.0))(jnp.array(0.3)) for g in (jax.grad, jax.hessian))
    want = 2.0 * np.exp(-(0.3**2) / 4.0) / np.sqrt(4.0 * np.pi)
    np.testing.assert_allclose([slope, bend], [want, -0.3 / 2.0 * want], rtol=1e-10)
    twice = jax.vmap(jax.hessian(lambda v: mean("silu", 0.7, v)))(jnp.array([0.0, 1e-12, 1e-4]))
    with mp.workdps(30):
        fourth = float(mp.diff(DEFINITIONS["silu"], 0.7, 4))
    assert np.isnan(twice[:2]).all()
    # by the variance times a sixth derivative of order one
    assert abs(twice[2] - fourth / 4.0) <= 1e-4


def test_shapes_vmap_and_forward_mode():
    mu, full = (np.stack([x, 0.5 * x]) for x in gaussian(3))
    expected = fm.sigmoid_moments(mu, full)
    found = jax.vmap(fm.sigmoid_moments)(jnp.asarray(mu), jnp.asarray(full))
    np.testing.assert_allclose(found.mean, expected.mean, rtol=0, atol=1e-10)
    np.testing.assert_allclose(found.cov, expected.cov, rtol=0, atol=1e-10)
    _, slope = jax.jvp(lambda m: fm.sigmoid_mean(m, 1.0), (jnp.ones(3),), (jnp.ones(3),))
    np.testing.assert_allclose(slope, fm.sigmoid_gain(np.ones(3), 1.0), rtol=0, atol=1e-10)
    assert fm.sigmoid_moments(jnp.zeros((2, 0)), jnp.zeros((2, 0, 0))).cov.shape == (2, 0, 0)
    single = fm.sigmoid_moments(jnp.asarray(mu[:, :1]), jnp.asarray(full[:, :1, :1]))
    np.testing.assert_allclose(single.cov[:, 0, 0], expected.cov[:, 0, 0], rtol=0, atol=1e-10)


def test_functions_are_written_with_jax():
    with pytest.raises(TypeError, match=r"function: JAX traces it: write it with jax.numpy in place of NumPy"):
        marginals(fm.Custom(np.tanh), jnp.zeros(2), 1.0)
    with pytest.raises(ValueError, match="function: expected f of every element by itself"):
        marginals(fm.Custom(lambda x: x - x.mean()), jnp.zeros(2), 1.0)
    with pytest.raises(TypeError, match="function: expected real numbers, got complex ones"):
        marginals(fm.Custom(lambda x: x * 1j), jnp.zeros(2), 1.0)
    # the same values as under jit, and as those of the ready-made one
    own, ready = (
        jax.jit(lambda m, f=f: marginals(f, m, 1.0).mean)(jnp.ones(2)) for f in (fm.Custom(jnp.tanh), "tanh")
    )
    np.testing.assert_array_equal(own, ready)
