"""Derivatives of the moments of RMSNorm and LayerNorm, and their forms in PyTorch and JAX."""

import numpy as np
import pytest
import torch

from fastmoments.frameworks import numpy as numpy_words
from fastmoments.frameworks import torch as words
from fastmoments.joint.norms import Norm

RNG = np.random.default_rng(0)
BARS = [RNG.normal(size=shape) for shape in ((3,), (3, 3), (3, 3))]
MU, ROOT = np.array([0.4, -1.0, 0.7]), RNG.normal(size=(3, 3))
COVS = {"identity": np.eye(3), "generic": ROOT @ ROOT.T / 3, "twice the same": np.diag([1.0, 1.0, 0.2])}


def moments_of(norm):
    """Of a covariance that stays symmetric in its entries' differences."""
    return lambda mu, cov: norm.moments(words, mu, 0.5 * (cov + cov.mT))[:3]


def tracked(*arrays):
    return tuple(torch.tensor(array, requires_grad=True) for array in arrays)


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("cov", COVS)
@pytest.mark.parametrize("scale", [1.0, 0.0, 30.0])
def test_differences(centred, cov, scale, one_thread):
    inputs = tracked(scale * MU, COVS[cov])
    assert torch.autograd.gradcheck(moments_of(Norm(1e-2, centred)), inputs, eps=1e-5, atol=1e-7, rtol=1e-6)


@pytest.mark.parametrize("centred", [False, True])
def test_differences_of_two(centred, one_thread):
    for eps in (0.0, 0.1):
        inputs = tracked(MU[:2], np.eye(2))
        assert torch.autograd.gradcheck(moments_of(Norm(eps, centred)), inputs, eps=1e-5, atol=1e-7, rtol=1e-6)


@pytest.mark.parametrize("centred", [False, True])
def test_where_the_covariance_is_singular(centred, one_thread):
    """Along what stays a covariance: u u^T + d v v^T, for d >= 0."""
    u, v = (torch.tensor(x) for x in ROOT[:2])
    mu, bars = torch.tensor(MU), [torch.tensor(bar) for bar in BARS]

    def value(d):
        found = Norm(0.1, centred).moments(words, mu, torch.outer(u, u) + d * torch.outer(v, v))
        return sum((bar * x).sum() for bar, x in zip(bars, found[:3], strict=True))

    d = torch.zeros((), dtype=torch.float64, requires_grad=True)
    (found,) = torch.autograd.grad(value(d), d)
    at = [value(torch.tensor(1e-3 * k)) for k in range(5)]
    truth = (-25 * at[0] + 48 * at[1] - 36 * at[2] + 16 * at[3] - 3 * at[4]) / 12e-3
    assert abs(found - truth) < 1e-6 * abs(truth)


@pytest.mark.parametrize("centred", [False, True])
def test_differences_of_marginals(centred, one_thread):
    norm = Norm(1e-2, centred)

    def marginals(mu, var):
        return norm.marginals(words, mu, var)

    for mu, var in ((MU, np.ones(3)), (0.0 * MU, np.array([1.0, 0.2, 1e-3])), (30.0 * MU, np.ones(3))):
        inputs = tracked(mu, var)
        assert torch.autograd.gradcheck(marginals, inputs, eps=1e-5, atol=1e-7, rtol=1e-6)
    assert torch.autograd.gradgradcheck(marginals, tracked(MU, np.ones(3)), eps=1e-5, atol=1e-6, rtol=1e-5)


def test_second_derivatives(one_thread):
    """They are right along mu, and are refused along cov."""
    norm, cov = Norm(1e-2, True), torch.eye(3, dtype=torch.float64)
    (mu,) = tracked(MU)
    along_mu = torch.autograd.gradgradcheck(lambda x: norm.moments(words, x, cov)[:3], (mu,), eps=1e-5, atol=1e-6)
    assert along_mu
    cov.requires_grad_()
    (gradient,) = torch.autograd.grad(norm.moments(words, mu, cov).mean[0], cov, create_graph=True)
    with pytest.raises(NotImplementedError, match="no second derivatives along a covariance"):
        torch.autograd.grad(gradient.sum(), cov)


def test_torch_is_numpy(one_thread):
    mu, cov = np.stack([MU, 2.0 * MU]), np.stack([COVS["identity"], COVS["generic"]])
    for dtype, tol in ((np.float64, 1e-14), (np.float32, 1e-5)):
        norm, given = Norm(1e-5, True), (mu.astype(dtype), cov.astype(dtype))
        found = norm.moments(words, *(torch.tensor(x) for x in given))
        for one, two in zip(found[:3], norm.moments(numpy_words, *given)[:3], strict=True):
            assert str(one.dtype) == f"torch.{two.dtype}"
            np.testing.assert_allclose(one, two, rtol=tol, atol=tol)


def test_jax(jax_double_precision, one_thread):
    """Under jit, where values cannot choose the number of nodes; derivatives are PyTorch's."""
    jax = pytest.importorskip("jax")
    from fastmoments.frameworks import jax as jax_words

    norm, mu, cov = Norm(1e-3, True), np.stack([MU, 0.0 * MU]), np.stack([COVS["identity"]] * 2)

    def value(mu, cov):
        found = norm.moments(jax_words, mu, cov)[:3]
        return sum((b * x).sum() for b, x in zip(BARS, found, strict=True)), found

    (_, found), gradients = jax.jit(jax.value_and_grad(value, (0, 1), has_aux=True))(mu, cov)
    for one, two in zip(found, norm.moments(numpy_words, mu, cov)[:3], strict=True):
        np.testing.assert_allclose(one, two, atol=1e-14)
    inputs = tracked(mu, cov)
    found = norm.moments(words, *inputs)[:3]
    total = sum((torch.tensor(b) * x).sum() for b, x in zip(BARS, found, strict=True))
    for one, two in zip(gradients, torch.autograd.grad(total, inputs), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-10, atol=1e-10)


def test_marginals_in_jax(jax_double_precision):
    """Under vmap, of a network's diagonal."""
    jax = pytest.importorskip("jax")
    from fastmoments.frameworks import jax as jax_words

    norm, mu, var = Norm(1e-3, True), np.stack([MU, 0.0 * MU]), np.array([1.0, 0.5, 0.0])
    found = jax.jit(jax.vmap(lambda x: norm.marginals(jax_words, x, var)))(mu)
    for one, two in zip(found, norm.marginals(numpy_words, mu, np.stack([var, var])), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-14)


def test_second_derivatives_in_jax(jax_double_precision):
    jax = pytest.importorskip("jax")
    from fastmoments.frameworks import jax as jax_words

    def value(cov):
        return Norm(1e-3, False).moments(jax_words, MU, cov).mean[0]

    with pytest.raises(NotImplementedError, match="no second derivatives along a covariance"):
        jax.make_jaxpr(jax.hessian(value))(COVS["generic"])
