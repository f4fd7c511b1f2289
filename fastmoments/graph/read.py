"""Moments of a network's outputs by one reading of its graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastmoments.frameworks import Words
from fastmoments.graph.inputs import Inputs
from fastmoments.graph.nodes import Graph, in_order
from fastmoments.graph.order import Step, check_sizes, steps_of
from fastmoments.graph.readings.bound import Bound
from fastmoments.graph.readings.diagonal import Diagonal
from fastmoments.graph.readings.full import Full
from fastmoments.graph.readings.hybrid import Hybrid, with_full_covariance
from fastmoments.graph.readings.skips import with_residuals
from fastmoments.graph.rewrite import rewrite
from fastmoments.graph.selections import merge_selections
from fastmoments.results import Marginals, Moments, MomentsBound


def prepared(graph: Graph, inputs: Inputs, covariance: str, limit: int) -> tuple[Graph, list[Step]]:
    """Return a traced graph as readings take it, and its steps; raise where full covariances would be too large."""
    graph = rewrite(graph, whole_sums=covariance == "diagonal")
    graph = graph if covariance == "full" else merge_selections(graph)
    steps = steps_of(graph)
    if covariance != "diagonal":
        full = with_full_covariance(steps) if covariance == "hybrid" else in_order(graph.outputs, graph.inputs)
        check_sizes(full, limit, lambda n: inputs.rows * n * n * inputs.means[0].itemsize)
    return graph, steps


def read(graph: Graph, steps: list[Step], inputs: Inputs, words: Words[Any], covariance: str, bound: bool) -> Any:
    """Return `Moments`, `MomentsBound` or `Marginals` of the outputs."""
    if covariance == "full" and not bound:
        graph, steps = with_residuals(graph, steps)
    nodes, outputs = list(graph.inputs), list(graph.outputs)

    def rebuilt(known: Mapping[Any, Any]) -> Any:
        return graph.rebuild([known[node] for node in outputs], inputs.single)

    if covariance == "diagonal":
        diagonal = Diagonal(words)
        diagonal.start(nodes, inputs.means, inputs.variances)
        diagonal.run(graph, steps)
        return Marginals(rebuilt(diagonal.means), rebuilt(diagonal.vars))
    if covariance == "hybrid":
        hybrid = Hybrid(words)
        hybrid.start_with_variances(nodes, inputs.means, inputs.variances)
        reading: Full = hybrid
    else:
        reading = Bound(words) if bound else Full(words)
        reading.start(nodes, inputs.means, inputs.cov)
    reading.run(graph, steps)
    mean, full = rebuilt(reading.means), inputs.of_all_rows(words, reading.joint_cov(outputs))
    if not isinstance(reading, Bound):
        return Moments(mean, full)
    error = words.detached(reading.bound(outputs))
    return MomentsBound(mean, full, inputs.of_all_rows(words, error))
