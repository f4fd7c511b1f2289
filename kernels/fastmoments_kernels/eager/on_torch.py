"""arrays.py on PyTorch: any device, any number of derivatives, in the dtype of the tensors.

The vocabulary depends on the dtype in two ways: where an exact product is split, and the dtype that `where` gives
to two Python numbers.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fastmoments_kernels import vocabulary
from fastmoments_kernels.arrays import ArrayFunctions, NormalFunctions, Words
from fastmoments_kernels.bind import bind
from fastmoments_kernels.catalogue import row_of
from fastmoments_kernels.kinds import is_of_pair, slack_of

# Veltkamp's factor, 2^ceil(p / 2) + 1 for p bits
SPLITTING = {torch.float32: 4097.0, torch.float64: 134217729.0}
# the integer of the same size, the bits of the mantissa, the bias of the exponent
BITS = {torch.float32: (torch.int32, 23, 127), torch.float64: (torch.int64, 52, 1023)}
# about the number of elements from which arithmetic takes longer than launching an operation
LAUNCH_BOUND = 1 << 16


# At a tie the derivative of one side is taken, not torch's average: for a formula either side's is right.
def _absolute(x: Tensor) -> Tensor:
    return torch.where(x < 0.0, -x, x)


def _maximum(a: Tensor, b: Tensor) -> Tensor:
    return torch.where((a < b) | (b != b), b, a)


def _minimum(a: Tensor, b: Tensor) -> Tensor:
    return torch.where((a < b) | (a != a), a, b)


def _unit(x: Tensor) -> Tensor:
    """A power of two whose square times x > 0 is from 1 up to 4, or less where x is subnormal; a constant."""
    integer, mantissa, bias = BITS[x.dtype]
    exponent = (x.detach().view(integer) >> mantissa) & (2 * bias + 1)
    return (((3 * bias + 1 - exponent) >> 1) << mantissa).view(x.dtype)


def _where(dtype: torch.dtype, condition: Tensor | bool, a: Tensor, b: Tensor) -> Tensor:
    if isinstance(condition, bool):  # a comparison of two constants of a formula
        return a if condition else b
    # torch gives two Python numbers its default dtype, which would lose or invent digits
    if not isinstance(a, torch.Tensor) and not isinstance(b, torch.Tensor):
        a = torch.full_like(condition, a, dtype=dtype)
    return torch.where(condition, a, b)


def _split(factor: float, x: Tensor) -> tuple[Tensor, Tensor]:
    t = factor * x
    high = t - (t - x)
    return high, x - high


def _gauss_legendre(
    dtype: torch.dtype, rule: Sequence[tuple[float, float]], integrand: Callable[..., Tensor], context: Any
) -> Tensor:
    """All nodes at once along a new first axis: until arrays are large an eager operation costs its launch."""
    tensors = list(_tensors_in(context))
    if max(tensor.numel() for tensor in tensors) * len(rule) > LAUNCH_BOUND:
        total: Tensor = vocabulary.gauss_legendre(rule, integrand, context)
        return total
    column = (-1, *(1,) * max(tensor.ndim for tensor in tensors))
    table = torch.tensor(rule, dtype=dtype, device=tensors[0].device)
    nodes, weights = table[:, 0].reshape(column), table[:, 1].reshape(column)
    return (weights * integrand(nodes, context)).sum(0)


def _tensors_in(context: Any) -> Iterator[Tensor]:
    for value in context:
        if isinstance(value, tuple):
            yield from _tensors_in(value)
        elif isinstance(value, torch.Tensor):
            yield value


@cache
def words(dtype: torch.dtype) -> Words:
    """PyTorch's words for computations in a dtype."""
    return Words(
        vocabulary={
            name: getattr(torch, name) for name in ("exp", "exp2", "expm1", "log", "log1p", "sqrt", "sin", "cos")
        }
        | {
            "absolute": _absolute,
            "minimum": _minimum,
            "maximum": _maximum,
            "unit": _unit,
            "where": partial(_where, dtype),
        }
        | {
            "difference_of_products": bind(
                vocabulary.difference_of_products, {"_split": partial(_split, SPLITTING[dtype])}
            ),
            "gauss_legendre": partial(_gauss_legendre, dtype),
            "either": bind(vocabulary.either, {"where": partial(_where, dtype)}),
        },
        diagonal=lambda cov: torch.diagonal(cov, dim1=-2, dim2=-1),
        transpose=lambda cov: cov.mT,
        triangle=lambda n, like, k: torch.ones(n, n, dtype=torch.bool, device=like.device).triu(k),
        rule=_rule,
    )


