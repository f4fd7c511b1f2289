"""Networks of one vector: regression, fields, flows, tables."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils import parametrizations, prune

from tests.architectures.case import case, mlp


class Pinn(nn.Module):
    """u(t, x) of a physics-informed network: its two coordinates come as two columns."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(n, m) for n, m in ((2, 8), (8, 8), (8, 8), (8, 1)))

    def forward(self, t, x):
        u = torch.cat([t, x], dim=1)
        for layer in self.layers[:-1]:
            u = torch.tanh(layer(u))
        return self.layers[-1](u)


class Surrogate(nn.Module):
    """Scaled inputs, SiLU, and outputs in their own units."""

    def __init__(self):
        super().__init__()
        self.net = mlp(4, 10, 10, 3, activation=nn.SiLU)
        for name, size, value in (("x_mean", 4, 0.3), ("x_std", 4, 2.0), ("y_mean", 3, 10.0), ("y_std", 3, 5.0)):
            self.register_buffer(name, value * (1.0 + torch.rand(size)))

    def forward(self, x):
        return self.net((x - self.x_mean) / self.x_std) * self.y_std + self.y_mean


class DeepKernel(nn.Sequential):
    """The features of a Gaussian process."""

    def __init__(self):
        super().__init__()
        self.add_module("linear1", nn.Linear(6, 12))
        self.add_module("relu1", nn.ReLU())
        self.add_module("linear2", nn.Linear(12, 8))
        self.add_module("relu2", nn.ReLU())
        self.add_module("linear3", nn.Linear(8, 2))


class Sine(nn.Module):
    def __init__(self, n, m, bound, omega=5.0):
        super().__init__()
        self.omega, self.linear = omega, nn.Linear(n, m)
        nn.init.uniform_(self.linear.weight, -bound, bound)

    def forward(self, x):
        return torch.sin(self.omega * self.linear(x))


