"""Elements that are selected more than once, by reflected padding for instance, and then weighted: one affine map.

Without correlations the copies of an element would count as uncorrelated.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fastmoments.graph.nodes import Affine, Graph, Map, Node, rebuilt


@dataclass(frozen=True)
class Selected:
    """Elements of one other value, the root, and constants."""

    root: Node
    value: Map
    linear: Map


def merge_selections(graph: Graph) -> Graph:
    """Return the graph with layers of weights that read copies of an element as maps of what was copied."""
    selected: dict[Node, Selected] = {}

    def change(node: Node, copy: Node, new: dict[Node, Node]) -> Node:
        selected[node] = selected_of(node, selected)
        rule = node.rule
        if not isinstance(rule, Affine) or not rule.weighted or rule.own is not None or len(node.inputs) != 1:
            return copy
        before = selected[node.inputs[0]]
        if before.root is node.inputs[0] or not _repeats(graph, before):
            return copy
        value, linear = (
            _composed(outer, [inner])
            for outer, inner in zip((rule.value, rule.linear), (before.value, before.linear), strict=True)
        )
        return Node(Affine(value, linear, weighted=True), (new[before.root],), node.shape, node.name)

    return rebuilt(graph, change)


def selected_of(node: Node, known: dict[Node, Selected]) -> Selected:
    """Return the value of whose elements the node has copies, of those of the nodes before it."""
    rule = node.rule
    parts = [known[source] for source in node.inputs]
    if not isinstance(rule, Affine) or not (rule.selects or rule.unchanged):
        return Selected(node, lambda x: x, lambda x: x)
    if any(part.root is not parts[0].root for part in parts):
        return Selected(node, lambda x: x, lambda x: x)
    value = _composed(rule.value, [part.value for part in parts])
    linear = _composed(rule.linear, [part.linear for part in parts])
    return Selected(parts[0].root, value, linear)


def _composed(outer: Map, parts: Sequence[Map]) -> Map:
    return lambda x: outer(*(part(x) for part in parts))


def _repeats(graph: Graph, selected: Selected) -> bool:
    """Whether an element is selected twice: different numbers come out as they went in."""
    given = np.arange(1.0, selected.root.size + 1.0).reshape(1, *selected.root.shape)
    rows = graph.rows(selected.linear, given)
    if rows is None:
        return True
    found = rows[rows != 0.0]
    return len(np.unique(found)) < len(found)
