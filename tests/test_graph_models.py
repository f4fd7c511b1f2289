"""Models as they come: wrapped, random, of several inputs and outputs, with rules of their own; and gradients."""

import random

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812

import fastmoments as fm  # noqa: E402
from tests.network_cases import assert_same, gaussian, matrix_of, perceptron  # noqa: E402

pytestmark = pytest.mark.usefixtures("double_precision")
EXACT = dict(rtol=1e-12, atol=1e-12)  # a few products of numbers of order one


class Drawing(nn.Module):
    """A layer inside of which a function of x draws."""

    def __init__(self, draw):
        super().__init__()
        self.draw, self.generator = draw, np.random.default_rng(0)

    def forward(self, x):
        return self.draw(self, x)


DRAWS = {
    "torch": lambda m, x: x + torch.randn_like(x),
    "torch, of a parameter's shape": lambda m, x: x + torch.randn(4),
    "in place": lambda m, x: x + torch.empty(4).normal_(),
    "dropout of a constant": lambda m, x: x * F.dropout(torch.ones(4), 0.5),
    "own generator of torch": lambda m, x: x * torch.rand(4, generator=torch.Generator().manual_seed(0)),
    "a choice by torch": lambda m, x: x if torch.rand(1).item() < 0.5 else -x,
    "NumPy": lambda m, x: x * float(np.random.rand()),
    "a choice by NumPy": lambda m, x: x if np.random.rand() < 2.0 else -x,
    "a choice by Python": lambda m, x: x if random.random() < 2.0 else -x,
}


@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.feature("PyTorch", "networks: random numbers", "refused")
def test_random_layers_are_refused_by_name(name):
    """A5: none is frozen at one draw."""
    model = nn.Sequential(nn.Linear(4, 4), Drawing(DRAWS[name]), nn.Linear(4, 4))
    with pytest.raises(TypeError, match="1: .*the model draws random numbers.*model.eval"):
        fm.nn.propagate(model, *gaussian(4))


def test_a_generator_of_the_models_own_shows_in_its_constants():
    model = nn.Sequential(nn.Linear(4, 4), Drawing(lambda m, x: x + torch.from_numpy(m.generator.normal(size=4))))
    with pytest.raises(TypeError, match="1: lift_fresh: a number or a constant differs from .* it is random"):
        fm.nn.propagate(model, *gaussian(4))
    count = iter(range(100))
    model = nn.Sequential(nn.Identity(), Drawing(lambda m, x: x * (0.5 + next(count))))
    with pytest.raises(TypeError, match="1: mul: .*differs from one run"):
        fm.nn.propagate(model, *gaussian(4))


def test_a_value_kept_from_an_earlier_call_is_refused():
    def recurrent(m, x):
        before = getattr(m, "before", x)
        m.before = x
        return x + before[:1]

    with pytest.raises((TypeError, ValueError), match="0: "):
        fm.nn.propagate(nn.Sequential(Drawing(recurrent)), *gaussian(4))


def test_nothing_is_drawn_by_tracing():
    model = perceptron()
    states = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    fm.nn.propagate(model, *gaussian(4))
    assert torch.equal(states[0], torch.get_rng_state())
    assert (states[1], states[2]) == (np.random.get_state()[1].tolist(), random.getstate())


SIBLINGS = {
    "relu(x) + relu(x)": (lambda x: F.relu(x) + F.relu(x), lambda x: 2.0 * np.maximum(x, 0.0)),
    "relu(x) - relu(-x)": (lambda x: F.relu(x) - F.relu(-x), lambda x: x),
    "sin and cos": (lambda x: torch.sin(x) ** 1 + torch.cos(x), lambda x: np.sin(x) + np.cos(x)),
    "abs and relu": (lambda x: x.abs() - 2.0 * F.relu(x), lambda x: np.abs(x) - 2.0 * np.maximum(x, 0.0)),
}


@pytest.mark.parametrize("name", SIBLINGS)
def test_activations_side_by_side_are_exact(name):
    """A7: one value, several functions; f by an integral split at its kink."""
    function, f = SIBLINGS[name]
    mean, full = fm.nn.propagate(function, torch.zeros(1), torch.eye(1))
    z, w = np.polynomial.legendre.leggauss(60)
    x, w = np.concatenate([6.0 * z - 6.0, 6.0 * z + 6.0]), np.concatenate([6.0 * w, 6.0 * w])
    w = w * np.exp(-0.5 * x * x) / np.sqrt(2.0 * np.pi)
    shift = w @ f(x)
    # the integral's own error is below 1e-14
    np.testing.assert_allclose(mean, [shift], atol=1e-12)
    np.testing.assert_allclose(full, [[w @ (f(x) - shift) ** 2]], atol=1e-12)
    if name == "relu(x) + relu(x)":
        np.testing.assert_allclose(full, [[1.3633802276324185]], rtol=1e-15)


