"""Lists of layers, of any library's arrays: `fm.compare.Affine` and `fm.compare.Residual`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastmoments.frameworks import words_of
from fastmoments.graph.inputs import Inputs
from fastmoments.graph.nodes import Activation, Affine, Graph, Input, Map, Node, Sum
from fastmoments.layer_lists import Affine as AffineLayer
from fastmoments.layer_lists import Layer, arrays_of, checked


def graph_of(layers: Sequence[Layer], inputs: Inputs) -> Graph:
    """Return the graph of the layers, one after the other."""
    words = words_of(inputs.plan)
    first = node = vector_input(inputs)
    arrays = words.to_arrays(inputs.plan, arrays_of(layers))
    for k, layer in enumerate(checked(layers, arrays, first.size)):
        of_kind = _affine if isinstance(layer, AffineLayer) else _residual
        node = of_kind(layer, node, f"layers[{k}]")
    return one_to_one(first, node, words.xp)


def vector_input(inputs: Inputs) -> Node:
    """Return the node of an input that is one vector; raise for others."""
    if len(inputs.means) != 1:
        raise TypeError(f"mu: expected one array, got {len(inputs.means)}")
    shape = tuple(inputs.means[0].shape[1:])
    if len(shape) != 1:
        raise ValueError(f"mu: expected shape (n,) or (batch, n), got {(inputs.rows, *shape)}")
    return Node(Input(), (), shape, "input")


def one_to_one(first: Node, last: Node, xp: Any) -> Graph:
    """Return the graph of one input and one output."""

    def rebuild(values: Sequence[Any], single: bool) -> Any:
        return values[0][0] if single else values[0]

    def numbers(function: Map, x: Any) -> Any:
        return np.asarray(function(x))

    return Graph([first], [last], rebuild, numbers, numbers, lambda function: function, xp)


def dense(node: Node, weight: Any, bias: Any, name: str, weighted: bool = True) -> Node:
    """Return weight @ x + bias; without a bias, None."""

    def linear(x: Any) -> Any:
        return x @ weight.T

    def value(x: Any) -> Any:
        return linear(x) if bias is None else linear(x) + bias

    def squares(var: Any) -> Any:
        return var @ (weight * weight).T

    rule = Affine(value, linear, squares, weight, weighted=weighted)
    return Node(rule, (node,), (int(weight.shape[0]),), name)


def _affine(layer: Any, node: Node, name: str) -> Node:
    return dense(node, layer.weight, layer.bias, name)


def _residual(layer: Any, node: Node, name: str) -> Node:
    inner = dense(node, layer.A, layer.b, f"{name}: A")
    terms = [Node(Activation(layer.activation), (inner,), inner.shape, f"{name}: f")]
    if isinstance(layer.C, str):
        terms.append(node)
    elif layer.C is not None:
        # no layer by itself: "hybrid" would have to carry A x + b around it
        terms.append(dense(node, layer.C, None, f"{name}: C", weighted=False))
    if len(terms) == 1 and layer.d is None:
        return terms[0]

    def value(*terms: Any) -> Any:
        added = terms[0] if len(terms) == 1 else terms[0] + terms[1]
        return added if layer.d is None else added + layer.d

    return Node(Sum(value, (1.0,) * len(terms)), tuple(terms), inner.shape, name)
