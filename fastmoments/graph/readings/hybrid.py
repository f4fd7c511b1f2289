"""Variances up to the last layer of weights, and full covariance of what it returns and behind it."""

from typing import Any

from fastmoments.frameworks import Words
from fastmoments.graph.nodes import Affine, Graph, Node
from fastmoments.graph.order import Step
from fastmoments.graph.readings.diagonal import Diagonal
from fastmoments.graph.readings.full import Full
from fastmoments.graph.readings.reading import Array, flat


class Hybrid(Full):
    """A Diagonal, and from the last layer of weights on full covariance."""

    def __init__(self, words: Words[Any]) -> None:
        super().__init__(words)
        self.before = Diagonal(words)

    def start_with_variances(self, nodes: list[Node], means: list[Array], variances: list[Array]) -> None:
        """Bring in the network's inputs."""
        self.before.start(nodes, means, variances)

    def run(self, graph: Graph, steps: list[Step]) -> None:
        """Take every step behind the inputs, which have been brought in."""
        last = last_weighted(steps)
        at = _position(last, steps)
        self.before.run(graph._replace(outputs=_read_from(steps[at:], graph)), steps[:at])
        (source,) = last.inputs
        others = set(self.before.means) - {source}
        if others:
            name = min(node.name for node in others)
            raise ValueError(f'covariance: "hybrid" cannot carry {name} around the last layer; use "full"')
        var = flat(self.before.vars[source])
        self.start([source], [self.before.means[source]], var[:, :, None] * self.words.eye(source.size, var))
        super().run(graph, steps[at:])


def last_weighted(steps: list[Step]) -> Node:
    """Return the last layer of weights."""
    found = [step[0] for step in steps if isinstance(step[0].rule, Affine) and step[0].rule.weighted]
    if not found:
        raise ValueError('covariance: "hybrid" needs a layer with weights; use "full" or "diagonal"')
    if len(found[-1].inputs) > 1:
        raise ValueError(
            f'covariance: "hybrid" needs a last layer of one value, {found[-1].name} reads several; use "full"'
        )
    return found[-1]


def with_full_covariance(steps: list[Step]) -> list[Node]:
    """Return the nodes that have a full covariance: what the last layer of weights reads, and from it on."""
    last = last_weighted(steps)
    return [*last.inputs, *(node for step in steps[_position(last, steps) :] for node in step)]


def _position(last: Node, steps: list[Step]) -> int:
    return next(k for k, step in enumerate(steps) if step[0] is last)


def _read_from(steps: list[Step], graph: Graph) -> list[Node]:
    """The nodes that these steps read, and the outputs, from before them."""
    inside = {node for step in steps for node in step}
    read = [source for step in steps for node in step for source in node.inputs] + list(graph.outputs)
    return [node for node in dict.fromkeys(read) if node not in inside]
