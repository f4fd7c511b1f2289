"""The operations of ATen that take several elements together: products of matrices, norms, softmax and maxima."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fastmoments.graph import grouping
from fastmoments.graph.frontends.torch_calls import Call
from fastmoments.graph.frontends.torch_entries import array_of
from fastmoments.graph.frontends.windows import positions_of_adaptive_pool, positions_of_pool, windows
from fastmoments.graph.grouping import along, arranged
from fastmoments.graph.nodes import Affine, Elementwise, Joint, Node, Sum, Unknown, spread
from fastmoments.joint.matrix_products import MatrixProduct
from fastmoments.joint.norms import Norm

INDICES = "the position of a largest element is no Gaussian; use the elements themselves"


def joint_of(call: Call, output: int) -> Node | None:
    """Return the node of an operation that takes elements of its inputs together; None if this one does not."""
    make = JOINT.get(call.name)
    if make is None:
        return None
    if output > 0:
        shape = call.operation.layouts[output].shape
        return Node(Unknown(call.map(output), INDICES), call.inputs, shape, call.label)
    found = make(call)
    return None if found is None else grouping.named(found, call.inputs, call.label)


def _elements(layout: Any) -> Any:
    """Return the elements of one example, numbered, in the shape that the model has."""
    return array_of(layout.native(torch.from_numpy(grouping.numbered((1, *layout.shape)))))


def _in_layout(call: Call, node: Node) -> Node:
    """A node of the result as the model has it, in the layout's order and shape."""
    layout = call.operation.layouts[0]
    return arranged(node, np.argsort(_elements(layout).ravel()).reshape(layout.shape))


def _matrix_product(call: Call) -> Node | None:
    names = {"bmm": ("self", "mat2"), "baddbmm": ("batch1", "batch2")}[call.name]
    if not all(call.is_input(name) for name in names):
        return None
    at = [call.argument(name).position for name in names]
    one, two = (arranged(call.inputs[k], _elements(call.layouts[k])) for k in at)
    (count, p, d), q = one.shape, two.shape[-1]
    product = Joint(torch.matmul, MatrixProduct(count, p, d, q))
    found = _in_layout(call, Node(product, (one, two), (count, p, q), call.label))
    return found if call.name == "bmm" else _plus(call, found, call.argument("alpha", 1), call.argument("beta", 1))


def _addcmul(call: Call) -> Node | None:
    if not (call.is_input("tensor1") and call.is_input("tensor2")):
        return None
    nodes = tuple(call.inputs[call.argument(name).position] for name in ("tensor1", "tensor2"))
    shape = call.operation.layouts[0].shape
    product = Node(Elementwise(torch.mul, meaning="product"), nodes, shape, call.label, torch.mul)
    return _plus(call, product, call.argument("value", 1), 1)


def _plus(call: Call, product: Node, factor: Any, other: Any) -> Node:
    """The sum of factor * product and other * `self`, a value or a constant."""
    layout = call.operation.layouts[0]
    if call.is_input("self"):
        added = spread(torch, call.inputs[call.argument("self").position], product.shape)
        both = Sum(lambda x, y: factor * x + other * y, (factor, other))
        return Node(both, (product, added), product.shape, call.label)

    def value(rows: Tensor) -> Tensor:
        both: Tensor = factor * layout.native(rows) + other * call.constant("self", rows=len(rows))
        found: Tensor = layout.rows(both, len(rows))
        return found

    return Node(Sum(value, (factor,)), (product,), product.shape, call.label)


def _rows_along(call: Call) -> Any:
    """The groups along the dimensions of the operation."""
    dims, layout = call.constant("dim"), call.layouts[0]
    if dims is None or dims == []:
        dims = list(range(len(layout.sizes)))
    return along(_elements(layout), dims if isinstance(dims, list) else [dims])


def _softmax(call: Call) -> Node:
    return grouping.softmax(call.inputs[0], _rows_along(call), call.map(0))


def _log_softmax(call: Call) -> Node:
    return grouping.log_softmax(call.inputs[0], _rows_along(call), call.map(0))


def _log_sum_exp(call: Call) -> Node:
    return _reduced(call, _rows_along(call), grouping.log_sum_exp, lambda x: x.logsumexp(-1))


def _maximum(call: Call) -> Node:
    return _reduced(call, _rows_along(call), partial(grouping.maximum, xp=torch), lambda x: x.amax(-1))


def _minimum(call: Call) -> Node:
    return _reduced(call, _rows_along(call), partial(grouping.minimum, xp=torch), lambda x: x.amin(-1))


def _max_pool(call: Call) -> Node:
    dims = 3 if "3d" in call.name else 2
    given = {name: _each(call.constant(name), dims) for name in ("kernel_size", "stride", "padding", "dilation")}
    kernel = given["kernel_size"]
    table = zip(kernel, given["stride"] or kernel, given["padding"] or [0] * dims, given["dilation"] or [1] * dims,
                strict=True)  # fmt: skip
    found = [positions_of_pool(*sizes, *row) for sizes, row in zip(_pooled(call, dims), table, strict=True)]
    return _windows(call, found)


