"""Models with more than a forward pass: hooks, shared memory, named arguments, defaults; and refused models."""

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812
from torch.nn.utils import prune  # noqa: E402

import fastmoments as fm  # noqa: E402
from tests.network_cases import gaussian, matrix_of  # noqa: E402

pytestmark = pytest.mark.usefixtures("double_precision")

EXACT = dict(rtol=1e-11, atol=1e-11)  # chains of some ten products of numbers of order one


class Of(nn.Module):
    """A function of (module, x) as a model, with a layer for it to use."""

    def __init__(self, function):
        super().__init__()
        self.function, self.linear = function, nn.Linear(4, 4)
        self.relu, self.same = nn.ReLU(inplace=True), nn.Identity()

    def forward(self, x, *, scale=3.0, parts=False):
        y = scale * self.function(self, x)
        return (x, y) if parts else y


def assert_affine(model):
    mu, cov = gaussian(4)
    model = model.eval()
    # before the model is called, which would run its hooks
    mean, full = fm.nn.propagate(model, mu, cov)
    with torch.no_grad():
        matrix, constant = matrix_of(model, (4,))
    np.testing.assert_allclose(mean.detach(), matrix @ mu + constant, **EXACT)
    np.testing.assert_allclose(full.detach(), matrix @ cov @ matrix.T, **EXACT)


def _tripled(layer, name):
    """A module whose hook sets the weight from a parameter, which has changed since."""
    with torch.no_grad():
        getattr(layer, name).mul_(3.0)
    return layer


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_what_hooks_set_is_what_counts():
    assert_affine(nn.Sequential(_tripled(nn.utils.weight_norm(nn.Linear(4, 3)), "weight_g")))
    pruned = prune.random_unstructured(nn.Linear(4, 3), "weight", 0.5)
    assert_affine(nn.Sequential(_tripled(pruned, "weight_orig"), nn.Linear(3, 2)))
    assert_affine(nn.utils.spectral_norm(nn.Linear(4, 3)))


def test_hooks_of_the_model_and_of_its_parts_are_traced():
    model = nn.Sequential(nn.Sequential(nn.Linear(4, 3)))
    model.register_forward_hook(lambda module, given, out: 2.0 * out)
    model[0].register_forward_pre_hook(lambda module, given: (given[0] + 1.0,))
    assert_affine(model)


def test_a_hook_may_look_and_not_change():
    seen, layer, (mu, cov) = [], nn.Linear(4, 3), gaussian(4)
    layer.register_forward_hook(lambda module, given, kwargs, out: seen.append(out), with_kwargs=True)
    mean = fm.nn.propagate(nn.Sequential(layer, nn.ReLU()), mu, cov).mean
    assert mean.shape == (3,) and torch.equal(seen[0][0], layer.forward(mu))


def test_a_hook_may_change_what_goes_in_and_what_comes_out():
    layer = nn.Linear(4, 3)
    layer.register_forward_hook(lambda module, given, out: 2.0 * out)
    layer.register_forward_pre_hook(lambda module, given: (given[0] + 1.0,))
    assert_affine(nn.Sequential(layer))


def test_a_hook_may_look_at_values_and_not_change_by_them():
    seen, layer = [], nn.Linear(4, 3)
    layer.register_forward_hook(lambda module, given, out: seen.append(out.mean().item()))
    assert_affine(nn.Sequential(layer))
    assert seen
    layer.register_forward_hook(lambda module, given, out: out * out.mean().item())
    with pytest.raises(TypeError, match="0: mul: a number or a constant differs from one run of the model"):
        fm.nn.propagate(nn.Sequential(layer), *gaussian(4))


@pytest.mark.parametrize(
    ("function", "same"),
    [
        (lambda m, x: m.relu(m.same(x)) + x, lambda y: 2.0 * y.relu()),
        (lambda m, x: m.relu(x.view(-1, 2, 2)).flatten(1) + x, lambda y: 2.0 * y.relu()),
        (lambda m, x: F.relu(F.dropout(x, training=False), inplace=True) + x, lambda y: 2.0 * y.relu()),
    ],
)
def test_memory_that_is_read_elsewhere_has_what_was_written(function, same):
    """A6 of in-place operators: x is relu(x) by the time it is added."""
    (mu, cov), model = gaussian(4), Of(lambda m, x: function(m, x.clone()))
    assert torch.equal(model(mu[None]), 3.0 * same(mu[None]))
    found, relu = fm.nn.propagate(model, mu, cov), fm.relu_moments(mu, cov)
    np.testing.assert_allclose(found.mean, 6.0 * relu.mean, **EXACT)
    np.testing.assert_allclose(found.cov, 36.0 * relu.cov, **EXACT)


def test_arguments_by_name_are_those_by_position():
    assert_affine(
        Of(lambda m, x: torch.cat(tensors=[torch.mul(input=x, other=2.0), torch.sub(x, other=m.linear(x))], axis=1))
    )
    assert_affine(Of(lambda m, x: F.linear(input=x, weight=m.linear.weight)))


def test_a_model_is_called_with_one_argument_and_its_defaults():
    assert_affine(Of(lambda m, x: m.linear(x)))


def test_a_model_stays_as_it_is():
    model = Of(lambda m, x: x + torch.ones(4))
    before = set(vars(model))
    fm.nn.propagate(model, *gaussian(4))
    assert set(vars(model)) == before


def test_models_are_traced_and_called_in_many_threads():
    """Torch.fx replaces the calls of all modules while it traces."""
    (mu, cov), interval = gaussian(4), sys.getswitchinterval()
    models = [nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)).requires_grad_(False) for _ in range(4)]
    want = [(model(mu), fm.nn.propagate(model, mu, cov).cov) for model in models]

    def both(i):
        model = models[i % 4]
        return model(mu) if i % 3 == 0 else fm.nn.propagate(model, mu, cov).cov

    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(6) as pool:
            found = list(pool.map(both, range(120)))
    finally:
        sys.setswitchinterval(interval)
    assert all(torch.equal(x, want[i % 4][0 if i % 3 == 0 else 1]) for i, x in enumerate(found))


