"""What each PyTorch module does to a Gaussian.

It is an affine map, with its linear part and that of its weights' squares, or an activation, by its closed form or
to a tolerance.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from fastmoments.nn.modules import Activation, BayesLinear
from fastmoments_kernels.catalogue import GELU, LeakyReLU, ReLU
from fastmoments_kernels.custom import Custom

Tensor = Any
Map = Callable[[Tensor], Tensor]


class Affine(NamedTuple):
    """A module as an affine map: itself, its linear part, and the linear map of its weights' squares.

    `matrix` is the linear part where that is one; `own_var`, of the input's mean and variance, is what weights with
    a distribution of their own add to the variance; `unchanged` maps give values a shape and nothing else.
    """

    module: Map
    linear: Map
    squared: Map
    matrix: Tensor | None = None
    own_var: Callable[[Tensor, Tensor], Tensor] | None = None
    unchanged: bool = False


def affine_of(module: nn.Module) -> Affine | None:
    """The module as an affine map of values (batch, ...), or None if it is none."""
    make = next((AFFINE[kind] for kind in type(module).__mro__ if kind in AFFINE), None)
    return make(module) if make else None


def activation_of(module: nn.Module) -> Any:
    """The activation a module is, or None."""
    if isinstance(module, Activation):
        return module.current()
    make = ACTIVATIONS.get(type(module))
    return make(module) if make else None


def _unchanged(module: nn.Module) -> Affine:
    return Affine(module, module, module, unchanged=True)


def _dropout(module: nn.Module) -> Affine:
    _only_in_eval(module)
    return _unchanged(module)


def _linear(module: Any) -> Affine:
    weight = module.weight
    return Affine(module, lambda x: F.linear(x, weight), lambda x: F.linear(x, weight * weight), weight)


def _bayes_linear(module: BayesLinear) -> Affine:
    mean, var, bias, bias_var = module.distribution()

    def own_var(mu: Tensor, variance: Tensor) -> Tensor:
        own = F.linear(variance + mu * mu, var)
        return own if bias_var is None else own + bias_var

    return Affine(
        lambda x: F.linear(x, mean, bias),
        lambda x: F.linear(x, mean),
        lambda x: F.linear(x, mean * mean),
        mean,
        own_var,
    )


def _convolution(module: Any) -> Affine:
    def with_weight(weight: Tensor) -> Map:
        # the module's own padding, stride, dilation and groups
        return lambda x: module._conv_forward(x, weight, None)

    return Affine(module, with_weight(module.weight), with_weight(module.weight**2))


def _average(module: Any) -> Affine:
    def squared(x: Tensor) -> Tensor:
        ones = torch.ones_like(x[:1])
        sums = nn.AvgPool2d(module.kernel_size, module.stride, module.padding, module.ceil_mode, divisor_override=1)
        # mean of x times 1 / divisor: the divisor is smaller at the border in some modes
        return module(x) * (module(ones) / sums(ones))

    return Affine(module, module, squared)


def _batch_norm(module: Any) -> Affine:
    _only_in_eval(module)
    if module.running_var is None:
        raise ValueError(
            f"{type(module).__name__}: it tracks no statistics; only track_running_stats=True is affine"
        )
    scale = torch.rsqrt(module.running_var + module.eps)
    scale = scale if module.weight is None else scale * module.weight

    def scaled(factor: Tensor) -> Map:
        return lambda x: x * factor.reshape(1, -1, *(1,) * (x.ndim - 2))

    return Affine(module, scaled(scale), scaled(scale * scale))


def _only_in_eval(module: nn.Module) -> None:
    if module.training:
        raise ValueError(f"{type(module).__name__}: it is random, or of the batch, in training; call model.eval()")


def _to_tolerance(
    lipschitz: Callable[[Any], float], kinks: Callable[[Any], tuple[float, ...]] = lambda module: ()
) -> Callable[[nn.Module], Custom]:
    """A module without a closed form: its own function by quadrature, with sup |f'| and where f or f' breaks."""

    def make(module: nn.Module) -> Custom:
        def function(x: Any) -> Any:
            with torch.no_grad():
                return module(torch.from_numpy(x)).numpy()

        return Custom(function, kinks=tuple(kinks(module)), lipschitz=lipschitz(module))

    return make


def _one(module: Any) -> float:
    return 1.0


def _gelu(module: Any) -> Any:
    return GELU() if module.approximate == "none" else "gelu_tanh"


def _softplus(module: Any) -> Any:
    if (module.beta, module.threshold) == (1, 20):
        return "softplus"
    return _to_tolerance(_one)(module)


def _prelu(module: Any) -> Any:
    if module.num_parameters > 1:
        raise ValueError("PReLU: one slope for all channels is supported; use num_parameters=1")
    return LeakyReLU(module.weight.reshape(()))


def _rrelu(module: Any) -> Any:
    _only_in_eval(module)
    return LeakyReLU(0.5 * (module.lower + module.upper))


AFFINE: dict[type, Callable[[Any], Affine]] = {
    nn.Linear: _linear,
    BayesLinear: _bayes_linear,
    nn.Conv2d: _convolution,
    nn.Conv1d: _convolution,
    nn.AvgPool2d: _average,
    nn.Flatten: _unchanged,
    nn.Unflatten: _unchanged,
    nn.Identity: _unchanged,
    nn.Dropout: _dropout,
    nn.Dropout2d: _dropout,
    nn.BatchNorm1d: _batch_norm,
    nn.BatchNorm2d: _batch_norm,
}
ACTIVATIONS: dict[type, Callable[[Any], Any]] = {
    nn.ReLU: lambda module: ReLU(),
    nn.LeakyReLU: lambda module: LeakyReLU(module.negative_slope),
    nn.PReLU: _prelu,
    nn.RReLU: _rrelu,
    nn.GELU: _gelu,
    nn.Tanh: lambda module: "tanh",
    nn.Sigmoid: lambda module: "sigmoid",
    nn.SiLU: lambda module: "silu",
    nn.Softplus: _softplus,
    nn.ELU: _to_tolerance(lambda module: max(1.0, abs(module.alpha)), lambda module: (0.0,)),
    nn.CELU: _to_tolerance(_one, lambda module: (0.0,)),
    nn.SELU: _to_tolerance(lambda module: 1.7580993408473769, lambda module: (0.0,)),
    nn.Mish: _to_tolerance(lambda module: 1.0884981612517279),
    nn.LogSigmoid: _to_tolerance(_one),
    nn.Softsign: _to_tolerance(_one, lambda module: (0.0,)),
    nn.Tanhshrink: _to_tolerance(_one),
    nn.Hardtanh: _to_tolerance(_one, lambda module: (module.min_val, module.max_val)),
    nn.ReLU6: _to_tolerance(_one, lambda module: (0.0, 6.0)),
    nn.Hardsigmoid: _to_tolerance(lambda module: 1 / 6, lambda module: (-3.0, 3.0)),
    nn.Hardswish: _to_tolerance(lambda module: 1.5, lambda module: (-3.0, 3.0)),
    nn.Softshrink: _to_tolerance(_one, lambda module: (-module.lambd, module.lambd)),
    # these jump
    nn.Hardshrink: _to_tolerance(lambda module: math.inf, lambda module: (-module.lambd, module.lambd)),
    nn.Threshold: _to_tolerance(lambda module: math.inf, lambda module: (module.threshold,)),
}
