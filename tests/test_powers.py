"""E (f(X) - c)^p He_k(Z): against integrals of the definition in 30 digits, split where f breaks."""

import math
from functools import cache

import mpmath as mp
import numpy as np
import pytest

import fastmoments as fm
from fastmoments.frameworks import numpy as on_numpy
from fastmoments.powers import hermite_moments
from tests.powers_truth import (
    CASES,
    COUNTS,
    PLACES,
    REACH,
    TOLERANCES,
    hermite,
    inputs,
    integrals,
    jump,
    truth,
)


def check(name, dtype, found):
    eps, tol = np.finfo(dtype).eps, TOLERANCES[dtype]
    for got, wanted, scale, rounding, far in zip(found, *truth(name), strict=True):
        assert got.shape == (len(wanted), 1, len(PLACES))
        assert got.dtype == dtype
        off = np.abs(got[:, 0].astype(float) - wanted)
        limit = tol * scale + 16 * eps * rounding + 1e-16 * far
        worst = np.unravel_index(np.argmax(off - limit), off.shape)
        assert (off <= limit).all(), (worst, PLACES[worst[1]], off[worst], limit[worst])
        assert (got[1:, 0, -1] == 0.0).all()


def test_the_truth_is_that_of_another_quadrature():
    with mp.workdps(30):
        sums, sizes = integrals(jump, (0.5,), 0.7, 9, 0.25)
        places = [-REACH, *range(-14, 15, 2), REACH, mp.mpf(-0.2) / 3, mp.mpf(-0.7) / 3]
        for p, k in ((1, 6), (3, 2), (4, 4)):
            wanted = mp.quad(
                lambda z, p=p, k=k: (jump(0.7 + 3 * z) - 0.25) ** p * hermite(z, 7)[k] * mp.npdf(z), sorted(places)
            )
            assert abs(sums[p - 1][k] - wanted) < 1e-13 * sizes[p]


@pytest.mark.parametrize("name", CASES)
def test_numpy(name):
    for dtype in TOLERANCES:
        check(name, dtype, hermite_moments(on_numpy, CASES[name][0], *inputs(name, dtype)))


@pytest.mark.parametrize("name", CASES)
def test_torch(name):
    torch = pytest.importorskip("torch")
    from fastmoments.frameworks import torch as on_torch

    for dtype in TOLERANCES:
        tensors = map(torch.from_numpy, inputs(name, dtype))
        check(name, dtype, [x.numpy() for x in hermite_moments(on_torch, CASES[name][0], *tensors)])


def weights():
    """A number for every moment, so that the gradient of their sum tells all."""
    rng = np.random.default_rng(1000)
    return [rng.normal(size=count) / [math.factorial(k) ** 0.5 for k in range(count)] for count in COUNTS]


# mean, variance, centre: on both sides of kinks, and so wide that functions are integrated by panels
SLOPES_AT = np.array([[0.375, 1.0, 0.25], [-0.625, 0.25, 0.125], [1.0, 100.0, 0.5]]).T[:, None]


@cache
def slopes(name):
    """Derivatives of the weighted sum along mu and var, (2, 1, n), by differences in 30 digits."""
    _, f, kinks = CASES[name]

    def total(mu, var, c):
        sums, _ = integrals(f, kinks, mu, var, c)
        return sum(
            float(w) * x for own, row in zip(weights(), sums, strict=True) for w, x in zip(own, row, strict=True)
        )

    h, found = mp.mpf(10) ** -8, []
    with mp.workdps(30):
        for mu, var, c in SLOPES_AT[:, 0].T:
            along = (mu + h, var), (mu - h, var), (mu, var + h), (mu, var - h)
            one, two, three, four = (total(*point, c) for point in along)
            found.append([float((one - two) / (2 * h)), float((three - four) / (2 * h))])
    return np.array(found).T[:, None]


def weighted(xp, moments):
    """The weighted sum of a library's moments."""
    return sum((xp.asarray(w)[:, None, None] * x).sum() for w, x in zip(weights(), moments, strict=True))


# closed forms, a grid, panels between jumps, and a jump of a function that cannot be differentiated
DIFFERENTIATED = "heaviside", "tanh", "hardshrink", "custom"


@pytest.mark.parametrize("name", DIFFERENTIATED)
def test_torch_gradients(name):
    torch = pytest.importorskip("torch")
    from fastmoments.frameworks import torch as on_torch

    mu, var, c = (torch.tensor(x, requires_grad=True) for x in SLOPES_AT)
    weighted(torch, hermite_moments(on_torch, CASES[name][0], mu, var, c)).backward()
    assert c.grad is None
    for got, wanted in zip((mu.grad, var.grad), slopes(name), strict=True):
        np.testing.assert_allclose(got.numpy(), wanted, rtol=1e-8)


