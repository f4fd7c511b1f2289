"""Moments corrected by cumulants, which nothing checks."""

from __future__ import annotations

from typing import Any

from fastmoments.checked.arrays import on_host
from fastmoments.checked.result import AccuracyWarning, Corrected
from fastmoments.frameworks import Words
from fastmoments.graph.inputs import Inputs
from fastmoments.graph.nodes import Graph, parted
from fastmoments.graph.order import Step
from fastmoments.graph.readings.cumulants import corrected
from fastmoments.results import Moments
from fastmoments_kernels.cautions import warn

WITH_CUMULANTS = "float32", "float64"  # dtypes that they are computed in


def read_corrected(graph: Graph, steps: list[Step], inputs: Inputs, words: Words[Any]) -> Corrected[Any]:
    """Return moments corrected by cumulants; warn where the closure stands."""
    if inputs.plan.compute not in WITH_CUMULANTS:
        raise TypeError(f"cumulants: expected float32 or float64, got {inputs.plan.compute}")
    found = corrected(graph, steps, inputs, words)
    far = _far(words, found.small)
    if far:
        what = "the correction by cumulants is" if inputs.single else f"{far} of {inputs.rows} corrections are"
        message = f"cumulants: {what} not small, so that the moments without it stand; tol= checks them"
        warn(message, AccuracyWarning)

    def rebuilt(mean: Any) -> Any:
        return graph.rebuild(parted(mean, (node.shape for node in graph.outputs)), inputs.single)

    closure = Moments(rebuilt(found.closure_mean), inputs.of_all_rows(words, found.closure_cov))
    cov, small = (inputs.of_all_rows(words, x) for x in (found.cov, found.small))
    return Corrected(rebuilt(found.mean), cov, closure, small)


def _far(words: Words[Any], small: Any) -> int:
    """How many corrections are not small; 0 where values cannot be read."""
    try:
        return int((1.0 - on_host(words, small)).sum())
    except TypeError:
        return 0
