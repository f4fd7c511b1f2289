"""What each PyTorch module does to a Gaussian.

It is an affine map, with its linear part and that of its weights' squares, or an activation, by its closed form or
to a tolerance.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from fastmoments.nn.modules import Activation, BayesLinear
from fastmoments_kernels.catalogue import GELU, LeakyReLU, ReLU
from fastmoments_kernels.custom import Custom

Map = Callable[[Tensor], Tensor]
Shape = tuple[int, ...]


class Affine(NamedTuple):
    """A module as an affine map: itself, its linear part, and the linear map of its weights' squares.

    `matrix` is the linear part where that is one; `own` is what weights with a distribution of their own add: of
    the inputs' second moments to variances, of those of two rows to the rows' covariances; `unchanged` maps give
    values a shape and nothing else.
    """

    module: Map
    linear: Map
    squared: Map
    matrix: Tensor | None = None
    own: Map | None = None
    unchanged: bool = False


def affine_of(module: nn.Module) -> Affine | None:
    """The module as an affine map of values (batch, ...), or None if it is none."""
    make = _rule(module, AFFINE)
    return make(module) if make else None


def activation_of(module: nn.Module, shape: Shape = ()) -> Any:
    """The activation a module is, for values (batch, *shape), or None."""
    if isinstance(module, Activation):
        return module.current()
    make = _rule(module, ACTIVATIONS)
    return make(module, shape) if make else None


def has_rule(module: nn.Module) -> bool:
    """Whether the module is one of these two."""
    return isinstance(module, Activation) or any(_rule(module, table) for table in (AFFINE, ACTIVATIONS))


def _rule(module: nn.Module, table: dict[type[nn.Module], Any]) -> Any:
    """That of the module's class, or of one whose `forward` it inherits."""
    bases = (base for base in type(module).__mro__ if base in table)
    return next((table[base] for base in bases if base.forward is type(module).forward), None)


def _dropout(module: nn.Module) -> Affine:
    _only_in_eval(module)
    return shape_of(module)


def _linear(module: Any) -> Affine:
    return linear_of(module.weight, module.bias)


def linear_of(weight: Tensor, bias: Tensor | None = None) -> Affine:
    """Weight x + bias."""
    return Affine(
        lambda x: F.linear(x, weight, bias),
        lambda x: F.linear(x, weight),
        lambda x: F.linear(x, weight * weight),
        weight,
    )


def multiple_of(factor: Tensor) -> Affine:
    """Every element times its own number."""
    return Affine(lambda x: x * factor, lambda x: x * factor, lambda x: x * (factor * factor))


def map_of(function: Map) -> Affine:
    """A linear function of one row at a time, whose matrix is formed where its squares are needed."""

    def squared(x: Tensor) -> Tensor:
        n = math.prod(x.shape[1:])
        basis = torch.eye(n, dtype=x.dtype, device=x.device).reshape(n, *x.shape[1:])
        images = function(basis)
        weights = images.reshape(n, -1)
        return (x.reshape(-1, n) @ (weights * weights)).reshape(len(x), *images.shape[1:])

    return Affine(function, function, squared)


def shape_of(function: Map) -> Affine:
    """A function that gives values another shape in the same order."""
    return Affine(function, function, function, unchanged=True)


def _bayes_linear(module: BayesLinear) -> Affine:
    mean, var, bias, bias_var = module.distribution()

    return linear_of(mean, bias)._replace(own=lambda second: F.linear(second, var, bias_var))


def _convolution(module: Any) -> Affine:
    def with_weight(weight: Tensor) -> Map:
        # the module's own padding, stride, dilation and groups
        return lambda x: module._conv_forward(x, weight, None)

    linear = with_weight(module.weight)
    # other paddings may give one element several weights
    squared = with_weight(module.weight**2) if module.padding_mode == "zeros" else map_of(linear).squared
    return Affine(module, linear, squared)


def _average(module: Any) -> Affine:
    def squared(x: Tensor) -> Tensor:
        ones = torch.ones_like(x[:1])
        sums = nn.AvgPool2d(module.kernel_size, module.stride, module.padding, module.ceil_mode, divisor_override=1)
        # mean of x times 1 / divisor: the divisor is smaller at the border in some modes
        mean: Tensor = module(x) * (module(ones) / sums(ones))
        return mean

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
) -> Callable[[nn.Module, Shape], Custom]:
    """A module without a closed form: its own function by quadrature, with sup |f'| and where f or f' breaks."""

    def make(module: nn.Module, shape: Shape) -> Custom:
        def function(x: Any) -> Any:
            with torch.no_grad():
                return module(torch.from_numpy(x)).numpy()

        return Custom(function, kinks=tuple(kinks(module)), lipschitz=lipschitz(module))

    return make


def _one(module: Any) -> float:
    return 1.0


def _gelu(module: Any, shape: Shape) -> Any:
    return GELU() if module.approximate == "none" else "gelu_tanh"


def _softplus(module: Any, shape: Shape) -> Any:
    beta, threshold = module.beta, module.threshold
    if threshold < 20:  # where PyTorch goes on with x, which shows
        return _to_tolerance(lambda module: math.inf, lambda module: (threshold / beta,))(module, shape)
    return "softplus" if beta == 1 else Custom(lambda x: np.logaddexp(0.0, beta * x) / beta, lipschitz=1.0)


def _prelu(module: Any, shape: Shape) -> Any:
    weight = module.weight
    # one slope, or every neuron has its channel's
    return LeakyReLU(weight.reshape(()) if len(weight) == 1 else weight.repeat_interleave(math.prod(shape[1:])))


def _rrelu(module: Any, shape: Shape) -> Any:
    _only_in_eval(module)
    return LeakyReLU(0.5 * (module.lower + module.upper))


AFFINE: dict[type[nn.Module], Callable[[Any], Affine]] = {
    nn.Linear: _linear,
    BayesLinear: _bayes_linear,
    nn.Conv2d: _convolution,
    nn.Conv1d: _convolution,
    nn.Conv3d: _convolution,
    nn.AvgPool2d: _average,
    nn.AdaptiveAvgPool2d: map_of,
    nn.Flatten: shape_of,
    nn.Unflatten: shape_of,
    nn.Identity: shape_of,
    nn.Dropout: _dropout,
    nn.Dropout1d: _dropout,
    nn.Dropout2d: _dropout,
    nn.Dropout3d: _dropout,
    nn.AlphaDropout: _dropout,
    nn.BatchNorm1d: _batch_norm,
    nn.BatchNorm2d: _batch_norm,
    nn.BatchNorm3d: _batch_norm,
}
ACTIVATIONS: dict[type[nn.Module], Callable[[Any, Shape], Any]] = {
    nn.ReLU: lambda module, shape: ReLU(),
    nn.LeakyReLU: lambda module, shape: LeakyReLU(module.negative_slope),
    nn.PReLU: _prelu,
    nn.RReLU: _rrelu,
    nn.GELU: _gelu,
    nn.Tanh: lambda module, shape: "tanh",
    nn.Sigmoid: lambda module, shape: "sigmoid",
    nn.SiLU: lambda module, shape: "silu",
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
