"""Full covariance of every value: affine maps and sums; `bends` and `skips` have what is not affine."""

import math
from typing import Any

from fastmoments.graph.nodes import Activation, Affine, Graph, Map, Node, Sum
from fastmoments.graph.order import Step, bends
from fastmoments.graph.readings.covariances import selects
from fastmoments.graph.readings.reading import Array, flat, total
from fastmoments.graph.readings.skips import Skips


class Full(Skips):
    """Full covariance: of every value, and between all of them."""

    exact: set[Node]  # affine in the inputs: a variance below 0 is no approximation's fault

    def run(self, graph: Graph, steps: list[Step]) -> None:
        """Take every step behind the inputs, which have been brought in."""
        read = {
            (node.inputs[0], len(step) > 1) for step in steps for node in step if isinstance(node.rule, Activation)
        }
        self.watched = {source for source, shared in read if shared or selects(source)}
        for node in reversed([node for step in steps for node in step]):
            self.watched |= set(node.inputs) if node in self.watched and selects(node) else set()
        bent = next((k for k, step in enumerate(steps) if bends(step[0])), len(steps))
        self.exact = {node for step in steps[:bent] for node in step if not selects(node)}
        super().run(graph, steps)

    def affine(self, node: Node, rule: Affine) -> None:
        """Add an affine map."""
        inputs = node.inputs
        self.means[node] = rule.value(*(self.means[source] for source in inputs))

        def across(covs: list[Array]) -> Array:
            """Map the last axes of (batch, rows, n) of every input."""
            if rule.unchanged:
                return covs[0]
            covs = self.together(covs)
            count = math.prod(covs[0].shape[:2])  # which -1 is not, where a value has no elements
            rows = [cov.reshape(count, *source.shape) for cov, source in zip(covs, inputs, strict=True)]
            return rule.linear(*rows).reshape(*covs[0].shape[:2], node.size)

        full = None
        if rule.matrix is not None and rule.matrix.shape[-1] == inputs[0].size:
            full = self.words.congruence(rule.matrix, self.cov(inputs[0], inputs[0]))
        # without the products of that kernel the inputs' own are needed for the node's
        needed = [one for one in dict.fromkeys(inputs) if full is None or one in self.kept]
        right = {one: across([self.cov(one, two) for two in inputs]) for one in needed}
        links = {one: across([self.cov(one, two) for two in inputs]).mT for one in self.kept - set(inputs)}
        full = self._of_affine(node, rule, right, across) if full is None else full
        if node in self.watched:
            self.rounding[node] = (
                self._passed_on(node) if selects(node) else self.rounding_of_map(node, rule, len(full))
            )
        self.covs |= {(node, one): cov for one, cov in links.items()}
        self.covs |= {(node, one): cov.mT for one, cov in right.items()}
        self._put(node, full if rule.own is None else self._with_own(full, inputs[0], rule))

    def _of_affine(self, node: Node, rule: Affine, right: dict[Node, Array], across: Map) -> Array:
        """Cov(node, node) by the inputs' covariances with the node."""
        first = right[node.inputs[0]]
        if rule.unchanged:
            return first

        def rounding() -> Array:
            return self.rounding_of_map(node, rule, len(first))

        if rule.matrix is not None and rule.matrix.shape[-1] == node.inputs[0].size:
            return self.words.symmetric_product(rule.matrix, first, rounding)
        full = across([right[source].mT for source in node.inputs])
        return full if rule.selects else self.words.covariance(full, rounding)

    def _passed_on(self, node: Node) -> Array:
        """The rounding of the values that the node reads."""
        none = self.xp.zeros_like(flat(self.means[node])[:, :1].sum(-1))
        return total([none, *(self.rounding[source] for source in node.inputs if source in self.rounding)])

    def _with_own(self, full: Array, source: Node, rule: Affine) -> Array:
        """Full and what random weights or noise add."""
        x = flat(self.means[source])
        if rule.own_cov is not None:
            return full + rule.own_cov(self.words, self.cov(source, source) + x[:, :, None] * x[:, None])
        assert rule.own is not None
        second = self.var(source) + x * x
        added = flat(rule.own(second.reshape(len(second), *source.shape)))
        full = full if len(full) == len(added) else 1.0 * self._rows(full, len(added))
        return self.words.plus_diagonal(full, added)

    def sum(self, node: Node, rule: Sum) -> None:
        """Add a sum."""
        terms = list(zip(rule.factors, node.inputs, strict=True))
        self.means[node] = rule.value(*(self.means[source] for source in node.inputs))
        full = self._of_sum(terms)
        if node in self.watched:
            self.rounding[node] = self._rounding_of_sum(terms, node.size)
        links = {one: total(a * self.cov(source, one) for a, source in terms) for one in self.kept}
        self.covs |= {(node, one): cov for one, cov in links.items()}
        self._put(node, full)

    def _put(self, node: Node, full: Array) -> None:
        """Add Cov(node, node)."""
        if node in self.exact:
            self.check([node], full)
        self.covs[node, node] = full

    def _of_sum(self, terms: list[tuple[Any, Node]]) -> Array:
        """Cov of the sum of factor * value; pairs once, for `covariance` takes both triangles' mean."""
        pairs = [(i, j) for i in range(len(terms)) for j in range(i, len(terms))]
        covs = self.together([self.cov(terms[i][1], terms[j][1]) for i, j in pairs])
        factors = [(1.0 if i == j else 2.0) * terms[i][0] * terms[j][0] for i, j in pairs]
        full = factors[0] * covs[0]
        for factor, cov in zip(factors[1:], covs[1:], strict=True):
            full = self.words.plus(full, cov, factor)

        return self.words.covariance(full, lambda: self._rounding_of_sum(terms, full.shape[-1]))

    def _rounding_of_sum(self, terms: list[tuple[Any, Node]], size: int) -> Array:
        """Bound the rounding of a sum's covariances, (batch,)."""
        traces = total(a * a * self.var(source).sum(-1) for a, source in terms)
        return len(terms) * size * self.eps(traces) * traces
