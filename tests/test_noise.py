"""Noise that networks draw themselves: against all masks that there are, and what models themselves draw."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812

import fastmoments as fm  # noqa: E402
from fastmoments.joint.noise import shared_cov  # noqa: E402
from tests.all_masks import (  # noqa: E402
    CLOSE,
    KEEP,
    Of,
    P,
    assert_drawn,
    assert_moments,
    by_masks,
    draws,
    gaussian,
    mixed,
)

pytestmark = pytest.mark.usefixtures("double_precision")


def test_the_formula_of_shared_masks_on_every_library(jax_double_precision):
    import jax.numpy as jnp

    (mu, cov), labels = gaussian(4), np.array([0, 1, 0, 2])
    mean, truth = by_masks(3, lambda m: (np.diag(m[labels] / KEEP), 0.0), mu, cov)
    second = (cov[0] + torch.outer(mu[0], mu[0])).numpy()[None]
    for xp, made in ((np, np.asarray), (torch, torch.from_numpy), (jnp, jnp.asarray)):
        added = np.asarray(shared_cov(xp, made(second), P / KEEP, made(labels)))
        np.testing.assert_allclose(cov[0].numpy() + added[0], truth, **CLOSE)
    np.testing.assert_allclose(mean, mu[0].numpy(), **CLOSE)


# the module, the shape of an example, and which elements share a mask
GROUPS = {
    "Dropout": (lambda: nn.Dropout(P), (2, 3), [0, 1, 2, 3, 4, 5]),
    "Dropout of a vector": (lambda: nn.Dropout(P), (4,), [0, 1, 2, 3]),
    "Dropout1d": (lambda: nn.Dropout1d(P), (2, 3), [0, 0, 0, 1, 1, 1]),
    "Dropout1d of a vector": (lambda: nn.Dropout1d(P), (3,), [0, 0, 0]),
    "Dropout2d": (lambda: nn.Dropout2d(P), (2, 2, 2), [0, 0, 0, 0, 1, 1, 1, 1]),
    "Dropout3d": (lambda: nn.Dropout3d(P), (2, 1, 2, 2), [0, 0, 0, 0, 1, 1, 1, 1]),
    "Dropout3d without a channel": (lambda: nn.Dropout3d(P), (2, 1, 2), [0, 0, 0, 0]),
    "StochasticDepth": (lambda: fm.nn.StochasticDepth(P), (2, 2), [0, 0, 0, 0]),
    "batch behind": (lambda: Of(lambda m, x: m.drop(x.movedim(0, 1)).movedim(1, 0)), (2, 2), [0, 1, 2, 3]),
    "channels behind": (lambda: Of(lambda m, x: F.dropout1d(x.mT, P).mT), (3, 2), [0, 1, 0, 1, 0, 1]),
    "joined with the batch": (
        lambda: Of(lambda m, x: F.dropout1d(x.flatten(0, 1), P).unflatten(0, (-1, 2))),
        (2, 2, 2),
        [0, 0, 1, 1, 2, 2, 3, 3],
    ),
}


@pytest.mark.parametrize("name", GROUPS)
def test_dropout_has_the_moments_of_all_its_masks(name):
    make, shape, labels = GROUPS[name]
    module = make()
    mu, cov = gaussian(*shape)
    truth = by_masks(max(labels) + 1, lambda m: (np.diag(m[labels] / KEEP), 0.0), mu, cov)
    found = fm.propagate(module, mu, cov)
    assert_moments(found, *truth)
    diagonal = fm.propagate(module, mu, cov.diagonal(dim1=-2, dim2=-1).reshape(1, *shape), covariance="diagonal")
    np.testing.assert_allclose(diagonal.mean, mu, **CLOSE)
    np.testing.assert_allclose(diagonal.var.ravel(), np.diag(truth[1]), **CLOSE)


@pytest.mark.parametrize(
    ("module", "shape", "labels"),
    [(nn.AlphaDropout(P), (3,), [0, 1, 2]), (nn.FeatureAlphaDropout(P), (2, 2, 1), [0, 0, 1, 1])],
)
def test_alpha_dropout_has_the_moments_of_all_its_masks(module, shape, labels):
    """Klambauer et al., "Self-normalizing neural networks", 2017: a (x m + alpha (1 - m)) + b."""
    alpha = -1.0507009873554804934193349852946 * 1.6732632423543772848170429916717
    a = (KEEP + alpha**2 * KEEP * P) ** -0.5
    b = -a * P * alpha
    mu, cov = gaussian(*shape)

    def line(m):
        return a * np.diag(m[labels]), a * alpha * (1.0 - m[labels]) + b

    assert_moments(fm.propagate(module, mu, cov), *by_masks(max(labels) + 1, line, mu, cov))


def _linear(model):
    return model.linear.weight.detach().numpy(), model.linear.bias.detach().numpy()


EYE = np.eye(3)


# a model, its draws, and A(mask), b(mask) by the mask, W and c
LINES = {
    "linear behind": (lambda m, x: m.linear(m.drop(x)), 3, lambda d, w, c: (w @ np.diag(d), c)),
    "residual": (lambda m, x: x + m.drop(m.linear(x)), 3, lambda d, w, c: (EYE + np.diag(d) @ w, d * c)),
    "behind another": (lambda m, x: m.other(m.drop(x)), 6, lambda d, w, c: (np.diag(d[:3] * d[3:]), 0.0)),
    "a value twice": (lambda m, x: (y := m.drop(x)) + m.linear(y), 3, lambda d, w, c: ((EYE + w) @ np.diag(d), c)),
    "a module twice": (lambda m, x: m.drop(x) - m.drop(x), 6, lambda d, w, c: (np.diag(d[:3] - d[3:]), 0.0)),
    "a function": (lambda m, x: F.dropout(m.linear(x), P), 3, lambda d, w, c: (np.diag(d) @ w, d * c)),
    "in place": (
        lambda m, x: F.dropout(h := 1.0 * x, P, inplace=True) + m.linear(h),
        3,
        lambda d, w, c: ((EYE + w) @ np.diag(d), c),
    ),
    "in place, of a part": (
        lambda m, x: (h := 1.0 * x, F.dropout(h[:, :1], P, inplace=True), m.linear(h))[2],
        1,
        lambda d, w, c: (w @ np.diag([d[0], 1.0, 1.0]), c),
    ),
    "both": (lambda m, x: torch.cat([x, m.drop(x)], 1), 3, lambda d, w, c: (np.vstack([EYE, np.diag(d)]), 0.0)),
}


@pytest.mark.parametrize("name", LINES)
def test_models_have_the_moments_of_all_their_masks(name):
    function, count, line = LINES[name]
    torch.manual_seed(0)
    model, (mu, cov) = Of(function), gaussian(3)
    before = mu.clone(), cov.clone()
    truth = by_masks(count, lambda m: line(m / KEEP, *_linear(model)), mu, cov)
    assert_moments(fm.propagate(model, mu, cov), *truth)
    assert torch.equal(mu, before[0]) and torch.equal(cov, before[1])


@pytest.mark.parametrize("keep", [0.5, 1.0, 0.0])
def test_stochastic_depth_is_a_mixture_of_two_networks(keep):
    """x + B relu(W x + c) / q: relu(W x + c) is there with probability q, and the first activation is exact."""
    torch.manual_seed(0)
    depth = fm.nn.StochasticDepth(1.0 - keep)
    model, (mu, cov) = Of(lambda m, x: x + m.depth(m.linear(x).relu())), gaussian(3)
    model.depth = depth
    weight, bias = _linear(model)
    x, c = mu[0].numpy(), cov[0].numpy()
    parts = [(1.0 - keep, x, c)]
    if keep:
        # relu is homogeneous
        parts.append((keep, *fm.residual_moments("relu", x, c, weight / keep, bias / keep, "identity")))
    assert_moments(fm.propagate(model, mu, cov), *mixed(parts))
    assert_moments(
        fm.propagate(model.eval(), mu, cov), *fm.residual_moments("relu", x, c, weight, bias, "identity")
    )


DRAWN = {
    **{name: GROUPS[name][:2] for name in GROUPS},
    "AlphaDropout": (lambda: nn.AlphaDropout(P), (3,)),
    "FeatureAlphaDropout": (lambda: nn.FeatureAlphaDropout(P), (2, 2, 1)),
    "AdditiveNoise": (lambda: fm.nn.AdditiveNoise(0.7), (2, 2)),
    "MultiplicativeNoise": (lambda: fm.nn.MultiplicativeNoise(0.7), (2, 2)),
    "noise and relu": (lambda: nn.Sequential(fm.nn.AdditiveNoise(0.7), nn.ReLU()), (3,)),
}


@pytest.mark.parametrize("name", DRAWN)
def test_modules_draw_what_propagate_says(name):
    make, shape = DRAWN[name]
    module = make()
    torch.manual_seed(1)
    mu, cov = gaussian(*shape)
    assert_drawn(fm.propagate(module, mu, cov), draws(module, mu, cov, 30000))


def test_gaussian_noise_adds_its_variance():
    mu, cov = gaussian(2, 2)
    diagonal = cov.diagonal(dim1=-2, dim2=-1)
    found = fm.propagate(fm.nn.AdditiveNoise(0.5), mu, cov)
    assert_moments(found, mu.ravel(), cov[0] + 0.25 * torch.eye(4))
    found = fm.propagate(fm.nn.MultiplicativeNoise(0.5), mu, cov)
    assert_moments(found, mu.ravel(), cov[0] + 0.25 * torch.diag(diagonal[0] + mu.ravel() ** 2))


def test_monte_carlo_dropout_without_samples():
    """Only dropout is in training mode. Masks of many neurons add up to what is nearly Gaussian."""
    torch.manual_seed(0)
    layers = [nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.5)]
    model = nn.Sequential(*layers, nn.Linear(32, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 2))
    model = model.eval().requires_grad_(False)
    for module in model:
        module.train(isinstance(module, nn.Dropout))
    mu = torch.randn(1, 8)
    found = fm.propagate(model, mu, torch.zeros(8, 8))
    y = model(mu.expand(40000, 8))
    # 2 % of a standard deviation is 4 standard errors; the closure is off by up to 4 % for smaller networks
    assert ((y.mean(0) - found.mean[0]).abs() < 0.04 * y.std(0)).all()
    assert (y.std(0) / found.cov[0].diagonal().sqrt() - 1.0).abs().max() < 0.05
    assert fm.propagate(model.eval(), mu, torch.zeros(8, 8)).cov.abs().max() < 1e-12
