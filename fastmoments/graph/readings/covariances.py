"""The values of a network that are alive at one time, as one Gaussian: a mean each and every covariance of two.

Covariances are of flattened values, (batch, n, m), or (1, n, m) where a whole batch has one.
"""

from collections.abc import Sequence
from typing import Any

from fastmoments.frameworks import Words
from fastmoments.graph.nodes import Affine, Node
from fastmoments.graph.readings.reading import Array, Reading, flat

NO_COVARIANCE = (
    "if cov has negative eigenvalues, l, v = linalg.eigh(cov) and v * l.clip(0) @ v.mT has none; else rounding is "
    "too large, compute in float64"
)


class Covariances(Reading):
    """Means and covariances of the values that are alive; subclasses have the rules by which they come."""

    def __init__(self, words: Words[Any]) -> None:
        super().__init__(words)
        self.covs: dict[tuple[Node, Node], Array] = {}
        # how far rounding may take covariances (batch,): of values whose matrix is not all that an activation reads
        self.rounding: dict[Node, Array] = {}
        self.watched: set[Node] = set()

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

    def check(self, nodes: Sequence[Node], cov: Array) -> None:
        """Raise, with the values' names, if cov, of these one behind the other, has a negative variance."""
        names = " and ".join(dict.fromkeys(node.name for node in nodes))
        self.words.check_variances(names, self.xp.einsum("bii->bi", cov), "its output's covariance", NO_COVARIANCE)

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

    def blocks(self, rows: Sequence[Node], columns: Sequence[Node], batch: int) -> Array:
        """Cov of values one behind the other with others, for a whole batch."""
        lines = [[self.wide(self.cov(one, two), batch) for two in columns] for one in rows]
        return self.side_by_side([self.side_by_side(line, -1) for line in lines], -2)

    def side_by_side(self, arrays: list[Array], axis: int) -> Array:
        """Concatenate; one array is itself."""
        return arrays[0] if len(arrays) == 1 else self.xp.concatenate(arrays, axis)

    def wide(self, array: Array, batch: int) -> Array:
        """Repeat what the whole batch shares."""
        return array if len(array) == batch else self._rows(array, batch)

    def eps(self, array: Array) -> float:
        """The spacing of numbers of the array's dtype."""
        return float(self.xp.finfo(array.dtype).eps)

    def rounding_of_map(self, node: Node, rule: Affine, batch: int) -> Array:
        """Bound the rounding of a map's covariances, (batch,)."""
        # by Cauchy-Schwarz n times the variance of independent inputs bounds (sum_j |A_ij| sd_j)^2
        variances = [self.var(source).reshape(batch, *source.shape) for source in node.inputs]
        reach = flat(self.squares(rule, node, variances)).sum(-1)
        count = sum(source.size for source in node.inputs)
        return count * node.size * self.eps(reach) * reach

    def drop(self, node: Node) -> None:
        """Forget a value that nothing reads any more."""
        super().drop(node)
        self.covs = {pair: cov for pair, cov in self.covs.items() if node not in pair}
        self.rounding.pop(node, None)


def selects(node: Node) -> bool:
    """Whether a value has elements of others, in their order or another."""
    return isinstance(node.rule, Affine) and (node.rule.selects or node.rule.unchanged)
