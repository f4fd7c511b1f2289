"""A graph's values at many rows: all nodes' maps, and what is random in them drawn of uniform numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastmoments.frameworks import Words
from fastmoments.graph.functions import is_stochastic
from fastmoments.graph.identify import breaks
from fastmoments.graph.nodes import Activation, Affine, Draw, Elementwise, Graph, Joint, Node, Unknown, in_order
from fastmoments.graph.noise import normals
from fastmoments.graph.rewrite import rewrite
from fastmoments.joint.gates import Gate
from fastmoments.parameters import name_of, of_neurons
from fastmoments.values import value

Array = Any  # of the library whose words are given

MOST_DRAWS = 2**22  # numbers a row takes for one value: 32 MB in float64
UNDRAWN = (
    "{}: what is random in it has a variance but no way to be drawn; give fm.nn.affine gaussian=True or draw= "
    "(docs/networks.md), or leave tol out"
)


class Evaluation:
    """Values of a graph's outputs at rows of its inputs; `count` is how many uniform numbers a row takes."""

    def __init__(self, words: Words[Any], graph: Graph) -> None:
        self.words, self.graph = words, graph
        self.order = in_order(graph.outputs, graph.inputs)
        self.draws: dict[Node, tuple[Draw, slice]] = {}
        self.count = 0
        for node in self.order:
            draw = draw_of(node)
            if draw is not None:
                self.draws[node] = draw, slice(self.count, self.count + draw.size)
                self.count += draw.size
        self.done: dict[Node, list[Node]] = {}  # what nothing reads any more behind a node
        last = {source: node for node in self.order for source in node.inputs}
        for source in set(last) - set(graph.outputs):
            self.done.setdefault(last[source], []).append(source)

    @property
    def widest(self) -> int:
        """Numbers that a row takes in the widest value, and in what is drawn for it."""
        drawn = {node: draw.size for node, (draw, _) in self.draws.items()}
        return max(node.size + drawn.get(node, 0) for node in self.order)

    def __call__(self, inputs: Sequence[Array], uniforms: Array | None) -> list[Array]:
        """The outputs (rows, *shape) at inputs (rows, *shape) and uniform numbers (rows, count)."""
        known = dict(zip(self.graph.inputs, inputs, strict=True))
        for node in self.order:
            if node in known:
                continue
            given = [known[source] for source in node.inputs]
            if node in self.draws:
                draw, at = self.draws[node]
                assert uniforms is not None
                known[node] = draw.value(self.words, uniforms[:, at], *given)
            else:
                known[node] = self._value(node, given)
            for source in self.done.get(node, ()):
                del known[source]
        return [known[node] for node in self.graph.outputs]

    def _value(self, node: Node, given: list[Array]) -> Array:
        rule: Any = node.rule
        if isinstance(rule, Activation):
            return self._bent(rule.activation, node.inputs[0], given[0]).reshape(given[0].shape)
        if isinstance(rule, Joint) and isinstance(rule.function, Gate):
            # the product that it stands for was in the graph as it was recorded
            gates = self._bent(rule.function.activation, node.inputs[1], given[1])[:, rule.function.at]
            return given[0] * gates.reshape(len(gates), *node.shape)
        return rule.value(*given)

    def _bent(self, activation: Any, source: Node, x: Array) -> Array:
        """The function of a value's elements (rows, size), each of which may have parameters of its own."""
        return value(self.words, activation, x.reshape(len(x), source.size))


def draw_of(node: Node) -> Draw | None:
    """How what is random in a node is drawn; None if nothing is. Raise, by its name, for what cannot be."""
    rule = node.rule
    if isinstance(rule, Activation | Elementwise) and rule.activation is not None:
        return _of_activation(node, rule.activation)
    if not isinstance(rule, Affine) or rule.own is None:
        return None
    if rule.draw is None:
        raise TypeError(UNDRAWN.format(node.name))
    if rule.draw.size > MOST_DRAWS:
        raise ValueError(
            f"{node.name}: every row takes {rule.draw.size:,} random numbers, more than {MOST_DRAWS:,}; leave tol "
            "out, or make it smaller"
        )
    return rule.draw


def _of_activation(node: Node, activation: Any) -> Draw | None:
    if not is_stochastic(activation):
        return None
    if of_neurons(activation)[0] != "bernoulli_probit":
        raise TypeError(
            f"{node.name}: {name_of(activation)} is random, and there is no way to draw it; leave tol out"
        )

    def ones(words: Words[Any], uniforms: Array, x: Array) -> Array:
        """1 with probability Phi(x), else 0."""
        below = normals(words, uniforms).reshape(x.shape) < x
        return words.xp.where(below, words.xp.ones_like(x), words.xp.zeros_like(x))

    return Draw(node.size, ones)


def is_random(nodes: Sequence[Node]) -> bool:
    """Whether something that the nodes depend on is random, given the inputs."""

    def drawn(rule: Any) -> bool:
        if isinstance(rule, Affine):
            return rule.own is not None
        activation = rule.activation if isinstance(rule, Activation | Elementwise) else None
        return activation is not None and is_stochastic(activation)

    return any(drawn(node.rule) for node in in_order(nodes))


def jumps(graph: Graph) -> bool | None:
    """Whether an activation jumps, or is random; None where a function is not known as a whole."""
    if any(isinstance(node.rule, Elementwise | Unknown) for node in in_order(graph.outputs)):
        try:
            graph = rewrite(graph, whole_sums=False)
        except TypeError:
            return None
    rules = [node.rule for node in in_order(graph.outputs)]
    found = [rule.activation for rule in rules if isinstance(rule, Activation)]
    gates = [rule.function for rule in rules if isinstance(rule, Joint)]
    return any(map(breaks, (*found, *(gate.activation for gate in gates if isinstance(gate, Gate)))))
