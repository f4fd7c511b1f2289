"""JAX's primitives that take several elements together: products of matrices, and maxima."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from fastmoments.graph import grouping
from fastmoments.graph.frontends.jax_trace import Equation
from fastmoments.graph.frontends.windows import positions_of_pool, windows
from fastmoments.graph.grouping import along, arranged, numbered
from fastmoments.graph.nodes import Joint, Map, Node, Shape
from fastmoments.joint.matrix_products import MatrixProduct


def joint_of(equation: Equation) -> Node | None:
    """Return the node of an equation that takes elements of its inputs together; None if this one does not."""
    make = JOINT.get(equation.name)
    found = None if make is None else make(equation)
    return None if found is None else grouping.named(found, equation.inputs, equation.label)


def _matrix_product(equation: Equation) -> Node | None:
    if len(equation.inputs) < 2:
        return None
    (contracted, batch), (one, two) = equation.params["dimension_numbers"], equation.inputs
    free = [
        [axis for axis in range(len(node.shape)) if axis not in (*contracted[k], *batch[k])]
        for k, node in enumerate((one, two))
    ]
    count, d = (math.prod(one.shape[axis] for axis in axes) for axes in (batch[0], contracted[0]))
    p, q = (math.prod(node.shape[axis] for axis in axes) for node, axes in zip((one, two), free, strict=True))
    left = numbered(one.shape).transpose(*batch[0], *free[0], *contracted[0]).reshape(count, p, d)
    right = numbered(two.shape).transpose(*batch[1], *contracted[1], *free[1]).reshape(count, d, q)
    factors = arranged(one, left), arranged(two, right)
    found = Node(Joint(jnp.matmul, MatrixProduct(count, p, d, q)), factors, (count, p, q), equation.label)
    return arranged(found, numbered(equation.shapes[0]))


def _extreme(make: Callable[..., Node], of_group: Map) -> Callable[[Equation], Node]:
    def node(equation: Equation) -> Node:
        rows = along(numbered(equation.inputs[0].shape), equation.params["axes"])
        return _reduced(equation, make, of_group, rows)

    return node


def _max_pool(equation: Equation) -> Node | None:
    params, (node,), shape = equation.params, equation.inputs, equation.shapes[0]
    if any(dilation != 1 for dilation in params["base_dilation"]):
        return None
    table = zip(params["window_dimensions"], params["window_strides"], params["padding"], params["window_dilation"],
                strict=True)  # fmt: skip
    positions = [
        positions_of_pool(size, results, kernel, stride, padding[0], dilation)
        for size, results, (kernel, stride, padding, dilation) in zip(node.shape, shape, table, strict=True)
    ]
    return _reduced(equation, grouping.maximum, jnp.max, windows(numbered(node.shape), positions))


def _reduced(equation: Equation, make: Callable[..., Node], of_group: Map, rows: Any) -> Node:
    shape: Shape = equation.shapes[0]

    def value(x: Any) -> Any:
        return of_group(x.reshape(len(x), -1)[:, rows], axis=-1).reshape(len(x), *shape)

    return make(equation.inputs[0], rows, shape, value, jnp)


JOINT: dict[str, Callable[[Equation], Node | None]] = {
    "dot_general": _matrix_product,
    "reduce_max": _extreme(grouping.maximum, jnp.max),
    "reduce_min": _extreme(grouping.minimum, jnp.min),
    "reduce_window_max": _max_pool,
}
