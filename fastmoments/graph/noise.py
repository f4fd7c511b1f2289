"""Nodes of noise that a network multiplies a value by or adds to it."""

from __future__ import annotations

from typing import Any

from fastmoments.graph.nodes import Affine, Map, Node


def multiplied(
    node: Node, var: float, name: str, own_cov: Map | None = None, factor: float = 1.0, gaussian: bool = False
) -> Node:
    """Return the node of factor * node * noise of mean 1 and variance `var`, independent of all else.

    `own_cov` is that of `Affine`: None where every element has noise of its own.
    """

    def value(x: Any) -> Any:
        return factor * x  # a copy, for covariances of it are overwritten

    rule = Affine(
        value,
        value,
        lambda x: factor * factor * x,
        own=lambda second: factor * factor * var * second,
        own_cov=own_cov,
        own_gaussian=gaussian,
        joins=True,
    )
    return Node(rule, (node,), node.shape, name)


def added(node: Node, var: float, name: str) -> Node:
    """Return the node of the value and Gaussian noise of mean 0 and variance `var`, each element's its own."""

    def value(x: Any) -> Any:
        return 1.0 * x  # as above

    rule = Affine(value, value, value, own=lambda second: var + 0.0 * second, joins=True)
    return Node(rule, (node,), node.shape, name)