class Siren(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(Sine(2, 10, 1 / 2), Sine(10, 10, np.sqrt(6 / 10) / 5), nn.Linear(10, 3))

    def forward(self, coordinates):
        return self.net(coordinates)


class Nerf(nn.Module):
    """Positional encoding, a skip to the middle, and colours that depend on the direction too."""

    def __init__(self):
        super().__init__()
        self.frequencies, self.skips = (1.0, 2.0, 4.0), (1,)
        encoded, width = 3 * 7, 12
        self.points = nn.ModuleList([nn.Linear(encoded, width)])
        self.points += [nn.Linear(width, width), nn.Linear(width + encoded, width)]
        self.alpha, self.feature = nn.Linear(width, 1), nn.Linear(width, width)
        self.views, self.rgb = nn.Linear(width + 3, width // 2), nn.Linear(width // 2, 3)

    def embed(self, x):
        return torch.cat([x] + [f(x * s) for s in self.frequencies for f in (torch.sin, torch.cos)], -1)

    def forward(self, x):
        points, views = torch.split(x, [3, 3], dim=-1)
        points = self.embed(points)
        h = points
        for i, layer in enumerate(self.points):
            h = F.relu(layer(h))
            if i in self.skips:
                h = torch.cat([points, h], -1)
        alpha = self.alpha(h)
        h = F.relu(self.views(torch.cat([self.feature(h), views], -1)))
        return torch.cat([self.rgb(h), alpha], -1)


class NiceMasked(nn.Module):
    """Additive coupling by masks, and a scale at the end."""

    def __init__(self):
        super().__init__()
        self.nets = nn.ModuleList(mlp(6, 8, 6, activation=nn.LeakyReLU) for _ in range(3))
        self.register_buffer("mask", torch.tensor([1.0, 0.0, 1.0, 0.0, 1.0, 0.0]))
        self.log_scale = nn.Parameter(0.3 * torch.randn(6))

    def forward(self, x):
        for i, net in enumerate(self.nets):
            mask = self.mask if i % 2 == 0 else 1 - self.mask
            x = mask * x + (1 - mask) * (x + net(mask * x))
        return x * torch.exp(self.log_scale)


class NiceChunked(nn.Module):
    """Additive coupling by halves, which change places."""

    def __init__(self):
        super().__init__()
        self.nets = nn.ModuleList(mlp(3, 8, 3, activation=nn.Softplus) for _ in range(3))

    def forward(self, x):
        for net in self.nets:
            one, two = x.chunk(2, dim=-1)
            x = torch.cat([two + net(one), one], dim=-1)
        return x


class TabularResNet(nn.Module):
    """BatchNorm, linear, ReLU, dropout, linear, dropout beside the input."""

    class Block(nn.Module):
        def __init__(self, n):
            super().__init__()
            self.normalization, self.activation = nn.BatchNorm1d(n), nn.ReLU()
            self.linear_first, self.linear_second = nn.Linear(n, 2 * n), nn.Linear(2 * n, n)
            self.dropout_first, self.dropout_second = nn.Dropout(0.2), nn.Dropout(0.0)

        def forward(self, x):
            x_input = x
            x = self.normalization(x)
            x = self.linear_first(x)
            x = self.activation(x)
            x = self.dropout_first(x)
            x = self.linear_second(x)
            x = self.dropout_second(x)
            return x_input + x

    def __init__(self):
        super().__init__()
        self.first_layer = nn.Linear(5, 8)
        self.blocks = nn.Sequential(*(self.Block(8) for _ in range(2)))
        self.prediction = nn.Sequential(nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))

    def forward(self, x):
        return self.prediction(self.blocks(self.first_layer(x)))


def tabular_mlp():
    return nn.Sequential(
        mlp(5, 8), nn.ReLU(), nn.Dropout(0.1), mlp(8, 8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, 1)
    )


class FlowMlp(nn.Module):
    """Shapes are checked and read in forward."""

    def __init__(self):
        super().__init__()
        self.in_shape, self.out_shape = (2, 3), (2, 2)
        self.layers = nn.ModuleList([nn.Linear(6, 9), nn.Linear(9, 9), nn.Linear(9, 4)])

    def forward(self, inputs):
        if inputs.shape[1:] != self.in_shape:
            raise ValueError(f"expected inputs of shape {self.in_shape}, got {inputs.shape[1:]}")
        outputs = inputs.reshape(-1, int(np.prod(self.in_shape)))
        for layer in self.layers[:-1]:
            outputs = torch.sigmoid(layer(outputs))
        return self.layers[-1](outputs).reshape(-1, *torch.Size(self.out_shape))


class FlowResidualNet(nn.Module):
    """Pre-activation residual blocks, with a context beside the input."""

    def __init__(self):
        super().__init__()
        self.initial_layer, self.final_layer = nn.Linear(3 + 2, 8), nn.Linear(8, 3)
        self.blocks = nn.ModuleList(nn.ModuleList([nn.Linear(8, 8), nn.Linear(8, 8)]) for _ in range(2))

    def forward(self, inputs, context=None):
        temps = self.initial_layer(inputs if context is None else torch.cat((inputs, context), dim=1))
        for one, two in self.blocks:
            temps = temps + two(F.dropout(F.relu(one(F.relu(temps))), 0.1, self.training))
        return self.final_layer(temps)


class MaskedMlp(nn.Sequential):
    """An autoregressive network: every linear layer has a mask."""

    class Layer(nn.Linear):
        def __init__(self, adjacency):
            super().__init__(*reversed(adjacency.shape))
            self.register_buffer("mask", adjacency)

        def forward(self, x):
            return F.linear(x, self.mask * self.weight, self.bias)

    def __init__(self):
        lower = torch.ones(9, 9).tril()
        super().__init__(self.Layer(lower[:, :5]), nn.ELU(), self.Layer(lower), nn.ELU(), self.Layer(lower[-5:]))


class FastKan(nn.Module):
    """SiLU as the base, Gaussian bumps on a grid as the spline: one layer, and so exact at any spread."""

    def __init__(self):
        super().__init__()
        self.base, self.spline = nn.Linear(3, 4), nn.Linear(3 * 4, 4, bias=False)
        self.register_buffer("grid", torch.linspace(-2.0, 2.0, 4))

    def forward(self, x):
        bumps = torch.exp(-(((x[..., None] - self.grid) / 1.3) ** 2))
        return self.base(F.silu(x)) + self.spline(bumps.view(*bumps.shape[:-2], -1))


class FourierFeatures(nn.Module):
    """Sines and cosines of one projection: exact at any spread."""

    def __init__(self):
        super().__init__()
        self.register_buffer("projection", torch.randn(3, 5))
        self.head = nn.Linear(10, 3)

    def forward(self, x):
        x = 2 * np.pi * 0.3 * x @ self.projection
        return self.head(torch.cat([torch.sin(x), torch.cos(x)], dim=-1))


class DeepOnet(nn.Module):
    """A branch of sensors, and a trunk whose coordinates are fixed."""

    def __init__(self):
        super().__init__()
        self.branch, self.trunk = mlp(6, 10, 8, activation=nn.GELU), mlp(1, 10, 8, activation=nn.Tanh)
        self.register_buffer("y", torch.linspace(0.0, 1.0, 5)[:, None])
        self.bias = nn.Parameter(torch.tensor(0.2))

    def forward(self, u):
        return torch.einsum("bp,yp->by", self.branch(u), self.trunk(self.y)) + self.bias


class ParametrisedLinears(nn.Module):
    """weight_norm, spectral_norm, orthogonal, a pruned layer, and hooks that look and that change."""

    def __init__(self):
        super().__init__()
        self.one = parametrizations.weight_norm(nn.Linear(4, 6))
        self.two = parametrizations.spectral_norm(nn.Linear(6, 6))
        self.three = parametrizations.orthogonal(nn.Linear(6, 6))
        self.four = prune.l1_unstructured(nn.Linear(6, 3), "weight", amount=0.4)
        self.seen = []
        self.one.register_forward_hook(lambda module, args, output: self.seen.append(tuple(output.shape)))
        self.three.register_forward_pre_hook(lambda module, args: (0.5 * args[0],))
        self.four.register_forward_hook(lambda module, args, output: output + 1.0)

    def forward(self, x):
        return self.four(F.relu(self.three(F.relu(self.two(F.relu(self.one(x)))))))


def cases():
    return {
        "pinn": case(Pinn, (1,), (1,)),
        "surrogate": case(Surrogate, (4,)),
        "deep kernel": case(DeepKernel, (6,)),
        "siren": case(Siren, (2,), sd=0.005),
        "nerf": case(Nerf, (6,)),
        "nice masked": case(NiceMasked, (6,)),
        "nice chunked": case(NiceChunked, (6,)),
        "tabular resnet": case(TabularResNet, (5,)),
        "tabular mlp": case(tabular_mlp, (5,)),
        "flow mlp": case(FlowMlp, (2, 3)),
        "flow residual net": case(FlowResidualNet, (3,), (2,)),
        "masked mlp": case(MaskedMlp, (5,)),
        "fast kan": case(FastKan, (3,), sd=0.5),
        "fourier features": case(FourierFeatures, (3,), sd=0.3),
        "deeponet": case(DeepOnet, (6,)),
        "parametrised linears": case(ParametrisedLinears, (4,)),
    }
