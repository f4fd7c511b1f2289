"""Bayesian layers, learnable activations, and reading a Gaussian over outputs."""

import copy
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from scipy.special import expit  # noqa: E402
from torch import nn  # noqa: E402

import fastmoments as fm  # noqa: E402

pytestmark = pytest.mark.usefixtures("double_precision")


def test_kl_is_its_integral():
    """The KL divergence of one weight and one bias is the integral of its definition."""
    layer = fm.nn.BayesLinear(1, 1, prior_sd=0.7, initial_sd=0.3)
    with torch.no_grad():
        layer.bias_mean.fill_(0.4)
    mean, var, bias_mean, bias_var = (x.item() for x in layer.distribution())
    total = 0.0
    for m, v in ((mean, var), (bias_mean, bias_var)):
        x = m + math.sqrt(v) * np.linspace(-12, 12, 20001)
        log_q = -0.5 * ((x - m) ** 2 / v + math.log(2 * math.pi * v))
        log_p = -0.5 * (x**2 / 0.49 + math.log(2 * math.pi * 0.49))
        total += np.sum(np.exp(log_q) * (log_q - log_p)) * (x[1] - x[0])
    assert abs(layer.kl().item() - total) <= 1e-12 * total
    assert fm.nn.kl_divergence(nn.Sequential(layer, layer)).item() == layer.kl().item()


def test_sampled_weights_have_the_moments():
    layer, x = fm.nn.BayesLinear(3, 2, initial_sd=0.5), torch.randn(3)
    with torch.no_grad():
        drawn = torch.stack([layer(x) for _ in range(20000)])
    mean, var = layer.marginals(x, torch.zeros(3))
    # 6 standard errors of a mean and of a Gaussian's variance
    assert ((drawn.mean(0) - mean).abs() <= 6 * (var / 20000).sqrt()).all()
    assert ((drawn.var(0) - var).abs() <= 6 * var * math.sqrt(2 / 20000)).all()


def test_state_dict_and_deepcopy():
    model = nn.Sequential(fm.nn.BayesLinear(2, 3), fm.nn.Activation(fm.NPN(tau=0.5), learnable=("tau",)))
    other = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1.0)
    assert not torch.equal(model[0].weight_mean, other[0].weight_mean)
    other.load_state_dict(model.state_dict())
    assert other[1].tau.item() == 0.5
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize(
    ("activation", "f"),
    [
        (fm.NPN(r=1.0, q=2.0, tau=0.7), lambda x: 1 - 2 * torch.exp(-0.35 * x * x)),
        (fm.Cos(omega=1.5), lambda x: torch.cos(1.5 * x)),
        (fm.ReLU(), torch.relu),
        (
            fm.GaussianMixture((0.5, 1.5), (1.0, 2.0), (0.0, 1.0)),
            lambda x: 0.5 * torch.exp(-0.5 * x * x) + 1.5 * torch.exp(-((x - 1) ** 2)),
        ),
    ],
)
def test_an_activation_is_its_function(activation, f):
    x = torch.linspace(-3, 3, 11)
    # rounded arguments of exp and cos up to 5, and values up to 2
    torch.testing.assert_close(fm.nn.Activation(activation)(x), f(x), rtol=0.0, atol=16 * torch.finfo(x.dtype).eps)
    if not isinstance(activation, fm.GaussianMixture):  # the activation without defaults
        assert torch.equal(fm.nn.Activation(type(activation))(x), fm.nn.Activation(type(activation)())(x))


def test_an_activation_without_a_closed_form():
    x = torch.linspace(-3, 3, 11)
    close = {"rtol": 4 * torch.finfo(x.dtype).eps, "atol": 0.0}  # a few operations without cancellation
    torch.testing.assert_close(fm.nn.Activation("silu")(x), torch.nn.functional.silu(x), **close)
    activation = fm.nn.Activation(fm.Custom(np.arctan))
    torch.testing.assert_close(activation(x), torch.atan(x))
    with pytest.raises(NotImplementedError, match="has no derivative"):
        activation(x.requires_grad_())
    with pytest.raises(ValueError, match="learnable: Custom has no parameter 'tol'"):
        fm.nn.Activation(fm.Custom(np.arctan), learnable=("tol",))


