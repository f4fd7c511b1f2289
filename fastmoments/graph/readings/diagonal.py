"""Means and variances: correlations, of neurons and of values that meet again, are left out."""

from typing import Any

from fastmoments.elementwise import marginals
from fastmoments.frameworks import Words
from fastmoments.graph.nodes import Activation, Affine, Joint, Node, Sum
from fastmoments.graph.order import Step
from fastmoments.graph.readings.reading import Array, Reading, flat, total


class Diagonal(Reading):
    """Variances of every value, (rows, *shape)."""

    def __init__(self, words: Words[Any]) -> None:
        super().__init__(words)
        self.vars: dict[Node, Array] = {}

    def start(self, nodes: list[Node], means: list[Array], variances: list[Array]) -> None:
        """Bring in the network's inputs."""
        for node, mean, var in zip(nodes, means, variances, strict=True):
            self.means[node], self.vars[node] = mean, var

    def affine(self, node: Node, rule: Affine) -> None:
        """Add an affine map; different inputs count as uncorrelated."""
        means, variances = ([known[source] for source in node.inputs] for known in (self.means, self.vars))
        self.means[node], var = rule.value(*means), self.squares(rule, node, variances)
        self.vars[node] = var if rule.own is None else var + rule.own(variances[0] + means[0] * means[0])

    def sum(self, node: Node, rule: Sum) -> None:
        """Add a sum; different values count as uncorrelated."""
        factors: dict[Node, Any] = {}
        for factor, source in zip(rule.factors, node.inputs, strict=True):
            factors[source] = factors.get(source, 0.0) + factor
        self.means[node] = rule.value(*(self.means[source] for source in node.inputs))
        self.vars[node] = total(a * a * self.vars[source] for source, a in factors.items())

    def activations(self, step: Step) -> None:
        """Add activations, each by itself."""
        for node in step:
            source, rule = node.inputs[0], node.rule
            assert isinstance(rule, Activation)
            found = marginals(rule.activation, flat(self.means[source]), flat(self.vars[source]))
            self.means[node], self.vars[node] = (x.reshape(len(x), *node.shape) for x in found)

    def joints(self, step: Step) -> None:
        """Add functions of several values, which count as uncorrelated."""
        for node in step:
            rule = node.rule
            assert isinstance(rule, Joint)
            means, variances = ([flat(of[source]) for source in node.inputs] for of in (self.means, self.vars))
            found = rule.function.marginals(self.words, means, variances)
            self.means[node], self.vars[node] = (x.reshape(len(x), *node.shape) for x in found)

    def drop(self, node: Node) -> None:
        """Forget a value that nothing reads any more."""
        super().drop(node)
        del self.vars[node]