@pytest.mark.parametrize("rho", [-1.0, -0.999, 0.3, 0.9, 1.0])
def test_different_activations_of_one_front(rho):
    """relu(Ax) beside gelu(Bx): covariances are those of cross_cov, and those of relu(cat) where f is one."""
    cov = torch.tensor([[1.0, rho * 1.5], [rho * 1.5, 2.25]])
    mu = torch.tensor([0.3, -0.4])
    _, full = fm.nn.propagate(lambda x: torch.cat([F.relu(x[:, :1]), F.gelu(x[:, 1:])], 1), mu, cov)
    want = fm.cross_cov(fm.ReLU(), fm.GELU(), 0.3, -0.4, 1.0, 2.25, rho * 1.5)
    assert full[0, 1] == pytest.approx(float(want), abs=1e-14)
    split, joint = (
        fm.nn.propagate(f, mu, cov)
        for f in (lambda x: torch.cat([F.relu(x[:, :1]), F.relu(x[:, 1:])], 1), lambda x: F.relu(x))
    )
    assert_same(split, joint)


def test_wrappers_are_unwrapped_and_scripts_refused():
    model, (mu, cov) = perceptron(), gaussian(4)
    want = fm.nn.propagate(model, mu, cov)
    assert_same(fm.nn.propagate(nn.DataParallel(model), mu, cov), want)
    assert_same(fm.nn.propagate(torch.compile(model, backend="eager"), mu, cov), want)
    assert_same(fm.nn.propagate(lambda x: model(x), mu, cov), want)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_scripts_are_refused_with_the_remedy():
    scripted = torch.jit.trace(perceptron(), torch.zeros(1, 4))
    for model in (scripted, nn.Sequential(nn.Identity(), scripted)):
        with pytest.raises(TypeError, match="is scripted by torch.jit.*pass the model that was given to torch.jit"):
            fm.nn.propagate(model, *gaussian(4))


class TwoInTwoOut(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(3, 5), nn.Linear(2, 5)

    def forward(self, x, y, scale=2.0):
        h = self.a(x) + scale * self.b(y)
        return {"h": h, "parts": (x.flip(1), h[:, :2])}


@pytest.mark.feature("PyTorch", "networks: several inputs and outputs")
def test_several_inputs_and_outputs():
    torch.manual_seed(0)
    model, (mu, cov) = TwoInTwoOut().requires_grad_(False), gaussian(5)
    x, y = mu[:3], mu[3:]
    flat = nn.Module()
    flat.forward = lambda z: torch.cat([o for o in _leaves(model(z[:, :3], z[:, 3:]))], 1)
    matrix, constant = matrix_of(lambda z: flat.forward(z), (5,))
    batch = x[None].repeat(2, 1), y[None].repeat(2, 1)
    for given in (batch, {"x": batch[0], "y": batch[1]}):
        mean, full = fm.nn.propagate(model, given, cov)
        assert set(mean) == {"h", "parts"} and mean["h"].shape == (2, 5) and full.shape == (2, 10, 10)
        np.testing.assert_allclose(torch.cat(_leaves(mean), 1)[1], matrix @ mu + constant, **EXACT)
        np.testing.assert_allclose(full[1], matrix @ cov @ matrix.T, **EXACT)
    var = torch.diag(cov)
    mean, spread = fm.nn.propagate(model, (x, y), (var[:3], var[3:]), "diagonal")
    np.testing.assert_allclose(spread["parts"][0], var[:3].flip(0), **EXACT)
    one = fm.nn.propagate(lambda d: d["x"] + d["z"], {"x": x, "z": x}, torch.eye(6))
    np.testing.assert_allclose(one.cov, 2.0 * np.eye(3), **EXACT)


def _leaves(value):
    if isinstance(value, torch.Tensor):
        return [value]
    return [y for x in (value.values() if isinstance(value, dict) else value) for y in _leaves(x)]


def test_distributions_and_one_covariance_for_a_batch():
    model, (mu, cov) = perceptron(), gaussian(4)
    batch = torch.stack([mu, -mu, 2.0 * mu])
    want = fm.nn.propagate(model, batch, cov.expand(3, 4, 4))
    assert_same(fm.nn.propagate(model, batch, cov), want)
    assert_same(fm.nn.propagate(model, torch.distributions.MultivariateNormal(batch, cov)), want)
    var = torch.diag(cov)
    assert_same(
        fm.nn.propagate(model, batch, var, "diagonal"),
        fm.nn.propagate(model, batch, var.expand(3, 4), "diagonal"),
    )
    affine = fm.nn.propagate(model[0], batch, cov).cov
    assert affine.shape == (3, 6, 6) and torch.equal(affine[0], affine[2])
    with pytest.raises(TypeError, match="cov: expected the covariance of mu, or a normal distribution of torch"):
        fm.nn.propagate(model, mu)


DIAGONAL, LIMIT = {"covariance": "diagonal"}, {"limit": 5}
WRONG = [
    (
        TypeError,
        "mu: expected the dtype of the model's 0.weight, .*use mu.to",
        "float",
        (4,),
        (4, 4),
        {},
    ),
    (
        ValueError,
        r"mu: the model raises for inputs of shape \(batch, 3\), in Linear.*: .*mat1",
        "double",
        (3,),
        (3, 3),
        {},
    ),
    (ValueError, r"a batch of 5 of 4: expected cov \(5, 4, 4\), or \(4, 4\)", "double", (5, 4), (3, 3), {}),
    (ValueError, r"a single input .* dimensions goes in as mu\[None\]", "image", (1, 6, 6), (1, 6, 6), DIAGONAL),
    (ValueError, "2: addmm: full covariance of 6 features, more than limit=5", "named", (4,), (4, 4), LIMIT),
]


@pytest.mark.parametrize(("error", "message", "model", "mu", "cov", "options"), WRONG)
def test_what_does_not_go_together_is_named_before_anything_is_computed(error, message, model, mu, cov, options):
    """C1, C2, C8 and C10."""
    models = {
        "float": perceptron().float(),
        "double": perceptron(),
        "image": nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten()),
        "named": nn.Sequential(nn.Identity(), nn.Identity(), nn.Linear(4, 6)),
    }
    with pytest.raises(error, match=message):
        fm.nn.propagate(models[model], torch.zeros(mu), torch.ones(cov), **options)


