"""The affine operations of ATen: which weights each has."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from fastmoments.frameworks.torch_products import times_squares
from fastmoments.graph.frontends.torch_calls import Call
from fastmoments.graph.nodes import Affine, Map, Rule, check_known

# Elements keep their order
SAME_ORDER = "view _unsafe_view squeeze unsqueeze clone alias".split()
# Every element of the result is an element of an input or a constant
SELECTS = """detach permute transpose t slice select cat stack unbind split split_with_sizes unsafe_split expand
    flip roll index index_select gather diagonal unfold tril triu repeat im2col pixel_shuffle pixel_unshuffle
    channel_shuffle masked_select reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d
    replication_pad2d replication_pad3d upsample_nearest1d upsample_nearest2d upsample_nearest3d
    _upsample_nearest_exact1d _upsample_nearest_exact2d constant_pad_nd where masked_fill slice_scatter
    select_scatter diagonal_scatter index_put scatter overlay as_strided copy diag_embed""".split()
# Every element is a sum of different elements of an input
ADDS = "sum cumsum col2im index_add scatter_add".split()
# Arguments of these that are values: tensors, and what fills gaps; others are indices, masks and sizes
ADDED = "self other src source value values tensors old new".split()
JOINS = ("cat", "stack", "where")
# Averages of windows, all weights of one result alike
AVERAGES = "mean avg_pool2d avg_pool3d _adaptive_avg_pool2d _adaptive_avg_pool3d".split()
# The same map for every channel, whose dimensions are the last: how many
OF_CHANNELS = {
    "upsample_linear1d": 1, "upsample_bilinear2d": 2, "_upsample_bilinear2d_aa": 2, "upsample_bicubic2d": 2,
    "upsample_trilinear3d": 3,
}  # fmt: skip
# Linear along constants: those that are multiplied with the input, and those that are added to it
WEIGHTED = {
    "mm": (("self", "mat2"), ()),
    "bmm": (("self", "mat2"), ()),
    "mv": (("self", "vec"), ()),
    "addmm": (("mat1", "mat2", "alpha"), ("self",)),
    "addmv": (("mat", "vec", "alpha"), ("self",)),
    "baddbmm": (("batch1", "batch2", "alpha"), ("self",)),
    "convolution": (("weight",), ("bias",)),
    "addcmul": (("tensor1", "tensor2", "value"), ("self",)),
    "linear": (("weight",), ("bias",)),
}
# Batch norm with known statistics, by one name on CPUs and others elsewhere
SCALED_ELSEWHERE = ("_native_batch_norm_legit_no_training", "_native_batch_norm_legit", "cudnn_batch_norm")
SCALED = ("native_batch_norm", *SCALED_ELSEWHERE)
AFFINE = {*SAME_ORDER, *SELECTS, *ADDS, *AVERAGES, *OF_CHANNELS, *WEIGHTED, *SCALED, "_to_copy"}


def affine_of(call: Call, output: int) -> Rule:
    """The rule of an affine operation."""
    name, value = call.name, call.map(output)
    if name in SAME_ORDER:
        return Affine(value, value, value, unchanged=True)
    if name == "_to_copy":
        _check_rounding(call)
        return Affine(value, value, value, selects=True)
    if name in SELECTS:
        _check_condition(call)
        if name == "copy":
            _check_rounding(call)
        linear = call.map(output, **dict.fromkeys(ADDED, zeroed))
        return Affine(value, linear, linear, joins=name in JOINS, selects=True)
    if name in (*ADDS, *AVERAGES):
        _check_rounding(call)
    if name in ADDS:
        linear = call.map(output, **dict.fromkeys(ADDED, zeroed))
        return Affine(value, linear, call.map(output, **dict.fromkeys(ADDED, zeroed), alpha=squared))
    if name in AVERAGES:
        return Affine(value, value, _of_average(call, value))
    if name in OF_CHANNELS:
        return Affine(value, value, _of_channels(value, OF_CHANNELS[name]))
    if name in SCALED:
        return _batch_norm(call, value)
    return _weighted(call, output, value)


def zeroed(x: Any) -> Any:
    """0 in the place of a constant that is added, a tensor or a number."""
    if isinstance(x, Tensor):
        return torch.zeros_like(x)
    return 0 if isinstance(x, int | float) else x


def squared(x: Any) -> Any:
    """The square of a weight."""
    return x * x if isinstance(x, Tensor | float | int) else x


def scaled(linear: Map) -> Map:
    """The squares of the weights of a map that scales every element by its own number."""

    def squares(x: Any) -> Any:
        factor = linear(torch.ones_like(x[:1]))
        return x * (factor * factor)

    return squares


def _check_condition(call: Call) -> None:
    for name in ("condition", "mask", "index", "indices"):
        if call.is_input(name):
            for node in call.inputs:
                check_known(node)
            raise TypeError(f"{call.label}: its {name} is a value of the network, for which it has no rule")
    if call.argument("reduce") is not None:
        raise TypeError(f"{call.label}: it has no rule where it reduces; use scatter_add or a product")


def _check_rounding(call: Call) -> None:
    """Raise for a change of dtype that rounds, which no value of the network would show."""
    dtype, own = call.args[2] if call.name == "copy" else call.argument("dtype"), call.dtypes[0]
    if dtype is not None and torch.promote_types(dtype, own) != dtype:
        raise TypeError(f"{call.label}: it rounds {own} to {dtype}; give mu, cov and the model in {dtype}")


def _of_average(call: Call, value: Map) -> Map:
    def squares(x: Any) -> Any:
        return value(x) * (value(torch.ones_like(x[:1])) / _counts(call, x[:1]))

    return squares


def _counts(call: Call, like: Any) -> Any:
    """The number of elements that each result is the mean of, times what zeros beyond the edge leave of it."""
    ones = torch.ones_like(like)
    if call.name.startswith("avg_pool"):
        return call.map(0, {"divisor_override": 1})(ones)
    if call.name == "mean":
        return torch.as_tensor(call.inputs[0].size / call.map(0)(ones).numel())
    sizes = call.layouts[0].native(ones).shape
    counts: Any = 1.0
    for k, size in enumerate(reversed(call.constant("output_size"))):
        total = sizes[-1 - k]
        windows = [-((-(i + 1) * total) // size) - i * total // size for i in range(size)]
        counts = counts * ones.new_tensor(windows).reshape(-1, *(1,) * k)
    return counts


def _of_channels(value: Map, dims: int) -> Map:
    """By the matrix of one channel."""

    def squares(x: Any) -> Any:
        shape = x.shape[-dims:]
        n = shape.numel()
        basis = torch.eye(n, dtype=x.dtype, device=x.device).reshape(n, *(1,) * (x.ndim - 1 - dims), *shape)
        basis = basis.expand(n, *x.shape[1:-dims], *shape)
        images = value(basis)
        lead = (0,) * (x.ndim - 1 - dims)
        matrix = images[(slice(None), *lead)].reshape(n, -1)
        out: Any = x.reshape(*x.shape[:-dims], n) @ (matrix * matrix)
        return out.reshape(len(x), *images.shape[1:])

    return squares


def _batch_norm(call: Call, value: Map) -> Rule:
    training = call.argument("training") if call.name != "_native_batch_norm_legit_no_training" else False
    if training:
        raise ValueError(f"{call.operation.path}: it is of the batch in training; call model.eval()")
    if not call.is_input("input") or len(call.inputs) > 1:
        raise TypeError(f"{call.label}: its statistics are values of the network, for which it has no rule")
    linear = call.map(0, bias=zeroed, running_mean=zeroed)
    return Affine(value, linear, scaled(linear))


def _weighted(call: Call, output: int, value: Map) -> Rule:
    factors, added = WEIGHTED[call.name]
    if sum(call.is_input(name) for name in (*factors, "input")) != 1:
        what = "a product of two values is not Gaussian; only multiples are"
        if not any(call.is_input(name) for name in factors):
            return Affine(value, _difference(value))
        raise TypeError(f"{call.label}: {what}")
    linear = call.map(output, **{name: zeroed for name in added})
    squares = call.map(output, **{name: zeroed for name in added}, **{name: squared for name in factors})
    both = any(call.is_input(name) for name in added)
    if both:
        squares = call.map(output, **{name: squared for name in (*factors, "beta")})
    matrix = _matrix(call)
    if matrix is not None:
        squares = partial(_times_squares, matrix)
    return Affine(value, linear, squares, matrix, weighted=True)


def _times_squares(matrix: Tensor, x: Tensor) -> Tensor:
    """The variances x times the squares of the weights (m, n)."""
    return times_squares(x, matrix)


def _matrix(call: Call) -> Tensor | None:
    """The weights (m, n), where the operation is x -> weights x for every row."""
    names = {"addmm": ("mat1", "mat2"), "mm": ("self", "mat2")}.get(call.name)
    layout = call.layouts[0]
    if (
        names is None
        or not call.is_input(names[0])
        or len(call.inputs) > 1
        or not layout.leads
        or layout.inner != 1
    ):
        return None
    if (call.argument("alpha", 1), call.argument("beta", 1)) != (1, 1):
        return None
    weights: Tensor = call.constant(names[1]).mT
    return weights


def _difference(value: Map) -> Map:
    """The linear part of any affine map."""
    return lambda *rows: value(*rows) - value(*(torch.zeros_like(x[:1]) for x in rows))
