"""Full covariance, corrected by third and fourth cumulants that are carried from step to step.

A value behind a step of neurons f(z) responds to them by R, and has the covariance G with their inputs z. Both are
covariances with something before it: G with z, and R with unit noise added to f, so that both pass through affine
maps, sums, activations and joint functions as all covariances do. The nodes that stand for such noise belong to no
graph. From R and G come the cumulants of the inputs of the next step (`fastmoments.cumulants`), and from these what
they change of its moments.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fastmoments.cumulants.correction import Powers, covariance_changes, mean_changes, variance_changes
from fastmoments.cumulants.definite import inverse, positive, semidefinite
from fastmoments.cumulants.distance import are_near
from fastmoments.cumulants.own import Own, own_cumulants
from fastmoments.cumulants.slices import Slices, both_sides, diagonal
from fastmoments.cumulants.sources import Links, Vertices, fourth_cumulants, third_cumulants
from fastmoments.frameworks import Words
from fastmoments.frameworks.products import root
from fastmoments.graph.inputs import Inputs
from fastmoments.graph.nodes import Activation, Graph, Input, Node
from fastmoments.graph.order import Step
from fastmoments.graph.readings.bends import cuts
from fastmoments.graph.readings.full import Full
from fastmoments.graph.readings.reading import Array, flat
from fastmoments.powers import hermite_moments

LARGEST = 2.0 / 3.0  # of any distance to the closure: one standard deviation is three times the other
HUGE = 1e9  # kurtosis of a neuron that hardly ever fires: products with larger ones leave float32
ROUNDING = 64  # of f and of its input, in eps
TINY = 1e-8  # of the mean variance of a step: fourth powers of values over less have no place in float32


class Source(NamedTuple):
    """The neurons of one step: the nodes of their inputs z, and `unit` = 1 / sd of z (batch, n).

    Covariances with `response` are responses to the neurons, and those with `bent` are to their own kappa(i, i, j).
    """

    inputs: Sequence[Node]
    unit: Array
    vertices: Vertices
    response: Node
    bent: Node


class Cumulants(Full):
    """Full covariance with Edgeworth's correction of every activation behind the first."""

    def __init__(self, words: Words[Any]) -> None:
        super().__init__(words)
        self.sources: list[Source] = []
        self.whole: Own | None = None  # the last step's neurons, and all values beside them
        self.beside: Node | None = None  # covariances with it are responses to these values
        self.last: Step = []

    @property
    def linked(self) -> set[Node]:
        """The nodes that covariances are kept with beside those of the graph."""
        found = {node for source in self.sources for node in (*source.inputs, source.response, source.bent)}
        return found | ({self.beside} if self.beside else set())

    def run(self, graph: Graph, steps: list[Step]) -> None:
        """Take every step behind the inputs, which have been brought in."""
        bent = [step for step in steps if any(isinstance(node.rule, Activation) for node in step)]
        self.last = bent[-1] if bent else []
        super().run(graph, steps)

    def take(self, step: Step) -> None:
        """Add the nodes of one step."""
        read = self.kept
        self.kept = read | self.linked
        if any(isinstance(node.rule, Activation) for node in step):
            self._take_activations(step, read)
        else:
            super().take(step)
        self.kept = read

    def drop(self, node: Node) -> None:
        """Forget a value that nothing reads any more, but for what ties values ahead to the neurons behind it."""
        linked = self.linked
        if node not in linked:
            super().drop(node)
            return
        behind = linked - self.kept
        self.covs = {
            pair: cov for pair, cov in self.covs.items() if node not in pair or not behind.issuperset(pair)
        }

    def _take_activations(self, step: Step, read: set[Node]) -> None:
        neurons = [node for node in step if isinstance(node.rule, Activation)]
        self.kept = self.kept | {node.inputs[0] for node in neurons}
        super().take(step)
        # values that pass by have an identity for an activation
        beside = [node for node in (*self.means, *step) if node in read or node in step]
        beside = [node for node in dict.fromkeys(beside) if node not in neurons]
        joint = _Joint(self, neurons, beside)
        slices = self._slices(joint) if self.sources else None
        if slices is not None:
            joint.correct(slices)
        if step is self.last:
            for node in self.linked - read:
                self._forget(node)
            self.sources, self.beside = [], None
        else:
            self._add_source(joint, slices)

    def _slices(self, joint: _Joint) -> Slices:
        """The cumulants of the neurons' inputs and of the values beside them."""

        def tie(nodes: Sequence[Node], unit: Array | None = None) -> Array:
            found = self.blocks(joint.inputs, nodes, len(joint.mu)) * joint.unit[..., None]
            return self.words.single(found if unit is None else found * unit[..., None, :])

        sources = [
            (source.vertices, Links(tie([source.response]), tie(source.inputs, source.unit), tie([source.bent])))
            for source in self.sources
        ]
        front = [self.sources[-1].response, *([self.beside] if self.beside else [])]
        response = sources[-1][1].response if len(front) == 1 else tie(front)
        assert self.whole is not None
        return Slices(third_cumulants(sources), *fourth_cumulants(self.whole, response)).limited(self.xp)

    def _add_source(self, joint: _Joint, slices: Slices | None) -> None:
        own = joint.own_cumulants(slices)
        count, size = sum(node.size for node in joint.neurons), joint.mu.shape[-1]
        vertices = Vertices(own.q[:, :count], own.iii[:, :count])
        response, bent = (Node(Input(), (), (count,), name) for name in ("response", "bent"))
        if self.beside:
            self._forget(self.beside)
        self.beside = Node(Input(), (), (size - count,), "beside") if size > count else None
        for node, part in zip(joint.values, cuts(joint.values), strict=True):
            scale = joint.scale[:, part, None]
            self.covs[node, response] = scale * joint.eye[part, :count]
            self.covs[node, bent] = scale * own.iij[:, :count, part].mT
            if self.beside:
                self.covs[node, self.beside] = scale * joint.eye[part, count:]
        inputs = [node.inputs[0] for node in joint.neurons]
        self.sources.append(Source(inputs, joint.unit[:, :count], vertices, response, bent))
        self.whole = own

    def _forget(self, node: Node) -> None:
        self.covs = {pair: cov for pair, cov in self.covs.items() if node not in pair}


