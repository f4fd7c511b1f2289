"""What models call instead of a module: PyTorch's functions and methods, as the modules that do the same."""

import builtins
import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from fastmoments.nn.modules import Activation
from fastmoments_kernels.catalogue import Abs, Cos, Erf, Probit, Sin

Module = Callable[..., nn.Module]


def _dropout(p: float = 0.5, training: bool = True, inplace: bool = False) -> nn.Module:
    return nn.Dropout(p, inplace).train(training)


def _rrelu(lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, inplace: bool = False) -> nn.Module:
    return nn.RReLU(lower, upper, inplace).train(training)


def _clamp(min: float | None = None, max: float | None = None) -> nn.Module:
    if min == 0.0 and max is None:
        return nn.ReLU()
    if min is None or max is None:
        raise TypeError("clamp: it has rules for two numbers and for min=0; use fm.nn.Activation(fm.Custom(...))")
    return nn.Hardtanh(min, max)


MODULES: dict[Any, Module] = {
    torch.relu: nn.ReLU,
    F.relu: nn.ReLU,
    "relu": nn.ReLU,
    F.leaky_relu: nn.LeakyReLU,
    F.rrelu: _rrelu,
    F.gelu: nn.GELU,
    torch.tanh: nn.Tanh,
    F.tanh: nn.Tanh,
    "tanh": nn.Tanh,
    torch.sigmoid: nn.Sigmoid,
    F.sigmoid: nn.Sigmoid,
    "sigmoid": nn.Sigmoid,
    F.silu: nn.SiLU,
    F.softplus: nn.Softplus,
    F.elu: nn.ELU,
    F.celu: nn.CELU,
    torch.celu: nn.CELU,
    F.selu: nn.SELU,
    torch.selu: nn.SELU,
    F.mish: nn.Mish,
    F.logsigmoid: nn.LogSigmoid,
    F.softsign: nn.Softsign,
    F.tanhshrink: nn.Tanhshrink,
    F.hardtanh: nn.Hardtanh,
    F.relu6: nn.ReLU6,
    F.hardsigmoid: nn.Hardsigmoid,
    F.hardswish: nn.Hardswish,
    F.softshrink: nn.Softshrink,
    F.hardshrink: nn.Hardshrink,
    torch.hardshrink: nn.Hardshrink,
    F.threshold: nn.Threshold,
    torch.threshold: nn.Threshold,
    torch.clamp: _clamp,
    "clamp": _clamp,
    torch.abs: lambda: Activation(Abs),
    "abs": lambda: Activation(Abs),
    builtins.abs: lambda: Activation(Abs),
    operator.abs: lambda: Activation(Abs),
    torch.sin: lambda: Activation(Sin),
    "sin": lambda: Activation(Sin),
    torch.cos: lambda: Activation(Cos),
    "cos": lambda: Activation(Cos),
    torch.erf: lambda: Activation(Erf),
    "erf": lambda: Activation(Erf),
    torch.special.ndtr: lambda: Activation(Probit),
    F.dropout: _dropout,
    F.dropout2d: _dropout,
    F.avg_pool2d: nn.AvgPool2d,
    F.adaptive_avg_pool2d: nn.AdaptiveAvgPool2d,
}
# Values keep their order
SHAPES = {torch.flatten, "flatten", torch.reshape, "reshape", "view", torch.unflatten, "unflatten"}
SHAPES |= {torch.squeeze, "squeeze", torch.unsqueeze, "unsqueeze", "contiguous"}
# What they return is no Gaussian but known
KNOWN = {"size", "dim", "numel", builtins.getattr}
SUMS = {operator.add: 1.0, torch.add: 1.0, "add": 1.0, operator.sub: -1.0, torch.sub: -1.0, "sub": -1.0}
NEGATIONS = {operator.neg, torch.neg, "neg"}
PRODUCTS = {operator.mul, torch.mul, "mul"}
QUOTIENTS = {operator.truediv, torch.div, "div"}
MATRIX_PRODUCTS = {operator.matmul, torch.matmul, "matmul"}
JOINS = {torch.cat, torch.concat}
