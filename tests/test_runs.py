"""Models at many points: their own values whatever the library, in batches; what would be wrong is refused."""

import random

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

import fastmoments as fm  # noqa: E402
from fastmoments.checked import runs  # noqa: E402
from fastmoments.graph.inputs import inputs_of  # noqa: E402
from fastmoments.graph.propagate import graph_of  # noqa: E402
from fastmoments.graph.rewrite import rewrite  # noqa: E402
from tests.all_masks import Of  # noqa: E402
from tests.model_runs import run_of  # noqa: E402

pytestmark = pytest.mark.usefixtures("double_precision")

# of batches of other sizes, whose products round otherwise
CLOSE = dict(rtol=1e-13, atol=1e-13)


@pytest.fixture
def small_batches(monkeypatch):
    """Batches of a few rows."""
    monkeypatch.setattr(runs, "ON_CPU", 64)


def flat(values):
    return torch.cat([x.flatten(1) for x in values], 1)


def sequential():
    return nn.Sequential(nn.Linear(3, 8), nn.GELU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))


def with_npn():
    return nn.Sequential(nn.Linear(3, 3), fm.nn.Activation(fm.NPN()))


# a model, the shape of its input, and its outputs in order
TORCH = {
    "a sequential": (sequential, (3,), lambda y: [y]),
    "an image": (lambda: nn.Sequential(nn.Conv2d(1, 2, 2), nn.ReLU()), (1, 3, 3), lambda y: [y]),
    "a dictionary": (
        lambda: Of(lambda m, x: {"b": m.linear(x), "a": (x.exp(), None)}),
        (3,),
        lambda y: [y["b"], y["a"][0]],
    ),
    "the batch behind": (lambda: Of(lambda m, x: m.linear(x).relu().mT), (3,), lambda y: [y.mT]),
    "in place": (lambda: Of(lambda m, x: m.linear(x.mul_(2.0).relu_())), (3,), lambda y: [y]),
    "an activation of ours": (with_npn, (3,), lambda y: [y]),
    "eval mode": (lambda: nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5)).eval(), (3,), lambda y: [y]),
}


@pytest.mark.parametrize("rows", [0, 1, 50])
@pytest.mark.parametrize("name", TORCH)
def test_models_of_torch_have_their_own_values(name, rows, small_batches):
    make, shape, outputs = TORCH[name]
    model = make()
    x = torch.randn(rows, *shape)
    before, run = x.clone(), run_of(model, torch.zeros(2, *shape))
    y = run([x])
    wanted = outputs(model(x.clone()))
    torch.testing.assert_close(y, flat(wanted), **CLOSE)
    assert torch.equal(x, before) and run.draws == 0 and run.most < 50
    rebuilt = outputs(run.rebuild(y, False))
    assert [part.shape for part in rebuilt] == [part.shape for part in wanted]
    torch.testing.assert_close(flat(rebuilt), y, **CLOSE)


def test_a_single_input_has_outputs_without_a_batch():
    model = Of(lambda m, x: {"a": m.linear(x), "b": x.relu()[:, :2]})
    for graph in (True, False):
        found = run_of(model, torch.zeros(3), graph=graph).rebuild(torch.arange(5.0)[None], True)
        assert found["a"].tolist() == [0.0, 1.0, 2.0] and found["b"].tolist() == [3.0, 4.0]


def test_several_inputs_go_in_as_they_came():
    model = Of(lambda m, x, scale=1.0: m.linear(x) * scale)
    model.forward = lambda x, scale: model.linear(x) * scale
    x, scale = torch.randn(7, 3), torch.randn(7, 1)
    run = run_of(model, {"scale": torch.zeros(1, 1), "x": torch.zeros(1, 3)})
    torch.testing.assert_close(run([scale, x]), model(x, scale), **CLOSE)


def test_batches_are_as_wide_as_the_widest_value():
    graph_runs = run_of(sequential(), torch.zeros(1, 3))
    assert graph_runs.most == runs.ON_CPU // 8
    noisy = run_of(fm.nn.BayesLinear(8, 2), torch.zeros(1, 2, 8))
    assert noisy.most == runs.ON_CPU // (2 * 2 + 2 * 9)  # the value, and the weights and biases that are drawn
    assert run_of(lambda x: x.sort().values, torch.zeros(1, 5), graph=False).most == runs.ON_CPU // (16 * 5)


