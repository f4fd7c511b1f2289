"""Convolutions of Gaussian weights, against the sums of their definition and their own draws."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812

import fastmoments as fm  # noqa: E402
from tests.all_masks import (  # noqa: E402
    CLOSE,
    assert_drawn,
    assert_moments,
    gaussian,
)

pytestmark = pytest.mark.usefixtures("double_precision")

CONVOLUTIONS = {
    "1d": (lambda: fm.nn.BayesConv1d(2, 3, 3, padding=1, initial_sd=0.5), (2, 4)),
    "1d, strided and dilated": (
        lambda: fm.nn.BayesConv1d(1, 2, 2, stride=2, dilation=2, bias=False, initial_sd=0.5),
        (1, 6),
    ),
    "2d, in groups": (lambda: fm.nn.BayesConv2d(2, 4, (2, 1), padding=(1, 0), groups=2, initial_sd=0.5), (2, 2, 2)),
    "2d, same size": (lambda: fm.nn.BayesConv2d(1, 2, (3, 1), padding="same", initial_sd=0.5), (1, 2, 3)),
    "3d": (lambda: fm.nn.BayesConv3d(1, 1, (1, 2, 2), initial_sd=0.5), (1, 2, 2, 3)),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_bayesian_convolutions_are_the_sums_of_their_definition(name):
    """y = sum_k w_k T_k x, E y y^T = sum E[w_k w_l] T_k E[x x^T] T_l^T over independent weights."""
    make, shape = CONVOLUTIONS[name]
    layer = make()
    mu, cov = gaussian(*shape)
    mean, var, bias, bias_var = (None if x is None else x.detach() for x in layer.distribution())
    units = torch.eye(mu.numel()).reshape(-1, *shape)
    # T_k by the layer's own kind of torch, of unit weights and unit inputs
    plain = getattr(F, f"conv{layer.dims}d")
    stride, padding, dilation = layer.geometry
    maps = np.array(
        [
            plain(units, e.reshape(mean.shape), None, stride, padding, dilation, layer.groups).flatten(1).T.numpy()
            for e in torch.eye(mean.numel())
        ]
    )
    c, x = cov[0].numpy(), mu.numpy().ravel()
    line = np.einsum("k,kpi->pi", mean.numpy().ravel(), maps)
    full = line @ c @ line.T
    full += np.einsum("k,kpi,ij,kqj->pq", var.numpy().ravel(), maps, c + np.outer(x, x), maps)
    positions = len(full) // len(mean)
    centre = line @ x
    if bias is not None:
        centre += np.repeat(bias.numpy(), positions)
        full += np.kron(np.diag(bias_var.numpy()), np.ones((positions, positions)))
    found = fm.propagate(layer, mu, cov)
    assert_moments(found, centre, full)
    diagonal = fm.propagate(layer, mu, cov.diagonal(dim1=-2, dim2=-1).reshape(1, *shape), covariance="diagonal")
    independent = np.einsum("pi,i->p", line**2, np.diag(c)) + np.diag(
        np.einsum("k,kpi,ij,kqj->pq", var.numpy().ravel(), maps, np.diag(np.diag(c)) + np.outer(x, x), maps)
    )
    independent += 0.0 if bias is None else np.repeat(bias_var.numpy(), positions)
    np.testing.assert_allclose(diagonal.var.detach().ravel(), independent, **CLOSE)


def test_bayesian_convolutions_draw_what_propagate_says():
    torch.manual_seed(2)
    layer, (mu, cov) = fm.nn.BayesConv1d(2, 2, 2, initial_sd=0.5), gaussian(2, 3)
    root = torch.linalg.cholesky(cov[0])
    with torch.no_grad():
        y = torch.cat([layer((mu.flatten() + root @ torch.randn(6)).reshape(1, 2, 3)) for _ in range(10000)])
    assert_drawn(fm.propagate(layer, mu, cov), y.flatten(1))
    model = nn.Sequential(layer, nn.ReLU(), fm.nn.BayesLinear(2, 1))
    assert fm.nn.kl_divergence(model).item() == pytest.approx((layer.kl() + model[2].kl()).item(), rel=1e-15)


def test_gradients_of_bayesian_convolutions():
    mu, cov = gaussian(1, 3)
    layer = fm.nn.BayesConv1d(1, 2, 2, initial_sd=0.5)

    def total(*weights):
        named = dict(zip(dict(layer.named_parameters()), weights, strict=True))
        other = fm.nn.BayesConv1d(1, 2, 2)
        for name, value in named.items():
            delattr(other, name)
            setattr(other, name, value)
        return fm.propagate(other, mu, cov)

    assert torch.autograd.gradcheck(total, [p.detach().clone().requires_grad_() for p in layer.parameters()])
