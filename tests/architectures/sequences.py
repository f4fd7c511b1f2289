"""Networks of sequences, sets and graphs."""

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils import parametrizations

from tests.architectures.case import case, mlp


class GraphConvolution(nn.Module):
    """A fixed adjacency from the left, by matmul and by bmm."""

    def __init__(self):
        super().__init__()
        a = torch.tensor([[1.0, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 1], [0, 0, 1, 1]])
        self.register_buffer("adjacency", a / a.sum(1, keepdim=True) ** 0.5)
        self.one, self.two = nn.Linear(3, 6), nn.Parameter(0.5 * torch.randn(6, 2))

    def forward(self, x):
        x = F.relu(torch.matmul(self.adjacency, self.one(x)))
        return torch.bmm(self.adjacency.expand(x.size(0), -1, -1), x @ self.two)


class DeepSets(nn.Module):
    def __init__(self):
        super().__init__()
        self.phi, self.rho = mlp(2, 8, 6, activation=nn.Tanh), mlp(6, 8, 2, activation=nn.Tanh)

    def forward(self, x):
        return self.rho(self.phi(x).sum(dim=1))


class Elman(nn.Module):
    """A recurrent cell, unrolled over time by hand."""

    def __init__(self):
        super().__init__()
        self.i2h, self.h2h, self.h2o = nn.Linear(2, 6), nn.Linear(6, 6, bias=False), nn.Linear(6, 2)

    def forward(self, x):
        hidden, outputs = x.new_zeros(x.size(0), 6), []
        for step in range(x.size(1)):
            hidden = torch.tanh(self.i2h(x[:, step]) + self.h2h(hidden))
            outputs.append(self.h2o(hidden))
        return torch.stack(outputs, dim=1), hidden


class RnnCell(nn.Module):
    """PyTorch's cell over a sequence whose first dimension becomes time."""

    def __init__(self):
        super().__init__()
        self.cell = nn.RNNCell(2, 5)

    def forward(self, x):
        hidden = None
        for step in x.transpose(0, 1).unbind(0):
            hidden = self.cell(step) if hidden is None else self.cell(step, hidden)
        return hidden


class Tcn(nn.Module):
    """Causal dilated convolutions: padded on both sides, chomped on the right; weight_norm, dropout, residual."""

    class Chomp(nn.Module):
        def __init__(self, size):
            super().__init__()
            self.size = size

        def forward(self, x):
            return x[:, :, : -self.size].contiguous()

    class Block(nn.Module):
        def __init__(self, n, m, dilation):
            super().__init__()
            layers = []
            for channels in (n, m):
                conv = nn.Conv1d(channels, m, 2, padding=dilation, dilation=dilation)
                layers += [parametrizations.weight_norm(conv), Tcn.Chomp(dilation), nn.ReLU(), nn.Dropout(0.2)]
            self.net, self.relu = nn.Sequential(*layers), nn.ReLU()
            self.downsample = nn.Conv1d(n, m, 1) if n != m else None

        def forward(self, x):
            res = x if self.downsample is None else self.downsample(x)
            return self.relu(self.net(x) + res)

    def __init__(self):
        super().__init__()
        self.network, self.linear = nn.Sequential(self.Block(2, 4, 1), self.Block(4, 4, 2)), nn.Linear(4, 3)

    def forward(self, x):
        return self.linear(self.network(x)[:, :, -1])


class TimeFirst(nn.Module):
    """(batch, time, channels) to (time, batch, channels) and back, as recurrent and attention layers want it."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(3, 5), nn.Linear(5, 2)

    def forward(self, x):
        x = x.permute(1, 0, 2)
        steps, batch, _ = x.shape
        h = torch.tanh(self.one(x.reshape(steps * batch, -1))).view(steps, batch, -1)
        h = h + h.mean(dim=0, keepdim=True)
        return self.two(h).permute(1, 0, 2), h[-1]


class Columns(nn.Module):
    """Values as columns, as a textbook writes them: (W x.T).T."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Parameter(torch.randn(6, 4)), nn.Parameter(torch.randn(3, 6))
        self.bias = nn.Parameter(torch.randn(6, 1))

    def forward(self, x):
        return (self.two @ torch.relu(self.one @ x.T + self.bias)).T