class _Joint:
    """A step's neurons, of which the reading has the closure's moments, and the values beside them.

    `unit` is 1 / sd of an input, `scale` the sd of a value, and more for one that hardly varies. Cumulants are in
    float32, since what they leave out is 1e-3 and more.
    """

    def __init__(self, reading: Cumulants, neurons: list[Node], beside: list[Node]) -> None:
        self.reading, self.neurons, self.values = reading, neurons, [*neurons, *beside]
        self.inputs = [*(node.inputs[0] for node in neurons), *beside]
        xp, self.batch = reading.xp, max(len(reading.means[node]) for node in neurons)
        self.mu, self.means = self._means(self.inputs), self._means(self.values)
        cov, self.full = (reading.blocks(x, x, self.batch) for x in (self.inputs, self.values))
        self.var = xp.where(diagonal(xp, cov) > 0.0, diagonal(xp, cov), 0.0 * diagonal(xp, cov))
        self.unit, var = inverse(xp, root(xp, self.var)), diagonal(xp, self.full)
        self.scale = reading.words.detached(root(xp, var + TINY * var.mean(-1, keepdims=True)))
        self.rho = reading.words.single(both_sides(cov, self.unit))
        self.eye = reading.words.eye(self.mu.shape[-1], self.rho)
        self.share = self._share()
        self.powers = self._powers()

    def correct(self, slices: Slices) -> None:
        """Correct the reading's moments of the neurons."""
        reading, xp = self.reading, self.reading.xp
        var = diagonal(xp, self.full)
        new = positive(xp, var, variance_changes(xp, self.powers, slices) * self.scale**2)
        change = both_sides(covariance_changes(xp, self.powers, slices, self.rho), self.scale)
        # those of pairs have float32's rounding, which is not symmetric
        change = 0.5 * (change + change.mT) * (1.0 - self.eye) + self.eye * (new - var)[..., None]
        self.full = semidefinite(reading.words, self.full + change)
        means = self.means + mean_changes(xp, self.powers, slices) * self.scale
        parts = cuts(self.values)
        for k, node in enumerate(self.values):
            if node in self.neurons:
                reading.means[node] = means[:, parts[k]].reshape(self.batch, *node.shape)
            for j in range(k, len(self.values)):
                reading.covs.pop((self.values[j], node), None)
                reading.covs[node, self.values[j]] = self.full[:, parts[k], parts[j]]

    def own_cumulants(self, slices: Slices | None) -> Own:
        """Compute the neurons' own cumulants."""
        xp, per = self.reading.xp, inverse(self.reading.xp, self.scale)
        covs = self.reading.words.single(both_sides(self.full, per * self.share))
        return own_cumulants(xp, self.powers, self.rho, covs, slices, self.eye)

    def _means(self, nodes: list[Node]) -> Array:
        reading = self.reading
        return reading.side_by_side([reading.wide(flat(reading.means[node]), self.batch) for node in nodes], -1)

    def _powers(self) -> Powers:
        """The moments of the neurons, and of values beside them, of which f is the identity."""
        xp, words, parts = self.reading.xp, self.reading.words, cuts(self.values)
        scale, found = xp.where(self.scale > 0.0, self.scale, 1.0 + 0.0 * self.scale), []
        for node, part in zip(self.values, parts, strict=True):
            if node in self.neurons:
                assert isinstance(node.rule, Activation)
                given = [x[:, part] for x in (self.mu, self.var, self.means, scale)]
                moments = hermite_moments(words, node.rule.activation, *given)
            else:
                moments = _of_identity(xp, root(xp, self.var[:, part]) / scale[:, part])
            share = self.share[:, part]
            found.append([share**p * xp.clip(x, -HUGE, HUGE) for p, x in enumerate(moments, 1)])
        if len(found) == 1:
            return Powers(*(words.single(x) for x in found[0]))
        return Powers(*(words.single(xp.concatenate(of_power, -1)) for of_power in zip(*found, strict=True)))

    def _share(self) -> Array:
        """The neuron's weight: 1, and less where it varies by little more than rounding."""
        of_f, of_input = self.means * inverse(self.reading.xp, self.scale), self.mu * self.unit
        noise = ROUNDING * self.reading.eps(self.mu)
        return self.reading.words.detached(1.0 / (1.0 + (noise * of_f) ** 2 + (noise * of_input) ** 2))


