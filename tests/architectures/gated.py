"""Networks that multiply values: gates, squeeze and excitation, flows, crosses of features, bilinear maps."""

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from tests.architectures.case import case, mlp


class Glu(nn.Module):
    """Gated linear units of one projection, by F.glu."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.head = nn.Linear(4, 10), nn.Linear(5, 8), nn.Linear(4, 2)

    def forward(self, x):
        return self.head(F.glu(self.fc2(F.glu(self.fc1(x), dim=-1)), dim=-1))


class Geglu(nn.Module):
    """A feed-forward of diffusers: one projection, its half through GELU."""

    def __init__(self):
        super().__init__()
        self.proj, self.out = nn.Linear(4, 12), nn.Linear(6, 4)

    def forward(self, hidden_states):
        h, gate = self.proj(hidden_states).chunk(2, dim=-1)
        return hidden_states + self.out(h * F.gelu(gate))


class SwiGlu(nn.Module):
    """Llama's feed-forward, of two projections."""

    def __init__(self):
        super().__init__()
        self.gate_proj, self.up_proj, self.down_proj = (
            nn.Linear(n, m, bias=False) for n, m in ((4, 6), (4, 6), (6, 3))
        )
        self.act_fn = nn.SiLU()

    def forward(self, x):
        return self.down_proj(self.act_fn(self.gate_proj(x)) * self.up_proj(x))


class Reglu(nn.Module):
    """A sigmoid-free gate: ReLU."""

    def __init__(self):
        super().__init__()
        self.fc, self.head = nn.Linear(4, 10), nn.Linear(5, 2)

    def forward(self, x):
        a, b = self.fc(x).chunk(2, dim=-1)
        return self.head(a * F.relu(b))


class Highway(nn.Module):
    """t h(x) + (1 - t) x."""

    def __init__(self):
        super().__init__()
        self.plain, self.gate = (nn.ModuleList(nn.Linear(4, 4) for _ in range(2)) for _ in "hg")
        self.out = nn.Linear(4, 2)

    def forward(self, x):
        for plain, gate in zip(self.plain, self.gate, strict=True):
            h, t = torch.relu(plain(x)), torch.sigmoid(gate(x))
            x = h * t + (1 - t) * x
        return self.out(x)


