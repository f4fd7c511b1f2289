"""Maxima of windows that hold an element several times, by reflected padding for instance: each element once.

Copies are correlated by 1, where the closure of a maximum is at its worst; and they change no maximum.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastmoments.graph import grouping
from fastmoments.graph.nodes import Graph, Joint, Map, Node, rebuilt
from fastmoments.graph.selections import Selected, selected_of
from fastmoments.joint.exact_maximum import LARGEST


def maxima_without_copies(graph: Graph) -> Graph:
    """Return the graph with maxima of the elements that were copied in the place of those of copies."""
    selected: dict[Node, Selected] = {}

    def change(node: Node, copy: Node, new: dict[Node, Node]) -> Node:
        selected[node] = selected_of(node, selected)
        read = _read(node)
        if read is None or read.shape[1] <= LARGEST:
            return copy
        before = selected[node.inputs[0]]
        rows = _of_root(read, before, graph)
        return copy if rows is None else _maximum(node, new[before.root], rows, before.value, graph)

    return rebuilt(graph, change)


def _read(node: Node) -> Any:
    """The windows (groups, n) of a maximum."""
    if not isinstance(node.rule, Joint) or not grouping.is_maximum(node.rule.function):
        return None
    return np.asarray(node.rule.function.read)  # type: ignore[attr-defined]


def _of_root(read: Any, before: Selected, graph: Graph) -> Any:
    """The windows by the root's elements; None where they hold none twice, or constants."""
    given = np.arange(1.0, before.root.size + 1.0).reshape(1, *before.root.shape)
    found = graph.rows(before.linear, given)
    if found is None:
        return None
    rows = found.ravel().astype(int)[read] - 1
    ordered = np.sort(rows, axis=1)
    return rows if (rows >= 0).all() and (ordered[:, 1:] == ordered[:, :-1]).any() else None


def _maximum(node: Node, root: Node, rows: Any, selection: Map, graph: Graph) -> Node:
    whole: Any = node.rule

    def value(x: Any) -> Any:
        return whole.value(selection(x))

    found = grouping.maximum(root, rows, node.shape, value, graph.xp)
    return grouping.named(found, [root], node.name)
