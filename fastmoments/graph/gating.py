"""Products of two values: gates X * g(Y), where a factor is a function of one value, and plain products."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastmoments.graph.functions import Function
from fastmoments.graph.identify import Identified, activation_of, jumps
from fastmoments.graph.nodes import Graph, Joint, Node, Sum, arranged_from, spread
from fastmoments.joint.gates import Gate
from fastmoments.joint.products import Product

Known = Callable[[Node], tuple[Node, Function] | None]  # a node as a function of one other, if it is one


@dataclass(frozen=True)
class Factors:
    """A product of `value` and of a function of `root`, of whose elements it takes those `at`, or of both."""

    value: Node
    root: Node
    function: Identified | None = None
    at: Any = None

    @property
    def reads(self) -> set[Node]:
        """The values that are read."""
        return {self.value, self.root}


def factors_of(node: Node, known: Known, graph: Graph) -> Factors:
    """Return what a product of two values is made of.

    A factor that is a function of a value is read as such: the value is nearer to a Gaussian than the factor is.
    """
    one, two = node.inputs
    gated = [_gated(node, value, gate, known, graph) for value, gate in ((one, two), (two, one))]
    of_values = [found for found in gated if found is not None and known(arranged_from(found.value)[0]) is None]
    return next(iter([*of_values, *filter(None, gated)]), Factors(one, two))


def product_of(node: Node, factors: Factors, value: Node, root: Node, graph: Graph) -> Node:
    """Return the product of the rewritten nodes of `factors`."""
    value = spread(graph.xp, value, node.shape)
    if factors.function is None:
        root = spread(graph.xp, root, node.shape)
        return Node(Joint(node.rule.value, Product()), (value, root), node.shape, node.name)  # type: ignore[union-attr]
    activation, scale, shift = factors.function
    rule = Joint(_unread, Gate(activation, factors.at))
    gate = Node(rule, (value, root), node.shape, node.name)
    if (scale, shift) == (1.0, 0.0):
        return gate
    both = Sum(lambda x, y: scale * x + shift * y, (scale, shift))
    return Node(both, (gate, value), node.shape, node.name)


def _unread(*rows: Any) -> Any:
    raise NotImplementedError("values of gates are those of the operations that they stand for")


def _gated(node: Node, value: Node, gate: Node, known: Known, graph: Graph) -> Factors | None:
    """The product as a gate; None if the factor is no function of one value, or jumps."""
    base, path = arranged_from(gate)
    found = known(base)
    if found is None:
        return None
    root, function = found
    at = _elements(node, base, path, graph)
    if at is None or function.learned or function.scalar is None and function.activation is None:
        return None
    identified = activation_of(gate.name, function, graph)
    return None if jumps(identified.activation) else Factors(value, root, identified, at)


def _elements(node: Node, base: Node, path: list[Node], graph: Graph) -> Any:
    """Return which elements of `base` gate those of the product, (n,); None if some are constants."""

    def selected(rows: Any) -> Any:
        for step in path:
            rows = step.rule.linear(rows)  # type: ignore[union-attr]
        return rows

    numbers = np.arange(1.0, base.size + 1.0).reshape(1, *base.shape)
    found = graph.rows(selected, numbers) if path else numbers
    if found is None or (found == 0.0).any():
        return None
    lead = (1,) * (len(node.shape) - found.ndim + 1)
    return np.broadcast_to(found.reshape(*lead, *found.shape[1:]), node.shape).ravel().astype(int) - 1
