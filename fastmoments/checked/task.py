"""The arguments of a checked answer, and every input of the batch with its points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fastmoments.checked.arrays import FloatArray, on_host
from fastmoments.checked.directions import (
    Spread,
    Variances,
    by_variance,
    slopes_of,
    spread_of,
    turned,
    variances_of,
)
from fastmoments.checked.points import Chunk, Points
from fastmoments.checked.statistics import Statistics
from fastmoments.checked.weights import Start, Weighed, apart, weighed
from fastmoments.frameworks import Words
from fastmoments.graph.inputs import Inputs
from fastmoments.graph.nodes import Graph, in_order
from fastmoments.graph.order import Step
from fastmoments_kernels.custom.activation import ToleranceError

FEW = 2  # elements of an input up to which neither pilots nor cumulants make good for their time
PILOTED = 512  # elements of the largest value up to which pilots pay where only variances are carried


class Task(NamedTuple):
    """A model that runs, the graph and steps that can be read if there are, the inputs, and the arguments."""

    run: Any
    graph: Graph | None
    steps: list[Step]
    inputs: Inputs
    words: Words[Any]
    diagonal: bool
    tol: float
    seed: int
    most: int

    def points(self) -> Points:
        """Return the points, which all inputs share."""
        return Points(self.inputs.features, self.run.draws, self.seed, self.piloted)

    @property
    def piloted(self) -> bool:
        """Whether pilots find the directions that matter; else coordinates come by their variance."""
        if self.graph is None or self.inputs.features <= FEW:
            return False
        nodes = in_order(self.graph.outputs, self.graph.inputs)
        return not self.diagonal or max(node.size for node in nodes) <= PILOTED

    def arrays(self, chunk: Chunk) -> tuple[Any, Any]:
        """Return a chunk as the library's arrays; uniform numbers (rows, draws) are rounded to less than 1."""
        like = self.inputs.means[0]
        normals = self.words.constant(chunk.normals, like)
        if chunk.uniforms is None:
            return normals, None
        below_one = 1.0 - float(self.words.xp.finfo(like.dtype).eps)
        uniforms = np.minimum(chunk.uniforms, below_one)
        return normals, self.words.constant(uniforms.reshape(-1, uniforms.shape[-1]), like)

    def as_held(self, value: FloatArray) -> FloatArray:
        """Return what the dtype of the result holds of a value."""
        array = self.words.constant(value, self.inputs.means[0])
        return on_host(self.words, self.words.result(self.inputs.plan, array))

    def outputs(self, row: Row, normals: Any, uniforms: Any, mean: Any, factor: Any) -> Any:
        """Run the model at points around an input's mean, (replicates, points, m)."""
        replicates, points = normals.shape[:2]
        # not -1, which arrays without elements have not
        x = row.spread.rows(mean, normals, factor).reshape(replicates * points, self.inputs.features)
        y = self.run(self.inputs.parts(x), uniforms)
        return y.reshape(replicates, points, y.shape[-1])


class Row:
    """One input: where its points lie, what they found, and what may be claimed."""

    def __init__(self, task: Task, mean: Any, spread: Spread | Variances, start: Start | None) -> None:
        self.mean, self.spread, self.start = mean, spread, start
        self.factor = spread.factor(task.words, mean)
        self.statistics = Statistics(task.words, task.diagonal)
        self.outputs: list[Any] = []
        self.errors: list[float] = []  # the largest claim after every doubling
        self.rounding = 0.0  # what the dtype of the result adds to it
        self.found: Weighed

    def add(self, task: Task, normals: Any, uniforms: Any) -> None:
        """Run the model at more points."""
        y = task.words.detached(task.outputs(self, normals, uniforms, self.mean, self.factor))
        self.statistics.add(y)
        self.outputs.append(y.reshape(y.shape[0] * y.shape[1], y.shape[2]))

    def judge(self, task: Task) -> None:
        """Weigh what has been found so far, as the result's dtype holds it."""
        found = weighed(self.statistics.estimates(), self.start)
        with np.errstate(over="ignore", invalid="ignore"):
            off = apart(task.as_held(found.mean), task.as_held(found.cov), found.mean, found.cov)
        off = np.where(np.isnan(off), np.inf, off)
        self.rounding = float(off.max())
        self.found = found._replace(error=found.error + off)
        self.errors.append(float(self.found.error.max()))

    def ends(self, tol: float) -> bool:
        """Whether more points would change nothing: the claim is met, or cannot be."""
        return self.errors[-1] <= tol or math.isinf(self.errors[-1]) or self.rounding > tol

    def along(self, task: Task, spread: Any) -> Any:
        """Return the covariance, or variances, that points depend on, of those of the input."""
        if task.diagonal and isinstance(self.spread, Spread):
            return spread[:, None] * task.words.eye(task.inputs.features, spread)
        return spread


def rows_of(task: Task, starts: list[Start | None]) -> list[Row]:
    """Return the inputs of the batch, each with the coordinates that its points have."""
    words, inputs = task.words, task.inputs
    spreads, means = _spreads(task), words.detached(inputs.flattened(words))
    found = []
    for k, start in enumerate(starts):
        spread = spreads[k if len(spreads) > 1 else 0]
        if task.piloted:
            assert isinstance(spread, Spread) and task.graph is not None
            mean = on_host(words, means[k])
            try:
                slopes = slopes_of(task.graph, task.steps, words, mean, spread, inputs, task.seed)
                spread = turned(spread, slopes)
            except ToleranceError:  # as of the start, at other means
                spread = by_variance(spread)
        found.append(Row(task, means[k], spread, start))
    return found


def _spreads(task: Task) -> Sequence[Spread | Variances]:
    """The coordinates of every input, or of all, by their variances alone."""
    words, inputs = task.words, task.inputs
    if not task.diagonal:
        eps = float(words.xp.finfo(inputs.cov.dtype).eps)
        spreads = [spread_of(cov, eps) for cov in on_host(words, inputs.cov)]
        return spreads if task.piloted else [by_variance(spread) for spread in spreads]
    variances = on_host(words, inputs.flattened(words, inputs.variances))
    return [spread_of(np.diag(var), 0.0) if task.piloted else variances_of(var) for var in variances]