def test_learnable_parameters_have_gradients_both_ways():
    activation = fm.nn.Activation(fm.NPN(), learnable=("tau",), features=3)
    x = torch.randn(5, 3)
    tau = activation.tau.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda t: torch.func.functional_call(activation, {"tau": t}, (x,)), tau)
    wave, x = fm.nn.Activation(fm.Cos(), learnable=("omega",)), torch.randn(5, 3)
    omega = wave.omega.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda w: torch.func.functional_call(wave, {"omega": w}, (x,)), omega)
    model = nn.Sequential(fm.nn.BayesLinear(2, 3), activation, fm.nn.BayesLinear(3, 1))
    mean, var = fm.nn.propagate(model, torch.randn(4, 2), torch.rand(4, 2), covariance="diagonal")
    (mean.sum() + var.sum()).backward()
    assert activation.tau.grad.isfinite().all() and (activation.tau.grad != 0).all()


def test_unknown_parameters_are_named():
    with pytest.raises(ValueError, match="learnable: NPN has no parameter 'omega'"):
        fm.nn.Activation(fm.NPN(), learnable=("omega",))


@pytest.mark.parametrize(
    ("activation", "f"),
    [
        (fm.ELU(0.5), nn.ELU(0.5)),
        (fm.SELU(), nn.SELU()),
        (fm.HardTanh(-0.5, None), lambda x: torch.clamp(x, min=-0.5)),
        (fm.HardShrink(), nn.Hardshrink()),
        (fm.Threshold(0.1, 20.0), nn.Threshold(0.1, 20.0)),
        (fm.Polynomial((1.0, 0.0, 2.0)), lambda x: 1.0 + 2.0 * x * x),
        (fm.Exp(), torch.exp),
        (fm.Tanh(), torch.tanh),
        (fm.Softplus(2.0), nn.Softplus(2.0)),
        (fm.LogSigmoid(), nn.LogSigmoid()),
    ],
    ids=lambda x: getattr(x, "name", ""),
)
def test_composed_activations_are_modules(activation, f):
    x = torch.linspace(-4.0, 4.0, 32, dtype=torch.float64, requires_grad=True)
    module = fm.nn.Activation(activation)
    torch.testing.assert_close(module(x), f(x), rtol=0.0, atol=1e-14)
    slopes = (torch.autograd.grad(y.sum(), x)[0] for y in (module(x), f(x)))
    torch.testing.assert_close(*slopes, rtol=0.0, atol=1e-14)
    assert module(x.half()).dtype == torch.float16 and not module.state_dict()
    mu, cov = torch.zeros(1, 2, dtype=torch.float64), torch.eye(2, dtype=torch.float64)[None]
    found = fm.nn.propagate(nn.Sequential(module), mu, cov)
    torch.testing.assert_close(found.mean[0, 0], fm.mean(activation, mu, 1.0 + mu)[0, 0])
    with pytest.raises(ValueError, match="learnable: ELU has its parameters fixed"):
        fm.nn.Activation(fm.ELU(), learnable="alpha")


def test_a_bounded_output_begins_away_from_zero():
    """exp(-h^2/2) of h about 0 hardly depends on h; about 1 it does, and is within (0, 1)."""
    x, slopes = torch.randn(32, 4), []
    for start in (0.0, 1.0):
        torch.manual_seed(0)
        last = fm.nn.BayesLinear(4, 1, initial_sd=1e-3, initial_bias=start)
        with torch.no_grad():
            last.weight_mean.mul_(0.1)
        model = nn.Sequential(last, fm.nn.Activation(fm.Gaussian()))
        y = model(x)
        assert ((y > 0.0) & (y < 1.0)).all()
        y.sum().backward()
        slopes.append(last.bias_mean.grad.abs().item() / len(x))
    assert slopes[0] < 0.1 and slopes[1] > 0.5


