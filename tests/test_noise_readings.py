"""Noise in every reading, with gradients, at extremes, in rules of users, and what is refused."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812

import fastmoments as fm  # noqa: E402
from tests.all_masks import (  # noqa: E402
    KEEP,
    Of,
    P,
    assert_moments,
    gaussian,
)

pytestmark = pytest.mark.usefixtures("double_precision")


def test_one_covariance_serves_a_batch_of_means():
    mu, cov = torch.randn(3, 2, 2), gaussian(2, 2)[1]
    for module in (nn.Dropout(P), nn.Dropout1d(P), fm.nn.AdditiveNoise(0.5), fm.nn.BayesLinear(2, 3)):
        found = fm.propagate(module, mu, cov[0])
        for k in range(3):
            one = fm.propagate(module, mu[k : k + 1], cov)
            torch.testing.assert_close(found.mean[k : k + 1], one.mean)
            torch.testing.assert_close(found.cov[k : k + 1], one.cov)


def test_hybrid_takes_noise_before_and_behind_the_last_layer():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(P), nn.Linear(4, 2), nn.Dropout(P))
    mu, var = torch.randn(1, 3), torch.rand(1, 3)
    found = fm.propagate(model, mu, var, covariance="hybrid")
    s2, hidden = P / KEEP, model[0](mu)
    inner = var @ (model[0].weight ** 2).T
    inner = inner + s2 * (inner + hidden**2)
    full = model[2].weight @ torch.diag(inner[0]) @ model[2].weight.T
    mean = model[2](hidden)[0]
    full = full + s2 * torch.diag(full.diagonal() + mean**2)
    assert_moments(found, mean.detach().numpy(), full.detach().numpy())


def test_the_bound_counts_noise_that_is_not_gaussian():
    mu, zero = torch.tensor([[1.0, -2.0]]), torch.zeros(2, 2)
    # Y = mask x, and N(x, diag(s2 x^2)) drawn by itself: E|Y - G|^2 = 2 s2 |x|^2
    bound = fm.propagate(nn.Dropout(P), mu, zero, bound=True).bound
    assert bound.item() == pytest.approx(math.sqrt(2.0 * P / KEEP * 5.0), rel=1e-14)
    assert fm.propagate(fm.nn.AdditiveNoise(0.5), mu, torch.eye(2), bound=True).bound == 0.0
    assert fm.propagate(fm.nn.MultiplicativeNoise(0.5), mu, zero, bound=True).bound == 0.0
    assert fm.propagate(fm.nn.MultiplicativeNoise(0.5), mu, torch.eye(2), bound=True).bound > 0.0
    # what comes before is multiplied by sup (E|mask x|^2)^(1/2) / |x| = (1 + s2)^(1/2)
    before = fm.propagate(nn.ReLU(), mu, torch.eye(2), bound=True).bound
    behind = fm.propagate(nn.Sequential(nn.ReLU(), nn.Dropout(P)), mu, torch.eye(2), bound=True)
    y = fm.relu_marginals(mu, torch.ones(1, 2))
    own = math.sqrt(2.0 * P / KEEP * float((y.var + y.mean**2).sum()))
    assert behind.bound.item() == pytest.approx(before.item() / math.sqrt(KEEP) + own, rel=1e-12)


def test_gradients_reach_weights_and_inputs():
    torch.manual_seed(0)
    mu, cov = gaussian(3)
    model = nn.Sequential(nn.Linear(3, 2), nn.Dropout(P), nn.ReLU(), nn.Dropout1d(P), nn.Linear(2, 2))

    def total(mu, root, *weights):
        named = dict(zip(dict(model.named_parameters()), weights, strict=True))
        mean, full = fm.propagate(lambda x: torch.func.functional_call(model, named, (x,)), mu, root @ root.mT)
        return mean, full

    given = mu, torch.linalg.cholesky(cov), *(p.detach().clone() for p in model.parameters())
    assert torch.autograd.gradcheck(total, [x.requires_grad_() for x in given])


def test_float32_is_that_of_float64():
    torch.manual_seed(0)
    mu, cov = gaussian(2, 3)
    convolution = fm.nn.BayesConv1d(2, 2, 2, initial_sd=0.5)
    for module in (nn.Dropout(P), nn.Dropout1d(P), nn.AlphaDropout(P), fm.nn.AdditiveNoise(0.5), convolution):
        double = fm.propagate(module, mu, cov)
        single = fm.propagate(module.float(), mu.float(), cov.float())
        assert single.cov.dtype == torch.float32
        # a few operations on numbers up to 10, each rounded to 6e-8
        assert (single.cov - double.cov).abs().max() < 1e-5


def test_extreme_probabilities():
    mu, cov = gaussian(3)
    assert_moments(fm.propagate(nn.Dropout(0.0), mu, cov), mu[0], cov[0])
    for p in (1.0, torch.tensor(1.0)):
        found = fm.propagate(Of(lambda m, x, p=p: F.dropout(x, p)), mu, cov)
        assert not found.mean.any() and not found.cov.any()
    found = fm.propagate(nn.Dropout(1.0 - 1e-9), mu, cov)
    np.testing.assert_allclose(found.cov[0].diagonal(), 1e9 * (cov[0].diagonal() + mu[0] ** 2), rtol=1e-6)
    found = fm.propagate(nn.Dropout(P), mu, torch.zeros(3, 3))
    assert_moments(found, mu[0], P / KEEP * torch.diag(mu[0] ** 2))


def test_own_rules_say_whether_rows_share():
    """Of a value of several rows weights are shared, and noise is not."""

    def rule(shared):
        def affine(module, value):
            return fm.nn.affine(value, lambda x: x, linear=lambda x: x, own=lambda s: 0.5 * s, shared=shared)

        return {nn.Identity: affine}

    mu, cov = gaussian(2, 2)
    before = cov.clone()
    for shared, labels in ((True, [0, 1, 0, 1]), (False, [0, 1, 2, 3])):
        found = fm.propagate(nn.Identity(), mu, cov, rules=rule(shared))
        second = cov[0] + torch.outer(mu.flatten(), mu.flatten())
        same = torch.tensor([[i == j for j in labels] for i in labels])
        assert_moments(found, mu.ravel(), cov[0] + torch.where(same, 0.5 * second, 0.0))
    assert torch.equal(cov, before)


def refused():
    weight, ones = nn.Parameter(torch.eye(3)), torch.ones(1, 3)
    bayes, noise = fm.nn.BayesLinear(2, 2), fm.nn.StochasticDepth(P)
    return [
        (TypeError, "bernoulli_: the model draws", lambda m, x: x @ F.dropout(weight, P)),
        (TypeError, "bernoulli_: the model draws", lambda m, x: x * F.dropout(ones, P)),
        (ValueError, "probability has to be between 0 and 1", lambda m, x: F.dropout(x, 1.5)),
        (ValueError, "bayes: its rule is one for .batch", lambda m, x: m.bayes(x.reshape(-1, 1).expand(-1, 2))),
        (ValueError, "noise: its rule is one for .batch", lambda m, x: m.noise(x.reshape(-1, 1))),
    ], {"bayes": bayes, "noise": noise}


@pytest.mark.parametrize("k", range(5))
def test_what_noise_is_refused(k):
    cases, modules = refused()
    error, message, function = cases[k]
    model = Of(function)
    for name, module in modules.items():
        setattr(model, name, module)
    with pytest.raises(error, match=message):
        fm.propagate(model, *gaussian(3))


@pytest.mark.parametrize(
    ("message", "make"),
    [
        ("sd: expected", lambda: fm.nn.AdditiveNoise(-1.0)),
        ("sd: expected", lambda: fm.nn.MultiplicativeNoise(math.nan)),
        ("p: expected", lambda: fm.nn.StochasticDepth(1.5)),
        ("groups: expected", lambda: fm.nn.BayesConv1d(3, 2, 1, groups=2)),
        ("kernel_size: expected 2", lambda: fm.nn.BayesConv2d(3, 2, (1, 2, 3))),
        ("BayesConv2d: expected", lambda: fm.propagate(fm.nn.BayesConv2d(2, 1, 1), *gaussian(2, 2))),
    ],
)
def test_arguments_are_checked(message, make):
    with pytest.raises(ValueError, match=message):
        make()