def test_batches_change_nothing_but_rounding(small_batches):
    model, x = sequential(), torch.randn(100, 3)
    run = run_of(model, torch.zeros(1, 3))
    torch.testing.assert_close(run([x]), model(x), **CLOSE)
    assert torch.equal(run([x]), run([x]))
    noisy = run_of(nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), fm.nn.BayesLinear(8, 2)), torch.zeros(1, 3))
    u = torch.rand(100, noisy.draws)
    alone = [noisy([x[k : k + 1]], u[k : k + 1]) for k in range(100)]
    torch.testing.assert_close(noisy([x], u), torch.cat(alone), **CLOSE)
    with pytest.raises(TypeError, match="uniforms: the model draws 10 random numbers a row"):
        noisy([x])


def test_gradients_are_those_of_the_model(small_batches):
    model, x = sequential(), torch.randn(50, 3, requires_grad=True)
    run = run_of(model, torch.zeros(1, 3))
    wanted = torch.autograd.grad(model(x).square().sum(), [x, *model.parameters()])
    found = torch.autograd.grad(run([x]).square().sum(), [x, *model.parameters()])
    torch.testing.assert_close(found, wanted, **CLOSE)


def test_what_ran_without_gradients_has_them_afterwards():
    """Constants of the graph that depend on the number of rows are computed again."""
    model = Of(lambda m, x: m.drop(x + m.linear.bias.expand(len(x), 3)))
    run = run_of(model, torch.zeros(1, 3))
    x, u = torch.ones(5, 3), torch.rand(5, run.draws)
    with torch.no_grad():
        run([x], u)
    run([x], u).sum().backward()
    wanted = torch.where(u < 0.3, 0.0, 1.0 / 0.7).sum(0)
    torch.testing.assert_close(model.linear.bias.grad, wanted, **CLOSE)


JUMPS = [
    (lambda x: x.relu() + torch.nn.functional.gelu(x), False),
    (lambda x: torch.where(x > 0.0, x, 0.1 * x), False),
    (lambda x: (x > 0.0).to(x.dtype), True),
    (torch.nn.functional.hardshrink, True),
    (lambda x: torch.where(x > 0.5, x, 0.0), True),
    (lambda x: x.exp() * x.square(), False),
    (lambda x: x.flip(1) * (x > 0.0), True),
    (lambda x: x.flip(1) * x.sigmoid(), False),
    (lambda x: x.softmax(1).amax(1), False),
    (lambda x: x.sort().values, None),
]


@pytest.mark.parametrize("k", range(len(JUMPS)))
def test_jumps_are_known(k):
    function, jumps = JUMPS[k]
    inputs = inputs_of(function, torch.zeros(1, 3), None, None)
    graph = graph_of(function, inputs, {})
    assert runs.runner_of(function, inputs, graph, {}).jumps is jumps
    if jumps is not None:
        rewritten = rewrite(graph, whole_sums=False)
        assert runs.runner_of(function, inputs, rewritten, {}).jumps is jumps


def test_a_rewritten_graph_with_noise_has_the_same_values():
    model = Of(lambda m, x: torch.nn.functional.silu(m.drop(m.linear(x))) * torch.sigmoid(x))
    inputs = inputs_of(model, torch.zeros(1, 3), None, None)
    graph = graph_of(model, inputs, {})
    x, u = torch.randn(20, 3), torch.rand(20, 3)
    recorded = runs.runner_of(model, inputs, graph, {})([x], u)
    rewritten = runs.runner_of(model, inputs, rewrite(graph, whole_sums=False), {})([x], u)
    torch.testing.assert_close(rewritten, recorded, **CLOSE)


# functions of one row that have no graph
def early_exit(x):
    y = x.sort().values
    return y if y.sum() > 0 else 0.0 * y


def by_mask(x):
    out = torch.zeros_like(x)
    large = x[:, 0] > 0.0
    out[large] = x[large].sort().values
    return out


def through_numpy(x):
    return torch.from_numpy(np.sort(x.detach().numpy()))


WITHOUT = {
    "sorting": lambda x: x.sort().values,
    "a Fourier transform": lambda x: torch.fft.rfft(x).abs(),
    "quantized": lambda x: torch.eye(3)[torch.cdist(x, torch.eye(3)).argmin(1)],
    "integers": lambda x: x.argsort(),
    "early exit": early_exit,
    "by mask": by_mask,
    "through NumPy": through_numpy,
    "one at a time": lambda x: x * float(x.sum()),
    "scripted": torch.jit.script(nn.ReLU()),
}


