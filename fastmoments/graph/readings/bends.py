"""Activations and joint functions with full covariance: those of one step together."""

from collections.abc import Sequence
from typing import NamedTuple

from fastmoments.cross import cross_matrix
from fastmoments.elementwise import curvature, gain
from fastmoments.frameworks.products import finite, within_sds
from fastmoments.graph.nodes import Activation, Joint, Node
from fastmoments.graph.order import Step
from fastmoments.graph.readings.covariances import Covariances, selects
from fastmoments.graph.readings.reading import Array, flat, total
from fastmoments.graph.siblings import groups_of, joined, joint_groups_of
from fastmoments.joint.values import Bend, ValueMoments, second_order
from fastmoments.moments import moments


class _Bent(NamedTuple):
    """Nodes one behind the other that are one function, the values that each of its inputs has, and its bends."""

    nodes: Sequence[Node]
    sides: Sequence[Sequence[Node]]
    bends: Sequence[Bend]


class Bends(Covariances):
    """Adds values that are not affine in what they read.

    Covariances with values before them are those of Stein's lemma, exact where these are Gaussian too.
    """

    def bends(self, step: Step) -> None:
        """Add activations and joint functions that do not depend on each other.

        Functions of one kind are exact together, and so are activations. Covariances of others are by slopes and,
        where they are known, bends.
        """
        joints = [node for node in step if isinstance(node.rule, Joint)]
        activations = [node for node in step if isinstance(node.rule, Activation)]
        done = [_Bent([node], [node.inputs], self._bend(node)) for node in activations] if joints else []
        kept = self.kept
        self.kept = kept | {source for node in joints for source in node.inputs}
        if activations:
            self.activations(activations)
        for nodes in joint_groups_of(joints):
            bent = self._joint(nodes, self.kept | {node for other in done for node in other.nodes})
            for other in done:
                self._add_second_order(bent, other)
            done.append(bent)
        self.kept = kept

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
        self.check(sources, cov)
        gains = None
        if self.kept:
            gains = finite(self.xp, gain(rule.activation, mu, self.xp.einsum("bii->bi", cov)))[..., None]
        mean, full = moments(rule.activation, mu, cov)
        parts = cuts(nodes)
        for k, node in enumerate(nodes):
            self.means[node] = mean[:, parts[k]].reshape(len(mean), *node.shape)
            for j in range(k, len(nodes)):
                self.covs[node, nodes[j]] = full if len(nodes) == 1 else full[:, parts[k], parts[j]]
        return {} if gains is None else {node: gains[:, part] for node, part in zip(nodes, parts, strict=True)}

    def _mended(self, sources: list[Node]) -> Array:
        """Cov of values one behind the other, without what rounding put beyond sqrt(var_i var_j) between them."""
        cov, known = self.joint_cov(sources), [self.rounding[node] for node in sources if node in self.rounding]
        if not known or (len(sources) == 1 and not selects(sources[0])):
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

    def _bend(self, node: Node) -> list[Bend]:
        """The curvature of an activation."""
        (source,), rule = node.inputs, node.rule
        assert isinstance(rule, Activation)
        bent = curvature(rule.activation, flat(self.means[source]), self.var(source))
        return [Bend(0.5 * finite(self.xp, bent), 0, 0)]

    def _joint(self, nodes: list[Node], alive: set[Node]) -> _Bent:
        """Add one joint function of several inputs side by side, and its covariances with values that are alive."""
        sides = list(zip(*(node.inputs for node in nodes), strict=True))
        batch = max(len(self.means[source]) for side in sides for source in side)
        means = [
            self.side_by_side([self.wide(flat(self.means[node]), batch) for node in side], -1) for side in sides
        ]
        found = joined(nodes).moments(self.words, means, lambda i, j: self.blocks(sides[i], sides[j], batch))
        for other in alive:
            pairs = zip(found.slopes, sides, strict=True)
            link = total(slope(self.blocks([other], side, batch)) for slope, side in pairs)
            self.covs |= {(node, other): link[:, :, part].mT for node, part in zip(nodes, cuts(nodes), strict=True)}
        self._place(nodes, found)
        return _Bent(nodes, sides, found.bends)

    def _place(self, nodes: list[Node], found: ValueMoments) -> None:
        """Give every node its part of the moments of all."""
        rounding = found.cov.shape[-1] * self.eps(found.cov) * self.xp.einsum("bii->b", found.cov)
        full, parts = self.words.covariance(found.cov, lambda: rounding), cuts(nodes)
        for k, node in enumerate(nodes):
            self.means[node] = found.mean[:, parts[k]].reshape(len(found.mean), *node.shape)
            for j in range(k, len(nodes)):
                self.covs[node, nodes[j]] = full if len(nodes) == 1 else full[:, parts[k], parts[j]]
            if node in self.watched:
                self.rounding[node] = rounding

    def _add_second_order(self, one: _Bent, two: _Bent) -> None:
        batch = len(self.means[one.nodes[0]])
        bent = second_order(one.bends, two.bends, lambda i, j: self.blocks(one.sides[i], two.sides[j], batch))
        if bent is None:
            return
        for node, rows in zip(one.nodes, cuts(one.nodes), strict=True):
            for other, columns in zip(two.nodes, cuts(two.nodes), strict=True):
                self.covs[node, other] = self.cov(node, other) + bent[:, rows, columns]


def cuts(nodes: Sequence[Node]) -> list[slice]:
    """Where each node's elements are among those of all."""
    cuts = [sum(node.size for node in nodes[:k]) for k in range(len(nodes) + 1)]
    return [slice(*cut) for cut in zip(cuts, cuts[1:], strict=False)]
