"""Networks: modules against samples, affine maps and residual blocks against the algebra, and what is refused.

Samples: with 10^5 of them (10^7 in the slow form) and some 3000 entries judged, 6 standard errors are exceeded by
chance in 6e-6 of all runs.
"""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

import fastmoments as fm  # noqa: E402

STANDARD_ERRORS = 6.0
EXACT = dict(rtol=1e-11, atol=1e-11)  # chains of some hundred products of numbers of order one


@pytest.fixture(autouse=True)
def double_precision():
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a second one gains nothing on small matrices, and costs much on a busy machine
    yield
    torch.set_num_threads(threads)
    torch.set_default_dtype(torch.float32)


def gaussian(n, seed=0, scale=1.0):
    rng = np.random.default_rng(seed)
    root = scale * rng.normal(size=(n, n + 2)) / np.sqrt(n + 2)
    return torch.from_numpy(rng.normal(size=n)), torch.from_numpy(root @ root.T)


def batch_norm(kind, features):
    module = kind(features)
    with torch.no_grad():
        for tensor in (module.running_mean, module.weight, module.bias):
            tensor.normal_()
        module.running_var.uniform_(0.5, 2.0)
    return module


IMAGE = (2, 4, 4)
AFFINE = {
    "Linear": (nn.Linear(6, 4), (6,)),
    "BayesLinear": (None, (6,)),
    "Conv1d": (nn.Conv1d(2, 3, 2, stride=2), (2, 6)),
    "Conv2d": (nn.Conv2d(2, 4, 3, padding=1, stride=2, groups=2), IMAGE),
    "AvgPool2d": (nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False), IMAGE),
    "Flatten": (nn.Flatten(), IMAGE),
    "Identity": (nn.Identity(), (6,)),
    "Dropout": (nn.Dropout(0.5), (6,)),
    "BatchNorm1d": (batch_norm(nn.BatchNorm1d, 6), (6,)),
    "BatchNorm2d": (batch_norm(nn.BatchNorm2d, 2), IMAGE),
}
ACTIVATIONS = {
    type(module).__name__ + (f"-{i}" if i else ""): module
    for i, module in enumerate(
        [
            nn.ReLU(),
            nn.LeakyReLU(0.3),
            nn.PReLU(),
            nn.RReLU(),
            nn.GELU(),
            nn.GELU(approximate="tanh"),
            nn.Tanh(),
            nn.Sigmoid(),
            nn.SiLU(),
            nn.Softplus(),
            nn.Softplus(beta=2.0),
            nn.ELU(0.7),
            nn.CELU(0.7),
            nn.SELU(),
            nn.Mish(),
            nn.LogSigmoid(),
            nn.Softsign(),
            nn.Tanhshrink(),
            nn.Hardtanh(),
            nn.ReLU6(),
            nn.Hardsigmoid(),
            nn.Hardswish(),
            nn.Softshrink(),
            nn.Hardshrink(),
            nn.Threshold(0.2, -0.3),
        ]
    )
}