class Positions(nn.Module):
    """A token's projection, a learned embedding of its position, a feed-forward block, the mean over tokens."""

    def __init__(self):
        super().__init__()
        self.project, self.embedding = nn.Linear(3, 6), nn.Embedding(8, 6)
        self.token, self.feed, self.head = (
            nn.Parameter(torch.randn(1, 1, 6)),
            mlp(6, 8, 6, activation=nn.GELU),
            nn.Linear(6, 2),
        )

    def forward(self, x):
        tokens = self.project(x) + self.embedding(torch.arange(x.size(1), device=x.device))
        tokens = torch.cat([self.token.expand(x.size(0), -1, -1), tokens], dim=1)
        tokens = tokens + self.feed(tokens)
        return self.head(tokens.mean(dim=1)), tokens[:, 0]


class ResMlp(nn.Module):
    """Affine in the place of LayerNorm, a linear mix of patches, a feed-forward of channels."""

    class Affine(nn.Module):
        def __init__(self, n):
            super().__init__()
            self.alpha, self.beta = (
                nn.Parameter(1.0 + 0.3 * torch.randn(1, 1, n)),
                nn.Parameter(0.3 * torch.randn(1, 1, n)),
            )

        def forward(self, x):
            return torch.addcmul(self.beta, self.alpha, x)

    def __init__(self):
        super().__init__()
        self.embed = nn.Conv2d(1, 4, 2, stride=2)
        self.norms, self.mix = nn.ModuleList(self.Affine(4) for _ in range(3)), nn.Linear(4, 4)
        self.feed, self.head, self.scale = (
            mlp(4, 8, 4, activation=nn.GELU),
            nn.Linear(4, 3),
            nn.Parameter(0.5 * torch.ones(4)),
        )

    def forward(self, image):
        x = self.embed(image).flatten(2).transpose(1, 2)
        x = x + self.scale * self.mix(self.norms[0](x).transpose(1, 2)).transpose(1, 2)
        x = x + self.scale * self.feed(self.norms[1](x))
        return self.head(self.norms[2](x).mean(dim=1).reshape(image.size(0), -1))


class Mixer(nn.Module):
    """Feed-forwards of patches and of channels in turn, without LayerNorm."""

    def __init__(self):
        super().__init__()
        self.tokens, self.channels = mlp(4, 6, 4, activation=nn.GELU), mlp(3, 8, 3, activation=nn.GELU)

    def forward(self, x):
        x = x + self.tokens(x.mT).mT
        return x + self.channels(x)


class Filters(nn.Module):
    """Convolutions of one dimension: circular, dilated, strided, with average pooling between."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv1d(1, 3, 3, padding=1, padding_mode="circular"),
            nn.SiLU(),
            nn.AvgPool1d(2),
            nn.Conv1d(3, 4, 3, padding="same", dilation=2),
            nn.Tanh(),
            nn.Conv1d(4, 2, 2, stride=2),
        )

    def forward(self, x):
        return self.net(x.unsqueeze(1))


def cases():
    return {
        "graph convolution": case(GraphConvolution, (4, 3)),
        "deep sets": case(DeepSets, (3, 2)),
        "elman": case(Elman, (3, 2)),
        "rnn cell": case(RnnCell, (3, 2)),
        "tcn": case(Tcn, (2, 6)),
        "time first": case(TimeFirst, (3, 3)),
        "columns": case(Columns, (4,)),
        "positions": case(Positions, (3, 3)),
        "resmlp": case(ResMlp, (1, 4, 4)),
        "mixer": case(Mixer, (4, 3)),
        "filters": case(Filters, (12,)),
    }
