"""Networks that are refused, by the operation's name: Fourier operators, batch-wide and data-dependent ones."""

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812

import fastmoments as fm  # noqa: E402
from tests.architectures.case import mlp  # noqa: E402

pytestmark = pytest.mark.usefixtures("double_precision")


class SpectralConv(nn.Module):
    """The Fourier layer of the neural operator: the lowest modes, multiplied by complex weights."""

    def __init__(self, channels, modes):
        super().__init__()
        self.modes = modes
        self.weights = nn.Parameter(torch.rand(channels, channels, modes, dtype=torch.cdouble) / channels)

    def forward(self, x):
        x_ft = torch.fft.rfft(x)
        out_ft = torch.zeros(*x.shape[:2], x.size(-1) // 2 + 1, dtype=torch.cdouble)
        out_ft[:, :, : self.modes] = torch.einsum("bix,iox->box", x_ft[:, :, : self.modes], self.weights)
        return torch.fft.irfft(out_ft, n=x.size(-1))


class Fno(nn.Module):
    def __init__(self):
        super().__init__()
        self.p, self.conv, self.w, self.q = nn.Linear(1, 3), SpectralConv(3, 2), nn.Conv1d(3, 3, 1), nn.Linear(3, 1)

    def forward(self, x):
        x = self.p(x).permute(0, 2, 1)
        x = F.gelu(self.conv(x) + self.w(x))
        return self.q(x.permute(0, 2, 1))


class Sparsemax(nn.Module):
    """TabNet's mask: logits are sorted, and those above a threshold are kept."""

    def forward(self, x):
        ordered = torch.sort(x, dim=-1, descending=True)[0]
        k = torch.arange(1, x.size(-1) + 1)
        support = k * ordered + 1 > ordered.cumsum(-1)
        size = support.sum(-1, keepdim=True)
        tau = (ordered.cumsum(-1).gather(-1, size - 1) - 1) / size
        return torch.clamp(x - tau, min=0)


class HardExperts(nn.Module):
    """The best k experts of a gate."""

    def __init__(self):
        super().__init__()
        self.gate, self.experts = nn.Linear(4, 3), nn.ModuleList(mlp(4, 6, 2) for _ in range(3))

    def forward(self, x):
        values, indices = self.gate(x).topk(2, dim=-1)
        outputs = torch.stack([expert(x) for expert in self.experts], 1)
        chosen = outputs.gather(1, indices.unsqueeze(-1).expand(-1, -1, 2))
        return (chosen * values.softmax(-1).unsqueeze(-1)).sum(1)


class VectorQuantizer(nn.Module):
    """The nearest of a book of codes."""

    def __init__(self):
        super().__init__()
        self.encoder, self.codes = nn.Linear(4, 3), nn.Embedding(5, 3)

    def forward(self, x):
        z = self.encoder(x)
        distances = (z.unsqueeze(1) - self.codes.weight).pow(2).sum(-1)
        return self.codes(distances.argmin(-1))


class EarlyExit(nn.Module):
    """A value decides how far to go."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        h = torch.tanh(self.one(x))
        return h if h.abs().max() > 0.9 else torch.tanh(self.two(h))


class BatchCentred(nn.Module):
    """Features less their mean over the batch."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x):
        h = self.fc(x)
        return h - h.mean(dim=0, keepdim=True)


# network, shape of an example, what the message names
REFUSED = {
    "fno": (Fno, (6, 1), "conv: _?fft"),
    "sparsemax": (Sparsemax, (4,), "sort"),
    "hard experts": (HardExperts, (4,), "topk"),
    "vector quantizer": (VectorQuantizer, (4,), "argmin"),
    "early exit": (EarlyExit, (4,), "model: "),
    "batch centred": (BatchCentred, (4,), "mean"),
    "batch norm in training": (
        lambda: nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)).train(),
        (4,),
        "1: .*eval",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_by_the_name_of_the_operation(name):
    make, shape, message = REFUSED[name]
    model = make().requires_grad_(False)
    if "training" not in name:
        model.eval()
    n = torch.Size(shape).numel()
    with pytest.raises((TypeError, ValueError), match=message):
        fm.nn.propagate(model, torch.randn(2, *shape), 0.1 * torch.eye(n).expand(2, n, n))


def test_fno_in_jax():
    jax = pytest.importorskip("jax")
    jnp = jax.numpy

    def fno(x):
        modes = jnp.fft.rfft(x, axis=-1)
        return x + jnp.fft.irfft(modes.at[..., 2:].set(0.0), n=x.shape[-1], axis=-1)

    with pytest.raises(TypeError, match="fft"):
        fm.nn.propagate(fno, jnp.ones((2, 6)), 0.1 * jnp.broadcast_to(jnp.eye(6), (2, 6, 6)))