def samples_of(model, mu, cov, count):
    """Outputs for inputs drawn from N(mu, cov), in parts that fit."""
    root = torch.linalg.cholesky(cov + 1e-14 * torch.eye(len(cov)))
    with torch.no_grad():
        parts = [model(mu + torch.randn(10**5, len(mu)) @ root.T) for _ in range(count // 10**5)]
    return torch.cat(parts)


def assert_sampled(found, outputs):
    """Means and covariances within their standard errors, estimated from the same samples."""
    mean, cov = found
    count = len(outputs)
    centred = outputs - outputs.mean(0)
    sampled = centred.T @ centred / count
    fourth = (centred**2).T @ (centred**2) / count
    error = torch.sqrt((fourth - sampled**2).clamp_min(0) / count)
    assert ((mean - outputs.mean(0)).abs() <= STANDARD_ERRORS * torch.sqrt(torch.diag(sampled) / count)).all()
    assert ((cov - sampled).abs() <= STANDARD_ERRORS * error).all()


@pytest.mark.parametrize("count", [10**5, pytest.param(10**7, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_within_their_standard_errors(name, count):
    mu, cov = gaussian(5)
    model = nn.Sequential(nn.Linear(5, 4), ACTIVATIONS[name]).double().eval()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    assert_sampled(fm.nn.propagate(model, mu, cov), samples_of(model, mu, cov, count))


def matrix_of(module, shape):
    """The module as a matrix and a vector, column by column."""
    unit = torch.eye(int(np.prod(shape))).reshape(-1, *shape)
    with torch.no_grad():
        constant = module(torch.zeros(1, *shape))
        return (module(unit) - constant).reshape(len(unit), -1).T, constant.reshape(-1)


@pytest.mark.parametrize("name", [name for name in AFFINE if name != "BayesLinear"])
def test_affine_modules_are_their_matrices(name):
    module, shape = AFFINE[name]
    model = nn.Sequential(module).double().eval().requires_grad_(False)
    (mu, cov), (matrix, constant) = gaussian(int(np.prod(shape))), matrix_of(module, shape)
    mean, full = fm.nn.propagate(model, mu.reshape(shape), cov)
    np.testing.assert_allclose(mean.reshape(-1), matrix @ mu + constant, **EXACT)
    np.testing.assert_allclose(full, matrix @ cov @ matrix.T, **EXACT)
    assert torch.equal(full, full.mT)
    var = torch.diag(cov).reshape(shape)
    mean, spread = fm.nn.propagate(model, mu.reshape(1, *shape), var[None], covariance="diagonal")
    np.testing.assert_allclose(spread.reshape(-1), (matrix * matrix) @ var.reshape(-1), **EXACT)
    assert mean.shape == module(mu.reshape(1, *shape)).shape


def test_bayes_linear_is_its_layer_function():
    (mu, cov), layer = gaussian(6), fm.nn.BayesLinear(6, 4)
    for found, want in zip(fm.nn.propagate(nn.Sequential(layer), mu, cov), layer.moments(mu, cov), strict=True):
        torch.testing.assert_close(found, want)
    found = fm.nn.propagate(nn.Sequential(layer), mu, torch.diag(cov), covariance="diagonal")
    for one, want in zip(found, layer.marginals(mu, torch.diag(cov)), strict=True):
        torch.testing.assert_close(one, want)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(5, 5), nn.ReLU())

    def forward(self, x):
        return 0.5 * x + self.inner(x) - 1.0


@pytest.mark.feature("PyTorch", "networks: fm.nn.propagate")
def test_a_residual_layer_is_exact():
    (mu, cov), model = gaussian(5), Residual().requires_grad_(False)
    weight, bias = model.inner[0].weight.numpy(), model.inner[0].bias.numpy()
    want = fm.residual_moments("relu", mu.numpy(), cov.numpy(), weight, bias, 0.5 * np.eye(5), -np.ones(5))
    for found, expected in zip(fm.nn.propagate(model, mu, cov), want, strict=True):
        np.testing.assert_allclose(found, expected, **EXACT)


class Deep(nn.Module):
    """A block of several affine layers beside its input: Gaussian throughout, so the joint covariance shows."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(4, 3), nn.Linear(3, 4)

    def forward(self, x):
        y = self.one(x)
        return x + self.two(y) + self.two(2 * y)


def test_a_value_used_twice_keeps_its_covariance_with_the_branch():
    (mu, cov), model = gaussian(4), Deep().requires_grad_(False)
    matrix, constant = matrix_of(model, (4,))
    mean, full = fm.nn.propagate(model, mu, cov)
    np.testing.assert_allclose(mean, matrix @ mu + constant, **EXACT)
    np.testing.assert_allclose(full, matrix @ cov @ matrix.T, **EXACT)


class Functional(nn.Module):
    def forward(self, x):
        return torch.nn.functional.gelu(torch.flatten(torch.relu(x), 1), approximate="tanh").tanh()


def test_functions_are_their_modules():
    (mu, cov), chain = gaussian(3), nn.Sequential(nn.ReLU(), nn.GELU(approximate="tanh"), nn.Tanh())
    for found, want in zip(fm.nn.propagate(Functional(), mu, cov), fm.nn.propagate(chain, mu, cov), strict=True):
        assert torch.equal(found, want)


def test_hybrid_is_diagonal_and_then_full():
    (mu, cov), first, last = gaussian(3), nn.Sequential(nn.Linear(3, 5), nn.ReLU()), nn.Linear(5, 2)
    model = nn.Sequential(first, last, nn.ReLU()).requires_grad_(False)
    var = torch.diag(cov)
    inner = fm.nn.propagate(first, mu, var, covariance="diagonal")
    linear = fm.affine_moments(inner.mean, torch.diag(inner.var), last.weight, last.bias)
    want = fm.relu_moments(*linear)
    for found, expected in zip(fm.nn.propagate(model, mu, var, covariance="hybrid"), want, strict=True):
        np.testing.assert_allclose(found, expected, **EXACT)


def test_batches_are_loops_and_gradients_flow():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    pairs = [gaussian(3, seed) for seed in range(3)]
    mu, cov = (torch.stack(x) for x in zip(*pairs, strict=True))
    together = fm.nn.propagate(model, mu, cov)
    for i, pair in enumerate(pairs):
        for found, want in zip(together, fm.nn.propagate(model, *pair), strict=True):
            np.testing.assert_allclose(found[i].detach(), want.detach(), **EXACT)
    together.cov.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model[0].parameters())
    assert model[0].weight.grad.abs().sum() > 0


class Product(nn.Module):
    def forward(self, x):
        return x * x


@pytest.mark.parametrize(
    ("error", "message", "model", "options"),
    [
        (TypeError, "0: MaxPool1d has no rule", nn.Sequential(nn.MaxPool1d(2)), {}),
        (TypeError, "a product of two values is not Gaussian", Product(), {}),
        (ValueError, "Dropout: it is random", nn.Sequential(nn.Dropout()).train(), {}),
        (ValueError, "BatchNorm1d: it is random", nn.Sequential(nn.BatchNorm1d(2)).train(), {}),
        (ValueError, "covariance: expected", nn.Sequential(nn.ReLU()), {"covariance": "none"}),
        (ValueError, "cov: expected variances", nn.Sequential(nn.ReLU()), {"covariance": "diagonal"}),
        (ValueError, "PReLU: one slope", nn.Sequential(nn.PReLU(2)), {}),
    ],
)
def test_what_is_refused_is_named(error, message, model, options):
    with pytest.raises(error, match=message):
        fm.nn.propagate(model, torch.zeros(2), torch.eye(2), **options)
