"""Models found by attacks on `propagate`: what was wrong without a word, crashed, or was refused for no reason."""

import time
from threading import Thread

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812

import fastmoments as fm  # noqa: E402
from fastmoments.graph.frontends.torch_modules import stopping  # noqa: E402
from tests.network_cases import gaussian, matrix_of  # noqa: E402

pytestmark = pytest.mark.usefixtures("double_precision")
EXACT = dict(rtol=1e-12, atol=1e-12)  # a few products of numbers of order one
MASK, INTEGERS = torch.tensor([True, False, True, True, False, False]), torch.arange(1, 7)


def _written(write):
    def function(x):
        y = x.clone()
        write(y)
        return y * 1.0

    return function


def _set(index, value):
    return _written(lambda y: y.__setitem__(index, value))


def _two_views(x):
    y = x.clone()
    z = y.view(-1, 6)
    y.transpose_(1, 2)
    z[:, 0] = 5.0
    y[:, 0].mul_(2.0)
    return torch.cat([y.flatten(1), z], 1)


def _moved(x):
    y = x.clone()
    y.unsqueeze_(1)
    z = y[:, 0]
    y.squeeze_(1)
    z.mul_(3.0)
    y.t_()
    y[0].add_(1.0)
    return torch.cat([z, y.t()], 1)


# Functions whose matrices are those of their values at unit vectors
AFFINE = {
    "a column is set": (_set((slice(None), 0), 5.0), (6,)),
    "a column of integers": (_set((slice(None), 0), 5), (6,)),
    "columns are copied": (_set((slice(None), slice(0, 2)), torch.tensor([0.7, 3.0])), (6,)),
    "through a view": (_written(lambda y: y.view(-1, 2, 3)[:, 0].fill_(5.0)), (6,)),
    "through a transposed view": (_written(lambda y: y.t()[0].fill_(5.0)), (6,)),
    "through strides": (_written(lambda y: y.as_strided((len(y), 2), (6, 1)).fill_(5.0)), (6,)),
    "two views, one turned": (_two_views, (2, 3)),
    "turned in place": (_moved, (6,)),
    "t_": (lambda x: x.clone().t_().t() * 1.0, (6,)),
    "transpose_": (lambda x: x.clone().transpose_(1, 2) * 2.0, (2, 3)),
    "gaps filled by an integer": (lambda x: x.masked_fill(MASK, 3), (6,)),
    "where of integers": (lambda x: torch.where(MASK, x, INTEGERS), (6,)),
    "cat of integers": (lambda x: torch.cat([x, INTEGERS.expand(len(x), 6)], 1), (6,)),
    "scatter of an integer": (lambda x: x.scatter(1, torch.tensor([[0]]).expand(len(x), 1), 3), (6,)),
    "a batch of groups": (
        lambda x: F.conv1d(x.reshape(1, -1, 4), torch.ones(2 * len(x), 1, 2), groups=2 * len(x)).view(-1, 2, 3),
        (2, 4),
    ),
    "index_add with alpha": (
        lambda x: torch.ones_like(x).index_add(1, torch.tensor([0, 1, 1, 3, 4, 5]), x, alpha=2),
        (6,),
    ),
    "addmm of two": (
        lambda x: torch.addmm(x[:, :3], x[:, 3:], torch.arange(9.0).view(3, 3) / 9.0, beta=0.3, alpha=0.7),
        (6,),
    ),
}


@pytest.mark.parametrize("name", AFFINE)
def test_affine_models_are_their_matrices(name):
    function, shape = AFFINE[name]
    mu, cov = gaussian(shape)
    matrix, constant = matrix_of(function, shape)
    mean, full = fm.nn.propagate(function, mu[None], cov[None])
    np.testing.assert_allclose(mean[0].flatten(), matrix @ mu.flatten() + constant, **EXACT)
    np.testing.assert_allclose(full[0], matrix @ cov @ matrix.T, **EXACT)
    var = torch.diag(cov).reshape(1, *shape)
    _, spread = fm.nn.propagate(function, mu[None], var, "diagonal")
    np.testing.assert_allclose(spread[0].flatten(), (matrix * matrix) @ var.flatten(), **EXACT)


