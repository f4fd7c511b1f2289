"""Nodes of functions of groups of a value's elements, for the front ends and for `recognise`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastmoments.graph.nodes import Affine, Joint, Map, Node, Shape, Sum
from fastmoments.joint.exact_maximum import LARGEST
from fastmoments.joint.grouped import Grouped
from fastmoments.joint.groups import GroupFunction
from fastmoments.joint.maxima import Maximum
from fastmoments.joint.softmax import LogSoftmax, LogSumExp, Softmax

Indices = Any  # of elements: NumPy's integers


def numbered(shape: Shape) -> Indices:
    """Return the elements of a value of this shape, numbered in order."""
    return np.arange(int(np.prod(shape))).reshape(shape)


def along(elements: Indices, axes: Sequence[int]) -> Indices:
    """Return the groups (groups, n) of elements that differ along these axes alone, in order of the others."""
    axes = [axis % elements.ndim for axis in axes]
    others = [axis for axis in range(elements.ndim) if axis not in axes]
    size = int(np.prod([elements.shape[axis] for axis in axes]))
    return elements.transpose(*others, *axes).reshape(-1, size)


def arranged(node: Node, elements: Indices) -> Node:
    """Return the node of these elements of another, in their shape."""

    def value(rows: Any) -> Any:
        return rows.reshape(len(rows), -1)[:, elements.ravel()].reshape(len(rows), *elements.shape)

    if node.size != elements.size or (elements.ravel() != np.arange(node.size)).any():
        return Node(Affine(value, value, value, selects=True), (node,), elements.shape, node.name)
    if node.shape == elements.shape:
        return node

    def reshaped(rows: Any) -> Any:
        return rows.reshape(len(rows), *elements.shape)

    return Node(Affine(reshaped, reshaped, reshaped, unchanged=True), (node,), elements.shape, node.name)


def named(found: Node, inputs: Sequence[Node], name: str) -> Node:
    """Give the nodes that stand for one operation its name."""
    new = [found]
    for node in new:
        node.name = name
        new += [source for source in node.inputs if source not in inputs and source not in new]
    return found


def grouped(node: Node, function: GroupFunction, read: Indices, written: Indices, shape: Shape, value: Map) -> Node:
    """Return the node of one function of groups of elements, whose results are the elements `written`."""
    return Node(Joint(value, Grouped(function, read, written)), (node,), shape, node.name)


def softmax(node: Node, rows: Indices, value: Map) -> Node:
    """Return the node of a softmax of every group (groups, n)."""
    return grouped(node, Softmax(rows.shape[1]), rows, rows, node.shape, value)


def reduced(node: Node, function: GroupFunction, rows: Indices, shape: Shape, value: Map) -> Node:
    """Return the node of one result of every group (groups, n), in order."""
    return grouped(node, function, rows, np.arange(len(rows))[:, None], shape, value)


def log_sum_exp(node: Node, rows: Indices, shape: Shape, value: Map) -> Node:
    """Return the node of the log-sum-exp of every group."""
    return reduced(node, LogSumExp(rows.shape[1]), rows, shape, value)


def log_softmax(node: Node, rows: Indices, value: Map) -> Node:
    """Return the node of x less the log-sum-exp of its group."""
    return grouped(node, LogSoftmax(rows.shape[1]), rows, rows, node.shape, value)


def maximum(node: Node, rows: Indices, shape: Shape, value: Map, xp: Any) -> Node:
    """Return the node of the largest element of every group, which may read an element several times."""
    if rows.shape[1] <= LARGEST:
        return reduced(node, Maximum(rows.shape[1]), rows, shape, value)
    # beyond, equal elements cost accuracy: groups of one size together
    groups = [np.unique(row) for row in rows]
    sizes = np.array([len(group) for group in groups])
    at = [np.flatnonzero(sizes == size) for size in np.unique(sizes)]
    parts = [_of_some(node, np.stack([groups[k] for k in found]), found, shape, value) for found in at]
    order = np.argsort(np.concatenate(at))

    def together(*values: Any) -> Any:
        return xp.concatenate(values, 1)[:, order].reshape(-1, *shape)

    rule = Affine(together, together, together, joins=True, selects=True)
    return parts[0] if len(parts) == 1 else Node(rule, tuple(parts), shape, node.name)


def _of_some(node: Node, rows: Indices, at: Indices, shape: Shape, value: Map) -> Node:
    """The maxima of some of the groups, those that are at these places of all; of all of them in their shape."""
    if len(at) == np.prod(shape):
        return reduced(node, Maximum(rows.shape[1]), rows, shape, value)
    return reduced(node, Maximum(rows.shape[1]), rows, (len(at),), lambda x: value(x).reshape(len(x), -1)[:, at])


def is_maximum(function: Any) -> bool:
    """Whether a joint function is the maximum of groups."""
    return isinstance(function, Grouped) and isinstance(function.function, Maximum)


def minimum(node: Node, rows: Indices, shape: Shape, value: Map, xp: Any) -> Node:
    """Return the node of the smallest element of every group, -max(-x)."""
    return _negative(maximum(_negative(node), rows, shape, lambda x: -value(-x), xp))


def _negative(node: Node) -> Node:
    return Node(Sum(lambda x: -x, (-1.0,)), (node,), node.shape, node.name)
