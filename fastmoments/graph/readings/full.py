"""The values of a network that are alive at one time, as one Gaussian: a mean each and every covariance of two.

Covariances are of flattened values, (batch, n, m), or (1, n, m) where a whole batch has one.
"""

import math
from collections.abc import Sequence
from typing import Any

from fastmoments.cross import cross_matrix
from fastmoments.frameworks import Words
from fastmoments.frameworks.products import finite, within_sds
from fastmoments.graph.nodes import Activation, Affine, Graph, Map, Node, Sum
from fastmoments.graph.order import Step
from fastmoments.graph.readings.reading import Array, Reading, flat, total
from fastmoments.graph.siblings import groups_of, joined, joint_groups_of
from fastmoments.moments import gain, moments


class Full(Reading):
    """Full covariance: of every value, and between all of them."""

    def __init__(self, words: Words[Any]) -> None:
        super().__init__(words)
        self.covs: dict[tuple[Node, Node], Array] = {}
        # how far rounding may take covariances (batch,): of values whose matrix is not all that an activation reads
        self.rounding: dict[Node, Array] = {}
        self.watched: set[Node] = set()

    def run(self, graph: Graph, steps: list[Step]) -> None:
        """Take every step behind the inputs, which have been brought in."""
        read = {
            (node.inputs[0], len(step) > 1)
            for step in steps
            for node in step
            if isinstance(node.rule, Activation)
        }
        self.watched = {source for source, shared in read if shared or _selects(source)}
        for node in reversed([node for step in steps for node in step]):
            self.watched |= set(node.inputs) if node in self.watched and _selects(node) else set()
        super().run(graph, steps)

    def start(self, nodes: list[Node], means: list[Array], cov: Array) -> None:
        """Bring in the network's inputs, flattened in order in one covariance."""
        starts = [sum(node.size for node in nodes[:k]) for k in range(len(nodes) + 1)]
        for k, (node, mean) in enumerate(zip(nodes, means, strict=True)):
            self.means[node] = mean
            for j, other in enumerate(nodes[k:], k):
                block = cov if len(nodes) == 1 else cov[:, starts[k] : starts[k + 1], starts[j] : starts[j + 1]]
                self.covs[node, other] = block

    def cov(self, one: Node, two: Node) -> Array:
        """Cov(one, two), (batch, n_one, n_two)."""
        return self.covs[one, two] if (one, two) in self.covs else self.covs[two, one].mT

    def var(self, node: Node) -> Array:
        """Var(node), (batch, n)."""
        return self.xp.einsum("bii->bi", self.cov(node, node))

    def joint_cov(self, nodes: list[Node]) -> Array:
        """Cov of values one behind the other."""
        if len(nodes) == 1:
            return self.cov(nodes[0], nodes[0])
        blocks = self.together([self.cov(one, two) for one in nodes for two in nodes])
        lines = [blocks[k : k + len(nodes)] for k in range(0, len(blocks), len(nodes))]
        return self.xp.concatenate([self.xp.concatenate(line, -1) for line in lines], -2)

    def together(self, covs: list[Array]) -> list[Array]:
        """Give covariances one batch."""
        # not the largest: a batch may have no inputs
        batch = next((len(cov) for cov in covs if len(cov) != 1), 1)
        return [cov if len(cov) == batch else self._rows(cov, batch) for cov in covs]

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

        right = {one: across([self.cov(one, two) for two in inputs]) for one in dict.fromkeys(inputs)}
        links = {one: across([self.cov(one, two) for two in inputs]).mT for one in self.kept - set(inputs)}
        full = self._of_affine(node, rule, right, across)
        if node in self.watched:
            self.rounding[node] = self._passed_on(node) if _selects(node) else self._rounding(node, rule, len(full))
        self.covs |= {(node, one): cov for one, cov in links.items()}
        self.covs |= {(node, one): cov.mT for one, cov in right.items()}
        self.covs[node, node] = full if rule.own is None else self._with_own(full, inputs[0], rule)

    def _of_affine(self, node: Node, rule: Affine, right: dict[Node, Array], across: Map) -> Array:
        """Cov(node, node) by the inputs' covariances with the node."""
        first = right[node.inputs[0]]
        if rule.unchanged:
            return first

        def rounding() -> Array:
            return self._rounding(node, rule, len(first))

        if rule.matrix is not None and rule.matrix.shape[-1] == node.inputs[0].size:
            return self.words.symmetric_product(rule.matrix, first, rounding)
        full = across([right[source].mT for source in node.inputs])
        return full if rule.selects else self.words.covariance(full, rounding)

    def _rounding(self, node: Node, rule: Affine, batch: int) -> Array:
        """Bound the rounding of a map's covariances, (batch,)."""
        # by Cauchy-Schwarz n times the variance of independent inputs bounds (sum_j |A_ij| sd_j)^2
        variances = [self.var(source).reshape(batch, *source.shape) for source in node.inputs]
        reach = flat(self.squares(rule, node, variances)).sum(-1)
        count = sum(source.size for source in node.inputs)
        return count * node.size * self.eps(reach) * reach

    def _passed_on(self, node: Node) -> Array:
        """The rounding of the values that the node reads."""
        none = self.xp.zeros_like(self.means[node].reshape(len(self.means[node]), -1)[:, :1].sum(-1))
        return total([none, *(self.rounding[source] for source in node.inputs if source in self.rounding)])

    def eps(self, array: Array) -> float:
        """The spacing of numbers of the array's dtype."""
        return float(self.xp.finfo(array.dtype).eps)

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

    def activations(self, step: Step) -> None:
        """Add activations that do not depend on each other.

        Covariances with other values are those of Stein's lemma, exact where these are Gaussian too.
        """
        groups = groups_of(step)
        gains: dict[Node, Array] = {}
        for nodes in groups:
            gains |= self._alike(nodes)
        for k, ones in enumerate(groups):
            for one in ones:
                for two in (node for others in groups[k + 1 :] for node in others):
                    self.covs[one, two] = self._different(one, two)
        sources = {node: node.inputs[0] for node in step}
        for source in set(sources.values()) - self.kept:
            del self.covs[source, source]  # a matrix less while others are made
        for node, gained in gains.items():
            self.covs |= {(node, other): gained * self.cov(sources[node], other) for other in self.kept}

    def _alike(self, nodes: list[Node]) -> dict[Node, Array]:
        """Add the same function of several values; return the gains (batch, n, 1) if there is use for them."""
        sources, rule = [node.inputs[0] for node in nodes], nodes[0].rule
        assert isinstance(rule, Activation)
        means = [flat(self.means[source]) for source in sources]
        mu = means[0] if len(means) == 1 else self.xp.concatenate(means, -1)
        cov = self._mended(sources)
        gains = None
        if self.kept:
            gains = finite(self.xp, gain(rule.activation, mu, self.xp.einsum("bii->bi", cov)))[..., None]
        mean, full = moments(rule.activation, mu, cov)
        parts = _cuts(nodes)
        for k, node in enumerate(nodes):
            self.means[node] = mean[:, parts[k]].reshape(len(mean), *node.shape)
            for j in range(k, len(nodes)):
                self.covs[node, nodes[j]] = full if len(nodes) == 1 else full[:, parts[k], parts[j]]
        return {} if gains is None else {node: gains[:, part] for node, part in zip(nodes, parts, strict=True)}

    def _mended(self, sources: list[Node]) -> Array:
        """Cov of values one behind the other, without what rounding put beyond sqrt(var_i var_j) between them."""
        cov, known = self.joint_cov(sources), [self.rounding[node] for node in sources if node in self.rounding]
        if not known or (len(sources) == 1 and not _selects(sources[0])):
            return cov
        return self.words.covariance(1.0 * cov if len(sources) == 1 else cov, lambda: total(known))

    def _different(self, one: Node, two: Node) -> Array:
        """Cov(f(X), g(Y)) of two functions."""
        x, y = one.inputs[0], two.inputs[0]
        assert isinstance(one.rule, Activation) and isinstance(two.rule, Activation)
        of_x, of_y = ((flat(self.means[source]), self.var(source)) for source in (x, y))
        (mu_1, var_1), (mu_2, var_2) = of_x, of_y
        f, g = one.rule.activation, two.rule.activation
        known = total([0.0 * var_1.sum(-1), *(self.rounding[node] for node in (x, y) if node in self.rounding)])
        return cross_matrix(
            f, g, mu_1, mu_2, var_1, var_2, within_sds(self.xp, self.cov(x, y), var_1, var_2, known)
        )

    def joints(self, step: Step) -> None:
        """Add functions of several values that do not depend on each other: those of one kind together.

        Covariances with others are those of Stein's lemma.
        """
        alive = self.kept | {source for node in step for source in node.inputs}
        for nodes in joint_groups_of(step):
            self._together(nodes, alive)
            alive |= set(nodes)

    def _together(self, nodes: list[Node], alive: set[Node]) -> None:
        """Add one joint function of several inputs side by side."""
        sources = list(zip(*(node.inputs for node in nodes), strict=True))
        batch = max(len(self.means[source]) for side in sources for source in side)

        def wide(array: Array) -> Array:
            return array if len(array) == batch else self._rows(array, batch)

        def across(rows: Sequence[Node], columns: Sequence[Node]) -> Array:
            lines = [[wide(self.cov(one, two)) for two in columns] for one in rows]
            return self._side_by_side([self._side_by_side(line, -1) for line in lines], -2)

        means = [self._side_by_side([wide(flat(self.means[node])) for node in side], -1) for side in sources]
        found = joined(nodes).moments(self.words, means, lambda i, j: across(sources[i], sources[j]))
        known = found.cov.shape[-1] * self.eps(found.cov) * self.xp.einsum("bii->b", found.cov)
        full = self.words.covariance(found.cov, lambda: known)
        links = {
            other: total(slope(across([other], side)) for slope, side in zip(found.slopes, sources, strict=True))
            for other in alive
        }
        parts = _cuts(nodes)
        for k, node in enumerate(nodes):
            self.means[node] = found.mean[:, parts[k]].reshape(batch, *node.shape)
            self.covs |= {(node, other): link[:, :, parts[k]].mT for other, link in links.items()}
            for j in range(k, len(nodes)):
                self.covs[node, nodes[j]] = full if len(nodes) == 1 else full[:, parts[k], parts[j]]
            if node in self.watched:
                self.rounding[node] = known

    def _side_by_side(self, arrays: list[Array], axis: int) -> Array:
        return arrays[0] if len(arrays) == 1 else self.xp.concatenate(arrays, axis)

    def drop(self, node: Node) -> None:
        """Forget a value that nothing reads any more."""
        super().drop(node)
        self.covs = {pair: cov for pair, cov in self.covs.items() if node not in pair}
        self.rounding.pop(node, None)


def _cuts(nodes: list[Node]) -> list[slice]:
    """Where each node's elements are among those of all."""
    cuts = [sum(node.size for node in nodes[:k]) for k in range(len(nodes) + 1)]
    return [slice(*cut) for cut in zip(cuts, cuts[1:], strict=False)]


def _selects(node: Node) -> bool:
    """Whether a value has elements of others, in their order or another."""
    return isinstance(node.rule, Affine) and (node.rule.selects or node.rule.unchanged)
