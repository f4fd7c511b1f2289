"""Noise that networks draw themselves: against all masks that there are, and what models themselves draw."""

import itertools
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812

import fastmoments as fm  # noqa: E402
from fastmoments.joint.noise import shared_cov  # noqa: E402

pytestmark = pytest.mark.usefixtures("double_precision")

P = 0.3
KEEP = 1.0 - P
# sums over up to 2^8 masks of products of a few numbers of order 1
CLOSE = dict(rtol=1e-12, atol=1e-12)


class Of(nn.Module):
    """A function of the module and x, with a linear layer of n and dropouts at hand."""

    def __init__(self, function, n=3):
        super().__init__()
        self.function, self.linear = function, nn.Linear(n, n)
        self.drop, self.other = nn.Dropout(P), nn.Dropout(P)

    def forward(self, x):
        return self.function(self, x)


def gaussian(*shape, seed=0):
    """Mean (1, *shape) of order 1, and covariance (1, n, n) with correlations."""
    rng, n = np.random.default_rng(seed), math.prod(shape)
    root = rng.normal(size=(n, n + 2)) / math.sqrt(n + 2)
    return torch.from_numpy(rng.normal(size=(1, *shape))), torch.from_numpy(root @ root.T)[None]


def masks(count, keep=KEEP):
    """Every mask of so many draws that are 1 with probability `keep`, else 0, and its probability."""
    for drawn in itertools.product((0.0, 1.0), repeat=count):
        yield np.array(drawn), math.prod(keep if m else 1.0 - keep for m in drawn)


def mixed(parts):
    """Mean and covariance of a mixture of (probability, mean, cov)."""
    mean = sum(w * m for w, m, _ in parts)
    return mean, sum(w * (c + np.outer(m, m)) for w, m, c in parts) - np.outer(mean, mean)


def by_masks(count, line, mu, cov):
    """Moments of A(mask) X + b(mask) over all masks; `line` makes A and b."""
    mu, cov = mu.numpy().ravel(), cov[0].numpy()
    parts = []
    for mask, w in masks(count):
        a, b = line(mask)
        parts.append((w, a @ mu + b, a @ cov @ a.T))
    return mixed(parts)


def assert_moments(found, mean, cov, **close):
    close = close or CLOSE
    np.testing.assert_allclose(found.mean.detach().numpy().ravel(), mean, **close)
    np.testing.assert_allclose(found.cov[0].detach().numpy(), cov, **close)
    assert torch.equal(found.cov, found.cov.mT)


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


def test_one_covariance_serves_a_batch_of_means():
    mu, cov = torch.randn(3, 2, 2), gaussian(2, 2)[1]
    for module in (nn.Dropout(P), nn.Dropout1d(P), fm.nn.AdditiveNoise(0.5), fm.nn.BayesLinear(2, 3)):
        found = fm.propagate(module, mu, cov[0])
        for k in range(3):
            one = fm.propagate(module, mu[k : k + 1], cov)
            torch.testing.assert_close(found.mean[k : k + 1], one.mean)
            torch.testing.assert_close(found.cov[k : k + 1], one.cov)


def draws(model, mu, cov, count):
    """Outputs of the model itself (count, m) for inputs drawn from the Gaussian."""
    root = torch.linalg.cholesky(cov[0])
    x = mu.reshape(-1) + torch.randn(count, len(root)) @ root.T
    with torch.no_grad():
        return model(x.reshape(count, *mu.shape[1:])).flatten(1)


def assert_drawn(found, y):
    """Means and covariances are within 6 standard errors of those of draws."""
    off = y - y.mean(0)
    products = off[:, :, None] * off[:, None]
    z = (y.mean(0) - found.mean.flatten()) / (y.std(0) / len(y) ** 0.5)
    z_cov = (products.mean(0) - found.cov[0]) / (products.std(0) / len(y) ** 0.5)
    assert z.abs().max() < 6 and z_cov.abs().max() < 6


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
