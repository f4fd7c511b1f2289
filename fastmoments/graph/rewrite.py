"""From what a front end records to what readings read: elementwise operations of one value become one activation.

x * sigmoid(x), x / (1 + |x|) or where(x > 0, x, x / 10) are functions f of x alone, and exact as such. A maximum of
two values is b + relu(a - b). Any other product of two values has no rule.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fastmoments.graph.functions import IDENTITY, Function
from fastmoments.graph.identify import activation_of, is_closed
from fastmoments.graph.nodes import Activation, Affine, Elementwise, Graph, Node, Sum, in_order, spread
from fastmoments_kernels.catalogue import ReLU


@dataclass(frozen=True)
class _Local:
    """A value as a function of one other, the root: whether it is affine, and all its parts have closed forms."""

    root: Node
    function: Callable[[], Function]
    affine: bool
    closed: bool


def rewrite(graph: Graph, whole_sums: bool) -> Graph:
    """Return the graph with activations for elementwise operations.

    Sums of functions of one value stay sums, whose parts are correlated, if all parts have closed forms and a
    reading keeps correlations; with `whole_sums` they are one function too.
    """
    return _Rewriting(graph, whole_sums).graph()


class _Rewriting:
    def __init__(self, graph: Graph, whole_sums: bool) -> None:
        self.given, self.whole_sums = graph, whole_sums
        self.new: dict[Node, Node] = {}
        self.local: dict[Node, _Local] = {}

    def graph(self) -> Graph:
        order = in_order(self.given.outputs, self.given.inputs)
        for node in order:
            self.local[node] = self._local(node)
        # parts of functions are looked at, and refused, only where their own value is read
        needed = {*self.given.outputs, *self.given.inputs}
        for node in reversed(order):
            if node in needed:
                function = self._function(node)
                if function is None:
                    _check_combined(node)
                needed |= set(node.inputs) if function is None else {function[0]}
        for node in order:
            if node in needed:
                self.new[node] = self._of(node)
        inputs, outputs = ([self.new[node] for node in nodes] for nodes in (self.given.inputs, self.given.outputs))
        return self.given._replace(inputs=inputs, outputs=outputs)

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
        rule, function = node.rule, self._function(node)
        if function is not None:
            return self._activation(node, *function)
        if not isinstance(rule, Elementwise):
            inputs = tuple(self.new[source] for source in node.inputs)
            return Node(rule, inputs, node.shape, node.name, node.scalar, node.learned)
        return self._maximum(node, 1.0 if rule.meaning == "maximum" else -1.0)

    def _activation(self, node: Node, source: Node, function: Function) -> Node:
        found = activation_of(node.name, function, self.given)
        inner = Node(Activation(found.activation), (self.new[source],), node.shape, node.name)
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


def _check_combined(node: Node) -> None:
    """Raise for an elementwise operation of several values that has no rule."""
    rule = node.rule
    if not isinstance(rule, Elementwise) or rule.meaning in ("maximum", "minimum"):
        return
    of = " and ".join(dict.fromkeys(source.name for source in node.inputs))
    if rule.meaning in ("product", "quotient"):
        raise TypeError(f"{node.name}: a {rule.meaning} of two values, {of}, is not Gaussian; only multiples are")
    raise TypeError(f"{node.name}: it combines {of}, for which it has no rule")
