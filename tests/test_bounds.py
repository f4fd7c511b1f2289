"""The error bound of networks holds, and equals its definition where that is known in closed form."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import fastmoments as fm
from fastmoments.graph.functions import lipschitz
from fastmoments.parameters import of_neurons
from fastmoments_kernels.catalogue import CATALOGUE
from tests.network_cases import ACTIVATIONS, activation_of

GIVEN = {
    "leaky_relu": {"negative_slope": -1.5},
    "sin": {"omega": -2.5, "phase": 0.3},
    "cos": {"omega": 0.5, "phase": 1.0},
    "gaussian": {"tau": 2.0, "center": 0.5},
    "npn": {"r": 0.5, "q": -1.5, "tau": 3.0, "center": 0.2},
    "npn_linear": {"alpha": -0.3, "q": 1.5, "tau": 0.5},
    "gaussian_mixture": {"weights": (1.0, -2.0), "taus": (1.0, 0.5), "centers": (-1.0, 2.0)},
}
SAMPLES = 20_000
X = np.linspace(-12, 12, 400_001)  # 0, where several are steepest, among them


def steepest(function):
    return np.max(np.abs(np.diff(function(X)))) / (X[1] - X[0])


@pytest.mark.parametrize("row", CATALOGUE, ids=lambda row: row.name)
def test_lipschitz_constants_of_the_catalogue(row):
    activation = row.activation(**GIVEN.get(row.name, {}))
    found = lipschitz(activation)
    if row.name in ("heaviside", "bernoulli_probit"):
        assert found == math.inf
        return
    numbers = of_neurons(activation)[1].values()
    slope = steepest(lambda x: row.formula.function(x, *numbers))
    # a mixture's components need not be steepest at one point
    above = 2.0 if row.components else 1 + 1e-6
    assert slope * (1 - 1e-9) <= found <= slope * above


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_lipschitz_constants_of_modules(name):
    module = ACTIVATIONS[name]
    with torch.no_grad():
        slope = steepest(lambda x: module(torch.from_numpy(x)).numpy())
    found = lipschitz(activation_of(module))
    if found == math.inf:
        assert slope > 1e3
    else:
        assert slope * (1 - 1e-6) <= found <= slope * (1 + 1e-4)


def test_one_neuron_by_hand():
    # relu at 0: K = 1/2 - 1/(2 pi), gain 1/2
    bound = fm.nn.propagate(
        nn.ReLU(), torch.zeros(1, dtype=torch.float64), torch.eye(1, dtype=torch.float64), bound=True
    ).bound
    assert float(bound) == pytest.approx(math.sqrt(2 * (0.5 - 0.5 / math.pi - 0.25)), rel=1e-14)


def test_what_is_gaussian_has_none():
    model = nn.Sequential(nn.Linear(3, 4), nn.Identity(), fm.nn.BayesLinear(4, 2)).eval()
    zero = torch.zeros(3, 3)
    assert fm.nn.propagate(model, torch.randn(3), zero, bound=True).bound == 0
    affine = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    assert fm.nn.propagate(affine, torch.randn(3), torch.eye(3), bound=True).bound == 0


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.block = nn.Sequential(nn.Linear(6, 6), nn.GELU(), nn.Linear(6, 6), nn.ReLU())

    def forward(self, x):
        return 0.5 * x - self.block(x)


def models():
    torch.manual_seed(0)
    return {
        "relu": nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2)),
        "residual": nn.Sequential(nn.Linear(4, 6), nn.Tanh(), Residual(), nn.Linear(6, 3)),
        "bayes": nn.Sequential(fm.nn.BayesLinear(4, 8), nn.ReLU(), fm.nn.BayesLinear(8, 2)),
        "convolution": nn.Sequential(
            nn.Unflatten(1, (1, 2, 2)), nn.Conv2d(1, 2, 2, padding=1), nn.ReLU(), nn.Flatten()
        ),
    }


@pytest.mark.parametrize("name", models())
@pytest.mark.feature("PyTorch", "networks: bounds")
def test_samples_are_within_the_bound(name):
    model = models()[name].double().eval()
    mu, cov = torch.randn(4, dtype=torch.float64), 4.0 * torch.eye(4, dtype=torch.float64)
    mean, full, bound = fm.nn.propagate(model, mu, cov, bound=True)
    with torch.no_grad():
        x = mu + 2.0 * torch.randn(SAMPLES, 4, dtype=torch.float64)
        if name == "bayes":
            y = torch.stack([model(row[None])[0] for row in x[:2000]])
        else:
            y = model(x)
    error = torch.linalg.vector_norm(y.mean(0) - mean)
    noise = 4 * torch.sqrt(y.var(0).sum() / len(y))
    assert 0 < error <= bound + noise
    # of every output: the difference of standard deviations
    gap = torch.abs(y.std(0) - torch.sqrt(torch.diagonal(full)))
    assert torch.all(gap <= bound + 4 * y.std(0) / math.sqrt(len(y)))


def test_a_batch_is_a_loop_and_a_jump_has_no_bound():
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    mu, cov = torch.randn(5, 3), torch.eye(3).expand(5, 3, 3) * torch.rand(5, 1, 1)
    whole = fm.nn.propagate(model, mu, cov, bound=True)
    assert whole.bound.shape == (5,)
    for i in range(5):
        one = fm.nn.propagate(model, mu[i], cov[i], bound=True)
        assert float(one.bound) == pytest.approx(float(whole.bound[i]), rel=1e-5)
    jump = nn.Sequential(fm.nn.Activation(fm.Heaviside()), nn.Linear(4, 4), fm.nn.Activation(fm.Heaviside()))
    assert fm.nn.propagate(jump[:2], torch.zeros(4), torch.eye(4), bound=True).bound < 10
    assert fm.nn.propagate(jump, torch.zeros(4), torch.eye(4), bound=True).bound == math.inf


def test_what_is_refused():
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    with pytest.raises(ValueError, match="bound: needs covariance"):
        fm.nn.propagate(model, torch.zeros(2, 2), torch.ones(2, 2), "diagonal", bound=True)
    unknown = fm.nn.Activation(fm.Custom(np.tanh))
    with pytest.raises(TypeError, match=r"bound: model: sup \|f'\| of a function without a closed form"):
        fm.nn.propagate(unknown, torch.zeros(2), torch.eye(2), bound=True)
    assert lipschitz(fm.Custom(np.tanh)) is None