def _adaptive_max_pool(call: Call) -> Node:
    dims = 3 if "3d" in call.name else 2
    return _windows(call, [positions_of_adaptive_pool(*sizes) for sizes in _pooled(call, dims)])


def _pooled(call: Call, dims: int) -> list[tuple[int, int]]:
    """The sizes of the last dimensions before and behind a pool."""
    shapes = (_elements(layout).shape[-dims:] for layout in (call.layouts[0], call.operation.layouts[0]))
    return list(zip(*shapes, strict=True))


def _windows(call: Call, positions: list[Any]) -> Node:
    return _reduced(
        call,
        windows(_elements(call.layouts[0]), positions),
        partial(grouping.maximum, xp=torch),
        lambda x: x.amax(-1),
    )


def _each(value: Any, dims: int) -> list[int]:
    """One integer for every dimension; nothing for nothing."""
    found = list(value) if isinstance(value, list | tuple) else [] if value is None else [value]
    return found * dims if len(found) == 1 else found


def _reduced(call: Call, rows: Any, make: Callable[..., Node], of_group: Callable[[Tensor], Tensor]) -> Node:
    """One result of every group, in the order of the result."""
    layout = call.operation.layouts[0]
    order = np.argsort(_elements(layout).ravel())
    rows = rows[order]
    value = _of_groups(rows, layout.shape, of_group)
    return make(call.inputs[0], rows, layout.shape, value)


def _of_groups(rows: Any, shape: tuple[int, ...], of_group: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    return lambda x: of_group(x.reshape(len(x), -1)[:, rows]).reshape(len(x), *shape)


def _layer_norm(call: Call) -> Node:
    axes = range(-len(call.constant("normalized_shape")), 0)
    return _normalised(call, along(_elements(call.layouts[0]), list(axes)), None)


def _group_norm(call: Call) -> Node:
    elements = _elements(call.layouts[0])
    return _normalised(call, elements.reshape(len(elements) * call.constant("group"), -1), 1)


def _batch_norm(call: Call) -> Node | None:
    """Instance norm: all rows' channels are one dimension, and each has its own statistics."""
    layout = call.layouts[0]
    trains = call.name != "_native_batch_norm_legit_no_training" and call.argument("training")
    if not trains or layout.dim != 1 or len(call.inputs) > 1 or not call.is_input("input"):
        return None
    elements = _elements(layout)
    return _normalised(call, along(elements, [axis for axis in range(elements.ndim) if axis != 1]), 1)


def _normalised(call: Call, groups: Any, channel: int | None) -> Node:
    """Groups of mean 0 and variance 1; then weights and a bias, along a dimension of channels or the last ones."""
    (node,), eps, back = call.inputs, call.constant("eps"), np.argsort(groups.ravel())

    def value(x: Tensor) -> Tensor:
        apart = x.reshape(len(x), -1)[:, groups]
        apart = apart - apart.mean(-1, keepdim=True)
        found = apart / (apart.square().mean(-1, keepdim=True) + eps).sqrt()
        back_in_order: Tensor = found.reshape(len(x), -1)[:, back].reshape(x.shape)
        return back_in_order

    found = grouping.grouped(node, Norm(eps, centred=True), groups, groups, node.shape, value)
    weight, bias = (_along_channels(call, name, channel) for name in ("weight", "bias"))
    if weight is None and bias is None:
        return found

    def scaled(x: Tensor, power: int = 1) -> Tensor:
        return x if weight is None else x * weight**power

    def weighted(x: Tensor) -> Tensor:
        return scaled(x) if bias is None else scaled(x) + bias

    return Node(Affine(weighted, scaled, lambda x: scaled(x, 2)), (found,), found.shape, call.label)


def _along_channels(call: Call, name: str, channel: int | None) -> Any:
    """A constant of every channel, or of the last dimensions, as rows of one example have it."""
    constant, layout = call.constant(name), call.layouts[0]
    if constant is None:
        return None
    if channel is not None:
        constant = constant.reshape(-1, *(1,) * (len(layout.sizes) - channel - 1))
    native = tuple(_elements(layout).shape)
    return layout.rows(constant.expand(native), 1)


JOINT: dict[str, Callable[[Call], Node | None]] = {
    "bmm": _matrix_product,
    "baddbmm": _matrix_product,
    "addcmul": _addcmul,
    "_softmax": _softmax,
    "_safe_softmax": _softmax,
    "_log_softmax": _log_softmax,
    "logsumexp": _log_sum_exp,
    "amax": _maximum,
    "max": _maximum,
    "amin": _minimum,
    "min": _minimum,
    "max_pool2d_with_indices": _max_pool,
    "max_pool3d_with_indices": _max_pool,
    "adaptive_max_pool2d": _adaptive_max_pool,
    "adaptive_max_pool3d": _adaptive_max_pool,
    "native_layer_norm": _layer_norm,
    "native_group_norm": _group_norm,
    "native_batch_norm": _batch_norm,
    "_native_batch_norm_legit": _batch_norm,
}
