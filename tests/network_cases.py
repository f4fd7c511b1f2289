"""Cases for every module that `fm.nn.propagate` knows: the module, and the shape of its input."""

from typing import NamedTuple

import numpy as np
import torch
from torch import nn

import fastmoments as fm
from fastmoments.graph.frontends.torch import graph_of
from fastmoments.graph.rewrite import rewrite


class Case(NamedTuple):
    """A module in eval mode, and the shape of one input."""

    module: nn.Module
    shape: tuple[int, ...]


def _batch_norm(kind, features):
    module = kind(features)
    with torch.no_grad():
        for tensor in (module.running_mean, module.weight, module.bias):
            tensor.normal_()
        module.running_var.uniform_(0.5, 2.0)
    return module


VECTOR, IMAGE, VOLUME = (4,), (2, 3, 3), (2, 2, 2, 2)


def _modules():
    yield from ((module, VECTOR) for module in _of_vectors())
    yield from (
        (nn.Conv1d(2, 2, 2, stride=2), (2, 4)),
        (nn.Conv2d(2, 4, 3, padding=1, stride=2, groups=2), IMAGE),
        (nn.Conv2d(2, 1, 3, padding=1, padding_mode="reflect"), IMAGE),
        (nn.Conv3d(2, 1, 2, padding=1, stride=2), VOLUME),
        (nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False), IMAGE),
        (nn.AdaptiveAvgPool2d(2), IMAGE),
        (_batch_norm(nn.BatchNorm2d, 2), (2, 2, 1)),
        (_batch_norm(nn.BatchNorm3d, 2), (2, 1, 2, 1)),
        (nn.Dropout1d(), (2, 2)),
        (nn.Dropout2d(), (2, 2, 1)),
        (nn.Dropout3d(), (2, 1, 2, 1)),
        (nn.Flatten(), (2, 2, 1)),
        (nn.PReLU(2), (2, 2, 1)),
    )


def _of_vectors():
    per_channel = nn.PReLU(4)
    with torch.no_grad():
        per_channel.weight.copy_(torch.tensor([-0.5, 0.0, 0.25, 1.5]))
    return (
        nn.Linear(4, 3),
        fm.nn.BayesLinear(4, 3, initial_sd=0.5),
        fm.nn.Activation(fm.NPN(tau=0.7), learnable=("tau",), features=4),
        fm.nn.Activation(fm.Custom(np.arctan, lipschitz=1.0)),
        nn.Unflatten(1, (2, 2)),
        nn.Identity(),
        nn.Dropout(),
        nn.AlphaDropout(),
        _batch_norm(nn.BatchNorm1d, 4),
        nn.ReLU(),
        nn.LeakyReLU(0.3),
        nn.PReLU(),
        per_channel,
        nn.RReLU(),
        nn.GELU(),
        nn.GELU(approximate="tanh"),
        nn.Tanh(),
        nn.Sigmoid(),
        nn.SiLU(),
        nn.Softplus(),
        nn.Softplus(beta=2.0),
        nn.Softplus(beta=2.0, threshold=1.0),
        nn.ELU(0.7),
        nn.CELU(0.7),
        nn.SELU(),
        nn.Mish(),
        nn.LogSigmoid(),
        nn.Softsign(),
        nn.Tanhshrink(),
        nn.Hardtanh(-0.5, 1.0),
        nn.ReLU6(),
        nn.Hardsigmoid(),
        nn.Hardswish(),
        nn.Softshrink(),
        nn.Hardshrink(),
        nn.Threshold(0.2, -0.3),
    )


def cases():
    """(name, Case) of all cases, in float64, without gradients, with fixed random numbers."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        found = {}
        for module, shape in _modules():
            name = type(module).__name__
            name += f"-{sum(key.partition('-')[0] == name for key in found)}"
            found[name] = Case(module.double().eval().requires_grad_(False), shape)
    return found


CASES = cases()


def gaussian(shape, seed=0):
    """Mean and covariance, correlated, of all elements of one input."""
    n = int(np.prod(shape))
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(n, n + 2)) / np.sqrt(n + 2)
    return torch.from_numpy(rng.normal(size=shape)), torch.from_numpy(root @ root.T)


def perceptron():
    """A network of 4 inputs and 2 outputs, always the same, without gradients."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2)).requires_grad_(False)


def assert_same(found, want):
    """Results agree to the rounding of a few products of numbers of order one."""
    for one, two in zip(found, want, strict=True):
        np.testing.assert_allclose(one.detach(), two.detach(), rtol=1e-12, atol=1e-12)


def matrix_of(module, shape):
    """An affine module as a matrix and a vector, column by column."""
    unit = torch.eye(int(np.prod(shape)), dtype=torch.float64).reshape(-1, *shape)
    constant = module(torch.zeros(1, *shape, dtype=torch.float64))
    return (module(unit) - constant).reshape(len(unit), -1).T, constant.reshape(-1)


ACTIVATIONS = {
    name: case.module
    for name, case in CASES.items()
    if case.shape == VECTOR and type(case.module).__module__ == "torch.nn.modules.activation"
    if getattr(case.module, "num_parameters", 1) == 1
}


def activation_of(module):
    """The activation that `propagate` takes a module for."""
    x = torch.zeros(1, *VECTOR, dtype=torch.float64)
    graph = graph_of(module, [x], lambda arrays: (list(arrays), {}), {})
    return rewrite(graph, whole_sums=True).outputs[0].rule.activation
