"""Norms, softmax and log-sum-exp that a model writes out: a region of the graph that has their values is one.

Of a value, the root, through which all ways to a node pass, the node is such a function if it has its values at
examples of several scales. What libraries compose, as layer norms of JAX are, is found so however it is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np

from fastmoments.graph.grouping import along, grouped, log_softmax, log_sum_exp, named, numbered, softmax
from fastmoments.graph.identify import PROBES
from fastmoments.graph.nodes import Elementwise, Graph, Node, Sum, arranged_from, evaluate, in_order
from fastmoments.joint.norms import Norm

SCALES = (1.0, 3.0, 0.3, 0.01, 30.0, 1e-6, 1e3)  # of the examples; a norm's eps is measured at the smallest
ROOTS = 8  # values further up are not tried


class Recognised(NamedTuple):
    """A node as a function of the root alone: `make` returns the node of the rewritten root."""

    root: Node
    make: Callable[[Node], Node]


def recognised(node: Node, graph: Graph) -> Recognised | None:
    """Return the function of groups of one value's elements that the node is; None if it is none that is known."""
    if not _may_be(node, graph):
        return None
    with np.errstate(all="ignore"):
        for root in _roots(node):
            region = _Region(node, root, graph)
            for find in (_softmax, _norm, _log_sum_exp):
                make = find(region) if region.values is not None else None
                if make is not None:
                    return Recognised(root, make)
    return None


def _may_be(node: Node, graph: Graph) -> bool:
    """Whether it is a quotient, or reads a function that is not one of all numbers, as a logarithm is."""
    rule = node.rule
    if isinstance(rule, Elementwise) and rule.meaning == "quotient" and len(node.inputs) == 2:
        return True
    parts = [_base(source) for source in node.inputs] if isinstance(rule, Sum | Elementwise) else []
    return _is_partial(node, graph) or (len(parts) > 1 and any(_is_partial(part, graph) for part in parts))


def _base(node: Node) -> Node:
    """The value of whose elements the node has multiples."""
    node, _ = arranged_from(node)
    return _base(node.inputs[0]) if isinstance(node.rule, Sum) and len(node.inputs) == 1 else node


def _is_partial(node: Node, graph: Graph) -> bool:
    if not isinstance(node.rule, Elementwise) or len(node.inputs) != 1 or node.scalar is None:
        return False
    if node.rule.activation is not None:
        return False
    with np.errstate(all="ignore"):
        return not np.isfinite(graph.numbers(node.scalar, PROBES)).all()


def _roots(node: Node) -> Iterator[Node]:
    """Values through which all ways from the inputs to the node pass, nearest first."""
    place = {known: k for k, known in enumerate(in_order([node]))}
    front, found = {node}, 0
    while front and found < ROOTS:
        last = max(front, key=place.__getitem__)
        front = (front - {last}) | set(last.inputs)
        if len(front) == 1:
            found += 1
            yield next(iter(front))


class _Region:
    """The part of the graph between a root and a node, and its values at examples."""

    def __init__(self, node: Node, root: Node, graph: Graph) -> None:
        self.node, self.root, self.graph = node, root, graph
        self.same = max(1e3 * graph.same, graph.same_rows)

    @cached_property
    def given(self) -> Any:
        """Examples (scales, *root.shape)."""
        draws = np.random.default_rng(0).standard_normal((len(SCALES), *self.root.shape))
        return draws * np.reshape(SCALES, (-1, *(1,) * len(self.root.shape)))

    @cached_property
    def values(self) -> Any:
        """The node's values of the examples; None if they are not to be had."""
        try:
            return self.graph.rows(self.value, self.given)
        except TypeError:
            return None

    def value(self, rows: Any) -> Any:
        """The node's value of rows of the root."""
        return evaluate(self.node, {self.root: rows})

    def groups(self) -> Iterator[Any]:
        """Groups (groups, n) along one axis, along the last axes, and of channels with all that they hold."""
        shape, dims = self.root.shape, len(self.root.shape)
        for axes in dict.fromkeys([*((k,) for k in range(dims)), *(tuple(range(k, dims)) for k in range(dims))]):
            rows = along(numbered(shape), axes)
            if rows.shape[1] > 1:
                yield rows
        for axis in range(dims):
            channels = np.moveaxis(numbered(shape), axis, 0).reshape(shape[axis], -1)
            for count in range(2, shape[axis] + 1):
                if shape[axis] % count == 0 and self.root.size > count and dims > 1:
                    yield channels.reshape(count, -1)

    def has(self, known: Any) -> bool:
        """Whether these are its values, but for rounding, wherever both are finite."""
        found = self.values.reshape(len(SCALES), -1)
        known = known.reshape(len(SCALES), -1)
        finite = np.isfinite(found).all(axis=1)
        off = np.abs(found - known)[finite].max(axis=1)
        return bool(finite.sum() > 2 and (off <= self.same * np.abs(known)[finite].max(axis=1)).all())


