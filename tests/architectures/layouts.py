"""Networks that write in place, into slices and through masks, and that move values about."""

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from tests.architectures.case import case, mlp


class InPlace(nn.Module):
    """`skip` is the same tensor as h, and so sees every operation on it."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        h = self.one(x)
        skip = h
        h += x
        h *= 1.5
        h -= self.two(x)
        h /= 0.7
        return torch.relu(h) + skip


class Views(nn.Module):
    """A view is written through: the whole sees it; a clone does not."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x):
        h = self.one(x)
        before, first = h.clone(), h[:, :3]
        first.mul_(2.0).add_(x[:, 1:])
        F.relu(h, inplace=True)
        return self.two(h) + before.view(-1, 2, 3).sum(1), h


class OwnInput(nn.Module):
    """It overwrites what it is given, which must not reach the caller."""

    def __init__(self):
        super().__init__()
        self.net = mlp(4, 6, 2, activation=nn.SiLU)

    def forward(self, x):
        x -= 0.5
        x[:, 0] = x[:, 1]
        return self.net(torch.tanh_(x.mul_(2.0)))


class Slices(nn.Module):
    """Zeros that are filled by slices, one column at a time too."""

    def __init__(self):
        super().__init__()
        self.even, self.odd = nn.Linear(6, 3), nn.Linear(6, 3)

    def forward(self, x):
        out = torch.zeros_like(x)
        out[:, ::2] = self.even(x)
        out[:, 1::2] = torch.tanh(self.odd(x))
        out[..., 2] = out[..., 1] - x[..., 0]
        out[:, [0, 5]] += x[:, [3, 4]]
        return out


class Masks(nn.Module):
    """Known masks choose between values, fill them and leave some out."""

    def __init__(self):
        super().__init__()
        self.one, self.two = mlp(6, 8, 6, activation=nn.Tanh), nn.Linear(6, 6)
        self.register_buffer("mask", torch.tensor([True, False, True, True, False, False]))

    def forward(self, x):
        h = torch.where(self.mask, self.one(x), x)
        filled = self.two(h).masked_fill(~self.mask, 0.5)
        return torch.where(self.mask, h, torch.zeros_like(h)) + filled, h[:, self.mask]


class Reorderings(nn.Module):
    """Sums, shifts, mirrors, pads and windows of a signal."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 2)
        self.register_buffer("order", torch.tensor([3, 1, 0, 2, 2]))

    def forward(self, x):
        x = torch.cumsum(x, dim=-1) - torch.roll(x, 1, dims=-1) + 0.5 * x.flip(-1)
        windows = F.pad(torch.sin(x), (1, 1), value=0.3).unfold(-1, 3, 1)
        mixed = torch.einsum("btk,ok->bot", windows, self.head.weight) + self.head.bias[:, None]
        moved = x.index_select(-1, self.order).gather(-1, self.order.expand(len(x), -1))
        return mixed, moved.repeat(1, 2), x.diff(dim=-1), x.split([1, 3], dim=-1)[1]


class FunctionalNorm(nn.Module):
    """Batch norm as a function of known statistics."""

    def __init__(self):
        super().__init__()
        self.one, self.two, self.weight, self.bias = (
            nn.Linear(4, 6),
            nn.Linear(6, 2),
            nn.Parameter(torch.rand(6)),
            nn.Parameter(torch.randn(6)),
        )
        self.register_buffer("mean", 0.3 * torch.randn(6))
        self.register_buffer("var", 0.5 + torch.rand(6))

    def forward(self, x):
        h = F.batch_norm(self.one(x), self.mean, self.var, self.weight, self.bias, training=False)
        return self.two(F.silu(h))


class StochasticDepth(nn.Module):
    """Blocks that training leaves out at random, and dropout, which are there in eval."""

    class Drop(nn.Module):
        def __init__(self, p):
            super().__init__()
            self.p = p

        def forward(self, x):
            if not self.training or self.p == 0.0:
                return x
            keep = x.new_empty(len(x), *(1,) * (x.ndim - 1)).bernoulli_(1.0 - self.p)
            return x * keep / (1.0 - self.p)

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(mlp(5, 8, 5, activation=nn.SiLU) for _ in range(3))
        self.drop, self.dropout = self.Drop(0.2), nn.Dropout(0.1)

    def forward(self, x):
        for block in self.blocks:
            x = x + self.drop(block(self.dropout(x)))
        return F.dropout(x, 0.5, training=self.training)


def cases():
    return {
        "in place": case(InPlace, (4,)),
        "views": case(Views, (4,)),
        "own input": case(OwnInput, (4,)),
        "slices": case(Slices, (6,)),
        "masks": case(Masks, (6,)),
        "reorderings": case(Reorderings, (4,)),
        "functional norm": case(FunctionalNorm, (4,)),
        "stochastic depth": case(StochasticDepth, (5,)),
    }
