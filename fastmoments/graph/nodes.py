"""A network as a small graph: every value is a node, and its rule says how it comes from other values.

A node knows neither frameworks nor Gaussians. Its shape is that of one example; arrays of many examples, and rows
of covariances, are (rows, *shape).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fastmoments.joint.values import ValueFunction

Array = Any  # of the library of the front end
Map = Callable[..., Any]
Shape = tuple[int, ...]


class Input(NamedTuple):
    """An input of the network."""


class Draw(NamedTuple):
    """How what is random in a map is drawn, for every row anew.

    `value` takes the library's words, `size` uniform numbers a row, (rows, size) in [0, 1), and arrays
    (rows, *shape) of every input. It returns (rows, *shape) of the map as drawn.
    """

    size: int
    value: Map


@dataclass(frozen=True, eq=False)
class Affine:
    """An affine map of all inputs jointly.

    `value` takes arrays (rows, *shape) of every input, `linear` too, without what does not depend on them, and
    `squares` is the linear map of the weights' squares; None stands for the matrix' own. `matrix` (m, n) is the
    linear part where that is one of a single input. An `unchanged` map gives a value another shape, nothing else.
    `joins` says that every output depends on one input alone, and `selects` that it is an element of it or a
    constant. A map that `scales` multiplies every element of its input, spread to the result's shape, by a number
    of its own. `weighted` marks layers of weights.

    `own` is the variance that random weights or noise add, of the first input's second moments (rows, *shape), and
    `own_cov` the covariance (batch, m, m), of the library's words and all second moments (batch, n, n); None where
    no two elements share what is random. It is `own_gaussian` if a certain input has a Gaussian output. `draw` is
    how it is drawn, if that is known.
    """

    value: Map
    linear: Map
    squares: Map | None = None
    matrix: Array | None = None
    own: Map | None = None
    own_cov: Map | None = None
    own_gaussian: bool = True
    draw: Draw | None = None
    unchanged: bool = False
    joins: bool = False
    selects: bool = False
    scales: bool = False
    weighted: bool = False


@dataclass(frozen=True, eq=False)
class Sum:
    """The sum of factor * input, of inputs that have the node's shape, and of what `value` adds to it."""

    value: Map
    factors: tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class Elementwise:
    """A function of its inputs, element by element, as a front end records it: `rewrite` makes activations of it.

    `activation` is the object, if the front end knows it. A function of one input breaks, or its slope does, at
    `kinks`; one of several where `crossing` changes its sign. `lipschitz` bounds its slope along every input.
    `meaning` is "maximum", "minimum", "product" or "quotient" for functions of two values that have rules.
    """

    value: Map
    activation: Any = None
    kinks: tuple[float, ...] = ()
    crossing: Map | None = None
    lipschitz: float | None = None
    meaning: str = ""


@dataclass(frozen=True, eq=False)
class Activation:
    """A function f of one input: an object of the catalogue, a Custom, or a name."""

    activation: Any


@dataclass(frozen=True, eq=False)
class Residual:
    """A skip connection f(A x) + C x of one input, of which readings make one step: see `readings.skips`.

    `inner` is A and `across` C, None for the identity; `value` takes f(A x) and C x.
    """

    activation: Any
    inner: Affine
    across: Affine | None
    value: Map


@dataclass(frozen=True, eq=False)
class Joint:
    """A function of its inputs jointly whose moments are known: see `fastmoments.joint`."""

    value: Map
    function: ValueFunction


@dataclass(frozen=True, eq=False)
class Unknown:
    """A function without a rule of its own, `message` says why: perhaps a part of one that `recognise` knows."""

    value: Map
    message: str


Rule = Input | Affine | Sum | Elementwise | Activation | Residual | Joint | Unknown


@dataclass(eq=False)
class Node:
    """A value of the network.

    `scalar` is its function of its inputs on numbers, in float64, where every element is treated alike: rewriting
    may then make one function of several. `learned` says that the function has parameters with gradients.
    """

    rule: Rule
    inputs: tuple[Node, ...]
    shape: Shape
    name: str
    scalar: Map | None = None
    learned: bool = False
    size: int = field(init=False)

    def __post_init__(self) -> None:
        self.size = math.prod(self.shape)


