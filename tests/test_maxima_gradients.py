"""The maximum of Gaussian groups on tensors and under jit: its gradients are the probabilities and curvatures."""

import numpy as np
import pytest

from fastmoments.frameworks import numpy as words
from fastmoments.joint.exact_maximum import exact_maximum
from fastmoments.joint.maxima import Maximum
from tests.test_maxima import FACTORS, of_factor


def test_masks_have_finite_gradients():
    torch = pytest.importorskip("torch")
    from fastmoments.frameworks import torch as tensors

    for n in (3, 6):
        mu = torch.tensor([-float("inf"), 0.2, *[0.1] * (n - 2)], dtype=torch.float64, requires_grad=True)
        cov = torch.eye(n, dtype=torch.float64, requires_grad=True)
        mean, var, slope = Maximum(n).moments(tensors, mu, cov)[:3]
        (mean.sum() + var.sum()).backward(retain_graph=True)
        assert torch.isfinite(mu.grad).all() and torch.isfinite(cov.grad).all() and mu.grad[0] == 0.0
        by_mu = torch.autograd.grad(mean.sum(), mu)[0]
        torch.testing.assert_close(by_mu, slope[0], rtol=0, atol=1e-13 if n == 3 else 2e-2)


def test_gradients_of_pytorch():
    torch = pytest.importorskip("torch")
    from fastmoments.frameworks import torch as tensors

    mu, cov = (torch.tensor(x, requires_grad=True) for x in of_factor(*FACTORS[2]))

    def function(mu, cov):
        return exact_maximum(tensors, mu, 0.5 * (cov + cov.mT))[:3]

    assert torch.autograd.gradcheck(function, (mu, cov))
    mean, var, slope, curvature = exact_maximum(tensors, mu, cov)
    by_mu, by_cov = torch.autograd.grad(mean.sum(), (mu, cov))
    # Stein and Price
    torch.testing.assert_close(by_mu, slope[0], rtol=0, atol=1e-13)
    torch.testing.assert_close(0.5 * (by_cov + by_cov.mT), 0.5 * curvature[0], rtol=0, atol=1e-12)
    # an element midway between two others
    mu = torch.linspace(-0.5, 0.5, 4, dtype=torch.float64, requires_grad=True)
    found = exact_maximum(tensors, mu, torch.eye(4, dtype=torch.float64) + 0.3)
    found.mean.sum().backward()
    torch.testing.assert_close(mu.grad, found.slope[0], rtol=0, atol=1e-13)
    # ties and no variance
    mu = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    cov = torch.zeros(3, 3, dtype=torch.float64, requires_grad=True)
    exact_maximum(tensors, mu, cov).mean.sum().backward()
    assert torch.isfinite(cov.grad).all()
    many = torch.randn(6, dtype=torch.float64, requires_grad=True)
    Maximum(6).moments(tensors, many, torch.eye(6, dtype=torch.float64)).mean.sum().backward()
    torch.testing.assert_close(many.grad.sum().item(), 1.0, rtol=0, atol=1e-4)


def test_under_jit(jax_double_precision):
    import jax

    from fastmoments.frameworks import jax as arrays

    mu, cov = of_factor(*FACTORS[0])
    found = jax.jit(lambda *x: exact_maximum(arrays, *x))(mu, cov)
    for one, other in zip(found, exact_maximum(words, mu, cov), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-13)


@pytest.mark.slow  # XLA compiles for half a minute
@pytest.mark.parametrize("n", [2, 4, 5])
def test_gradients_under_jit(jax_double_precision, n):
    import jax

    from fastmoments.frameworks import jax as arrays

    mu = np.linspace(-0.5, 0.5, n)
    cov = np.eye(n) + 0.3
    function = jax.jit(jax.value_and_grad(lambda *x: Maximum(n).moments(arrays, *x).mean[0], (0, 1)))
    value, gradients = function(mu, cov)
    want = Maximum(n).moments(words, mu, cov)
    np.testing.assert_allclose(value, want.mean[0], rtol=1e-13)
    np.testing.assert_allclose(gradients[0], want.slope[0], atol=1e-12 if n < 5 else 1e-2)
