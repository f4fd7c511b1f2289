"""From what a front end records to what readings read: elementwise operations of one value become one activation.

x * sigmoid(x), x / (1 + |x|) or where(x > 0, x, x / 10) are functions f of x alone, and exact as such. A maximum of
two values is b + relu(a - b), and `gating` knows products of two. The maximum of an increasing function's values is
the function of the maximum.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from fastmoments.graph.copies import maxima_without_copies
from fastmoments.graph.factors import pull_factors, rearranges
from fastmoments.graph.functions import IDENTITY, Function
from fastmoments.graph.gating import Factors, factors_of, product_of
from fastmoments.graph.grouping import is_maximum
from fastmoments.graph.identify import activation_of, is_closed
from fastmoments.graph.nodes import (
    Activation,
    Affine,
    Elementwise,
    Graph,
    Input,
    Joint,
    Node,
    Sum,
    Unknown,
    check_known,
    in_order,
    spread,
)
from fastmoments.graph.recognise import Recognised, recognised
from fastmoments_kernels.catalogue import ReLU


@dataclass(frozen=True)
class _Local:
    """A value as a function of one other, the root: whether it is affine, and all its parts have closed forms."""

    root: Node
    function: Callable[[], Function]
    affine: bool
    closed: bool


class _Pooled(NamedTuple):
    """A maximum of function(root), whose elements are rearranged along a path before it."""

    root: Node
    function: Function
    path: list[Node]


def rewrite(graph: Graph, whole_sums: bool) -> Graph:
    """Return the graph with activations for elementwise operations.

    Sums of functions of one value stay sums, whose parts are correlated, if all parts have closed forms and a
    reading keeps correlations; with `whole_sums` they are one function too.
    """
    if all(map(_is_final, in_order(graph.outputs, graph.inputs))):
        return graph
    return _Rewriting(pull_factors(maxima_without_copies(graph)), whole_sums).graph()


class _Rewriting:
    def __init__(self, graph: Graph, whole_sums: bool) -> None:
        self.given, self.whole_sums = graph, whole_sums
        self.new: dict[Node, Node] = {}
        self.local: dict[Node, _Local] = {}
        self.factors: dict[Node, Factors] = {}
        self.recognised: dict[Node, Recognised] = {}
        self.pooled: dict[Node, _Pooled] = {}

    def graph(self) -> Graph:
        order = in_order(self.given.outputs, self.given.inputs)
        for node in order:
            self.local[node] = self._local(node)
        # parts of functions are looked at, and refused, only where their own value is read
        needed = {*self.given.outputs, *self.given.inputs}
        for node in reversed(order):
            if node in needed:
                needed |= self._read_by(node)
        for node in order:
            if node in needed:
                self.new[node] = self._of(node)
        inputs, outputs = ([self.new[node] for node in nodes] for nodes in (self.given.inputs, self.given.outputs))
        return self.given._replace(inputs=inputs, outputs=outputs)

    def _read_by(self, node: Node) -> set[Node]:
        """The values that the node's rule will read."""
        found = recognised(node, self.given)
        if found is not None:
            self.recognised[node] = found
            return {found.root}
        function = self._function(node)
        if function is not None:
            return {function[0]}
        pooled = self._pooled(node)
        if pooled is not None:
            self.pooled[node] = pooled
            return {pooled.root}
        if _is_product(node):
            self.factors[node] = factors_of(node, self._of_one, self.given)
            return self.factors[node].reads
        _check_combined(node)
        return set(node.inputs)

    def _pooled(self, node: Node) -> _Pooled | None:
        """Of the maximum of an increasing function's values: the value below, which is nearer to a Gaussian."""
        rule = node.rule
        if not isinstance(rule, Joint) or not is_maximum(rule.function):
            return None
        (source,), path = node.inputs, list[Node]()
        while rearranges(source, self.given):
            path.insert(0, source)
            (source,) = source.inputs
        found = self._of_one(source)
        return _Pooled(*found, path) if found and found[1].increases(self.given.numbers) else None

    def _of_one(self, node: Node) -> tuple[Node, Function] | None:
        """The value that the node is a function of, and the function; None for affine ones and others."""
        local, rule = self.local[node], node.rule
        if local.root is node and isinstance(rule, Elementwise) and len(node.inputs) == 1:
            return node.inputs[0], Function.of(node)  # perhaps with a parameter of every neuron
        return None if local.root is node or local.affine else (local.root, local.function())

    def _local(self, node: Node) -> _Local:
        """The node as a function of the value that all its inputs are functions of, or of itself."""
        alone = _Local(node, lambda: IDENTITY, True, True)
        if node.scalar is None or any(source.shape != node.shape for source in node.inputs):
            return alone
        parts = [self.local[source] for source in node.inputs]
        if not parts or any(part.root is not parts[0].root for part in parts):
            return alone
        rule = node.rule
        # a multiple by a tensor of one element is an Affine, whose parameter keeps its gradient
        affine = isinstance(rule, Sum | Affine) and all(part.affine for part in parts)
        closed = all(part.closed for part in parts) and (not isinstance(rule, Elementwise) or is_closed(rule))

        def function() -> Function:
            return Function.composed(node, [part.function() for part in parts])

        return _Local(parts[0].root, function, affine, closed)

    def _function(self, node: Node) -> tuple[Node, Function] | None:
        """The value that the node is an activation of, and the function; None if it is no activation."""
        rule, local = node.rule, self.local[node]
        if isinstance(rule, Elementwise):
            if len(node.inputs) == 1 and (local.root is node or self.local[node.inputs[0]].affine):
                return node.inputs[0], Function.of(node)
            return None if local.root is node else (local.root, local.function())
        mixed = isinstance(rule, Sum) and local.root is not node and not local.affine
        return (local.root, local.function()) if mixed and (self.whole_sums or not local.closed) else None

    def _of(self, node: Node) -> Node:
        if node in self.recognised:
            found = self.recognised[node]
            return found.make(self.new[found.root])
        if node in self.pooled:
            pooled = self.pooled[node]
            source = self.new[pooled.root]
            for step in pooled.path:
                source = Node(step.rule, (source,), step.shape, step.name)
            largest = Node(node.rule, (source,), node.shape, node.name)
            return self._activation(node, largest, pooled.function)
        rule, function = node.rule, self._function(node)
        if function is not None:
            return self._activation(node, self.new[function[0]], function[1])
        if not isinstance(rule, Elementwise):
            inputs = tuple(self.new[source] for source in node.inputs)
            return Node(rule, inputs, node.shape, node.name, node.scalar, node.learned)
        if node in self.factors:
            factors = self.factors[node]
            return product_of(node, factors, self.new[factors.value], self.new[factors.root], self.given)
        return self._maximum(node, 1.0 if rule.meaning == "maximum" else -1.0)

    def _activation(self, node: Node, source: Node, function: Function) -> Node:
        """A function of a rewritten value."""
        found = activation_of(node.name, function, self.given)
        inner = Node(Activation(found.activation), (source,), node.shape, node.name)
        if (found.scale, found.shift) == (1.0, 0.0):
            return inner
        return Node(Sum(lambda y: found.scale * y + found.shift, (found.scale,)), (inner,), node.shape, node.name)

    def _maximum(self, node: Node, sign: float) -> Node:
        """max(a, b) = b + relu(a - b), min(a, b) = b - relu(b - a)."""
        xp = self.given.xp
        one, two = (spread(xp, self.new[source], node.shape) for source in node.inputs)
        gap = Node(Sum(lambda a, b: sign * (a - b), (sign, -sign)), (one, two), node.shape, node.name)
        top = Node(Activation(ReLU()), (gap,), node.shape, node.name)
        return Node(Sum(lambda b, r: b + sign * r, (1.0, sign)), (two, top), node.shape, node.name)


def _is_final(node: Node) -> bool:
    """Whether it is neither elementwise nor joint, nor a sum that is part of a function, as in lists of layers."""
    return node.scalar is None and isinstance(node.rule, Input | Affine | Sum | Activation)


def _is_product(node: Node) -> bool:
    return isinstance(node.rule, Elementwise) and node.rule.meaning == "product" and len(node.inputs) == 2


def _check_combined(node: Node) -> None:
    """Raise for what has no rule: operations of several values, and functions of all elements of one."""
    rule = node.rule
    if isinstance(rule, Unknown):
        check_known(node)
    if not isinstance(rule, Elementwise) or rule.meaning in ("maximum", "minimum"):
        return
    of = " and ".join(dict.fromkeys(source.name for source in node.inputs))
    if rule.meaning == "quotient":
        raise TypeError(f"{node.name}: a quotient of two values, {of}, has no mean where the divisor may be 0")
    raise TypeError(f"{node.name}: it combines {of}, for which it has no rule")
