"""Answers without points: the closure, and what third and fourth cumulants make of it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastmoments.checked.arrays import on_host
from fastmoments.checked.weights import GUESS, Start, apart
from fastmoments.frameworks import Words
from fastmoments.graph.inputs import Inputs
from fastmoments.graph.nodes import Graph
from fastmoments.graph.order import Step
from fastmoments.graph.readings.cumulants import corrected
from fastmoments.graph.readings.diagonal import Diagonal
from fastmoments.graph.readings.full import Full
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


def starts_of(
    graph: Graph, steps: list[Step], inputs: Inputs, words: Words[Any], diagonal: bool, cumulants: bool
) -> Starts:
    """Read the graph: by variances alone, or by full covariance, with cumulants or without."""
    if cumulants and not diagonal:
        found = corrected(graph, steps, inputs, words)
        cov, closure_cov = (_of_every_row(words, inputs, x) for x in (found.cov, found.closure_cov))
        moments, closure = (found.mean, cov), (found.closure_mean, closure_cov)
        return Starts(*moments, *closure, _hosted(words, moments, closure, found.small))
    outputs = list(graph.outputs)
    if diagonal:
        by_variances = Diagonal(words)
        by_variances.start(list(graph.inputs), inputs.means, inputs.variances)
        by_variances.run(graph, steps)
        means, spread = by_variances.means, _joined(words, [by_variances.vars[node] for node in outputs])
    else:
        by_covariance = Full(words)
        by_covariance.start(list(graph.inputs), inputs.means, inputs.cov)
        by_covariance.run(graph, steps)
        means, spread = by_covariance.means, _of_every_row(words, inputs, by_covariance.joint_cov(outputs))
    closed = _joined(words, [means[node] for node in outputs]), spread
    return Starts(*closed, *closed, _hosted(words, closed, None, None))


def _joined(words: Words[Any], values: list[Any]) -> Any:
    """Values of all outputs, flattened in order."""
    return words.xp.concatenate([flat(value) for value in values], -1)


def _of_every_row(words: Words[Any], inputs: Inputs, cov: Any) -> Any:
    """A covariance for every input, where one may be that of all."""
    return words.xp.broadcast_to(cov, (inputs.rows, *cov.shape[1:]))


def _hosted(words: Words[Any], moments: Any, closure: Any, small: Any) -> list[Start | None]:
    """Return every row's moments, with a guess at their error; that of an uncorrected closure is not known."""
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
            found.append(Start(mean[k], cov[k], GUESS * apart(mean[k], cov[k], mean_0[k], cov_0[k])))
    return found