def _softmax(region: _Region) -> Any:
    if region.node.shape != region.root.shape:
        return None
    for rows in region.groups():
        groups = region.given.reshape(len(SCALES), -1)[:, rows]
        totals = _log_sum_exps(groups)
        for make, found in ((softmax, np.exp(groups - totals)), (log_softmax, groups - totals)):
            known = np.empty((len(SCALES), region.root.size))
            known[:, rows] = found
            if region.has(known):
                return _made(make, rows, region)
    return None


def _log_sum_exp(region: _Region) -> Any:
    for rows in region.groups():
        groups = region.given.reshape(len(SCALES), -1)[:, rows]
        if len(rows) == region.node.size and region.has(_log_sum_exps(groups)):
            return _made(partial(log_sum_exp, shape=region.node.shape), rows, region)
    return None


def _log_sum_exps(groups: Any) -> Any:
    """(scales, groups, 1)."""
    most = groups.max(-1, keepdims=True)
    return most + np.log(np.exp(groups - most).sum(-1, keepdims=True))


def _made(make: Any, rows: Any, region: _Region) -> Any:
    return lambda root: _named(make(root, rows, value=region.value), root, region)


def _named(node: Node, root: Node, region: _Region) -> Node:
    return named(node, [root], region.node.name)


def _norm(region: _Region) -> Any:
    """Scale * P x / sqrt(mean (P x)^2 + eps), P x = x or x less its mean."""
    if region.node.shape != region.root.shape:
        return None
    for rows in region.groups():
        groups, values = (x.reshape(len(SCALES), -1)[:, rows] for x in (region.given, region.values))
        for centred in (True, False):
            apart = groups - groups.mean(-1, keepdims=True) if centred else groups
            found = _scale_and_eps(apart, values, region.same)
            if found is None:
                continue
            scale, eps = found
            known = np.empty((len(SCALES), region.root.size))
            known[:, rows] = scale * apart / np.sqrt(np.mean(apart**2, -1, keepdims=True) + eps)
            if region.has(known):
                return _normalised(Norm(eps, centred=centred), scale, rows, region)
    return None


def _scale_and_eps(apart: Any, values: Any, same: float) -> tuple[float, float] | None:
    """By 1 / ratio^2 = (mean (P x)^2 + eps) / scale^2, which is a line."""
    square = np.mean(apart**2, -1)
    ratio = np.sum(values * apart, -1) / np.sum(apart**2, -1)
    inverse = 1.0 / ratio**2
    large, small = np.argmax(square), np.argmin(square)
    slope = (inverse.flat[large] - inverse.flat[small]) / (square.flat[large] - square.flat[small])
    if not slope > 0.0 or not np.isfinite(slope):
        return None
    scale = float(np.sign(ratio.flat[large]) / np.sqrt(slope))
    scale = _rounded(scale, (1.0, apart.shape[-1] ** -0.5))
    eps, error = float(inverse.flat[small] * scale**2 - square.flat[small]), same * square.flat[small]
    near = float(f"{eps:.6g}")
    return scale, 0.0 if eps <= error else near if abs(near - eps) <= error + same * eps else eps


def _rounded(x: float, likely: Sequence[float]) -> float:
    return next((value for value in likely if abs(x - value) < 1e-9), x)


def _normalised(norm: Norm, scale: float, rows: Any, region: _Region) -> Any:
    def make(root: Node) -> Node:
        found = grouped(root, norm, rows, rows, root.shape, region.value)
        if scale != 1.0:
            found = Node(Sum(lambda x: scale * x, (scale,)), (found,), root.shape, "")
        return _named(found, root, region)

    return make
