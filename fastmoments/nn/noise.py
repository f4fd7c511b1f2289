"""Noise that a network draws itself, as modules of PyTorch."""

import math

import torch
from torch import Tensor, nn

from fastmoments.graph.nodes import Node, Sum
from fastmoments.graph.noise import Shared, added, gaussian_factor, mask_of, multiplied
from fastmoments.hints import explained


class _Noise(nn.Module):
    """Gaussian noise of one standard deviation, drawn anew for every element and call, in eval mode too."""

    @explained
    def __init__(self, sd: float) -> None:
        super().__init__()
        if not 0.0 <= sd < math.inf:
            raise ValueError(f"sd: expected a standard deviation >= 0, got {sd!r}")
        self.sd = float(sd)

    def extra_repr(self) -> str:
        """Return the text in the module's printed form."""
        return f"{self.sd:g}"


class AdditiveNoise(_Noise):
    """Gaussian noise beside a value, y = x + sd N(0, 1).

    Parameters
    ----------
    sd : standard deviation of the noise, in the units of x.

    Notes
    -----
    Every call draws anew, for every element, in eval mode too: the noise is part of the network, as the weights of
    `BayesLinear` are. In `fm.propagate` it adds sd^2 to every variance, exactly.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return x + sd * noise."""
        return x + self.sd * torch.randn_like(x)

    def __fastmoments__(self, value: Node) -> Node:
        """The rule of the layer in networks."""
        return added(value, self.sd**2, "AdditiveNoise")


class MultiplicativeNoise(_Noise):
    """Gaussian noise that multiplies a value, y = x (1 + sd N(0, 1)).

    Parameters
    ----------
    sd : standard deviation of the factor, whose mean is 1; sqrt(p / (1 - p)) is that of dropout.

    Notes
    -----
    Every call draws anew, for every element, in eval mode too: the noise is part of the network, as the weights of
    `BayesLinear` are. In `fm.propagate` it adds sd^2 (var + mean^2) to every variance, exactly.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return x * (1 + sd * noise)."""
        return x + self.sd * x * torch.randn_like(x)

    def __fastmoments__(self, value: Node) -> Node:
        """The rule of the layer in networks."""
        return multiplied(value, gaussian_factor(self.sd), "MultiplicativeNoise")


class StochasticDepth(nn.Module):
    """A mask for a whole branch: x + StochasticDepth(p)(f(x)) leaves f out with probability p in training.

    Parameters
    ----------
    p : probability that the value of an example is 0; else it is divided by 1 - p.

    Notes
    -----
    It draws one mask for every example and call in training, and returns its input in eval mode, as PyTorch's
    dropout does. In `fm.propagate` its covariance is exact: cov + p / (1 - p) (cov + mean mean^T).

    References
    ----------
    Huang et al., "Deep networks with stochastic depth", ECCV 2016.
    """

    @explained
    def __init__(self, p: float) -> None:
        super().__init__()
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"p: expected a probability, got {p!r}")
        self.p = float(p)

    def forward(self, x: Tensor) -> Tensor:
        """Return x * mask / (1 - p), one mask for each of the first axis."""
        keep = 1.0 - self.p if self.training else 1.0
        if keep in (0.0, 1.0):
            return keep * x
        return x * x.new_empty(len(x), *(1,) * (x.ndim - 1)).bernoulli_(keep).div_(keep)

    def __fastmoments__(self, value: Node) -> Node:
        """The rule of the layer in networks."""
        keep = 1.0 - self.p if self.training else 1.0
        if keep in (0.0, 1.0):
            return Node(Sum(lambda x: keep * x, (keep,)), (value,), value.shape, "StochasticDepth")
        ones = (1,) * len(value.shape)
        shared = Shared(1, lambda mask: mask.reshape(len(mask), *ones), lambda var: lambda words, x: var * x)
        return multiplied(value, mask_of(self.p), "StochasticDepth", shared)

    def extra_repr(self) -> str:
        """Return the text in the module's printed form."""
        return f"{self.p:g}"
