"""Skip connections f(A x) + C x as one step: their covariance takes two products less than that of their parts."""

from __future__ import annotations

from collections import Counter

from fastmoments.graph.nodes import Activation, Affine, Graph, Node, Residual, Sum, rebuilt
from fastmoments.graph.order import Step, steps_of


def with_residuals(graph: Graph, steps: list[Step]) -> tuple[Graph, list[Step]]:
    """Return the graph and its steps with one node for every sum f(A x) + C x whose parts nothing else reads.

    The activation has to be alone in its step: with others it has covariances that only both together give.
    """
    alone = {step[0] for step in steps if len(step) == 1 and isinstance(step[0].rule, Activation)}
    if not alone:
        return graph, steps
    read = Counter(source for step in steps for node in step for source in node.inputs)
    read.update(graph.outputs)
    found: dict[Node, tuple[Residual, Node]] = {}
    for step in steps:
        residual = _residual(step[0], alone, read)
        if residual is not None:
            found[step[0]] = residual
    if not found:
        return graph, steps

    def change(node: Node, copy: Node, new: dict[Node, Node]) -> Node:
        if node in found:
            copy.rule, copy.inputs = found[node][0], (new[found[node][1]],)
        return copy

    graph = rebuilt(graph, change)
    return graph, steps_of(graph)


def _residual(node: Node, alone: set[Node], read: Counter[Node]) -> tuple[Residual, Node] | None:
    """A sum as one skip connection, and the value that it reads."""
    rule = node.rule
    if not isinstance(rule, Sum) or len(node.inputs) != 2:
        return None
    if not all(isinstance(factor, int | float) and factor == 1.0 for factor in rule.factors):
        return None
    f, other = node.inputs if node.inputs[0] in alone else node.inputs[::-1]
    if f not in alone or read[f] != 1 or read[f.inputs[0]] != 1:
        return None
    inner, across = _matrix_rule(f.inputs[0]), _matrix_rule(other)
    if inner is None:
        return None
    (x,) = f.inputs[0].inputs
    if other is x and x.shape == node.shape:
        across = None
    elif across is None or other.inputs != (x,) or read[other] != 1:
        return None
    assert isinstance(f.rule, Activation)
    value = rule.value if f is node.inputs[0] else lambda one, two: rule.value(two, one)
    return Residual(f.rule.activation, inner, across, value), x


def _matrix_rule(node: Node) -> Affine | None:
    """The rule of a value that is one matrix times another value, and a constant."""
    rule = node.rule
    if not isinstance(rule, Affine) or rule.matrix is None or rule.own is not None or len(node.inputs) != 1:
        return None
    return rule if rule.matrix.shape[-1] == node.inputs[0].size else None
