"""f itself, on every library's arrays: against its definition in mpmath."""

import mpmath as mp
import numpy as np
import pytest

import fastmoments as fm
from fastmoments.frameworks import numpy as on_numpy
from fastmoments.values import value

X = np.array([[-20.0, -3.0, -0.5, 0.0, 0.25, 1.0, 8.0]])
SLOPES = np.linspace(0.0, 0.75, X.size)


def on_floats(f):
    return np.vectorize(f, otypes=[float])


# the activation, f, and its slope
CASES = {
    "heaviside": ("heaviside", lambda x: 0.5 * (1 + mp.sign(x)), lambda x: 0),
    "gelu": (fm.GELU(), lambda x: x * mp.ncdf(x), lambda x: mp.ncdf(x) + x * mp.npdf(x)),
    "erf": (fm.Erf, mp.erf, lambda x: 2 / mp.sqrt(mp.pi) * mp.exp(-x * x)),
    "tanh": ("tanh", mp.tanh, lambda x: 1 / mp.cosh(x) ** 2),
    "its mean": ("bernoulli_probit", mp.ncdf, mp.npdf),
    "gelu_tanh": (
        "gelu_tanh",
        lambda x: x / (1 + mp.exp(-2 * mp.sqrt(2 / mp.pi) * (x + mp.mpf("0.044715") * x**3))),
        None,
    ),
}


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


def wanted(f):
    with mp.workdps(40):
        return on_floats(lambda x: f(mp.mpf(x)))(X)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numpy(case, dtype):
    activation, f, _ = case
    x = X.astype(dtype)
    found = value(on_numpy, activation, x)
    assert found.dtype == dtype
    # tails are steep: relative errors of exp(-x^2 / 2) are x^2 eps
    np.testing.assert_allclose(found, wanted(f), rtol=500 * np.finfo(dtype).eps, atol=np.finfo(dtype).tiny)
    np.testing.assert_array_equal(x, X)


def test_torch(case):
    torch = pytest.importorskip("torch")
    from fastmoments.frameworks import torch as on_torch

    activation, f, slope = case
    x = torch.tensor(X, requires_grad=True)
    if slope is None:
        with pytest.raises(NotImplementedError, match=r"use torch.no_grad\(\)"):
            value(on_torch, activation, x)
        x = x.detach()
    found = value(on_torch, activation, x)
    np.testing.assert_allclose(found.detach(), wanted(f), rtol=1e-13)
    if slope is not None:
        found.sum().backward()
        np.testing.assert_allclose(x.grad, wanted(slope), rtol=1e-13, atol=1e-15)


def test_jax(case, jax_double_precision):
    import jax

    from fastmoments.frameworks import jax as on_jax

    activation, f, slope = case
    found = value(on_jax, activation, jax.numpy.asarray(X))
    np.testing.assert_allclose(found, wanted(f), rtol=1e-13)
    if slope is not None:
        along = jax.grad(lambda x: value(on_jax, activation, x).sum())(X)
        np.testing.assert_allclose(along, wanted(slope), rtol=1e-13, atol=1e-15)


def test_parameters_of_neurons_have_gradients():
    torch = pytest.importorskip("torch")
    from fastmoments.frameworks import torch as on_torch

    kept = np.where(X > 0.0, X, SLOPES * X)
    np.testing.assert_array_equal(value(on_numpy, fm.LeakyReLU(SLOPES), X), kept)
    slopes = torch.tensor(SLOPES, requires_grad=True)
    found = value(on_torch, fm.LeakyReLU(slopes), torch.tensor(np.repeat(X[None], 3, 0)))
    np.testing.assert_array_equal(found.detach(), np.repeat(kept[None], 3, 0))
    found.sum().backward()
    np.testing.assert_array_equal(slopes.grad, 3.0 * np.minimum(X, 0.0)[0])


def test_customs_and_mixtures():
    np.testing.assert_array_equal(value(on_numpy, fm.Custom(np.cbrt), X), np.cbrt(X))
    mixture = fm.GaussianMixture(weights=[0.5, 1.5], taus=[1.0, 2.0], centers=[0.0, 1.0])
    bumps = 0.5 * np.exp(-X * X / 2.0) + 1.5 * np.exp(-((X - 1.0) ** 2))
    np.testing.assert_allclose(value(on_numpy, mixture, X), bumps, rtol=1e-13)
    np.testing.assert_array_equal(value(on_numpy, fm.HardTanh(), X), np.clip(X, -1.0, 1.0))
