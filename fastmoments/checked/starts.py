"""Answers without points: the closure, and what third and fourth cumulants make of it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastmoments.checked.arrays import on_host
from fastmoments.checked.weights import Start, guess_of
from fastmoments.frameworks import Words
from fastmoments.graph.inputs import Inputs
from fastmoments.graph.nodes import Graph
from fastmoments.graph.order import Step
from fastmoments.graph.readings.cumulants import corrected
from fastmoments.graph.readings.diagonal import Diagonal
from fastmoments.graph.readings.reading import flat


class Starts(NamedTuple):
    """Arrays with derivatives, for every row: means (rows, m), covariances or variances, and the closure's.

    `hosted` has what the points' weights are made of, None for rows whose moments are not finite.
    """

    mean: Any
    cov: Any
    closure_mean: Any
    closure_cov: Any
    hosted: list[Start | None]


def starts_of(graph: Graph, steps: list[Step], inputs: Inputs, words: Words[Any], diagonal: bool) -> Starts:
    """Read the graph: by cumulants, or by variances alone."""
    if diagonal:
        reading = Diagonal(words)
        reading.start(list(graph.inputs), inputs.means, inputs.variances)
        reading.run(graph, steps)
        outputs = list(graph.outputs)
        mean, cov = (
            words.xp.concatenate([flat(known[node]) for node in outputs], -1)
            for known in (reading.means, reading.vars)
        )
        return Starts(mean, cov, mean, cov, _hosted(words, (mean, cov), None, None))
    found = corrected(graph, steps, inputs, words)
    shape = (inputs.rows, *found.cov.shape[1:])
    cov, closure_cov = (words.xp.broadcast_to(x, shape) for x in (found.cov, found.closure_cov))
    moments, closure = (found.mean, cov), (found.closure_mean, closure_cov)
    return Starts(*moments, *closure, _hosted(words, moments, closure, found.small))


def _hosted(words: Words[Any], moments: Any, closure: Any, small: Any) -> list[Start | None]:
    """What is known of every row's moments; a closure that stands uncorrected says nothing of its error."""
    mean, cov = (on_host(words, x) for x in moments)
    if closure is not None:
        mean_0, cov_0, is_small = (on_host(words, x) for x in (*closure, small))
    found: list[Start | None] = []
    for k in range(len(mean)):
        if not (np.isfinite(mean[k]).all() and np.isfinite(cov[k]).all()):
            found.append(None)
        elif closure is None or not is_small[k]:
            found.append(Start(mean[k], cov[k], np.full(3, np.inf)))
        else:
            found.append(Start(mean[k], cov[k], guess_of(mean[k], cov[k], mean_0[k], cov_0[k])))
    return found