def _of_identity(xp: Any, sd: Array) -> list[Array]:
    """E (sd Z)^p He_k(Z)."""
    table = ((0, 1, 0, 0, 0, 0, 0), (1, 0, 2, 0, 0), (0, 3, 0, 6, 0), (3, 0, 12, 0, 24))
    return [xp.stack([float(x) * sd**p for x in row]) for p, row in enumerate(table, 1)]


class Correction(NamedTuple):
    """Corrected moments, flattened, those of the closure, and whether the correction is small, (rows,)."""

    mean: Array
    cov: Array
    closure_mean: Array
    closure_cov: Array
    small: Array


def corrected(graph: Graph, steps: list[Step], inputs: Inputs, words: Words[Any]) -> Correction:
    """Read a graph with cumulants; moments that they change by more than `LARGEST` are those of the closure."""
    xp = words.xp
    mean_0, cov_0 = _moments(Full(words), graph, steps, inputs)
    # what leaves the numbers of a dtype is not small
    with np.errstate(all="ignore"):
        mean, cov = _moments(Cumulants(words), graph, steps, inputs)
        found, closure = ((words.detached(x), words.detached(y)) for x, y in ((mean, cov), (mean_0, cov_0)))
        small = are_near(xp, found, closure, LARGEST)
    mean, cov = xp.where(small[:, None], mean, mean_0), xp.where(small[:, None, None], cov, cov_0)
    return Correction(mean, cov, mean_0, cov_0, small)


def _moments(reading: Full, graph: Graph, steps: list[Step], inputs: Inputs) -> tuple[Array, Array]:
    outputs = list(graph.outputs)
    reading.start(list(graph.inputs), inputs.means, inputs.cov)
    reading.run(graph, steps)
    mean = reading.side_by_side([flat(reading.means[node]) for node in outputs], -1)
    return mean, reading.joint_cov(outputs)