class Gmlp(nn.Module):
    """A spatial gating unit: half of the channels, mixed over tokens behind LayerNorm, gates the other half."""

    def __init__(self, tokens=3, dim=4, inner=12):
        super().__init__()
        self.norm, self.proj_in, self.proj_out = (
            nn.LayerNorm(dim),
            nn.Linear(dim, inner),
            nn.Linear(inner // 2, dim),
        )
        self.gate_norm, self.spatial = nn.LayerNorm(inner // 2), nn.Conv1d(tokens, tokens, kernel_size=1)
        nn.init.constant_(self.spatial.bias, 1.0)
        self.head = nn.Linear(dim, 2)

    def forward(self, x):
        residual = x
        x = F.gelu(self.proj_in(self.norm(x)))
        u, v = x.chunk(2, dim=-1)
        x = u * self.spatial(self.gate_norm(v))
        return self.head((self.proj_out(x) + residual).mean(dim=1))


class RealNvp(nn.Module):
    """Affine coupling by halves: y = x exp(s) + t, and the logarithm of the determinant."""

    def __init__(self):
        super().__init__()
        self.nets = nn.ModuleList(mlp(2, 8, 4, activation=nn.Tanh) for _ in range(2))

    def forward(self, x):
        log_det = 0
        for net in self.nets:
            x1, x2 = x.chunk(2, dim=1)
            s, t = net(x1).chunk(2, dim=1)
            s = torch.tanh(s)
            x = torch.cat([x2 * torch.exp(s) + t, x1], dim=1)
            log_det = log_det + s.sum(dim=1)
        return x, log_det


class RealNvpMasked(nn.Module):
    """Affine coupling by masks."""

    def __init__(self):
        super().__init__()
        self.s, self.t = (nn.ModuleList(mlp(4, 6, 4, activation=nn.LeakyReLU) for _ in range(2)) for _ in "st")
        self.register_buffer("mask", torch.tensor([[0.0, 1.0, 0.0, 1.0], [1.0, 0.0, 1.0, 0.0]]))

    def forward(self, z):
        x = z
        for i in range(len(self.t)):
            x_ = x * self.mask[i]
            s = self.s[i](x_) * (1 - self.mask[i])
            t = self.t[i](x_) * (1 - self.mask[i])
            x = x_ + (1 - self.mask[i]) * (x * torch.exp(s) + t)
        return x


class Bilinear(nn.Module):
    """x^T W y of two embeddings."""

    def __init__(self):
        super().__init__()
        self.one, self.two, self.bilinear = nn.Linear(3, 4), nn.Linear(2, 4), nn.Bilinear(4, 4, 2)

    def forward(self, x, y):
        return self.bilinear(torch.tanh(self.one(x)), torch.tanh(self.two(y)))


class DeepOnet(nn.Module):
    """Branch and trunk both depend on inputs: the sum of their products."""

    def __init__(self):
        super().__init__()
        self.branch, self.trunk = mlp(4, 8, 6, activation=nn.Tanh), mlp(2, 8, 6, activation=nn.Tanh)
        self.bias = nn.Parameter(torch.tensor([0.2]))

    def forward(self, u, y):
        return torch.sum(self.branch(u) * self.trunk(y), dim=-1, keepdim=True) + self.bias


class DeepOnetEinsum(DeepOnet):
    """The same by einsum, for several places of each function."""

    def forward(self, u, y):
        return torch.einsum("bi,bni->bn", self.branch(u), self.trunk(y)) + self.bias


class DeepCross(nn.Module):
    """x0 (w x + b) + x, layer by layer, and a factorisation machine beside it."""

    def __init__(self):
        super().__init__()
        self.cross, self.v = nn.ModuleList(nn.Linear(4, 4) for _ in range(2)), nn.Parameter(0.5 * torch.randn(4, 3))
        self.linear = nn.Linear(4, 1)

    def forward(self, x):
        x0 = x
        for layer in self.cross:
            x = x0 * layer(x) + x
        square_of_sum = torch.mm(x0, self.v) ** 2
        sum_of_square = torch.mm(x0**2, self.v**2)
        return self.linear(x) + 0.5 * (square_of_sum - sum_of_square).sum(1, keepdim=True)


class Film(nn.Module):
    """Features scaled and shifted by what a condition says."""

    def __init__(self):
        super().__init__()
        self.conv, self.film, self.out = nn.Conv1d(2, 3, 3, padding=1), nn.Linear(3, 6), nn.Linear(3, 2)

    def forward(self, x, condition):
        gamma, beta = self.film(condition).chunk(2, dim=-1)
        h = gamma[:, :, None] * F.relu(self.conv(x)) + beta[:, :, None]
        return self.out(h.mean(-1))


class WaveNet(nn.Module):
    """tanh times sigmoid of dilated causal convolutions, residual and skip."""

    def __init__(self, dilations=(1, 2)):
        super().__init__()
        self.dilations, self.start = dilations, nn.Conv1d(1, 3, 1)
        self.filters, self.gates = (
            nn.ModuleList(nn.Conv1d(3, 3, 2, dilation=d) for d in dilations) for _ in range(2)
        )
        self.residuals, self.skips = (nn.ModuleList(nn.Conv1d(3, 3, 1) for _ in dilations) for _ in range(2))
        self.end = nn.Conv1d(3, 1, 1)

    def forward(self, x):
        x, skip = self.start(x), 0
        layers = zip(self.dilations, self.filters, self.gates, self.residuals, self.skips, strict=True)
        for dilation, filter_conv, gate_conv, residual_conv, skip_conv in layers:
            padded = F.pad(x, (dilation, 0))
            z = torch.tanh(filter_conv(padded)) * torch.sigmoid(gate_conv(padded))
            skip = skip + skip_conv(z)
            x = x + residual_conv(z)
        return self.end(F.relu(skip))[:, 0, -2:]


class SquaredRelu(nn.Module):
    """Primer's feed-forward, relu(x)^2, and a polynomial head."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(4, 6), nn.Linear(6, 2)

    def forward(self, x):
        h = self.fc2(torch.square(F.relu(self.fc1(x))))
        return h + 0.1 * h**3


class SoftExperts(nn.Module):
    """Every expert runs; a softmax of the input weighs them."""

    def __init__(self):
        super().__init__()
        self.experts, self.gate = nn.ModuleList(mlp(4, 6, 2, activation=nn.Tanh) for _ in range(3)), nn.Linear(4, 3)

    def forward(self, x):
        weights = torch.softmax(self.gate(x), dim=-1)
        outputs = torch.stack([expert(x) for expert in self.experts], dim=1)
        return (weights.unsqueeze(-1) * outputs).sum(dim=1)


def cases():
    return {
        "glu": case(Glu, (4,)),
        "geglu": case(Geglu, (4,)),
        "swiglu": case(SwiGlu, (4,)),
        "reglu": case(Reglu, (4,)),
        "highway": case(Highway, (4,)),
        "gmlp": case(Gmlp, (3, 4)),
        "realnvp": case(RealNvp, (4,)),
        "realnvp masked": case(RealNvpMasked, (4,)),
        "bilinear": case(Bilinear, (3,), (2,)),
        "deeponet product": case(DeepOnet, (4,), (2,)),
        "deeponet einsum": case(DeepOnetEinsum, (4,), (3, 2)),
        "deep cross": case(DeepCross, (4,)),
        "film": case(Film, (2, 4), (3,)),
        "wavenet": case(WaveNet, (1, 5)),
        "squared relu": case(SquaredRelu, (4,)),
        "soft experts": case(SoftExperts, (4,)),
    }
