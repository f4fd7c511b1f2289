"""Networks of sequences, sets and vectors that take maxima: over time, over points, of two networks, of pieces."""

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from tests.architectures.case import case, mlp


class TextCnn(nn.Module):
    """Filters of several sizes over embedded words, the maximum of each over time."""

    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(1, 2, (size, 3)) for size in (2, 3))
        self.dropout, self.fc1 = nn.Dropout(0.5), nn.Linear(4, 3)

    def forward(self, x):
        x = x.unsqueeze(1)
        x = [F.relu(conv(x)).squeeze(3) for conv in self.convs]
        x = [F.max_pool1d(i, i.size(2)).squeeze(2) for i in x]
        return self.fc1(self.dropout(torch.cat(x, 1)))


class M5(nn.Module):
    """Waveforms: convolutions of one dimension, batch norm, MaxPool1d, the average over time."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1, self.pool1 = nn.Conv1d(1, 3, 4, stride=2), nn.BatchNorm1d(3), nn.MaxPool1d(2)
        self.conv2, self.bn2, self.fc1 = nn.Conv1d(3, 4, 2), nn.BatchNorm1d(4), nn.Linear(4, 2)

    def forward(self, x):
        x = self.pool1(F.relu(self.bn1(self.conv1(x))))
        x = F.relu(self.bn2(self.conv2(x)))
        x = F.avg_pool1d(x, x.shape[-1])
        x = x.permute(0, 2, 1)
        return self.fc1(x).squeeze(1)


class PointNet(nn.Module):
    """One network of each point, the maximum over points."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv1d(3, 4, 1), nn.Conv1d(4, 5, 1)
        self.bn1, self.bn2, self.fc = nn.BatchNorm1d(4), nn.BatchNorm1d(5), nn.Linear(5, 2)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        x = torch.max(x, 2, keepdim=True)[0]
        x = x.view(-1, 5)
        return self.fc(F.relu(x))


class Maxout(nn.Module):
    """The largest of k affine pieces."""

    def __init__(self, k=3):
        super().__init__()
        self.k = k
        self.one, self.two, self.head = nn.Linear(4, 5 * k), nn.Linear(5, 4 * k), nn.Linear(4, 2)

    def forward(self, x):
        for layer in (self.one, self.two):
            x = layer(x).view(x.shape[0], -1, self.k).amax(dim=-1)
        return self.head(x)


class ClippedDoubleQ(nn.Module):
    """The smaller of two critics."""

    def __init__(self):
        super().__init__()
        self.q1, self.q2 = mlp(5, 8, 6, 1), mlp(5, 8, 6, 1)

    def forward(self, state, action):
        sa = torch.cat([state, action], dim=-1)
        return torch.min(self.q1(sa), self.q2(sa))


class GreedyValue(nn.Module):
    """max_a Q(s, a) of a target network."""

    def __init__(self):
        super().__init__()
        self.net = mlp(4, 8, 4)

    def forward(self, state):
        return self.net(state).max(dim=1, keepdim=True).values


class LightCnn(nn.Module):
    """Max-feature-map: the larger of two halves of the channels."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 6, 2), nn.Linear(3, 4)

    def forward(self, x):
        one, two = torch.split(self.conv(x), 3, 1)
        x = torch.max(one, two).mean((-2, -1))
        one, two = torch.chunk(self.fc(x), 2, dim=1)
        return torch.maximum(one, two)


class GraphSage(nn.Module):
    """The maximum over each node's neighbours, which a known mask tells, beside the node itself."""

    def __init__(self):
        super().__init__()
        self.pool, self.own, self.other = nn.Linear(2, 4), nn.Linear(2, 3), nn.Linear(4, 3)
        self.register_buffer("edges", torch.tensor([[1, 1, 0], [1, 1, 1], [0, 1, 1]], dtype=torch.bool))

    def forward(self, x):
        h = F.relu(self.pool(x))
        h = h.unsqueeze(1).expand(-1, x.size(1), -1, -1).masked_fill(~self.edges.unsqueeze(-1), float("-inf"))
        return (self.own(x) + self.other(h.max(dim=2)[0])).mean(1)


def cases():
    return {
        "text cnn": case(TextCnn, (4, 3)),
        "m5": case(M5, (1, 12)),
        "pointnet": case(PointNet, (3, 4)),
        "maxout": case(Maxout, (4,)),
        "clipped double q": case(ClippedDoubleQ, (3,), (2,)),
        "greedy value": case(GreedyValue, (4,)),
        "light cnn": case(LightCnn, (1, 3, 3)),
        "graphsage": case(GraphSage, (3, 2)),
    }