@cache
def functions(name: str, dtype: torch.dtype) -> ArrayFunctions:
    """An activation's functions on tensors of a dtype."""
    return ArrayFunctions(row_of(name).formula, words(dtype))


@cache
def _normal_functions(dtype: torch.dtype) -> NormalFunctions:
    return NormalFunctions(words(dtype))


@cache
def function(name: str | None, kind: str, dtype: torch.dtype) -> Callable[..., Any]:
    """The elementwise function `kind` of an activation or, if `name` is None, of the bivariate normal."""
    if name is None:
        return _normal_functions(dtype).elementwise(kind)
    on_tensors = functions(name, dtype).elementwise(kind)
    if not is_of_pair(kind):
        return on_tensors
    slack = slack_of(2, torch.finfo(dtype).eps)
    return lambda *arguments: on_tensors(*arguments, slack)


def elementwise(activation: Any, name: str, inputs: int | None = None) -> Callable[..., Any]:
    """The function `name` (mean, var, gain, marginals, cov, cov_partials ...) on NumPy arrays, in their dtype."""
    return partial(_call, row_of(activation).name, name)


def normal(name: str) -> Callable[..., Any]:
    """The function `name` of OF_NORMAL on NumPy arrays, in their dtype."""
    return partial(_call, None, name)


def _call(activation: str | None, name: str, *arguments: Any) -> Any:
    tensors = [torch.from_numpy(np.ascontiguousarray(array)) for array in arguments]
    value = function(activation, name, tensors[0].dtype)(*tensors)
    return tuple(v.numpy() for v in value) if isinstance(value, tuple) else value.numpy()


def weigh(bar: Tensor, slope: Tensor) -> Tensor:
    """bar * slope, and 0 where bar is 0 and the slope infinite or nan."""
    # the slope is replaced, not the product, which must stay linear in bar for its own derivative
    return bar * torch.where((bar == 0.0) & ~torch.isfinite(slope), 0.0, slope)


def _rule(value: Callable[..., Any], partials: Callable[..., tuple[Any, ...]]) -> Callable[..., Any]:
    apply: Callable[..., Any] = _Ruled.apply

    def ruled(*arguments: Any) -> Any:
        tensors = [argument for argument in arguments if isinstance(argument, torch.Tensor)]
        constants = arguments[len(tensors) :]
        shape = np.broadcast_shapes(*(tensor.shape for tensor in tensors))
        return apply(value, partials, constants, *(tensor.expand(shape) for tensor in tensors))

    return ruled


class _Ruled(torch.autograd.Function):
    """value(*tensors, *constants), a tensor or a tuple; `partials` are its derivatives, and differentiable."""

    generate_vmap_rule = True

    @staticmethod
    def forward(value: Any, partials: Any, constants: Any, *tensors: Tensor) -> Any:
        return value(*tensors, *constants)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, ctx.partials, ctx.constants, *tensors = inputs
        ctx.is_tuple = isinstance(output, tuple)
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def backward(ctx: Any, *bars: Tensor) -> tuple[Tensor | int | None, ...]:
        columns = zip(*_rows(ctx), strict=True)
        gradients = (sum(map(weigh, bars, column)) for column in columns)
        return None, None, None, *gradients

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        results = tuple(
            sum(weigh(t, slope) for t, slope in zip(tangents[3:], slopes, strict=True) if t is not None)
            for slopes in _rows(ctx)
        )
        return results if ctx.is_tuple else results[0]


def _rows(ctx: Any) -> tuple[tuple[Tensor, ...], ...]:
    """The derivatives of each value along the tensors."""
    slopes = ctx.partials(*ctx.saved_tensors, *ctx.constants)
    rows: tuple[tuple[Tensor, ...], ...] = slopes if ctx.is_tuple else (slopes,)
    return rows
