"""Skip connections f(A x) + C x as one step: their covariance takes two products less than that of their parts."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from fastmoments.elementwise import gain
from fastmoments.frameworks.products import finite
from fastmoments.graph.nodes import Activation, Affine, Graph, Node, Residual, Sum, rebuilt
from fastmoments.graph.order import Step, steps_of
from fastmoments.graph.readings.bends import Bends
from fastmoments.graph.readings.reading import Array, flat
from fastmoments.moments import moments


def with_residuals(graph: Graph, steps: list[Step]) -> tuple[Graph, list[Step]]:
    """Return the graph and its steps with one node for every sum f(A x) + C x whose parts nothing else reads.

    The activation has to be alone in its step: with others it has covariances that only both together give.
    """
    alone = {step[0] for step in steps if len(step) == 1 and isinstance(step[0].rule, Activation)}
    if not alone:
        return graph, steps
    read = Counter(source for step in steps for node in step for source in node.inputs)
    read.update(graph.outputs)
    found: dict[Node, tuple[Residual, Node]] = {}
    for step in steps:
        residual = _residual(step[0], alone, read)
        if residual is not None:
            found[step[0]] = residual
    if not found:
        return graph, steps

    def change(node: Node, copy: Node, new: dict[Node, Node]) -> Node:
        if node in found:
            copy.rule, copy.inputs = found[node][0], (new[found[node][1]],)
        return copy

    graph = rebuilt(graph, change)
    return graph, steps_of(graph)


def _residual(node: Node, alone: set[Node], read: Counter[Node]) -> tuple[Residual, Node] | None:
    """A sum as one skip connection, and the value that it reads."""
    rule = node.rule
    if not isinstance(rule, Sum) or len(node.inputs) != 2:
        return None
    if not all(isinstance(factor, int | float) and factor == 1.0 for factor in rule.factors):
        return None
    f, other = node.inputs if node.inputs[0] in alone else node.inputs[::-1]
    if f not in alone or read[f] != 1 or read[f.inputs[0]] != 1:
        return None
    inner, across = _matrix_rule(f.inputs[0]), _matrix_rule(other)
    if inner is None:
        return None
    (x,) = f.inputs[0].inputs
    if other is x and x.shape == node.shape:
        across = None
    elif across is None or other.inputs != (x,) or read[other] != 1:
        return None
    assert isinstance(f.rule, Activation)
    value = rule.value if f is node.inputs[0] else lambda one, two: rule.value(two, one)
    return Residual(f.rule.activation, inner, across, value), x


def _matrix_rule(node: Node) -> Affine | None:
    """The rule of a value that is one matrix times another value, and a constant."""
    rule = node.rule
    if not isinstance(rule, Affine) or rule.matrix is None or rule.own is not None or len(node.inputs) != 1:
        return None
    return rule if rule.matrix.shape[-1] == node.inputs[0].size else None


class _Parts(NamedTuple):
    """The matrices A and C, None for the identity; A cov if a kernel has not done without; the gains of f(A x)."""

    inner: Array
    across: Array | None
    product: Array | None
    gains: Array


class Skips(Bends):
    """Adds skip connections around one activation, as `residual_moments` does."""

    def residual(self, node: Node, rule: Residual) -> None:
        """Add a skip connection."""
        (x,), inner = node.inputs, rule.inner
        mean_x, cov_x, matrix = self.means[x], self.cov(x, x), inner.matrix
        product, spread = None, self.words.congruence(matrix, cov_x)
        if spread is None:
            product = matrix @ cov_x
            spread = self.words.symmetric_product(
                matrix, product.mT, lambda: self.rounding_of_map(node, inner, len(cov_x))
            )
        self.check([node], spread)
        mu = flat(inner.value(mean_x))
        mean, full = moments(rule.activation, mu, spread)
        gains = finite(self.xp, gain(rule.activation, mu, self.xp.einsum("bii->bi", spread)))
        del spread  # a matrix less while others are made
        skipped = mean_x if rule.across is None else rule.across.value(mean_x)
        self.means[node] = rule.value(mean.reshape(len(mean), *node.shape), skipped)
        parts = _Parts(matrix, None if rule.across is None else rule.across.matrix, product, gains)
        links = {(node, one): self._link(parts, self.cov(x, one)) for one in self.kept}
        self.covs[node, node] = self._with_skip(node, rule, parts, full)
        self.covs |= links

    def _link(self, parts: _Parts, cov: Array) -> Array:
        """Cov(f(A x) + C x, y), given Cov(x, y): Stein's lemma."""
        return parts.gains[..., None] * (parts.inner @ cov) + _times(parts.across, cov)

    def _with_skip(self, node: Node, rule: Residual, parts: _Parts, full: Array) -> Array:
        """Cov(node, node), given that of f(A x)."""
        (x,), words, trace = node.inputs, self.words, self.xp.einsum("bii->b", full)
        cov_x = self.cov(x, x)

        def rounding() -> Array:
            var = self.var(x).reshape(len(cov_x), *x.shape)
            through = flat(var if rule.across is None else self.squares(rule.across, node, [var])).sum(-1)
            return 2 * node.size * self.eps(trace) * (trace + through)

        if node in self.watched:
            self.rounding[node] = rounding()
        product = parts.product
        if product is None:
            across = words.eye(x.size, full) if parts.across is None else parts.across
            found = words.congruence(parts.inner, cov_x, parts.gains, across, full, rounding)
            if found is not None:
                return found
            product = parts.inner @ cov_x
        full = words.with_skip(full, parts.gains, product, _times(parts.across, cov_x), parts.across)
        return words.covariance(full, rounding)


def _times(matrix: Array | None, cov: Array) -> Array:
    """C cov; None stands for the identity."""
    return cov if matrix is None else matrix @ cov