@pytest.mark.parametrize("name", ["hardshrink", "custom"])
def test_torch_second_derivatives(name):
    torch = pytest.importorskip("torch")
    from fastmoments.frameworks import torch as on_torch

    mu, var, c = map(torch.tensor, SLOPES_AT)
    f = lambda mu, var: weighted(torch, hermite_moments(on_torch, CASES[name][0], mu, var, c))  # noqa: E731
    assert torch.autograd.gradgradcheck(f, (mu.requires_grad_(), var.requires_grad_()), rtol=1e-5)


@pytest.mark.parametrize(
    "name", ["tanh", *(pytest.param(name, marks=pytest.mark.slow) for name in ("custom", "hardshrink"))]
)
def test_jax(name, jax_double_precision):
    import jax
    import jax.numpy as jnp

    from fastmoments.frameworks import jax as on_jax

    def traced(x):
        return jnp.where(x > 0.5, x + 1.0, jnp.tanh(x))

    activation = fm.Custom(traced, kinks=(0.5,)) if name == "custom" else CASES[name][0]

    def total(mu, var, c):
        moments = hermite_moments(on_jax, activation, mu, var, c)
        return weighted(jnp, moments), moments

    function = jax.jit(jax.value_and_grad(total, (0, 1, 2), has_aux=True))
    # one compilation for values and slopes
    both = [np.concatenate(pair, axis=1) for pair in zip(inputs(name), SLOPES_AT, strict=True)]
    (_, moments), gradients = function(*both)
    check(name, np.dtype("float64").name, [np.asarray(x)[..., : len(PLACES)] for x in moments])
    for got, wanted in zip(gradients, slopes(name), strict=False):
        np.testing.assert_allclose(got[:, len(PLACES) :], wanted, rtol=1e-8)
    assert not np.any(gradients[2])
    assert all(np.isfinite(x).all() for x in gradients)


def test_a_stochastic_neuron():
    mu, var, c = np.array([[0.5, -3.0, 0.75]]), np.array([[4.0, 1e-4, 0.0]]), np.array([[0.5, 0.1, 0.25]])
    found = hermite_moments(on_numpy, "bernoulli_probit", mu, var, c)
    with mp.workdps(30):
        for i, (m, v, centre) in enumerate(np.concatenate([mu, var, c]).T):
            # E f He_k of f = Phi, and of 1
            (first, *_), _ = integrals(mp.ncdf, (), m, v or 1e-60, 0)
            for p, own in enumerate(found, 1):
                yes, no = (1 - mp.mpf(centre)) ** p, (-mp.mpf(centre)) ** p
                wanted = [yes * x + no * ((k == 0) - x) for k, x in enumerate(first[: len(own)])]
                np.testing.assert_allclose(own[:, 0, i], np.array(wanted, float), rtol=1e-13, atol=1e-15)


def test_an_exponential():
    mu, var = np.array([[0.5, -1.0, 2.0, 0.25]]), np.array([[0.25, 1e-4, 4.0, 0.5]])
    c = np.exp(mu + var / 2)
    found = hermite_moments(on_numpy, fm.Exp(), mu, var, c)
    with mp.workdps(30):
        for i, (m, v, centre) in enumerate(np.concatenate([mu, var, c]).T):
            # E e^(j X) He_k = (j sd)^k exp(j mu + j^2 var / 2); 30 digits leave enough where powers cancel
            m, sd, centre = mp.mpf(m), mp.sqrt(mp.mpf(v)), mp.mpf(centre)
            means = [mp.exp(j * m + j * j * sd * sd / 2) for j in range(9)]
            factors = [
                [mp.binomial(p, j) * (-centre) ** (p - j) * means[j] for j in range(p + 1)] for p in range(9)
            ]
            for p, own in enumerate(found, 1):
                for k, got in enumerate(own[:, 0, i]):
                    wanted = sum(factor * mp.mpf(j * sd) ** k for j, factor in enumerate(factors[p]))
                    assert abs(got - wanted) < 1e-10 * mp.sqrt(sum(factors[2 * p]) * math.factorial(k))


def test_parameters_of_every_neuron_and_a_batch():
    rng = np.random.default_rng(1001)
    mu, var, c = rng.normal(size=(2, 5)), rng.uniform(0.5, 2.0, (2, 5)), rng.normal(size=(2, 5))
    tau = np.array([0.5, 1.0, 30.0, 400.0, 0.0])
    together = hermite_moments(on_numpy, fm.NPN(tau=tau), mu, var, c)
    for b in range(2):
        for i in range(5):
            point = (x[b : b + 1, i : i + 1] for x in (mu, var, c))
            alone = hermite_moments(on_numpy, fm.NPN(tau=tau[i]), *point)
            for one, two in zip(together, alone, strict=True):
                np.testing.assert_allclose(one[:, b, i], two[:, 0, 0], rtol=1e-9, atol=1e-10)


