"""Networks: residual and joined values against the algebra, functions, batches, gradients, and what is refused."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812

import fastmoments as fm  # noqa: E402
from tests.network_cases import gaussian, matrix_of  # noqa: E402

pytestmark = pytest.mark.usefixtures("double_precision")

EXACT = dict(rtol=1e-11, atol=1e-11)  # chains of some hundred products of numbers of order one


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


@pytest.mark.feature("PyTorch", "networks: fm.propagate")
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


class Bottleneck(nn.Module):
    """x + a block of several layers around one activation: exact for a Gaussian x."""

    def __init__(self):
        super().__init__()
        self.block = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 4))

    def forward(self, x):
        return x + self.block(x)


def test_a_block_of_several_layers_beside_its_input():
    (mu, cov), model = gaussian(4), Bottleneck().requires_grad_(False)
    one, _, two = model.block
    inner = fm.affine_moments(mu, cov, one.weight, one.bias)
    f, gains = fm.relu_moments(*inner), fm.relu_gain(inner.mean, torch.diag(inner.cov))
    shared = two.weight @ (gains[:, None] * one.weight) @ cov  # Cov(block(x), x)
    mean, full = fm.nn.propagate(model, mu, cov)
    np.testing.assert_allclose(mean, mu + two.weight @ f.mean + two.bias, **EXACT)
    np.testing.assert_allclose(full, cov + shared + shared.T + two.weight @ f.cov @ two.weight.T, **EXACT)


class Of(nn.Module):
    """A function of (module, x) as a model, with parameters for it to use."""

    def __init__(self, function):
        super().__init__()
        self.function, self.linear, self.gamma = function, nn.Linear(6, 6), nn.Parameter(torch.randn(6))
        self.weight, self.alpha = nn.Parameter(torch.randn(6, 4)), nn.Parameter(torch.tensor(0.3))

    def forward(self, x):
        return self.function(self, x)


AFFINE = {
    "add": lambda m, x: torch.add(x, m.linear(x), alpha=0.5) - m.gamma,
    "augmented": lambda m, x: _plus(m.linear(x), x),
    "negative": lambda m, x: 1.0 - (-m.linear(x)) / 4.0,
    "scaled": lambda m, x: x + m.gamma * m.linear(x) * m.alpha,
    "linear": lambda m, x: F.linear(x, m.linear.weight, m.linear.bias) @ m.weight,
    "cat": lambda m, x: torch.cat([x, m.linear(x), x], dim=1),
    "cat of images": lambda m, x: torch.cat((x.view(-1, 1, 2, 3), 2.0 * x.reshape(-1, 1, 2, 3)), 1),
    "shapes": lambda m, x: m.linear(x.view(x.size(0), 2, 3).unsqueeze(1).flatten(1)).reshape(x.shape[0], -1),
    "pooled": lambda m, x: F.avg_pool2d(F.dropout(x, training=m.training).unflatten(1, (1, 2, 3)), (1, 3)),
}


def _plus(y, x):
    y += x
    return y


@pytest.mark.parametrize("name", AFFINE)
def test_what_is_affine_is_exact(name):
    (mu, cov), model = gaussian(6), Of(AFFINE[name]).eval().requires_grad_(False)
    matrix, constant = matrix_of(model, (6,))
    mean, full, bound = fm.nn.propagate(model, mu, cov, bound=True)
    np.testing.assert_allclose(mean.reshape(-1), matrix @ mu + constant, **EXACT)
    np.testing.assert_allclose(full, matrix @ cov @ matrix.T, **EXACT)
    assert bound == 0
    assert mean.shape == model(mu[None])[0].shape


@pytest.mark.feature("PyTorch", "networks: variances alone")
def test_joined_and_scaled_variances():
    (mu, cov), model = gaussian(6), Of(lambda m, x: torch.cat([x, m.gamma * x], 1)).requires_grad_(False)
    mean, var = fm.nn.propagate(model, mu, torch.diag(cov), covariance="diagonal")
    scale = torch.cat([torch.ones(6), model.gamma])
    np.testing.assert_allclose(mean, scale * mu.repeat(2), **EXACT)
    np.testing.assert_allclose(var, scale**2 * torch.diag(cov).repeat(2), **EXACT)


def test_bounds_of_joined_values():
    """Joining a value with itself doubles its squared error bound."""
    mu, cov = gaussian(6)
    once = fm.nn.propagate(Of(lambda m, x: x.relu()), mu, cov, bound=True).bound
    twice = fm.nn.propagate(Of(lambda m, x: torch.cat([x.relu(), x.relu()], 1)), mu, cov, bound=True).bound
    np.testing.assert_allclose(twice, np.sqrt(2.0) * once, rtol=1e-14)


def test_activations_between_and_after_functions():
    (mu, cov), chain = gaussian(3), nn.Sequential(nn.ReLU(), nn.GELU(approximate="tanh"), nn.Tanh())
    model = Of(lambda m, x: F.gelu(torch.flatten(torch.relu(x), 1), approximate="tanh").tanh())
    for found, want in zip(fm.nn.propagate(model, mu, cov), fm.nn.propagate(chain, mu, cov), strict=True):
        assert torch.equal(found, want)


class Doubled(nn.Linear):
    def forward(self, x):
        return 2.0 * super().forward(x)


def test_a_subclass_with_its_own_forward_is_traced():
    (mu, cov), model = gaussian(4), Doubled(4, 3).requires_grad_(False)
    matrix, constant = matrix_of(model, (4,))
    mean, full = fm.nn.propagate(nn.Sequential(model), mu, cov)
    np.testing.assert_allclose(mean, matrix @ mu + constant, **EXACT)
    np.testing.assert_allclose(full, matrix @ cov @ matrix.T, **EXACT)


def test_rounding_of_sums_goes_through():
    """x - x has variances that are 0 up to rounding, of either sign; the next activation takes them."""
    (mu, cov), model = gaussian(6), Of(lambda m, x: F.relu(m.linear(x) - 0.1 * (10.0 * m.linear(x))))
    mean, full = fm.nn.propagate(model.requires_grad_(False), mu, cov)
    assert mean.abs().max() < 1e-7 and (full.diagonal() >= 0.0).all() and full.abs().max() < 1e-14


def test_the_upper_triangle_is_read_to_rounding_and_nothing_written():
    (mu, cov), model = gaussian(4), nn.Sequential(nn.Identity(), nn.Linear(4, 4), nn.ReLU()).requires_grad_(False)
    upper = torch.triu(cov) + (1.0 + 1e-15) * torch.tril(cov, -1)
    assert not torch.equal(upper, cov)
    given = upper.clone(), cov.clone()
    for found, want in zip(fm.nn.propagate(model, mu, upper), fm.nn.propagate(model, mu, cov), strict=True):
        assert torch.equal(found, want)
    assert torch.equal(upper, given[0]) and torch.equal(cov, given[1])


@pytest.mark.feature("PyTorch", "networks: variances, then full covariance")
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


@pytest.mark.parametrize(
    ("error", "message", "model", "options"),
    [
        (TypeError, "model: sort has no rule; the order of values", Of(lambda m, x: x.sort(1)[0]), {}),
        (TypeError, "model: argmax has no rule; positions", Of(lambda m, x: x.argmax(1)[:, None].double()), {}),
        (TypeError, "max: the position of a largest", Of(lambda m, x: x.max(1, True)[1].double()), {}),
        (
            TypeError,
            "0: var has no rule; it has a rule only inside of a norm",
            nn.Sequential(Of(lambda m, x: x.std(1, keepdim=True))),
            {},
        ),
        (TypeError, "model: _fft_r2c has no rule; complex", Of(lambda m, x: torch.fft.rfft(x).real), {}),
        (TypeError, "model: prod has no rule; multiply two", Of(lambda m, x: x.prod(1, keepdim=True)), {}),
        (TypeError, "mul: it divides by what may be 0", Of(lambda m, x: 1.0 / x), {}),
        (TypeError, "log: it is not finite at all numbers", Of(lambda m, x: x.log()), {}),
        (TypeError, "div: a quotient of two values", Of(lambda m, x: x / (2.0 + x.flip(1).abs())), {}),
        (ValueError, "mm: it mixes the batch", Of(lambda m, x: x @ x.T), {}),
        (TypeError, "output 1 of the model, Parameter, does not depend", Of(lambda m, x: (x, m.gamma)), {}),
        (TypeError, "the model's output, Parameter, does not depend", Of(lambda m, x: m.gamma), {}),
        (
            TypeError,
            "takes another way for three inputs than for two",
            Of(lambda m, x: x if len(x) > 2 else -x),
            {},
        ),
        (
            TypeError,
            "_local_scalar_dense: what the model does depends on values",
            Of(lambda m, x: x * x.sum().item()),
            {},
        ),
        (TypeError, "tolist: what the model does depends on values", Of(lambda m, x: x * x[0].tolist()[0]), {}),
        (ValueError, "flip: it mixes the batch", Of(lambda m, x: x.flip(0)), {}),
        (ValueError, "slice: it mixes the batch", Of(lambda m, x: torch.cat([x, x[:1]])), {}),
        (ValueError, "cumsum: it mixes the batch", Of(lambda m, x: x.cumsum(0)), {}),
        (
            ValueError,
            "model raises for inputs of shape .batch, 2.: RuntimeError",
            Of(lambda m, x: x + m.weight[:3, :3]),
            {},
        ),
        (TypeError, "0: rrelu_with_noise: the model draws random", nn.Sequential(nn.RReLU()).train(), {}),
        (TypeError, "model: bernoulli: the model draws random", Of(lambda m, x: x.bernoulli(0.5)).eval(), {}),
        (
            ValueError,
            "0: add_: it writes to a tensor that the model keeps, .* call model.eval",
            nn.Sequential(nn.BatchNorm1d(2)).train(),
            {},
        ),
        (ValueError, "covariance: expected", nn.Sequential(nn.ReLU()), {"covariance": "none"}),
        (ValueError, "cov: expected variances", nn.Sequential(nn.ReLU()), {"covariance": "diagonal"}),
        (ValueError, '"hybrid" needs a layer', nn.Sequential(nn.ReLU()), {"covariance": "hybrid"}),
    ],
)
def test_what_is_refused_is_named(error, message, model, options):
    cov = torch.ones(2) if options.get("covariance") == "hybrid" else torch.eye(2)
    with pytest.raises(error, match=message):
        fm.nn.propagate(model.double(), torch.zeros(2), cov, **options)


def test_inputs_that_do_not_go_together_are_named():
    model = nn.Sequential(nn.ReLU())
    with pytest.raises(TypeError, match="mu is float64 but cov is float32"):
        fm.nn.propagate(model, torch.zeros(2), torch.eye(2, dtype=torch.float32))
    with pytest.raises(ValueError, match="cov: its diagonal must hold variances >= 0"):
        fm.nn.propagate(model, torch.zeros(2), -torch.eye(2))
    with pytest.raises(ValueError, match="input: full covariance of 4356 features, more than limit=4096: 145 MB"):
        fm.nn.propagate(nn.AvgPool2d(2), torch.zeros(1, 1, 66, 66), torch.zeros(1, 1, 1).expand(1, 4356, 4356))
