"""A Gaussian through a whole network: `propagate` makes the model's graph and reads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from fastmoments.frameworks import Framework, framework_of
from fastmoments.graph.inputs import Inputs, inputs_of
from fastmoments.graph.nodes import Graph
from fastmoments.graph.order import check_sizes, steps_of
from fastmoments.graph.readings.bound import Bound
from fastmoments.graph.readings.diagonal import Diagonal
from fastmoments.graph.readings.full import Full
from fastmoments.graph.readings.hybrid import Hybrid
from fastmoments.graph.rewrite import rewrite
from fastmoments.results import Marginals, Moments, MomentsBound

Covariance = Literal["full", "diagonal", "hybrid"]
LIMIT = 4096  # full covariance of more is 128 MB a value in float64 and more


def propagate(
    model: Any,
    mu: Any,
    cov: Any = None,
    covariance: Covariance = "full",
    *,
    bound: bool = False,
    rules: Mapping[type, Callable[..., Any]] | None = None,
    limit: int = LIMIT,
) -> Any:
    """TODO"""
    if covariance not in ("full", "diagonal", "hybrid"):
        raise ValueError(f'covariance: expected "full", "diagonal" or "hybrid", got {covariance!r}')
    if bound and covariance != "full":
        raise ValueError(f'bound: needs covariance="full", got {covariance!r}')
    inputs = inputs_of(model, mu, cov, covariance)
    words = framework_of(inputs.plan)
    with words.arithmetic(inputs.plan):
        graph = graph_of(model, inputs, rules or {})
        return _read(graph, inputs, words, covariance, bound, limit)


def graph_of(model: Any, inputs: Inputs, rules: Mapping[type, Callable[..., Any]]) -> Graph:
    """Return the graph of a model of the inputs' library."""
    if inputs.plan.framework == "torch":
        from fastmoments.graph.frontends import torch

        return torch.graph_of(model, inputs.means, inputs.arguments, rules)
    if inputs.plan.framework == "jax":
        from fastmoments.graph.frontends import jax

        if rules:
            raise TypeError("rules: they are of modules of PyTorch; JAX traces functions")
        return jax.graph_of(model, inputs.means, inputs.arguments, inputs.single)
    raise TypeError(f"mu: there are no networks of {inputs.plan.framework} arrays; use PyTorch's, JAX's or NumPy's")


def _read(graph: Graph, inputs: Inputs, words: Framework[Any], covariance: str, bound: bool, limit: int) -> Any:
    graph = rewrite(graph, whole_sums=covariance == "diagonal")
    steps = steps_of(graph)
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
        check_sizes(graph, limit, lambda n: inputs.rows * n * n * inputs.means[0].itemsize)
        reading = Bound(words) if bound else Full(words)
        reading.start(nodes, inputs.means, inputs.cov)
    reading.run(graph, steps)
    mean, full = rebuilt(reading.means), inputs.of_all_rows(words, reading.joint(outputs))
    if not isinstance(reading, Bound):
        return Moments(mean, full)
    error = words.detached(reading.bound(outputs))
    return MomentsBound(mean, full, inputs.of_all_rows(words, error))