def test_gradients_along_parameters():
    torch = pytest.importorskip("torch")
    from fastmoments.frameworks import torch as on_torch

    mu, var, c = map(torch.tensor, SLOPES_AT)
    tau = torch.tensor([0.5, 2.0, 4.0], dtype=torch.float64, requires_grad=True)
    f = lambda tau: weighted(torch, hermite_moments(on_torch, fm.Gaussian(tau), mu, var, c))  # noqa: E731
    assert torch.autograd.gradcheck(f, (tau,), rtol=1e-5)


@pytest.mark.parametrize("name", ["relu", "tanh", "elu", "hardtanh", "custom", "sin"])
def test_odd_values_stay_where_they_are(name):
    mu, var, c = np.array([[0.5, np.nan, 0.5, 0.5]]), np.array([[1.0, 1.0, -1.0, 0.0]]), np.full((1, 4), 0.25)
    found = hermite_moments(on_numpy, CASES[name][0], mu, var, c)
    alone = hermite_moments(on_numpy, CASES[name][0], mu[:, :1], var[:, :1], c[:, :1])
    for one, two in zip(found, alone, strict=True):
        np.testing.assert_allclose(one[..., :1], two, rtol=1e-12, atol=1e-14)
        assert np.isnan(one[..., 1:3]).all()
        assert np.isfinite(one[..., 3]).all()
    for shape in ((0, 3), (2, 0)):
        none = hermite_moments(on_numpy, CASES[name][0], *np.zeros((3, *shape)))
        assert [x.shape for x in none] == [(count, *shape) for count in COUNTS]


def test_derivatives_without_variance():
    torch = pytest.importorskip("torch")
    from fastmoments.frameworks import torch as on_torch

    for name, slope in (("relu", 1.0), ("tanh", 1.0 / math.cosh(0.5) ** 2), ("hardtanh", 1.0), ("custom", 0.0)):
        mu, var = (torch.tensor([[x]], dtype=torch.float64, requires_grad=True) for x in (0.5, 0.0))
        moments = hermite_moments(on_torch, CASES[name][0], mu, var, torch.zeros_like(mu))
        moments[0][0].sum().backward()
        np.testing.assert_allclose([mu.grad.item(), var.grad.item()], [slope, 0.0], rtol=1e-15)


def test_what_cannot_be_known_is_refused():
    point = np.array([[0.3]]), np.array([[4.0]]), np.array([[0.1]])
    for f in (np.abs, np.exp, lambda x: np.exp(x * x)):
        with pytest.raises(fm.ToleranceError, match="give `kinks`, or a larger tol"):
            hermite_moments(on_numpy, fm.Custom(f), *point)


@pytest.mark.parametrize("name", CASES)
def test_a_scale_divides_powers(name):
    mu, var, c = inputs(name)
    scale = np.random.default_rng(1002).uniform(0.5, 2.0, mu.shape)
    plain, scaled = (hermite_moments(on_numpy, CASES[name][0], mu, var, c, x) for x in (None, scale))
    for p, (one, two) in enumerate(zip(plain, scaled, strict=True), 1):
        np.testing.assert_allclose(two, one / scale**p, rtol=1e-10, atol=1e-10 * np.abs(one).max())


@pytest.mark.parametrize("size", [1e-150, 1e150])
def test_fourth_powers_may_leave_the_numbers(size):
    """Relu and its like are homogeneous; the centre and the scale are, too."""
    mu, var, c = np.array([[-1.0, 0.5]]), np.array([[1.0, 2.0]]), np.array([[0.1, 0.7]])
    scale = np.array([[0.5, 1.0]])
    for activation in ("relu", fm.LeakyReLU(0.1), "abs"):
        one = hermite_moments(on_numpy, activation, mu, var, c, scale)
        two = hermite_moments(on_numpy, activation, size * mu, size * size * var, size * c, size * scale)
        for wanted, found in zip(one, two, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-14)
    # an exponential is so along its mean
    shift = math.log(size)
    one = hermite_moments(on_numpy, fm.Exp(), mu, var, np.exp(c), scale)
    two = hermite_moments(on_numpy, fm.Exp(), mu + shift, var, size * np.exp(c), size * scale)
    for wanted, found in zip(one, two, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-11)
