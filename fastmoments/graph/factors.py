"""Constant factors inside products of two values: X * (c Y) = c (X * Y), so that rules see X * Y."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastmoments.graph.nodes import Affine, Elementwise, Graph, Map, Node, rebuilt, spread


def pull_factors(graph: Graph) -> Graph:
    """Return the graph with multiples by constant arrays behind the products of which they were factors."""

    def change(node: Node, copy: Node, new: dict[Node, Node]) -> Node:
        rule = node.rule
        is_product = isinstance(rule, Elementwise) and rule.meaning == "product" and len(node.inputs) == 2
        return _pulled(copy, graph) if is_product else copy

    return rebuilt(graph, change)


def _pulled(node: Node, graph: Graph) -> Node:
    """The product with the factors of both of its inputs behind it."""
    for k, source in enumerate(node.inputs):
        found = _factor(source, graph)
        if found is not None:
            inner, factor = found
            inputs = (inner, node.inputs[1]) if k == 0 else (node.inputs[0], inner)
            product = Node(node.rule, inputs, node.shape, node.name, node.scalar, node.learned)
            return _times(_pulled(product, graph), factor)
    return node


def _factor(node: Node, graph: Graph) -> tuple[Node, Map] | None:
    """The value of which a node has multiples, and their factors (1, *shape) by an array of the dtype."""
    path: list[Node] = []
    while rearranges(node, graph):
        path.insert(0, node)
        (node,) = node.inputs
    rule = node.rule
    if not isinstance(rule, Affine) or not rule.scales:
        return None
    (inner,), xp = node.inputs, graph.xp

    def factor(like: Any) -> Any:
        one = xp.ones_like(like.reshape(-1)[:0].sum())
        found = rule.value(xp.broadcast_to(one, (1, *inner.shape)))
        for step in path:
            found = step.rule.value(found)  # type: ignore[union-attr]
        return found

    found = spread(xp, inner, node.shape)
    for step in path:
        found = Node(step.rule, (found,), step.shape, step.name)
    return found, factor


def rearranges(node: Node, graph: Graph) -> bool:
    """Whether a value has elements of one other, and no constants."""
    rule = node.rule
    if not isinstance(rule, Affine) or len(node.inputs) != 1:
        return False
    if not rule.selects:
        return rule.unchanged
    found = graph.rows(rule.value, np.zeros((1, *node.inputs[0].shape)))
    return found is not None and not found.any()


def _times(node: Node, factor: Map) -> Node:
    def value(rows: Any) -> Any:
        return rows * factor(rows)

    def squares(rows: Any) -> Any:
        return rows * factor(rows) ** 2

    return Node(Affine(value, value, squares, scales=True), (node,), node.shape, node.name)
