"""Elements that are selected more than once, by reflected padding for instance, and then weighted: one affine map.

Without correlations the copies of an element would count as uncorrelated.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fastmoments.graph.nodes import Affine, Graph, Map, Node, in_order


@dataclass(frozen=True)
class Selected:
    """Elements of one other value, the root, and constants."""

    root: Node
    value: Map
    linear: Map


def merge_selections(graph: Graph) -> Graph:
    """Return the graph with layers of weights that read copies of an element as maps of what was copied."""
    selected: dict[Node, Selected] = {}
    new: dict[Node, Node] = {}
    for node in in_order(graph.outputs, graph.inputs):
        selected[node] = selected_of(node, selected)
        inputs = tuple(new[source] for source in node.inputs)
        new[node] = Node(node.rule, inputs, node.shape, node.name, node.scalar, node.learned)
        rule = node.rule
        if isinstance(rule, Affine) and rule.weighted and rule.own is None and len(inputs) == 1:
            before = selected[node.inputs[0]]
            if before.root is not node.inputs[0] and _repeats(graph, before):
                merged = Affine(
                    _composed(rule.value, [before.value]), _composed(rule.linear, [before.linear]), weighted=True
                )
                new[node] = Node(merged, (new[before.root],), node.shape, node.name)
    first, last = ([new[node] for node in nodes] for nodes in (graph.inputs, graph.outputs))
    return graph._replace(inputs=first, outputs=last)


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
