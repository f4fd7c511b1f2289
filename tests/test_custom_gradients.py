"""Gains of activations without a closed form have first derivatives in PyTorch, as networks need them."""

import numpy as np
import pytest
from mpmath import mp

import fastmoments as fm
from fastmoments.elementwise import gain
from tests.definitions import DEFINITIONS

torch = pytest.importorskip("torch")

TOL = 1e-10
ELU = fm.Custom(lambda x: np.where(x > 0.0, x, np.expm1(np.minimum(x, 0.0))), kinks=(0.0,))
MU, VAR = np.array([0.3, -0.7, 2.0]), np.array([1.0, 0.5, 4.0])


def slopes_of_gain(activation, mu, var):
    """(d gain / d mu, d gain / d var), by autograd."""
    leaves = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (mu, var)]
    gain(activation, *leaves).sum().backward()
    return [leaf.grad.numpy() for leaf in leaves]


@pytest.mark.parametrize("activation", [fm.Custom(np.tanh), "silu"])
def test_smooth_ones_by_the_definition(activation):
    """E f'' and E f''' / 2 are E[f He_2] / var and E[f He_3] / (2 sd^3), by trapezoids over the normal."""
    f = {"silu": lambda x: x / (1.0 + np.exp(-x))}.get(activation, np.tanh)
    z, sd = np.arange(-10.0, 10.0, 0.01), np.sqrt(VAR)[:, None]
    weight = 0.01 * np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)
    values = weight * f(MU[:, None] + sd * z)
    by_mu = np.sum(values * (z**2 - 1.0), axis=1) / VAR
    by_var = 0.5 * np.sum(values * (z**3 - 3.0 * z), axis=1) / VAR**1.5
    found = slopes_of_gain(activation, MU, VAR)
    # f, the variances and the derivatives are of order one
    np.testing.assert_allclose(found, [by_mu, by_var], rtol=0, atol=10 * TOL)


def test_kinked_ones_by_closed_form():
    """ELU: f'' = e^x below 0, and f''' has a -1 at 0 besides, where f'' falls from 1 to 0."""
    wanted = []
    for mu, var in zip(MU, VAR, strict=True):
        below = mp.exp(mu + var / 2) * mp.ncdf(-(mu + var) / mp.sqrt(var))
        wanted.append((float(below), float(below - mp.npdf(0, mu, mp.sqrt(var))) / 2))
    np.testing.assert_allclose(slopes_of_gain(ELU, MU, VAR), np.transpose(wanted), rtol=0, atol=10 * TOL)


@pytest.mark.parametrize("var", [0.0, 1e-14])
def test_little_variance(var):
    """f'' and f''' / 2 of the definition; f''' extrapolates differences, and has fewer digits than f''."""
    at = [0.7, -3.0, 0.0]
    with mp.workdps(40):
        wanted = [[float(mp.diff(DEFINITIONS["silu"], x, k)) / (k - 1) for x in at] for k in (2, 3)]
    by_mu, by_var = slopes_of_gain("silu", at, [var] * 3)
    np.testing.assert_allclose(by_mu, wanted[0], rtol=0, atol=10 * TOL)
    np.testing.assert_allclose(by_var, wanted[1], rtol=0, atol=100 * TOL)


def test_a_kink_without_variance_has_no_third_derivative():
    by_mu, by_var = slopes_of_gain(ELU, [0.0, -0.5], [0.0, 0.0])
    assert np.abs(by_mu - [0.5, np.exp(-0.5)]).max() <= 10 * TOL
    assert np.isnan(by_var[0]) and abs(by_var[1] - 0.5 * np.exp(-0.5)) <= 100 * TOL


@pytest.mark.parametrize("activation", ["gelu_tanh", ELU])
def test_gradcheck(activation):
    leaves = [torch.tensor(x, requires_grad=True) for x in (MU, VAR)]
    assert torch.autograd.gradcheck(lambda *x: gain(activation, *x), leaves, check_forward_ad=True)
    by_rows = torch.func.vmap(torch.func.grad(lambda m, v: gain(activation, m, v)))(*leaves)
    np.testing.assert_array_equal(by_rows.detach(), slopes_of_gain(activation, MU, VAR)[0])
    with pytest.raises(NotImplementedError, match="first derivatives only"):
        torch.autograd.functional.hessian(lambda m: gain(activation, m, leaves[1]).sum(), leaves[0])


def test_a_network_through_silu():
    """Finite differences of propagate, by the mean, the covariance and every weight."""
    generator = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    net = torch.nn.Sequential(
        torch.nn.Linear(3, 4), torch.nn.SiLU(), torch.nn.Linear(4, 4), torch.nn.SiLU(), torch.nn.Linear(4, 2)
    ).double()
    weights = {name: draw(*weight.shape) for name, weight in net.named_parameters()}
    root = draw(3, 3)

    def moments(mu, cov, *values):
        for name, value in zip(weights, values, strict=True):
            layer, _, leaf = name.rpartition(".")
            module = net.get_submodule(layer)
            module._parameters.pop(leaf, None)
            setattr(module, leaf, value)
        return tuple(fm.nn.propagate(net, mu, 0.5 * (cov + cov.mT)))

    inputs = [x.requires_grad_() for x in (draw(3), root @ root.mT, *weights.values())]
    assert torch.autograd.gradcheck(moments, inputs)
