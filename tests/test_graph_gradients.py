"""Rules of modules of ones own, and gradients through models: by autograd and by torch.func."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812

import fastmoments as fm  # noqa: E402
from tests.network_cases import assert_same, gaussian, perceptron  # noqa: E402

pytestmark = pytest.mark.usefixtures("double_precision")
EXACT = dict(rtol=1e-12, atol=1e-12)  # a few products of numbers of order one


class Scaled(nn.Module):
    """A layer whose forward has no rule, and its own rule: y = a x + noise of variance v."""

    def __init__(self):
        super().__init__()
        self.a = nn.Parameter(torch.tensor([2.0, -1.0, 0.5]))

    def forward(self, x):
        return self.a * x + 0.3 * torch.randn_like(x)

    def __fastmoments__(self, value):
        return fm.nn.affine(value, lambda x: self.a * x, own=lambda second: 0.09 + 0.0 * second)


@pytest.mark.feature("PyTorch", "networks: rules of your own")
def test_rules_of_ones_own():
    (mu, cov), layer = gaussian(3), Scaled()
    model = nn.Sequential(nn.Identity(), layer)
    mean, full = fm.nn.propagate(model, mu, cov)
    a = layer.a.detach()
    np.testing.assert_allclose(mean.detach(), a * mu, **EXACT)
    np.testing.assert_allclose(full.detach(), torch.outer(a, a) * cov + 0.09 * torch.eye(3), **EXACT)
    full.sum().backward()
    np.testing.assert_allclose(layer.a.grad, 2.0 * cov @ a, **EXACT)
    given = {Scaled: lambda module, value: fm.nn.elementwise(value, fm.ReLU(), torch.relu)}
    assert_same(fm.nn.propagate(model, mu, cov, rules=given), fm.relu_moments(mu, cov))
    assert "forward" not in vars(layer)


class Inplace(nn.Module):
    """Parametrised weights, in-place operators, and slices that are written."""

    def __init__(self):
        super().__init__()
        self.one = nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))
        self.two = nn.utils.parametrizations.spectral_norm(nn.Linear(4, 2))

    def forward(self, x):
        h = self.one(x)
        skip = h
        h += 1.0
        y = torch.zeros_like(h)
        y[:, :2] = h[:, 2:]
        y[:, 2:] = F.relu_(h[:, :2] * 2.0)
        y.mul_(0.5)
        return self.two(torch.sigmoid(y)) + skip[:, :2]


@pytest.mark.feature("PyTorch", "networks: gradients")
def test_gradients_by_parameters_means_and_covariances():
    torch.manual_seed(0)
    model, (mu, cov) = Inplace().eval(), gaussian(4)
    names = [name for name, _ in model.named_parameters()]
    parameters = [parameter.detach().clone().requires_grad_() for parameter in model.parameters()]

    def moments(mu, root, *values):
        named = dict(zip(names, values, strict=True))
        call = lambda x: torch.func.functional_call(model, named, (x,))  # noqa: E731
        return tuple(fm.nn.propagate(call, mu, root @ root.T))

    root = torch.linalg.cholesky(cov)
    assert torch.autograd.gradcheck(moments, (mu.requires_grad_(), root.requires_grad_(), *parameters))


@pytest.mark.feature("PyTorch", "networks: vmap and functional transforms")
def test_derivatives_of_torch_func():
    """Along parameters, means and covariances: those of autograd; vmap is a loop."""
    model, (mu, cov) = perceptron(), gaussian(4)
    values = {name: value.detach() for name, value in model.named_parameters()}

    def loss(values, mu):
        call = lambda x: torch.func.functional_call(model, values, (x,))  # noqa: E731
        return fm.nn.propagate(call, mu, cov).cov.sum()

    found = torch.func.grad(loss, (0, 1))(values, mu)
    tracked = {name: value.clone().requires_grad_() for name, value in values.items()}
    point = mu.clone().requires_grad_()
    loss(tracked, point).backward()
    for name, value in tracked.items():
        np.testing.assert_allclose(found[0][name], 0.0 if value.grad is None else value.grad, **EXACT)
    np.testing.assert_allclose(found[1], point.grad, **EXACT)
    stacked = {name: torch.stack([value, 0.5 * value]) for name, value in values.items()}
    both = torch.func.vmap(loss, (0, None))(stacked, mu)
    np.testing.assert_allclose(both, [loss({n: v[k] for n, v in stacked.items()}, mu) for k in (0, 1)], **EXACT)
