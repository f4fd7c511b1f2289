"""Layers of several values found by attacks on `propagate`: what was not a number, crashed, or was wrong."""

import numpy as np
import pytest
from scipy.stats import norm

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812

import fastmoments as fm  # noqa: E402

pytestmark = pytest.mark.usefixtures("double_precision")
EXACT = dict(rtol=1e-12, atol=1e-12)  # a few products of numbers of order one


def test_a_choice_of_two_constants():
    mu, sd = torch.tensor([[0.3, -0.2, 1.0]]), 0.7
    mean, cov = fm.propagate(lambda x: torch.where(x > 0.0, 1.0, 3.0), mu, sd**2 * torch.eye(3)[None])
    p = norm.cdf(mu.numpy() / sd)
    np.testing.assert_allclose(mean, 3.0 - 2.0 * p, **EXACT)
    np.testing.assert_allclose(cov[0].diagonal()[None], 4.0 * p * (1.0 - p), **EXACT)


def test_a_key_padding_mask_of_every_row():
    torch.manual_seed(0)
    layer = nn.MultiheadAttention(4, 2, batch_first=True).eval().requires_grad_(False)
    mu, cov = torch.randn(4, 3, 4), 0.01 * torch.eye(12).expand(4, 12, 12)

    def masked(x):
        mask = torch.tensor([[False, False, True]]).expand(len(x), 3)
        return layer(x, x, x, key_padding_mask=mask)[0]

    found = fm.propagate(masked, mu, cov)
    expected = fm.propagate(lambda x: layer(x, x[:, :2], x[:, :2])[0], mu, cov)
    # a softmax of three, one of them 0, is by fixed points, and of two exact
    torch.testing.assert_close(found.mean, expected.mean, rtol=0.0, atol=1e-5)
    torch.testing.assert_close(found.cov, expected.cov, rtol=0.0, atol=1e-6)


@pytest.mark.parametrize("gate", [F.relu, torch.sign, F.hardsigmoid])
def test_a_gate_without_variance_on_its_kink(gate):
    def function(x):
        return x[:, :3] * gate(x[:, 3:])

    mu = torch.tensor([[0.5, 1.0, -2.0, 0.0, -3.0, 0.2]], requires_grad=True)
    cov = torch.zeros(1, 6, 6)
    for at in (0, 1, 5):
        cov[0, at, at] = 0.04
    found = fm.propagate(function, mu, cov)
    # the first two have factors that are certain
    factors = gate(mu[0, 3:5])
    torch.testing.assert_close(found.mean[0, :2], factors * mu[0, :2], **EXACT)
    torch.testing.assert_close(found.cov[0, :2, :2], 0.04 * torch.diag(factors**2), **EXACT)
    if gate is torch.sign:  # whose slope there is infinite
        return
    (along_mu,) = torch.autograd.grad(found.mean.sum() + found.cov.sum(), mu)
    assert along_mu.isfinite().all()


FUNCTIONAL = {
    "gate": nn.Sequential(nn.Linear(4, 4), nn.GLU()),
    "softmax": nn.Sequential(nn.Linear(4, 3), nn.Softmax(-1)),
    "layer norm": nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)),
}


@pytest.mark.parametrize("name", FUNCTIONAL)
def test_gradients_by_torch_func(name):
    torch.manual_seed(0)
    model = FUNCTIONAL[name].double()
    mu, cov = torch.randn(2, 4), 0.01 * torch.eye(4)

    def loss(parameters):
        found = fm.propagate(lambda x: torch.func.functional_call(model, parameters, (x,)), mu, cov)
        return found.cov.square().sum() + found.mean.square().sum()

    given = {key: value.detach() for key, value in model.named_parameters()}
    found = torch.func.grad(loss)(given)
    for key, direction in given.items():
        up, down = (loss({**given, key: given[key] + step * direction}) for step in (1e-5, -1e-5))
        # central differences, of which 1e-9 is rounding
        torch.testing.assert_close((found[key] * direction).sum(), (up - down) / 2e-5, rtol=1e-4, atol=1e-8)


EMPTY = {
    "maximum": lambda x: x.amax(1),
    "pooling": lambda x: F.max_pool2d(x, (3, 2)),
    "softmax": lambda x: x.softmax(1),
    "norm": lambda x: F.layer_norm(x, (4,)),
    "matrix product": lambda x: x @ x.mT,
    "gates and activations": lambda x: torch.cat([F.glu(x, 2), torch.tanh(x)], 2),
    "attention": lambda x: F.scaled_dot_product_attention(x, x, x),
}


