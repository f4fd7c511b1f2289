"""The elementwise operations of ATen: activations of the catalogue, and functions with their kinks and slopes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from fastmoments.composed.elu import CELU, ELU, SELU
from fastmoments.composed.exp import Exp
from fastmoments.composed.logistic import LogSigmoid, Sigmoid, SiLU, Softplus, Tanh
from fastmoments.composed.piecewise import HardShrink, HardSigmoid, HardTanh, SoftShrink, Threshold
from fastmoments.graph.frontends.torch_affine import squared
from fastmoments.graph.frontends.torch_calls import Call
from fastmoments.graph.nodes import Affine, Elementwise, Node, Rule, Sum, spread
from fastmoments_kernels.catalogue import GELU, Abs, Cos, Erf, LeakyReLU, ReLU, Sin

SUMS = ("add", "sub", "rsub", "neg")
_UNKNOWN = object()
MULTIPLES = ("mul", "div")
Known = dict[str, Any]  # activation, kinks, lipschitz, crossing, meaning


def _leaky(call: Call) -> Known:
    return {"activation": LeakyReLU(call.argument("negative_slope", 0.01))}


def _prelu(call: Call) -> Known:
    weight = call.constant("weight")
    shape = call.inputs[0].shape
    # one slope, or every neuron has its channel's
    slopes = weight.reshape(()) if weight.numel() == 1 else weight.repeat_interleave(math.prod(shape[1:]))
    return {"activation": LeakyReLU(slopes)}


def _rrelu(call: Call) -> Known:
    return {"activation": LeakyReLU(0.5 * (call.argument("lower", 1 / 8) + call.argument("upper", 1 / 3)))}


def _gelu(call: Call) -> Known:
    return {"activation": GELU() if call.argument("approximate", "none") == "none" else "gelu_tanh"}


def _softplus(call: Call) -> Known:
    beta, threshold = call.argument("beta", 1), call.argument("threshold", 20)
    if threshold < 20:  # where PyTorch goes on with x, which shows
        return {"kinks": (threshold / beta,), "lipschitz": math.inf}
    return {"activation": Softplus(beta)} if beta > 0 else {"lipschitz": 1.0}


def _elu(call: Call) -> Known:
    alpha, scale, inner = (float(call.argument(name, 1.0)) for name in ("alpha", "scale", "input_scale"))
    if (scale, inner) == (1.0, 1.0):
        return {"activation": ELU(alpha)}
    ramp, bend, _ = SELU().numbers
    if inner == 1.0 and (scale, scale * alpha) == (ramp, bend):
        return {"activation": SELU()}
    return {"kinks": (0.0,), "lipschitz": abs(scale) * max(1.0, abs(alpha * inner))}


def _celu(call: Call) -> Known:
    alpha = float(call.argument("alpha", 1.0))
    return {"activation": CELU(alpha)} if alpha > 0.0 else {"kinks": (0.0,)}


def _numbers(call: Call, *names: str) -> tuple[float, ...]:
    """The values of arguments that are one number each, or a constant tensor of one."""
    given = [call.constant(name) for name in names if not call.is_input(name)]
    numbers = (x.detach() if hasattr(x, "detach") else x for x in given if x is not None)
    return tuple(float(x) for x in numbers if isinstance(x, int | float) or x.numel() == 1)


def _clamp(call: Call) -> Known:
    return _clip(call, "min", "max")


def _hardtanh(call: Call) -> Known:
    return {
        "activation": HardTanh(*(float(call.argument(f"{end}_val", x)) for end, x in (("min", -1), ("max", 1))))
    }


def _clip(call: Call, low: str, high: str) -> Known:
    """The activation between bounds that are numbers; one that has a gradient is none."""
    ends = [_bound(call, name) for name in (low, high)]
    numbers = [end for end in ends if isinstance(end, float)]
    if any(end is _UNKNOWN for end in ends) or not numbers or numbers != sorted(set(numbers)):
        return {"kinks": _numbers(call, low, high), "lipschitz": 1.0}
    return {"activation": ReLU() if ends == [0.0, None] else HardTanh(*ends)}


def _bound(call: Call, name: str) -> Any:
    """A bound that is a finite number, None where there is none, and _UNKNOWN for others."""
    if call.is_input(name):
        return _UNKNOWN
    value = call.constant(name)
    if value is None:
        return None
    if not isinstance(value, int | float) and (value.numel() != 1 or value.requires_grad):
        return _UNKNOWN
    return float(value) if math.isfinite(value) else _UNKNOWN


def _shrink(kind: Any) -> Callable[[Call], Known]:
    def known(call: Call) -> Known:
        width = float(call.argument("lambd", 0.5))
        # at 0 it is x, and below no function of this name
        return {"activation": kind(width)} if width > 0.0 else {"kinks": (-width, width)}

    return known


def _threshold(call: Call) -> Known:
    return {"activation": Threshold(*(float(call.argument(name)) for name in ("threshold", "value")))}


def _pow(call: Call) -> Known:
    power = call.argument("exponent")
    even = isinstance(power, int | float) and float(power).is_integer() and power >= 0
    return {} if even else {"kinks": (0.0,)}


def _gap(*inputs: Any) -> Any:
    return inputs[0] - inputs[1]


def _comparison(call: Call) -> Known:
    if len(call.inputs) == 2:
        return {"crossing": _gap, "lipschitz": math.inf}
    return {"kinks": _numbers(call, "self", "other"), "lipschitz": math.inf}


def _extreme(meaning: str) -> Callable[[Call], Known]:
    def known(call: Call) -> Known:
        if len(call.inputs) == 2:
            return {"crossing": _gap, "lipschitz": 1.0, "meaning": meaning}
        return {"kinks": _numbers(call, "self", "other"), "lipschitz": 1.0}

    return known


def _as(**known: Any) -> Callable[[Call], Known]:
    return lambda call: known


# Functions without a slope here have it from `identify`, which knows them by their values
KNOWN: dict[str, Callable[[Call], Known]] = {
    "relu": _as(activation=ReLU()),
    "leaky_relu": _leaky,
    "_prelu_kernel": _prelu,
    "rrelu_with_noise": _rrelu,
    "gelu": _gelu,
    "abs": _as(activation=Abs()),
    "sin": _as(activation=Sin()),
    "cos": _as(activation=Cos()),
    "erf": _as(activation=Erf()),
    "tanh": _as(activation=Tanh()),
    "sigmoid": _as(activation=Sigmoid()),
    "silu": _as(activation=SiLU()),
    "softplus": _softplus,
    "elu": _elu,
    "celu": _celu,
    "mish": _as(),
    "log_sigmoid_forward": _as(activation=LogSigmoid()),
    "hardtanh": _hardtanh,
    "clamp": _clamp,
    "clamp_min": _clamp,
    "clamp_max": _clamp,
    "hardsigmoid": _as(activation=HardSigmoid()),
    "hardswish": _as(kinks=(-3.0, 3.0)),
    "softshrink": _shrink(SoftShrink),
    "hardshrink": _shrink(HardShrink),
    "threshold": _threshold,
    "sign": _as(kinks=(0.0,), lipschitz=math.inf),
    "exp": _as(activation=Exp()),
    "expm1": _as(),
    "erfc": _as(lipschitz=2.0 / math.sqrt(math.pi)),
    "atan": _as(lipschitz=1.0),
    "asinh": _as(lipschitz=1.0),
    "log": _as(),
    "log1p": _as(),
    "sqrt": _as(),
    "rsqrt": _as(),
    "pow": _pow,
    "reciprocal": _as(meaning="quotient"),
    "maximum": _extreme("maximum"),
    "minimum": _extreme("minimum"),
    "where": _as(),
    "masked_fill": _as(),
    "logical_not": _as(),
    "logical_and": _as(),
    "logical_or": _as(),
    "_to_copy": _as(),
} | dict.fromkeys(("gt", "ge", "lt", "le"), _comparison)


def elementwise_of(call: Call, output: int) -> Rule:
    """The rule of an elementwise operation that is not affine."""
    return Elementwise(call.map(output), **KNOWN[call.name](call))


def arithmetic_of(call: Call, shape: tuple[int, ...]) -> tuple[Rule, tuple[Node, ...]]:
    """The rule of a sum, a product or a quotient, and its inputs, in the shape of the result."""
    if call.name in SUMS:
        call.spread_inputs()
        return Sum(call.map(0), _factors(call)), tuple(spread(torch, node, shape) for node in call.inputs)
    value = call.map(0)
    if len(call.inputs) == 2 or (call.name != "mul" and call.is_input("other")):
        meaning = "product" if call.name == "mul" else "quotient"
        return Elementwise(value, meaning=meaning), call.inputs
    if call.argument("rounding_mode") is not None:
        raise TypeError(f"{call.label}: a quotient rounded to integers has no rule")
    factor = call.argument("self" if call.is_input("other") else "other")
    (node,) = call.inputs
    if isinstance(factor, int | float) and node.shape == shape:
        return Sum(value, (factor if call.name == "mul" else 1.0 / factor,)), call.inputs
    squares = call.map(0, self=squared, other=squared)
    return Affine(value, value, squares), call.inputs


def _factors(call: Call) -> tuple[Any, ...]:
    if call.name == "neg":
        return (-1.0,)
    alpha = call.argument("alpha", 1)
    one, two = (-alpha, 1.0) if call.name == "rsub" else (1.0, -alpha if call.name == "sub" else alpha)
    factors = [(name, factor) for name, factor in (("self", one), ("other", two)) if call.is_input(name)]
    return tuple(factor for _, factor in factors)
