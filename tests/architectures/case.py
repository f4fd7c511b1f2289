"""A network as a case of a test, and what several of them are made of."""

from typing import NamedTuple
from zlib import crc32

import torch
from torch import nn


class Case(NamedTuple):
    """A network, float64, in eval mode but for dropout if `noisy`, and its arguments' shapes without the batch."""

    model: nn.Module
    shapes: tuple[tuple[int, ...], ...]
    sd: float  # about that of every element of the input


def case(make, *shapes, sd=0.01, **options):
    """The network make(**options), with random numbers that depend on nothing but its name."""
    with torch.random.fork_rng():
        torch.manual_seed(crc32(make.__name__.encode()))
        model = make(**options)
        _settle(model)
    return Case(model.double().eval().requires_grad_(False), shapes, sd)


def noisy(made):
    """The case with its dropout on."""
    for module in made.model.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.train()
    return made


def _settle(model):
    """Give normalisation, attention and PReLU numbers of a trained network."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0.4, 0.3)  # so that no branch is dead
        elif isinstance(module, nn.PReLU):
            nn.init.uniform_(module.weight, -0.5, 0.9)
        elif isinstance(module, (nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, nn.InstanceNorm1d, nn.InstanceNorm2d)):
            for name, centre in (("weight", 1.0), ("bias", 0.0)):
                if getattr(module, name, None) is not None:
                    nn.init.normal_(getattr(module, name), centre, 0.3)
        elif isinstance(module, nn.MultiheadAttention):
            for bias in (module.in_proj_bias, module.out_proj.bias):
                nn.init.normal_(bias, std=0.3)


def mlp(*sizes, activation=nn.ReLU):
    layers = [layer for n, m in zip(sizes, sizes[1:], strict=False) for layer in (nn.Linear(n, m), activation())]
    return nn.Sequential(*layers[:-1])
