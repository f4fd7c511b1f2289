"""E (f(X) - c)^p He_k(Z): against integrals of the definition in 30 digits, split where f breaks."""

import math
from functools import cache
from itertools import pairwise

import mpmath as mp
import numpy as np
import pytest

import fastmoments as fm
from fastmoments.frameworks import numpy as on_numpy
from fastmoments.powers import hermite_moments

COUNTS = (7, 5, 5, 5)
# f bends at a scale of one, or 1 / 20, about 0: the truth's panels end around it
BENDS = [sign * mp.mpf(2) ** k for k in range(-4, 11, 2) for sign in (-1, 1)]
REACH = 15
# Mean and sd, among them sds far from 1, and means many sds from the kink at 0. They, and variances, are exact in
# float32
PLACES = [(-3, 1), (0, 1), (0.375, 0.0078125), (3, 30), (-20, 1), (0.625, 3), (1, 100), (-0.5, 0)]
MU, SD = np.array(PLACES, float).T[:, None]
VAR = SD * SD


SINE = (0.125, 0.25)


TOLERANCES = {"float64": 1e-10, "float32": 1e-5}


def step(x):
    return mp.mpf(1 if x > 0 else 0)


def jump(x):
    return mp.tanh(x) if x < 0.5 else x + 1


def bump(r, q, tau, center):
    return lambda x: r - q * mp.exp(-tau * (x - center) ** 2 / 2)


def wave(x):
    return mp.sin(SINE[0] * x + SINE[1])


def tanh_or_line(x):
    return np.where(x > 0.5, x + 1.0, np.tanh(x))


# name: (the activation, f, where it breaks)
CASES = {
    "relu": ("relu", lambda x: max(x, mp.mpf(0)), (0,)),
    "leaky_relu": (fm.LeakyReLU(0.1), lambda x: x if x > 0 else mp.mpf(0.1) * x, (0,)),
    "hardshrink": (fm.HardShrink(0.75), lambda x: x if abs(x) > 0.75 else mp.mpf(0), (-0.75, 0.75)),
    "heaviside": ("heaviside", step, (0,)),
    "hardtanh": (fm.HardTanh(), lambda x: min(max(x, mp.mpf(-1)), mp.mpf(1)), (-1, 1)),
    "elu": (fm.ELU(), lambda x: x if x > 0 else mp.expm1(x), (0,)),
    "tanh": ("tanh", mp.tanh, ()),
    "softplus": (fm.Softplus(beta=3.0), lambda x: mp.log1p(mp.exp(3 * x)) / 3, ()),
    "gelu": ("gelu", lambda x: x * mp.ncdf(x), ()),
    "probit": ("probit", mp.ncdf, ()),
    "sin": (fm.Sin(*SINE), wave, ()),
    "npn": (fm.NPN(1.0, 2.0, 30.0, 0.4), bump(1, 2, 30, mp.mpf(0.4)), ()),
    "square": (fm.Polynomial((1.0, 0.5, 2.0)), lambda x: 1 + x / 2 + 2 * x * x, ()),
    "custom": (fm.Custom(tanh_or_line, kinks=(0.5,)), jump, (0.5,)),
}


@cache
def legendre(count):
    """Nodes and weights of Gauss-Legendre on (0, 1) in 30 digits: zeros of P_n, by Newton's method."""
    with mp.workdps(30):
        found = []
        for start in np.polynomial.legendre.leggauss(count)[0]:
            x = mp.mpf(start)
            for _ in range(2):
                one, two = mp.legendre(count, x), mp.legendre(count - 1, x)
                slope = count * (two - x * one) / (1 - x * x)
                x -= one / slope
            found.append(((1 + x) / 2, 1 / ((1 - x * x) * slope**2)))
        return found


def hermite(z, count):
    found = [mp.mpf(1), z]
    while len(found) < count:
        found.append(z * found[-1] - (len(found) - 1) * found[-2])
    return found


def integrals(f, kinks, mu, var, c, extra=0):
    """The moments, and sqrt(E (f - c)^2p), by panels of 24 nodes."""
    mu, c, sd = mp.mpf(mu), mp.mpf(c), mp.sqrt(mp.mpf(var))
    counts = [count + extra for count in COUNTS]
    sums, squares = [[mp.mpf(0)] * count for count in counts], [mp.mpf(0)] * 5
    inner = [(x - mu) / sd for x in (*kinks, *BENDS)]
    # a wave has no end
    regular = [mp.mpf(z) / 2 for z in range(-2 * REACH, 2 * REACH + 1, 1 if f is wave and sd > 9 else 6)]
    ends = sorted({*regular, *(z for z in inner if abs(z) < REACH)})
    for low, high in pairwise(ends):
        for place, weight in legendre(24):
            z = low + (high - low) * place
            density = weight * (high - low) * mp.npdf(z)
            g, power = f(mu + sd * z) - c, density
            he = hermite(z, max(counts))
            for p, count in enumerate(counts):
                power *= g
                squares[p + 1] += power * power / density
                for k in range(count):
                    sums[p][k] += power * he[k]
    squares[0] = mp.mpf(1)
    return sums, [mp.sqrt(x) for x in squares]


def inputs(name, dtype=np.float64):
    """Arrays (1, n) of mean, variance and centre, which is near the mean."""
    centre = 0.875 * fm.mean(CASES[name][0], MU, VAR) + 0.125 * (VAR == 0)
    return tuple(x.astype(np.float32).astype(dtype) for x in (MU, VAR, centre))


@cache
def truth(name):
    """Four lists of arrays (K, n), one per power, of what `_column` returns."""
    with mp.workdps(30):
        _, f, kinks = CASES[name]
        columns = [_column(f, kinks, *map(float, point)) for point in np.concatenate(inputs(name)).T]
    return [[np.array(x, float).T for x in zip(*part, strict=True)] for part in zip(*columns, strict=True)]


def _column(f, kinks, mu, var, c):
    """Moments, their scales sqrt(E (f - c)^2p k!), what f's rounding amounts to, and what is far out."""
    roots = [[math.sqrt(math.factorial(k)) for k in range(count)] for count in COUNTS]
    size = abs(c) + abs(float(f(mp.mpf(mu))))
    if var == 0:
        g = f(mp.mpf(mu)) - mp.mpf(c)
        found = [[g**p] + [0] * (count - 1) for p, count in enumerate(COUNTS, 1)]
        sizes = [abs(g) ** p for p in range(5)]
    else:
        found, sizes = integrals(f, kinks, mu, var, c)
    scales = [[sizes[p] * root for root in roots[p - 1]] for p in range(1, 5)]
    rounding = [[p * size * sizes[p - 1] * root for root in roots[p - 1]] for p in range(1, 5)]
    # what is far out, for functions of a slope of two
    return found, scales, rounding, [[(2 * var**0.5) ** p for _ in row] for p, row in enumerate(found, 1)]


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
