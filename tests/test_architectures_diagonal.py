"""Variances alone through whole networks, against their definition, written for each network in its own words.

An affine map of uncorrelated values multiplies variances by the squares of its Jacobian, an activation has its own
mean and variance, by quadrature, and two values that are added count as uncorrelated.
"""

from typing import NamedTuple

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

import fastmoments as fm  # noqa: E402
from tests import architectures  # noqa: E402
from tests.architectures.run import arguments, flat  # noqa: E402
from tests.sampled_moments import gaussian  # noqa: E402

pytestmark = pytest.mark.usefixtures("double_precision")
CASES = architectures.cases()


class Value(NamedTuple):
    """One example: its mean and variances, of one shape."""

    mean: torch.Tensor
    var: torch.Tensor

    def __add__(self, other):
        return Value(self.mean + other.mean, self.var + other.var)


def affine(f, value):
    """F takes a batch."""
    jacobian = torch.autograd.functional.jacobian(lambda x: f(x[None])[0], value.mean)
    mean = f(value.mean[None])[0]
    return Value(mean, torch.tensordot(jacobian**2, value.var, dims=value.var.ndim))


def activation(f, value, kink=0.0):
    """By Gauss and Legendre on both sides of the kink, to 12 standard deviations: 1e-32 of the mass is beyond."""
    nodes, weights = (torch.from_numpy(x) for x in np.polynomial.legendre.leggauss(100))
    mean, sd = value.mean[..., None], value.var[..., None].sqrt()
    middle = (kink - mean).clamp(-12.0 * sd, 12.0 * sd) / sd
    z, density = [], []
    for low, high in ((-12.0, middle), (middle, 12.0)):
        z.append((high + low) / 2.0 + nodes * (high - low) / 2.0)
        density.append(weights * (high - low) / 2.0 * torch.exp(-(z[-1] ** 2) / 2.0) / np.sqrt(2.0 * np.pi))
    values, density = f(mean + sd * torch.cat(z, -1)), torch.cat(density, -1)
    first = (values * density).sum(-1)
    return Value(first, ((values - first[..., None]) ** 2 * density).sum(-1))


def through(layers, value):
    for layer in layers:
        if isinstance(layer, (nn.Linear, nn.Conv2d, nn.Flatten, nn.Identity)):
            value = affine(layer, value)
        elif not isinstance(layer, nn.Dropout):
            value = activation(layer, value)
    return value


def surrogate(model, x):
    x = affine(lambda x: (x - model.x_mean) / model.x_std, x)
    return affine(lambda x: x * model.y_std + model.y_mean, through(model.net, x))


def policy(model, x):
    x = affine(model.flatten, x)
    heads = (model.action_net, model.policy_net), (model.head, model.value_net)
    return tuple(affine(head, through((*net[0], net[1]), x)) for head, net in heads)


def dqn(model, x):
    x = affine(lambda x: x / 255.0, x)
    x = through((model.conv1, nn.ReLU(), model.conv2, nn.ReLU(), nn.Flatten()), x)
    return through((model.fc, nn.ReLU(), model.out), x)


def graph_convolution(model, x):
    x = activation(torch.relu, affine(lambda x: model.adjacency @ x, affine(model.one, x)))
    return affine(lambda x: model.adjacency @ x, affine(lambda x: x @ model.two, x))


def stochastic_depth(model, x):
    for block in model.blocks:
        x = x + through(block, x)
    return x


def mixer(model, x):
    turned = affine(lambda x: x.mT, x)
    x = x + affine(lambda x: x.mT, through(model.tokens, turned))
    return x + through(model.channels, x)


def nice_chunked(model, x):
    for net in model.nets:
        one, two = (Value(*halves) for halves in zip(*(part.chunk(2) for part in x), strict=True))
        new = two + through(net, one)
        x = Value(*(torch.cat(parts) for parts in zip(new, one, strict=True)))
    return x


DEFINITIONS = {
    "surrogate": surrogate,
    "policy": policy,
    "dqn": dqn,
    "graph convolution": graph_convolution,
    "stochastic depth": stochastic_depth,
    "mixer": mixer,
    "nice chunked": nice_chunked,
}


@pytest.mark.parametrize("name", DEFINITIONS)
def test_variances_alone_are_those_of_the_definition(name):
    case = CASES[name]
    mu, cov = (torch.from_numpy(x) for x in gaussian(int(np.prod(case.shapes[0])), 0.5))
    (mu,), (var,) = arguments(case, mu[None]), arguments(case, torch.diag(cov)[None])
    want = DEFINITIONS[name](case.model, Value(mu[0], var[0]))
    want = (want,) if isinstance(want, Value) else want
    mean, found = fm.nn.propagate(case.model, mu, var, covariance="diagonal")
    for got, pick in ((mean, lambda value: value.mean), (found, lambda value: value.var)):
        expected = flat([pick(value)[None] for value in want])
        # activations without a closed form are right to 1e-10, and the errors add up over three or four layers
        torch.testing.assert_close(flat(got), expected, rtol=1e-9, atol=1e-9 * float(expected.abs().max()))