@pytest.mark.parametrize("deterministic", [True, False])
def test_training_by_the_evidence_lower_bound(deterministic):
    """A few steps of training raise the bound."""
    x = torch.linspace(-1, 1, 64)[:, None]
    y = torch.sin(3 * x)
    model = nn.Sequential(fm.nn.BayesLinear(1, 16), fm.nn.Activation(fm.NPN()), fm.nn.BayesLinear(16, 1))
    optimiser, noise, losses = torch.optim.Adam(model.parameters(), 0.02), 0.1, []
    for _ in range(60):
        if deterministic:
            mean, var = fm.nn.propagate(model, x, torch.zeros_like(x), covariance="diagonal")
        else:
            mean, var = model(x), 0.0
        misfit = (((y - mean) ** 2 + var) / (2 * noise**2)).sum()
        loss = misfit + fm.nn.kl_divergence(model)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert np.mean(losses[-10:]) < 0.6 * np.mean(losses[:10])


def test_two_classes():
    mean, cov = torch.tensor([0.3, 1.1]), torch.tensor([[1.0, 0.2], [0.2, 2.0]])
    gap, sd = 0.8, math.sqrt(2.6)
    z = np.linspace(-10, 10, 20001)
    weights = np.exp(-z * z / 2) / np.sqrt(2 * np.pi) * (z[1] - z[0])
    argmax = fm.nn.class_probabilities(mean, cov, "argmax")
    assert abs(argmax[1].item() - np.sum(weights * (gap + sd * z > 0))) < 1e-3  # the grid's step at the jump
    softmax = fm.nn.class_probabilities(mean, cov)
    assert abs(softmax[1].item() - np.sum(weights * expit(gap + sd * z))) < 1e-9  # of the sigmoid's mean
    assert abs(softmax.sum().item() - 1.0) < 1e-15


@pytest.mark.parametrize("link", ["softmax", "argmax"])
def test_three_classes_are_the_samples(link):
    rng = np.random.default_rng(0)
    root = rng.normal(size=(2, 3, 3))
    mean, cov = torch.from_numpy(rng.normal(size=(2, 3))), torch.from_numpy(root @ np.swapaxes(root, -1, -2))
    found = fm.nn.class_probabilities(mean, cov, link, samples=8192)
    logits = mean[:, None] + torch.randn(2, 10**5, 3) @ torch.from_numpy(np.swapaxes(root, -1, -2))
    if link == "softmax":
        want = torch.softmax(logits, -1).mean(1)
    else:
        want = torch.nn.functional.one_hot(logits.argmax(-1), 3).double().mean(1)
    # 6 standard errors of 10^5 samples of numbers within [0, 1]
    assert (found - want).abs().max() <= 6 * 0.5 / math.sqrt(10**5)


def test_conditioning_is_the_block_formula():
    rng = np.random.default_rng(1)
    root = rng.normal(size=(4, 6))
    mean, cov = torch.from_numpy(rng.normal(size=4)), torch.from_numpy(root @ root.T)
    seen, values, noise = [2, 0], torch.tensor([0.5, -1.0]), torch.diag(torch.tensor([0.1, 0.2]))
    found = fm.nn.condition(mean, cov, seen, values, noise)
    s, m = cov.numpy(), mean.numpy()
    gain = s[:, seen] @ np.linalg.inv(s[np.ix_(seen, seen)] + noise.numpy())
    np.testing.assert_allclose(found.mean, m + gain @ (values.numpy() - m[seen]), rtol=1e-12)
    np.testing.assert_allclose(found.cov, s - gain @ s[seen], rtol=1e-12, atol=1e-13)
    exact = fm.nn.condition(mean, cov, seen, values)
    np.testing.assert_allclose(exact.mean[seen], values, rtol=1e-12)
    assert exact.cov[seen].abs().max() <= 1e-13 * cov.max()


def test_modules_compile():
    layer, activation = fm.nn.BayesLinear(3, 2), fm.nn.Activation("npn", learnable="tau")
    x = torch.randn(4, 3)
    for module in (layer, activation):
        compiled = torch.compile(module.marginals, backend="aot_eager", fullgraph=True)
        for found, want in zip(compiled(x, x * x), module.marginals(x, x * x), strict=True):
            torch.testing.assert_close(found, want)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_an_activation_of_half_precision_computes_in_float32(dtype):
    x = torch.linspace(-3, 3, 7).to(dtype)
    for module in (fm.nn.Activation("gelu"), fm.nn.Activation("npn", learnable="tau")):
        assert torch.equal(module(x), module(x.float()).to(dtype))
    with pytest.raises(TypeError, match="x: expected real numbers in floating point, got torch.int64"):
        module(x.long())
