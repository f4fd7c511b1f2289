"""Functions of several values in the graph: what is computed in their place, and what is said about them."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

import fastmoments as fm  # noqa: E402
from fastmoments.graph.frontends.windows import positions_of_adaptive_pool, positions_of_pool, windows  # noqa: E402


def described(model, *shape):
    return fm.describe(model, torch.zeros(1, *shape)).values


def kinds(model, *shape):
    return [value.kind for value in described(model, *shape)]


@pytest.mark.parametrize(
    "activation, name", [(nn.ReLU(), "ReLU"), (nn.Tanh(), "Tanh"), (nn.ELU(), "ELU"), (nn.ReLU6(), "ReLU6")]
)
def test_pools_come_before_increasing_functions(activation, name):
    found = kinds(nn.Sequential(activation, nn.MaxPool1d(2)), 1, 4)
    assert [kind for kind in found if kind not in ("input", "affine")] == ["maximum", name]


@pytest.mark.parametrize("activation", [nn.GELU(), nn.SiLU()])
def test_pools_come_behind_others(activation):
    found = kinds(nn.Sequential(activation, nn.MaxPool1d(2)), 1, 4)
    assert [kind for kind in found if kind not in ("input", "affine")] == [type(activation).__name__, "maximum"]


def test_gates_of_a_recurrent_cell_are_exact():
    """Its parts are written in place in memory that they share, and share no element."""
    values = described(nn.LSTMCell(2, 3), 2)
    sigmoids = [value for value in values if value.kind == "Sigmoid"]
    assert {value.moments for value in sigmoids} == {"exact to 1e-10"}
    assert len({value.step for value in sigmoids}) == 1
    assert [value.kind for value in values].count("gate of Tanh") == 2


def test_parts_that_overlap_are_written_to():
    def model(x):
        y = x.clone()
        y[:, :3].mul_(2.0)
        y[:, 2:].add_(1.0)
        return y

    mu = torch.arange(4.0)[None]
    mean, cov = fm.propagate(model, mu, torch.eye(4)[None])
    assert torch.equal(mean, model(mu))
    assert torch.equal(cov[0].diagonal(), torch.tensor([4.0, 4.0, 4.0, 1.0]))


def test_descriptions_say_what_is_approximate():
    model = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 3), nn.Softmax(-1))
    by_kind = {value.kind: value for value in described(model, 2, 4)}
    assert by_kind["layer norm"].moments == "closure"
    assert by_kind["layer norm"].note == "covariances between 2 groups by slopes; no own cumulants"
    alone = {value.kind: value for value in described(model, 4)}
    assert alone["layer norm"].moments == "exact"
    assert alone["softmax"].moments == "closure" and "mean" in alone["softmax"].note
    gated = described(nn.Sequential(nn.Linear(4, 6), nn.GLU()), 4)[-1]
    assert (gated.kind, gated.moments) == ("gate of Sigmoid", "exact to 1e-10")


def test_a_skip_around_a_function_that_bends_is_by_slopes():
    def model(x):
        y = torch.relu(x)
        return y + torch.relu(y @ torch.ones(3, 3))

    last = [value for value in described(model, 3) if value.kind == "ReLU"][-1]
    assert last.note.startswith("by slopes beside")


def test_settings_are_put_back():
    def model(x):
        raise RuntimeError("no")

    before = torch._C._get_mkldnn_enabled(), torch.backends.cuda.flash_sdp_enabled()
    with pytest.raises(ValueError, match="no"):
        fm.propagate(model, torch.zeros(1, 2), torch.eye(2)[None])
    fm.propagate(nn.Linear(2, 2), torch.zeros(1, 2), torch.eye(2)[None])
    assert (torch._C._get_mkldnn_enabled(), torch.backends.cuda.flash_sdp_enabled()) == before


@pytest.mark.parametrize("pool", [
    nn.MaxPool2d(2), nn.MaxPool2d(3, 2, 1), nn.MaxPool2d((2, 3), stride=1, dilation=(2, 1)),
    nn.MaxPool2d(2, ceil_mode=True), nn.AdaptiveMaxPool2d((2, 3)), nn.AdaptiveMaxPool2d(5),
])  # fmt: skip
def test_windows_are_those_of_pools(pool):
    x = torch.randn(1, 2, 5, 7, generator=torch.Generator().manual_seed(0))
    wanted = pool(x)
    elements = np.arange(70).reshape(1, 2, 5, 7)
    sizes = list(zip((5, 7), wanted.shape[2:], strict=True))
    if isinstance(pool, nn.AdaptiveMaxPool2d):
        positions = [positions_of_adaptive_pool(*pair) for pair in sizes]
    else:
        each = [
            np.broadcast_to(getattr(pool, name), 2) for name in ("kernel_size", "stride", "padding", "dilation")
        ]
        positions = [positions_of_pool(*sizes[k], *(int(given[k]) for given in each)) for k in range(2)]
    found = x.reshape(-1)[windows(elements, positions)].amax(-1)
    assert torch.equal(found.reshape(wanted.shape), wanted)


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
@pytest.mark.parametrize(
    "model, shape",
    [
        (lambda: nn.Sequential(nn.Linear(3, 8), nn.GLU(), nn.LayerNorm(4)), (3,)),
        (lambda: nn.Sequential(nn.MaxPool1d(2), nn.Softmax(-1)), (2, 4)),
        (lambda: _Attends(nn.MultiheadAttention(4, 2, batch_first=True)), (2, 4)),
    ],
)
def test_float32_is_float64_rounded(model, shape, covariance):
    """The same formulas: results differ by what rounding and shorter quadratures leave."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = model()
    n = int(np.prod(shape))
    mu = torch.linspace(-1.0, 1.0, n).reshape(1, *shape)
    cov = 0.1 * torch.eye(n)[None] if covariance == "full" else 0.1 * torch.ones_like(mu)
    single = fm.propagate(model.float(), mu, cov, covariance)
    double = fm.propagate(model.double(), mu.double(), cov.double(), covariance)
    for one, two in zip(single, double, strict=True):
        assert one.dtype == torch.float32
        assert (one.double() - two).abs().max() <= 1e-5 * two.abs().max()


class _Attends(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x, x, x)[0]
