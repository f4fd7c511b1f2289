"""Convolutions of Gaussian weights, which all positions of an example share."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (torch's own name for it)

from fastmoments.frameworks import Words
from fastmoments.frameworks.products import root
from fastmoments.graph.nodes import Affine, Draw, Node
from fastmoments.graph.noise import normals
from fastmoments.hints import explained
from fastmoments.nn.modules import GaussianWeights

Sizes = int | tuple[int, ...]


class _BayesConv(GaussianWeights):
    """A convolution of independent Gaussian weights along `dims` axes; its arguments are those of `BayesConv1d`."""

    dims: ClassVar[int]
    convolution: ClassVar[Callable[..., Tensor]]

    @explained
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes | str = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        bias: bool = True,
        prior_sd: float = 1.0,
        initial_sd: float = 0.05,
        initial_bias: float = 0.0,
    ) -> None:
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise ValueError(
                f"groups: expected a divisor of {in_channels} and {out_channels} channels, got {groups!r}"
            )
        kernel = (kernel_size,) * self.dims if isinstance(kernel_size, int) else tuple(kernel_size)
        if len(kernel) != self.dims:
            raise ValueError(f"kernel_size: expected {self.dims} numbers, got {kernel_size!r}")
        shape = (out_channels, in_channels // groups, *kernel)
        super().__init__(shape, bias, prior_sd, initial_sd, initial_bias)
        self.geometry: tuple[Any, ...] = stride, padding, dilation
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        """The convolution with weights drawn for this call, the same for all examples and positions."""
        return self._of(x, *self.drawn())

    def _of(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        out: Tensor = type(self).convolution(x, weight, bias, *self.geometry, self.groups)
        return out

    def __fastmoments__(self, value: Node) -> Node:
        """The rule of the layer in networks: the mean weights, and the variance that their distribution adds."""
        mean, var, bias, bias_var = self.distribution()
        shape = value.shape
        if len(shape) != 1 + self.dims:
            raise ValueError(
                f"{type(self).__name__}: expected a value (batch, channels, ...), got (batch, *{shape})"
            )
        out = self._of(mean.new_zeros(1, *shape), mean).shape[1:]

        def own_cov(words: Words[Any], second: Tensor) -> Tensor:
            channels, size = shape[0], math.prod(shape[1:])
            alike = torch.einsum("bcpcq->bcpq", second.reshape(len(second), channels, size, channels, size))
            added = self._between_positions(alike, self._positions(shape[1:], second), var)
            if bias_var is not None:
                added = added + bias_var[:, None, None]
            # products of matrices need not be symmetric in their positions
            added = 0.5 * (added + added.mT)
            blocks = added[:, :, :, None] * words.eye(len(var), second)[:, None, :, None]
            matrix: Tensor = blocks.reshape(len(second), math.prod(out), math.prod(out))
            return matrix

        def drawn(words: Words[Any], uniforms: Tensor, x: Tensor) -> Tensor:
            """Every row's convolution with weights of its own, as groups of one."""
            z = normals(words, uniforms)
            weights = mean + root(torch, var) * z[:, : mean.numel()].reshape(len(x), *mean.shape)
            rows = x.reshape(1, -1, *shape[1:])
            convolution = type(self).convolution
            y: Tensor = convolution(rows, weights.flatten(0, 1), None, *self.geometry, self.groups * len(x))
            y = y.reshape(len(x), *out)
            if bias is None or bias_var is None:
                return y
            biases = bias + root(torch, bias_var) * z[:, mean.numel() :]
            noisy: Tensor = y + biases.reshape(len(x), len(bias), *(1,) * self.dims)
            return noisy

        rule = Affine(
            lambda x: self._of(x, mean, bias),
            lambda x: self._of(x, mean),
            lambda x: self._of(x, mean * mean),
            own=lambda second: self._of(second, var, bias_var),
            own_cov=own_cov,
            draw=Draw(mean.numel() + (0 if bias is None else len(bias)), drawn),
            weighted=True,
        )
        return Node(rule, (value,), tuple(out), type(self).__name__)

    def _positions(self, sizes: tuple[int, ...], like: Tensor) -> Tensor:
        """Which position every element of the kernel reads, (kernel, outputs), from 1 on; 0 is outside."""
        kernel = self.weight_mean.shape[2:]
        count = math.prod(kernel)
        # a convolution by unit kernels copies
        numbers = torch.arange(1.0, math.prod(sizes) + 1.0, dtype=torch.float64, device=like.device)
        units = torch.eye(count, dtype=torch.float64, device=like.device).reshape(count, 1, *kernel)
        found = type(self).convolution(numbers.reshape(1, 1, *sizes), units, None, *self.geometry)
        return found.round().long().reshape(count, -1)

    def _between_positions(self, alike: Tensor, positions: Tensor, var: Tensor) -> Tensor:
        """Sum var E[x_p x_q] over what outputs p and q share, (batch, out_channels, outputs, outputs).

        `alike` are second moments within every channel, (batch, in_channels, inputs, inputs).
        """
        channels = alike.shape[1] // self.groups
        padded = F.pad(alike, (1, 0, 1, 0))
        padded = padded.reshape(len(alike), self.groups, channels, *padded.shape[2:])
        weights = var.reshape(self.groups, -1, channels, len(positions))
        added = alike.new_zeros(())
        for k, read in enumerate(positions):
            pairs = padded[..., read, :][..., read]
            added = added + torch.einsum("bgcpq,goc->bgopq", pairs, weights[..., k])
        return added.flatten(1, 2)

    def extra_repr(self) -> str:
        """Return the text in the module's printed form."""
        channels, kernel = self.weight_mean.shape[1] * self.groups, tuple(self.weight_mean.shape[2:])
        stride, padding, dilation = self.geometry
        return (
            f"{channels}, {len(self.weight_mean)}, kernel_size={kernel}, stride={stride}, padding={padding!r}, "
            f"dilation={dilation}, groups={self.groups}, bias={self.bias_mean is not None}"
        )


class BayesConv1d(_BayesConv):
    """A convolution of independent Gaussian weights over a sequence, (batch, channels, length).

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, dilation, groups : as of torch.nn.Conv1d; outside are
        zeros.
    bias, prior_sd, initial_sd, initial_bias : as of `BayesLinear`.

    Notes
    -----
    `weight_mean` and `weight_rho` have the shape of torch.nn.Conv1d's weight, `bias_mean` and `bias_rho`
    (out_channels,); a variance is softplus(rho)^2. `forward(x)` draws weights anew for every call, the same for all
    examples and positions. `fm.propagate` takes the layer exactly, with the covariances of positions that share
    weights; covariance="diagonal" leaves these out as it does all others. `kl` is the divergence from the prior.
    """

    dims, convolution = 1, F.conv1d


class BayesConv2d(_BayesConv):
    """A `BayesConv1d` over an image, (batch, channels, height, width), with the arguments of torch.nn.Conv2d."""

    dims, convolution = 2, F.conv2d


class BayesConv3d(_BayesConv):
    """A `BayesConv1d` over a volume, (batch, channels, depth, height, width), with those of torch.nn.Conv3d."""

    dims, convolution = 3, F.conv3d