@pytest.mark.parametrize("name", EMPTY)
def test_a_batch_without_rows(name):
    function, mu = EMPTY[name], torch.zeros(0, 3, 4)
    shape = function(torch.zeros(1, 3, 4)).shape
    size = int(np.prod(shape[1:]))
    mean, cov = fm.propagate(function, mu, torch.zeros(0, 12, 12))
    assert (mean.shape, cov.shape) == ((0, *shape[1:]), (0, size, size))
    mean, var = fm.propagate(function, mu, torch.zeros(0, 3, 4), covariance="diagonal")
    assert mean.shape == var.shape == (0, *shape[1:])


def _rms(x):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5)


WRITTEN = {
    "rms norm": (_rms, lambda x: F.rms_norm(x, (4,), eps=1e-5)),
    "softmax": (lambda x: x.exp() / x.exp().sum(-1, keepdim=True), lambda x: x.softmax(-1)),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_norms_and_softmax_that_are_written_out_in_float32(name):
    torch.manual_seed(0)
    mu, cov = 0.01 * torch.randn(2, 4), 1e-6 * torch.eye(4)
    written, expected = (fm.propagate(f, mu.float(), cov.float()) for f in WRITTEN[name])
    torch.testing.assert_close(written.mean, expected.mean, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(written.cov, expected.cov, rtol=1e-4, atol=1e-4 * float(expected.cov.max()))


@pytest.mark.parametrize("least", [5e-3, 1e-5])
def test_a_norm_that_is_clamped_is_none(least):
    # below `least` it is x / least, which is no norm
    with pytest.raises(TypeError, match="clamp_min"):
        fm.propagate(
            lambda x: x / x.norm(dim=-1, keepdim=True).clamp_min(least), torch.ones(1, 4), torch.eye(4)[None]
        )


COPIES = {
    "joined": (lambda x: torch.cat([x, x, x], 1).amax(1), lambda x: x.amax(1)),
    "reflected": (
        lambda x: F.max_pool1d(F.pad(x[:, None], (3, 3), mode="reflect"), 7)[:, 0],
        lambda x: x.amax(1, keepdim=True),
    ),
    "relu, reflected": (
        lambda x: F.max_pool1d(F.pad(x.relu()[:, None], (3, 3), mode="reflect"), 7)[:, 0],
        lambda x: x.amax(1, keepdim=True).relu(),
    ),
}


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
@pytest.mark.parametrize("name", COPIES)
def test_an_element_counts_once_in_a_maximum(name, covariance):
    copied, plain = COPIES[name]
    mu = torch.tensor([[0.1, -0.2, 0.3, 0.0]])
    cov = 0.04 * torch.eye(4)[None] + 0.01 if covariance == "full" else torch.full((1, 4), 0.04)
    found, expected = (fm.propagate(f, mu, cov, covariance=covariance) for f in (copied, plain))
    torch.testing.assert_close(tuple(found), tuple(expected), **EXACT)


def test_gates_with_a_slope_of_every_channel():
    """Exact, with gradients along the slopes: by samples and by differences."""
    slopes = torch.tensor([0.9, -0.5, 0.1], dtype=torch.float64, requires_grad=True)
    rng = torch.Generator().manual_seed(0)
    mix, root = (torch.randn(3, 3, generator=rng, dtype=torch.float64) for _ in range(2))
    mu = torch.randn(1, 3, generator=rng, dtype=torch.float64)

    def moments(slopes, root):
        return tuple(fm.propagate(lambda x: (x @ mix) * F.prelu(x, slopes), mu, (root @ root.mT)[None]))

    x = mu + torch.randn(2**18, 3, generator=rng, dtype=torch.float64) @ root.mT
    y = ((x @ mix) * F.prelu(x, slopes)).detach()
    mean, cov = (value[0].detach() for value in moments(slopes, root))
    sd = y.std(0)
    # 2^18 samples: 2e-3 sd, and covariances of products, whose fourth moments are large, some times that
    assert ((mean - y.mean(0)).abs() <= 1e-2 * sd).all()
    assert ((cov - torch.cov(y.T)).abs() <= 3e-2 * torch.outer(sd, sd)).all()
    assert torch.autograd.gradcheck(moments, (slopes, root.requires_grad_()))