def test_rows_of_a_value_share_random_weights():
    """Cov(W x_r, W x_s) has E x_r x_s times the weights' variance on its diagonal."""
    layer, (mu, cov) = fm.nn.BayesLinear(2, 3, initial_sd=0.5).requires_grad_(False), gaussian(4)
    model = nn.Sequential(nn.Unflatten(1, (2, 2)), layer, nn.Flatten())
    mean, var, bias, bias_var = layer.distribution()
    certain = torch.block_diag(mean, mean)
    second = (cov + torch.outer(mu, mu)).reshape(2, 2, 2, 2)
    own = torch.einsum("rjsj,ij->rsi", second, var) + bias_var
    want = certain @ cov @ certain.T + torch.einsum("rsi,ik->risk", own, torch.eye(3)).reshape(6, 6)
    found = fm.nn.propagate(model, mu, cov)
    np.testing.assert_allclose(found.mean, certain @ mu + bias.repeat(2), **EXACT)
    np.testing.assert_allclose(found.cov, want, **EXACT)
    assert torch.equal(found.cov, found.cov.T)
    tracked = fm.nn.propagate(model.requires_grad_(True), mu, cov).cov
    np.testing.assert_allclose(tracked.detach(), want, **EXACT)
    alone = fm.nn.propagate(model, mu, torch.diag(cov), covariance="diagonal").var.detach()
    independent = fm.nn.propagate(model, mu, torch.diag(torch.diag(cov))).cov.detach()
    np.testing.assert_allclose(alone, torch.diag(independent), **EXACT)


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_no_inputs_at_all(covariance):
    model, cov = nn.Sequential(nn.Conv1d(1, 2, 2), nn.ReLU(), nn.Flatten(), nn.Linear(6, 3)), torch.zeros(0, 1, 4)
    cov = torch.zeros(0, 4, 4) if covariance == "full" else cov
    found = fm.nn.propagate(model, torch.zeros(0, 1, 4), cov, covariance)
    assert [tuple(x.shape) for x in found] == [(0, 3), (0, 3, 3) if covariance == "full" else (0, 3)]


def test_half_precision_and_autocast_return_the_inputs_dtype():
    (mu, cov), model = gaussian(4), nn.Sequential(nn.Linear(4, 3), nn.ReLU()).requires_grad_(False)
    want = fm.nn.propagate(model, mu, cov)
    for dtype in (torch.bfloat16, torch.float16):
        found = fm.nn.propagate(model.to(dtype), mu.to(dtype), cov.to(dtype))
        for one, other in zip(found, want, strict=True):
            # a few roundings of weights, inputs and products
            np.testing.assert_allclose(one.double(), other, atol=8 * torch.finfo(dtype).eps)
    model = model.float()
    plain = fm.nn.propagate(model, mu.float(), cov.float())
    with torch.autocast("cpu"):
        found = fm.nn.propagate(model, mu.float(), cov.float())
    assert all(torch.equal(one, other) for one, other in zip(found, plain, strict=True))


@pytest.mark.parametrize(
    ("error", "message", "model"),
    [
        (
            TypeError,
            "div: a quotient rounded to integers",
            Of(lambda m, x: torch.div(x, 0.5, rounding_mode="floor")),
        ),
        (
            TypeError,
            "model: _local_scalar_dense: what the model does depends on values",
            Of(lambda m, x: x if x.sum() > 0 else -x),
        ),
        (
            ValueError,
            r"model raises for inputs of shape .batch, 4., in Bilinear\(.*\): TypeError",
            nn.Bilinear(4, 4, 1),
        ),
        (TypeError, r"model: got the class torch\.nn\.ReLU; give an instance, torch\.nn\.ReLU\(\)", nn.ReLU),
        (ValueError, "0: flip: it mixes the batch's dimension", nn.Sequential(Of(lambda m, x: x.flip(0)))),
    ],
)
def test_what_cannot_be_is_named(error, message, model):
    with pytest.raises(error, match=message):
        fm.nn.propagate(model.double() if isinstance(model, nn.Module) else model, *gaussian(4))


def test_inputs_that_are_none_are_named():
    model, (mu, cov) = nn.Sequential(nn.ReLU()), gaussian(4)
    with pytest.raises(TypeError, match="mu: expected a tensor, got ndarray"):
        fm.nn.propagate(model, mu.numpy(), cov)
    with pytest.raises(TypeError, match="cov: expected real numbers in floating point, got torch.int64"):
        fm.nn.propagate(model, mu, cov.long())
    with pytest.raises(ValueError, match="mu: expected an input or a batch of them"):
        fm.nn.propagate(model, mu.sum(), cov)


def test_modules_name_what_is_wrong():
    with pytest.raises(ValueError, match="initial_sd: expected a standard deviation > 0, got 0.0"):
        fm.nn.BayesLinear(2, 3, initial_sd=0.0)
    with pytest.raises(ValueError, match="prior_sd: expected a standard deviation > 0, got -1"):
        fm.nn.BayesLinear(2, 3, prior_sd=-1)
    with pytest.raises(ValueError, match="features: only learnable parameters"):
        fm.nn.Activation("npn", features=3)
    # exp overflows
    np.testing.assert_allclose(fm.nn.BayesLinear(1, 1, initial_sd=1e3).distribution()[1].detach(), 1e6, rtol=1e-6)
    assert list(dict(fm.nn.Activation("npn", learnable="tau").named_parameters())) == ["tau"]
