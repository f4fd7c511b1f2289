"""The order in which a graph's nodes are read: by depth, what bends at one depth in one step."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from fastmoments.graph.nodes import Activation, Graph, Joint, Node, Residual, in_order

Step = list[Node]  # one node, or activations or joint functions that do not depend on each other


class LimitError(ValueError):
    """A value has more features than a full covariance may have."""


def steps_of(graph: Graph) -> list[Step]:
    """Order the nodes by the number of activations, and of functions of several values, before them.

    All that comes before the first of these is Gaussian, so that they are exact together.
    """
    order, depth = in_order(graph.outputs, graph.inputs), dict[Node, int]()
    for node in order:
        depth[node] = max((depth[source] for source in node.inputs), default=0) + bends(node)
    order.sort(key=lambda node: (depth[node], not bends(node)))
    steps: list[Step] = []
    for node in order:
        last = steps[-1][0] if steps else None
        if last is not None and bends(node) and bends(last) and depth[node] == depth[last]:
            steps[-1].append(node)
        else:
            steps.append([node])
    return steps


def bends(node: Node) -> bool:
    """Whether it is not affine in what it reads: an activation or a joint function."""
    return isinstance(node.rule, Activation | Residual | Joint)


def with_kept(steps: list[Step], inputs: Any, outputs: Any) -> Iterator[tuple[Step, set[Node]]]:
    """Yield every step with the earlier nodes that are read behind it."""
    last = {source: k for k, step in enumerate(steps) for node in step for source in node.inputs}
    last.update(dict.fromkeys(outputs, len(steps)))
    alive = set(inputs)
    for k, step in enumerate(steps):
        alive = {node for node in alive if last.get(node, -1) > k}
        yield step, alive
        alive = alive | {node for node in step if last.get(node, -1) > k}


def check_sizes(nodes: Iterable[Node], limit: int, bytes_of: Callable[[int], int]) -> None:
    """Raise for a value of more features than `limit`, before any covariance is made."""
    for node in nodes:
        if node.size > limit:
            size = bytes_of(node.size) / 2**20
            raise LimitError(
                f"{node.name}: full covariance of {node.size} features, more than limit={limit}: {size:,.0f} MB "
                'for this value alone; use covariance="diagonal", or a larger limit'
            )