@pytest.mark.parametrize("name", WITHOUT)
def test_models_without_a_graph_are_what_they_are_for_one_row(name, small_batches):
    model, x = WITHOUT[name], torch.randn(30, 3)
    run = run_of(model, torch.zeros(1, 3), graph=False)
    wanted = torch.cat([model(x[k : k + 1]) for k in range(30)]).to(x.dtype)
    torch.testing.assert_close(run([x]), wanted, **CLOSE)
    assert run.jumps is None and run.draws == 0
    assert run([x[:0]]).shape == (0, wanted.shape[1])


class Draws(nn.Module):
    def __init__(self, draw):
        super().__init__()
        self.draw = draw

    def forward(self, x):
        return x + self.draw()


def refusals():
    own, state = np.random.default_rng(0), np.random.RandomState(0)
    first = nn.Sequential(nn.Linear(3, 3), Draws(lambda: torch.rand(())))
    return {
        "torch": (TypeError, "^1: the model draws random numbers", first),
        "NumPy": (TypeError, "^0: the model draws", nn.Sequential(Draws(np.random.random))),
        "Python": (TypeError, "^0: the model draws", nn.Sequential(Draws(random.random))),
        "dropout": (TypeError, "^drop: the model draws", Of(lambda m, x: m.drop(x).sort().values)),
        "a generator of its own": (TypeError, "two runs of it", Draws(own.random)),
        "another": (TypeError, "two runs of it", Draws(lambda: state.rand() if x_is_cold() else state.rand())),
        "BayesLinear": (TypeError, "^0: it draws noise of its own", nn.Sequential(fm.nn.BayesLinear(3, 3))),
        "stochastic neurons": (TypeError, "^0: it draws", nn.Sequential(fm.nn.Activation(fm.BernoulliProbit()))),
        "rows that meet": (ValueError, "rows of a batch must not meet", lambda x: x - x.mean(0)),
        "rows in reverse": (ValueError, "rows of a batch must not meet", lambda x: x.flip(0)),
        "a batch that is lost": (ValueError, "the batch must stay the first dimension", lambda x: x.sum()),
        "batch norm": (ValueError, "^0.running_mean: the model writes", nn.Sequential(nn.BatchNorm1d(3))),
        "batch norm without averages": (ValueError, "raises", nn.BatchNorm1d(3, track_running_stats=False)),
        "a number": (TypeError, "it returns float", lambda x: (x, 1.0)),
        "its error": (ValueError, "raises for inputs of shape .1, 3.: ZeroDivisionError", lambda x: x / (1 // 0)),
    }


def x_is_cold():
    return True


@pytest.mark.parametrize("name", refusals())
def test_what_has_no_graph_and_is_random_or_mixes_rows_is_refused(name):
    error, message, model = refusals()[name]
    before = states(), tensors(model)
    with pytest.raises(error, match=message):
        run_of(model, torch.zeros(1, 3), graph=False)
    assert states() == before[0] and all(map(torch.equal, tensors(model), before[1]))


def states():
    return torch.get_rng_state().tolist(), random.getstate(), str(np.random.get_state())  # noqa: NPY002


def tensors(model):
    return [x.clone() for x in (*model.parameters(), *model.buffers())] if isinstance(model, nn.Module) else []


def test_rules_that_hide_what_a_module_draws_are_found_out():
    model = nn.Sequential(nn.Linear(3, 3), Draws(lambda: torch.rand(())))
    rules = {Draws: lambda module, value: fm.nn.affine(value, lambda x: x + 0.5)}
    run = run_of(model, torch.zeros(1, 3), rules=rules)
    before = states()
    with pytest.raises(TypeError, match="^1: the model draws random numbers"):
        run([torch.zeros(5, 3)])
    assert states() == before


@pytest.mark.parametrize("graph", [True, False])
def test_models_are_left_as_they_are(graph):
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3).eval(), nn.ReLU())
    model[0].weight.requires_grad_(False)
    calls = []
    model[2].register_forward_hook(lambda *args: calls.append(len(args)))
    before = states(), tensors(model), [x.requires_grad for x in model.parameters()], [m.training for m in model]
    run_of(model, torch.zeros(1, 3), graph=graph)([torch.zeros(4, 3)])
    after = states(), tensors(model), [x.requires_grad for x in model.parameters()], [m.training for m in model]
    assert before[0] == after[0] and all(map(torch.equal, before[1], after[1])) and before[2:] == after[2:]
    assert "forward" not in vars(model[0]) and len(model[2]._forward_hooks) == 1 and calls
