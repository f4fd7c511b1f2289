"""The steps that all readings share: one after the other, and what nobody reads any more is dropped."""

import math
from typing import Any

from fastmoments.frameworks import Words
from fastmoments.graph.nodes import Activation, Affine, Graph, Joint, Node, Residual, Sum
from fastmoments.graph.order import Step, with_kept

Array = Any  # of the library whose words a reading was given


class Reading:
    """Means of the values that are alive, (rows, *shape); a subclass adds what else it carries."""

    def __init__(self, words: Words[Any]) -> None:
        self.words, self.xp = words, words.xp
        self.means: dict[Node, Array] = {}
        self.kept: set[Node] = set()  # what is read after the present step

    def run(self, graph: Graph, steps: list[Step]) -> None:
        """Take every step behind the inputs, which have been brought in."""
        for step, kept in with_kept(steps, list(self.means), graph.outputs):
            self.kept = kept
            self.take(step)
            for node in set(self.means) - kept - set(step):
                self.drop(node)

    def take(self, step: Step) -> None:
        """Add the nodes of one step."""
        rule = step[0].rule
        if isinstance(rule, Affine):
            self.affine(step[0], rule)
        elif isinstance(rule, Sum):
            self.sum(step[0], rule)
        elif isinstance(rule, Residual):
            self.residual(step[0], rule)
        elif isinstance(rule, Activation | Joint):
            self.bends(step)

    def affine(self, node: Node, rule: Affine) -> None:
        """Add an affine map."""
        raise NotImplementedError

    def sum(self, node: Node, rule: Sum) -> None:
        """Add a sum."""
        raise NotImplementedError

    def residual(self, node: Node, rule: Residual) -> None:
        """Add a skip connection around an activation."""
        raise NotImplementedError

    def bends(self, step: Step) -> None:
        """Add activations and joint functions that do not depend on each other."""
        self.activations([node for node in step if isinstance(node.rule, Activation)])
        self.joints([node for node in step if isinstance(node.rule, Joint)])

    def activations(self, step: Step) -> None:
        """Add activations that do not depend on each other."""
        raise NotImplementedError

    def joints(self, step: Step) -> None:
        """Add functions of several values, or of all elements of one, that do not depend on each other."""
        raise NotImplementedError

    def drop(self, node: Node) -> None:
        """Forget a value that nothing reads any more."""
        del self.means[node]

    def squares(self, rule: Affine, node: Node, variances: list[Array]) -> Array:
        """Map the inputs' variances by the squares of the weights."""
        if rule.squares is not None:
            return rule.squares(*variances)
        return total(self._by_matrix(rule, node, variances, i) for i in range(len(variances)))

    def _by_matrix(self, rule: Affine, node: Node, variances: list[Array], at: int) -> Array:
        """Map one input's variances by the squares of its matrix, which is formed column by column."""
        var, n = variances[at], node.inputs[at].size
        rows = [self._rows(self.xp.zeros_like(other[:1]), n) for other in variances]
        rows[at] = self.words.eye(n, var).reshape(n, *var.shape[1:])
        weights = flat(rule.linear(*rows))
        return (flat(var) @ (weights * weights)).reshape(-1, *node.shape)

    def _rows(self, array: Array, count: int) -> Array:
        """Repeat an array (1, ...) to that many rows."""
        return self.xp.broadcast_to(array, (count, *array.shape[1:]))


def flat(value: Array) -> Array:
    """(rows, features)."""
    return value.reshape(len(value), math.prod(value.shape[1:]))


def total(arrays: Any) -> Array:
    """Add at least one array."""
    first, *others = arrays
    return sum(others, first)