def test_an_image_without_a_batch():
    """C10: as one of a batch, where it cannot be one."""
    with pytest.raises(ValueError, match=r"cov: \(36, 36\) beside mu \(1, 6, 6\) may be of one"):
        fm.nn.propagate(nn.Conv2d(1, 2, 3), torch.zeros(1, 6, 6), torch.eye(36))
    model = nn.Sequential(nn.Conv2d(2, 2, 3), nn.ReLU(), nn.Flatten()).requires_grad_(False)
    mu, cov = gaussian((2, 6, 6))
    found, want = fm.nn.propagate(model, mu, cov), fm.nn.propagate(model, mu[None], cov[None])
    assert found.mean.shape == (32,) and found.cov.shape == (32, 32)
    assert_same(found, [x[0] for x in want])


def test_every_values_size_is_judged_before_a_covariance_is_made():
    """C8: Conv2d(3, 8) of 32 x 32 makes 8192 features of 3072."""
    model, mu = nn.Conv2d(3, 8, 3, padding=1), torch.zeros(1, 3, 32, 32)
    with pytest.raises(ValueError, match="convolution: full covariance of 8192 features, .* 512 MB .*diagonal"):
        fm.nn.propagate(model, mu, torch.eye(3072)[None])


@pytest.mark.parametrize("second", ["relu", "gelu", "abs"])
@pytest.mark.parametrize("common", [0.0, 100.0])
def test_siblings_of_one_uncertain_direction(second, common):
    """All correlations are 1 or -1 but for rounding, which may put covariances beyond the variances' bound."""
    torch.manual_seed(0)
    n, g = 40, {"relu": F.relu, "gelu": F.gelu, "abs": torch.abs}[second]
    weight = torch.randn(n, n)
    weight, direction = weight - weight.mean(1, keepdim=True), torch.randn(n)
    # rows of the weights add up to 0 but for rounding, so that the common part is lost
    cov = torch.outer(direction, direction) + common**2

    def network(x):
        h = F.linear(x, weight)
        return torch.cat([F.relu(h), g(F.linear(x, -2.0 * weight)), F.relu(h[:, 3:5])], 1)

    mean, full = fm.nn.propagate(network, torch.zeros(n), cov)
    z = torch.linspace(-9.0, 9.0, 20001)
    density = torch.exp(-0.5 * z * z)
    density = density / density.sum()
    y = network(z[:, None] * direction)
    off = y - density @ y
    # the trapezoids' error at kinks is of the order of the step's square, 1e-6; sizes are of order 10
    assert torch.allclose(mean, density @ y, rtol=1e-5, atol=1e-4)
    assert torch.allclose(full, off.T @ (density[:, None] * off), rtol=1e-5, atol=1e-3)