class Graph(NamedTuple):
    """Nodes of the inputs and outputs.

    `rebuild` makes the model's own structure of the outputs' arrays (rows, *shape), without a batch if it is told.
    `numbers` calls a scalar function of the framework's arrays with NumPy's, `rows` a map of (rows, *shape), None
    if its constants have no values yet, or derivatives. `custom` makes of a scalar function what `fm.Custom` takes.
    `xp` are the functions of the library. Values of functions that differ by less than `same`, relative to the
    largest, are the same but for rounding of the model's constants, and those of `rows` by less than `same_rows`.
    `parts` makes the outputs' arrays (rows, *shape) of what the model returns for so many rows; None where there is
    nothing but the graph to run.
    """

    inputs: Sequence[Node]
    outputs: Sequence[Node]
    rebuild: Callable[[Sequence[Any], bool], Any]
    numbers: Callable[[Map, Any], Any]
    rows: Callable[[Map, Any], Any]
    custom: Callable[[Map], Map]
    xp: Any
    same: float = 1e-13
    same_rows: float = 1e-10
    parts: Callable[[Any, int], list[Any]] | None = None


def parted(rows: Array, shapes: Iterable[Shape]) -> list[Array]:
    """Cut values flattened one behind the other, (rows, n), into arrays (rows, *shape)."""
    found, at = [], 0
    for shape in shapes:
        size = math.prod(shape)
        found.append(rows[:, at : at + size].reshape(len(rows), *shape))
        at += size
    return found


def in_order(outputs: Iterable[Node], inputs: Iterable[Node] = ()) -> list[Node]:
    """Return all nodes that the outputs depend on, and the inputs, each behind what it reads."""
    order: dict[Node, None] = {}
    stack = [(node, False) for node in (*reversed(list(outputs)), *reversed(list(inputs)))]
    while stack:
        node, ready = stack.pop()
        if ready:
            order[node] = None
        elif node not in order:
            stack += [(node, True), *((source, False) for source in reversed(node.inputs))]
    return list(order)


def rebuilt(graph: Graph, change: Callable[[Node, Node, dict[Node, Node]], Node]) -> Graph:
    """Return the graph with change(node, copy, new) in the place of every node; `new` has those before it."""
    new: dict[Node, Node] = {}
    for node in in_order(graph.outputs, graph.inputs):
        inputs = tuple(new[source] for source in node.inputs)
        copy = Node(node.rule, inputs, node.shape, node.name, node.scalar, node.learned)
        new[node] = change(node, copy, new)
    first, last = ([new[node] for node in nodes] for nodes in (graph.inputs, graph.outputs))
    return graph._replace(inputs=first, outputs=last)


def check_known(node: Node) -> None:
    """Raise if a node is, or comes from, one that has no rule: for the first of these, which says most."""
    for source in in_order([node]):
        if isinstance(source.rule, Unknown):
            raise TypeError(f"{source.name}: {source.rule.message}")


def arranged_from(node: Node) -> tuple[Node, list[Node]]:
    """Return the value whose elements a node has, or constants, and the nodes behind it up to this one."""
    path: list[Node] = []
    while isinstance(node.rule, Affine) and (node.rule.unchanged or node.rule.selects) and len(node.inputs) == 1:
        path.insert(0, node)
        (node,) = node.inputs
    return node, path


def spread(xp: Any, node: Node, shape: Shape) -> Node:
    """Return the node in a shape that it broadcasts to."""
    if node.shape == shape:
        return node

    def value(rows: Any) -> Any:
        lead = (len(rows), *(1,) * (len(shape) - len(node.shape)))
        return xp.broadcast_to(rows.reshape(*lead, *node.shape), (len(rows), *shape))

    return Node(Affine(value, value, value, selects=True), (node,), shape, node.name)


def evaluate(node: Node, known: dict[Node, Any]) -> Any:
    """Return the node's value (rows, *shape) by those of the nodes that it depends on."""
    if node not in known:
        rule = node.rule
        if not isinstance(rule, Affine | Sum | Elementwise | Joint | Unknown):
            raise TypeError(f"{node.name}: it does not come from the inputs that are known")
        known[node] = rule.value(*(evaluate(source, known) for source in node.inputs))
    return known[node]


def replaced(node: Node, known: dict[Node, Node]) -> Node:
    """Return the node with others in the place of those that it depends on."""
    if node not in known:
        inputs = tuple(replaced(source, known) for source in node.inputs)
        known[node] = Node(node.rule, inputs, node.shape, node.name, node.scalar, node.learned)
    return known[node]