# A function, its breaks, and where it is read: mean and standard deviation
FUNCTIONS = {
    "ReLU10": (nn.Hardtanh(0.0, 10.0), (0.0, 10.0), 10.0, 1.0),
    "clamped ReLU": (lambda x: torch.relu(x).clamp(max=10.0), (0.0, 10.0), 10.0, 1.0),
    "threshold": (lambda x: F.threshold(x, 0.04, 0.0), (0.04,), 0.03, 0.01),
    "SiLU up to 9": (lambda x: torch.where(x > 9.0, 0.0 * x, F.silu(x)), (9.0,), 9.0, 1.0),
    "softsign up to 9.5": (lambda x: torch.where(x > 9.5, x, F.softsign(x)), (0.0, 9.5), 9.5, 1.0),
    "a minimum with a tensor": (lambda x: torch.minimum(x, torch.tensor(0.2)), (0.2,), 0.3, 1.0),
    "above a tensor": (lambda x: x * (torch.tensor([0.2]) < x), (0.2,), 0.3, 1.0),
    "between tensors": (lambda x: x.clamp(torch.tensor(-0.2), torch.tensor(0.4)), (-0.2, 0.4), 0.3, 1.0),
    "a narrow window": (lambda x: torch.where((x - 5.0).abs() < 0.02, 9.0, x.tanh()), (4.98, 5.02), 5.0, 0.05),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_what_they_are_far_out_and_near_0(name):
    """By an integral of the definition, split where the function breaks."""
    function, breaks, mu, sd = FUNCTIONS[name]
    mean, full = fm.nn.propagate(function, torch.tensor([mu]), torch.tensor([[sd * sd]]))
    z, w = np.polynomial.legendre.leggauss(200)
    ends = np.unique(np.clip([mu - 12.0 * sd, *breaks, mu + 12.0 * sd], mu - 12.0 * sd, mu + 12.0 * sd))
    x = np.concatenate([(a + b + (b - a) * z) / 2.0 for a, b in zip(ends, ends[1:], strict=False)])
    w = np.concatenate([(b - a) / 2.0 * w for a, b in zip(ends, ends[1:], strict=False)])
    w = w * np.exp(-0.5 * ((x - mu) / sd) ** 2) / np.sqrt(2.0 * np.pi) / sd
    f = function(torch.from_numpy(x)).numpy()
    # the quadrature's tolerance is 1e-10 of a mean square
    np.testing.assert_allclose(mean, [w @ f], rtol=1e-8)
    np.testing.assert_allclose(full, [[w @ (f - w @ f) ** 2]], rtol=1e-8)


def test_parameters_of_functions_keep_their_gradients():
    """relu(p x) ~ p relu(x), of which mean and variance are known: 1 / sqrt(2 pi) and 1/2 - 1 / (2 pi)."""
    p = nn.Parameter(torch.tensor(1.5))
    mean, full = fm.nn.propagate(lambda x: torch.relu(p * x), torch.zeros(1), torch.eye(1))
    want = 1.0 / np.sqrt(2.0 * np.pi), 3.0 * (0.5 - 0.5 / np.pi)
    found = [torch.autograd.grad(y.sum(), p, retain_graph=True)[0] for y in (mean, full)]
    np.testing.assert_allclose(found, want, rtol=1e-12)


def test_a_learned_function_is_refused_even_where_it_is_a_known_one():
    beta = nn.Parameter(torch.tensor(1.0))
    for function in (
        lambda x: x * torch.sigmoid(beta * x),
        lambda x: torch.where(x > 0.0, x, 0.1 * beta * x),
    ):
        with pytest.raises(TypeError, match="model: .*its parameters have gradients.*torch.no_grad"):
            fm.nn.propagate(function, torch.zeros(1), torch.eye(1))
    with torch.no_grad():
        found = fm.nn.propagate(lambda x: x * torch.sigmoid(beta * x), torch.zeros(1), torch.eye(1))
    np.testing.assert_allclose(found.mean, [0.20662], atol=1e-5)  # E x sigmoid(x), by mpmath


REFUSED = {
    "rows of one number": (lambda x: x[torch.zeros(len(x), dtype=torch.long)], "it mixes the batch's dimension"),
    "too many kinks": (lambda x: torch.relu(torch.sin(x)), "model: relu: it breaks at more than 64 points"),
    "sums that round": (lambda x: x.sum(1, dtype=torch.float32), "sum: it rounds torch.float64 to torch.float32"),
    "sparse weights": (lambda x: F.linear(x, torch.eye(1).to_sparse()), "mm: a sparse tensor .* use to_dense"),
    "products by scatter": (
        lambda x: x.scatter(1, torch.zeros(len(x), 1, dtype=torch.long), torch.ones_like(x), reduce="multiply"),
        "scatter: it has no rule where it reduces",
    ),
}


@pytest.mark.filterwarnings("ignore:The reduce argument of torch.scatter:UserWarning")
@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_rule_is_named(name):
    function, message = REFUSED[name]
    with pytest.raises((TypeError, ValueError), match=message):
        fm.nn.propagate(function, torch.zeros(1), torch.eye(1))


def test_a_hook_may_not_scale_by_the_first_number():
    layer = nn.Linear(6, 6)
    layer.register_forward_hook(lambda module, given, out: out * float(given[0][0, 0]))
    with pytest.raises(TypeError, match="0: mul: a number or a constant differs from one run of the model"):
        fm.nn.propagate(nn.Sequential(layer), *gaussian(6))


def test_a_batch_of_one_is_a_batch():
    mu, cov = gaussian(6)
    mean, full = fm.nn.propagate(lambda x: x[:, :3], mu[None], cov)
    assert torch.equal(mean, mu[None, :3]) and torch.equal(full, cov[None, :3, :3])


def test_an_output_that_is_none_stays_none():
    mu, cov = gaussian(6)
    mean, full = fm.nn.propagate(lambda x: {"logits": 2.0 * x, "loss": None}, mu, cov)
    assert mean["loss"] is None
    np.testing.assert_allclose(mean["logits"], 2.0 * mu, **EXACT)
    np.testing.assert_allclose(full, 4.0 * cov, **EXACT)


def test_a_recurrent_network_of_tanh():
    """Its derivatives are those of the model: to first order, at standard deviations of 1e-6, its covariance is."""
    torch.manual_seed(0)
    network = nn.RNN(3, 4, batch_first=True).requires_grad_(False)
    mu, cov = gaussian((2, 3))
    mean, full = fm.nn.propagate(lambda x: network(x)[0], mu[None], 1e-12 * cov[None])
    jacobian = torch.autograd.functional.jacobian(lambda x: network(x[None])[0][0], mu).reshape(8, 6)
    np.testing.assert_allclose(mean[0], network(mu[None])[0][0], atol=1e-10)  # of second order
    np.testing.assert_allclose(full[0] * 1e12, jacobian @ cov @ jacobian.T, atol=1e-8)


@pytest.mark.parametrize(
    "function", [lambda x: torch.cat([x, torch.relu(x[:, :0])], 1), lambda x: torch.cat([x, x[:, :0]], 1)]
)
def test_values_without_elements(function):
    mu, cov = gaussian(6)
    mean, full = fm.nn.propagate(function, mu[None], cov[None])
    assert torch.equal(mean, mu[None]) and torch.equal(full, cov[None])
    mean, var = fm.nn.propagate(function, mu, torch.diag(cov), "diagonal")
    assert torch.equal(mean, mu) and torch.equal(var, torch.diag(cov))


def test_tensors_of_a_subclass():
    mu, cov = gaussian(6)
    found = fm.nn.propagate(lambda x: 2.0 * x, mu.as_subclass(type("Own", (torch.Tensor,), {})), cov)
    np.testing.assert_allclose(found.mean, 2.0 * mu, **EXACT)


def test_two_threads_leave_a_modules_forward_as_it_is():
    """Else a thread puts back what the other one had put in its place, for ever."""
    layer = nn.Linear(2, 2)

    def stop(module):
        return module.forward

    def enter():
        with stopping({layer: None}, stop):
            pass

    with stopping({layer: None}, stop):
        other = Thread(target=enter)
        other.start()
        time.sleep(0.2)  # until it waits for this one
    other.join()
    assert "forward" not in vars(layer)


class Averaging(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("average", torch.zeros(6))

    def forward(self, x):
        self.average = 0.9 * self.average + 0.1 * x.mean(0)
        return 2.0 * x


def test_running_averages_stay_as_they_are():
    """They would become those of examples that nobody gave."""
    model = Averaging()
    fm.nn.propagate(model, *gaussian(6))
    assert torch.equal(model.average, torch.zeros(6))


def test_writes_that_are_not_operations_or_round_are_refused():
    def by_data(x):
        y = x.clone()
        y.data = 2.0 * x
        return y

    def rounded(x):
        return torch.zeros(x.shape, dtype=torch.float32).add_(x)

    for function, message in ((by_data, r"model: \.data = has no rule"), (rounded, "add_: it rounds")):
        with pytest.raises(TypeError, match=message):
            fm.nn.propagate(function, *gaussian(3))


def test_hybrid_judges_the_sizes_of_what_it_makes():
    model = torch.nn.Sequential(torch.nn.Linear(2, 9), torch.nn.ReLU(), torch.nn.Linear(9, 2)).double()
    given = torch.zeros(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64), "hybrid"
    with pytest.raises(ValueError, match="1: relu: full covariance of 9 features, more than limit=8"):
        fm.nn.propagate(model, *given, limit=8)
    fm.nn.propagate(model.requires_grad_(False), *given, limit=9)
