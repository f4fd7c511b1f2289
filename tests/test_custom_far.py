"""Activations without a closed form where f hardly changes, changes far from mu, or bends sharply."""

import numpy as np
import pytest
from mpmath import mp

import fastmoments as fm
from fastmoments.elementwise import gain, marginals

TOL, EPS = 1e-10, float(np.finfo(np.float64).eps)
BIG = mp.mpf(10) ** 330
# f to 30 digits from its definition; the same for arrays; where f or f' breaks
FUNCTIONS = {
    "relu6": (lambda x: min(max(x, 0), 6), lambda x: np.clip(x, 0.0, 6.0), (0.0, 6.0)),
    "hardtanh": (lambda x: min(max(x, 0), 1), lambda x: np.clip(x, 0.0, 1.0), (0.0, 1.0)),
    "threshold": (lambda x: x if x > 0.5 else mp.mpf(-1), lambda x: np.where(x > 0.5, x, -1.0), (0.5,)),
    "hardsigmoid": (lambda x: min(max(x / 6 + 0.5, 0), 1), lambda x: np.clip(x / 6 + 0.5, 0.0, 1.0), (-3.0, 3.0)),
    "hardswish": (lambda x: x * min(max(x + 3, 0), 6) / 6, lambda x: x * np.clip(x + 3, 0, 6) / 6, (-3.0, 3.0)),
    "elu": (lambda x: max(x, mp.expm1(min(x, 0))), lambda x: np.maximum(x, np.expm1(np.minimum(x, 0))), (0.0,)),
    "softsign": (lambda x: x / (1 + abs(x)), lambda x: x / (1 + np.abs(x)), (0.0,)),
    "tanh": (mp.tanh, np.tanh, ()),
    "softplus": (lambda x: mp.log1p(mp.exp(x)), lambda x: np.logaddexp(0.0, x), ()),
}


def integrated(f, kinks, mu, var):
    """(E g, E g^2, E f') with f(X) = f(mu) + g, on panels that end at kinks and at powers of 4."""
    with mp.workdps(30):
        mu, sd = mp.mpf(mu), mp.sqrt(mp.mpf(var))
        inner = [*kinks, *(sign * mp.mpf(4) ** k for k in range(-3, 40) for sign in (-1, 1))]
        ends = sorted(x for x in [*inner, *(mu + sd * k for k in range(-44, 45, 2))] if abs(x - mu) <= 44 * sd)
        at_mu = f(mu)

        def expected(value):
            z = lambda x: (x - mu) / sd  # noqa: E731
            weighed = lambda x: value(f(x) - at_mu, z(x)) * mp.exp(-(z(x) ** 2) / 2)  # noqa: E731
            # mpmath's error is absolute: beside 1e330 none seems small, so that it takes all 48 nodes of a panel
            scaled = mp.quad(lambda x: BIG * weighed(x), ends, method="gauss-legendre", maxdegree=5)
            return scaled / (BIG * sd * mp.sqrt(2 * mp.pi))

        return expected(lambda g, z: g), expected(lambda g, z: g * g), expected(lambda g, z: g * z / sd)


def compared(name, mu, var):
    """Assert that every number is within the tolerance, relative to its own scale, and f's rounding."""
    f, function, kinks = FUNCTIONS[name]
    custom = fm.Custom(function, kinks=kinks)
    shift, square, slope = integrated(f, kinks, mu, var)
    size, rounding = float(mp.sqrt(square)), 4 * EPS * abs(float(f(mu)))
    mean, spread = marginals(custom, mu, var)
    assert abs(mean - float(f(mp.mpf(mu)) + shift)) <= TOL * size + rounding
    assert abs(spread - float(square - shift**2)) <= TOL * size**2 + rounding * size
    assert abs(gain(custom, mu, var) - float(slope)) <= (TOL * size + rounding) / np.sqrt(var)


@pytest.mark.parametrize(
    ("name", "mu"),
    [("relu6", -12.0), ("relu6", -18.0), ("hardtanh", -12.0), ("hardtanh", 13.5), ("threshold", -12.0)]
    + [("hardsigmoid", -15.0), ("hardsigmoid", 15.0), ("hardswish", -15.0), ("hardswish", 15.0)],
)
def test_what_f_does_far_off_counts(name, mu):
    """A neuron on which f is constant or linear but in the tails has moments made by the tails."""
    compared(name, mu, 1.0)


@pytest.mark.parametrize("mu", [30.0, -50.0])
def test_saturated_neurons_are_constant_to_rounding(mu):
    mean, spread = fm.tanh_marginals(mu, 1.0)
    assert abs(mean - np.sign(mu)) <= EPS and spread <= EPS**2
    found = fm.tanh_moments([mu, mu, 0.0], [[1.0, 1.0, 0.5], [1.0, 1.0, 0.5], [0.5, 0.5, 1.0]])
    assert np.abs(found.cov[:2]).max() <= EPS


@pytest.mark.parametrize("name", ["relu6", "hardswish"])
def test_a_matrix_with_neurons_far_off(name):
    """A neuron that is nearly constant has a small covariance with every other (Cauchy, Schwarz)."""
    _, function, kinks = FUNCTIONS[name]
    found = fm.moments(fm.Custom(function, kinks=kinks), [-30.0, 0.5], [[1.0, 0.6], [0.6, 1.0]]).cov
    assert abs(found[0, 1]) <= 1e-90 and found[1, 1] > 0.1


@pytest.mark.parametrize(
    ("name", "mu", "var"),
    [
        ("tanh", 100.0, 1e8),
        ("tanh", -3.0, 1e20),
        ("softsign", 100.0, 1e8),
        ("elu", 0.3, 1e8),
        ("softplus", -3.0, 1e20),
    ],
)
def test_bends_narrow_beside_the_standard_deviation(name, mu, var):
    """A function bent near 0 at a scale of one needs no kinks to say so."""
    compared(name, mu, var)


@pytest.mark.parametrize(
    "function", [lambda x: np.exp(16.0 * x), lambda x: np.exp(25.0 * x), lambda x: np.exp(x * x)]
)
def test_what_grows_too_fast_is_refused(function):
    """A part of the mean square, or all of it, lies beyond 37 standard deviations."""
    with pytest.raises(fm.ToleranceError, match="at mu = 0, var = 1: f grows so fast"):
        marginals(fm.Custom(function), 0.0, 1.0)
