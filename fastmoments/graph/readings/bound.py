"""How far a network's output can be from the Gaussian that `propagate` says: an a-priori bound, layer by layer.

Every value Y of the network and its Gaussian G are drawn together, so that |Y - G|_2, the root of E|Y - G|^2, has a
bound e, which is one for the 2-Wasserstein distance. An affine map A multiplies e by its spectral norm, a sum adds
its terms', and an activation gives

    |f(Y) - G'|_2 <= sup|f'| e + sqrt(2 tr R),    R = K - D cov D,    D = diag(gain)

where G' = E f(G) + D (G - mu) + independent noise of covariance R: jointly Gaussian with all values before it, and
by Stein's lemma of the covariances that f(G) has. R, what no line through f explains, is 0 where f(G) is Gaussian.
"""

from typing import Any

from fastmoments.elementwise import gain
from fastmoments.frameworks import Words
from fastmoments.graph.functions import lipschitz
from fastmoments.graph.nodes import Activation, Affine, Joint, Node, Sum
from fastmoments.graph.order import Step
from fastmoments.graph.readings.full import Full
from fastmoments.graph.readings.reading import Array, flat, total


class Bound(Full):
    """Full covariance, and of every value the bound e, (batch,)."""

    def __init__(self, words: Words[Any]) -> None:
        super().__init__(words)
        self.bounds: dict[Node, Array] = {}

    def start(self, nodes: list[Node], means: list[Array], cov: Array) -> None:
        """Bring in the network's inputs, which are Gaussian."""
        super().start(nodes, means, cov)
        for node in nodes:
            self.bounds[node] = self.xp.zeros_like(flat(self.means[node]).sum(-1))

    def affine(self, node: Node, rule: Affine) -> None:
        """Add an affine map; random weights are the same for both, and what they add to nothing is Gaussian."""
        super().affine(node, rule)
        before = [self.bounds[source] for source in node.inputs]
        scaled = [self._scaled(e, self._norm(node, rule, i)) for i, e in enumerate(before)]
        if rule.joins:
            self.bounds[node] = total(e * e for e in scaled) ** 0.5
        else:
            self.bounds[node] = total(scaled)
        if rule.own is not None:
            source = node.inputs[0]
            var, mean = self.var(source), self.means[source]
            second = var.reshape(-1, *source.shape) + mean * mean
            if rule.own_gaussian:
                own = flat(rule.own(second) - rule.own(0.0 * second)).sum(-1)
                own = self.xp.where((var.sum(-1) > 0.0) & (own > 0.0), own, 0.0 * own)
            else:
                own = flat(rule.own(second)).sum(-1)
            local = (2.0 * own) ** 0.5
            self.bounds[node] = self.bounds[node] + local

    def sum(self, node: Node, rule: Sum) -> None:
        """Add a sum."""
        super().sum(node, rule)
        terms = zip(rule.factors, node.inputs, strict=True)
        self.bounds[node] = total(self._scaled(self.bounds[source], abs(a)) for a, source in terms)

    def activations(self, step: Step) -> None:
        """Add activations that do not depend on each other."""
        variances = {node: self.var(node.inputs[0]) for node in step}
        super().activations(step)
        for node, var in variances.items():
            source, rule = node.inputs[0], node.rule
            assert isinstance(rule, Activation)
            gains = gain(rule.activation, flat(self.means[source]), var)
            # rounding may put it below 0, and at a kink without variance a gain may be infinite
            rest = self.xp.where(var > 0.0, self.var(node) - gains * gains * var, 0.0 * var)
            local = (2.0 * self.xp.where(rest > 0.0, rest, 0.0 * rest).sum(-1)) ** 0.5
            slope = lipschitz(rule.activation)
            if slope is None:
                raise TypeError(
                    f"bound: {node.name}: sup |f'| of a function without a closed form is not known; give it as "
                    "fm.nn.Activation(fm.Custom(..., lipschitz=))"
                )
            self.bounds[node] = self._scaled(self.bounds[source], slope) + local

    def bends(self, step: Step) -> None:
        """Add activations; refuse joint functions, of which no Lipschitz constant is known."""
        for node in step:
            if isinstance(node.rule, Joint):
                name = node.rule.function.name
                raise TypeError(f"bound: {node.name}: no bound is known for a {name}; use bound=False")
        super().bends(step)

    def bound(self, nodes: list[Node]) -> Array:
        """Return the bound of values together."""
        bounds = [self.bounds[node] for node in nodes]
        return bounds[0] if len(bounds) == 1 else total(e * e for e in bounds) ** 0.5

    def _scaled(self, bound: Array, factor: Any) -> Array:
        """Factor * bound, 0 where that is 0 and the factor infinite."""
        return self.xp.where(bound == 0.0, 0.0 * bound, bound * factor)

    def _norm(self, node: Node, rule: Affine, at: int) -> Any:
        """Sup |A x|_2 / |x|_2 along one input, of random weights sup of the root mean square."""
        if rule.unchanged:
            return 1.0
        source, like = node.inputs[at], self.means[node.inputs[at]]
        basis = self.words.eye(source.size, like).reshape(-1, *source.shape)
        rows = [self._rows(self.xp.zeros_like(self.means[other][:1]), source.size) for other in node.inputs]
        rows[at] = basis
        norm = self.xp.linalg.matrix_norm(flat(rule.linear(*rows)), ord=2)
        if rule.own is None:
            return norm
        spread = flat(rule.own(basis) - rule.own(0.0 * basis)).sum(-1)
        return (norm * norm + self.xp.max(spread)) ** 0.5
