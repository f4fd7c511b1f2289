"""Nodes that users' own rules return: `__fastmoments__` of a module's class, or `rules=` of `propagate`."""

from collections.abc import Callable
from typing import Any

from fastmoments.graph.nodes import Affine, Draw, Elementwise, Node, Shape
from fastmoments.graph.noise import of_rows, of_variance
from fastmoments.joint.noise import rows_cov

Map = Callable[..., Any]


def affine(
    inputs: Node | tuple[Node, ...],
    function: Map,
    shape: Shape | None = None,
    *,
    linear: Map | None = None,
    own: Map | None = None,
    shared: bool = True,
    gaussian: bool = False,
    draw: tuple[int, Map] | None = None,
) -> Node:
    """Return the node of an affine map, for a module's own rule.

    Parameters
    ----------
    inputs : the node that the rule was given, or several that the map is affine of jointly.
    function : the map of arrays ``(rows, *node.shape)``, one of each input, to ``(rows, *shape)``; rows do not
        meet. It may use the module's parameters, to which gradients flow.
    shape : of one result; default that of the first input.
    linear : the map without what does not depend on the inputs; default its value less that at 0, which loses
        digits where the constant is large.
    own : the variance that random weights of the module add, independent of the inputs and of other calls: a
        function of the first input's second moments ``(rows, *node.shape)`` that is linear up to a constant.
    shared : whether weights are the same for all rows of a value of shape (..., n), as in a linear layer; then
        `own` is called with products of two rows too, (batch, rows, rows, n). False for noise of which every
        element of the result has its own. For one input of shape (n,) both are the same.
    gaussian : whether what is random is Gaussian: then `propagate(..., tol=)` can draw it, and `bound` is tighter.
    draw : how `propagate(..., tol=)` draws what is random, if it is not Gaussian: how many uniform numbers a row
        takes, and a function of uniform numbers ``(rows, count)`` in [0, 1) and of the arrays that `function`
        takes, to the ``(rows, *shape)`` of the map as drawn, for every row anew.

    Returns
    -------
    Node
        What the rule returns.
    """
    nodes = inputs if isinstance(inputs, tuple) else (inputs,)

    def difference(*rows: Any) -> Any:
        return function(*rows) - function(*(0.0 * x[:1] for x in rows))

    def without(*rows: Any) -> Any:
        # covariances that come out are overwritten, and those that go in may be the user's
        return difference(*rows) if linear is None else 1.0 * linear(*rows)

    shape = nodes[0].shape if shape is None else tuple(shape)
    own_cov = rows_cov(own, nodes[0].shape) if own is not None and shared else None
    rule = Affine(
        function,
        without,
        own=own,
        own_cov=own_cov,
        own_gaussian=gaussian,
        draw=None
        if own is None
        else _draw(function, own, own_cov is not None, gaussian, draw, nodes[0].shape, shape),
        weighted=True,
    )
    return Node(rule, nodes, shape, "affine")


def _draw(
    function: Map, own: Map, by_rows: bool, gaussian: bool, draw: tuple[int, Map] | None, given: Shape, shape: Shape
) -> Draw | None:
    """How the map is drawn; None if nothing says so."""
    if draw is not None:
        count, drawn = draw
        return Draw(count, lambda words, uniforms, *rows: drawn(uniforms, *rows))
    if not gaussian:
        return None
    return of_rows(function, own, given, shape[-1]) if by_rows else of_variance(function, own, shape)


def elementwise(node: Node, activation: Any, function: Map) -> Node:
    """Return the node of an activation, element by element, for a module's own rule.

    Parameters
    ----------
    node : the node that the rule was given.
    activation : an object such as fm.NPN(tau=2.0), whose parameters may be one per element, or fm.Custom(f).
    function : f of arrays, as the model calls it.

    Returns
    -------
    Node
        What the rule returns.
    """
    return Node(Elementwise(function, activation), (node,), node.shape, "elementwise")
