"""Points through a model, doubled for every input of a batch until its claim is met."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from fastmoments.checked.corrected import WITH_CUMULANTS
from fastmoments.checked.gradients import with_derivatives, without_derivatives
from fastmoments.checked.points import REPLICATES, doublings
from fastmoments.checked.progress import bar
from fastmoments.checked.result import AccuracyWarning, Checked, CheckedMarginals
from fastmoments.checked.runs import runner_of
from fastmoments.checked.starts import Starts, starts_of
from fastmoments.checked.task import FEW, Row, Task, rows_of
from fastmoments.frameworks import Words
from fastmoments.graph.inputs import Inputs
from fastmoments.graph.models import Rules, graph_of
from fastmoments.graph.nodes import Graph
from fastmoments.graph.order import LimitError, Step
from fastmoments.graph.read import prepared
from fastmoments.results import Marginals, Moments
from fastmoments_kernels import cautions
from fastmoments_kernels.custom.activation import ToleranceError

NAMED = 3  # inputs of a batch that a warning names


class Asked(NamedTuple):
    """The arguments of `propagate` beside a model and its input."""

    tol: float
    seed: int
    most: int
    limit: int
    diagonal: bool


def checked(model: Any, inputs: Inputs, words: Words[Any], rules: Rules, asked: Asked) -> Any:
    """Return `Checked`, or `CheckedMarginals` for variances; warn the caller's caller if a claim is not met."""
    traced = _graph_of(model, inputs, rules)
    run = runner_of(model, inputs, traced, rules)
    graph, steps = _prepared(traced, inputs, asked)
    starts = None
    if graph is not None:
        # points' answers need no better start where inputs are few, but jumps need its derivatives
        cumulants = inputs.features > FEW or (inputs.plan.framework != "numpy" and bool(run.jumps))
        cumulants = cumulants and inputs.plan.compute in WITH_CUMULANTS
        with suppress(ToleranceError):  # of a function that quadrature cannot integrate, as one that is very steep
            starts = starts_of(graph, steps, inputs, words, asked.diagonal, cumulants)
    graph = graph if starts else None
    task = Task(run, graph, steps, inputs, words, asked.diagonal, asked.tol, asked.seed, asked.most)
    with without_derivatives(inputs.plan.framework):
        rows = rows_of(task, starts.hosted if starts else [None] * inputs.rows)
        add_points(task, rows)
    warn(task, rows)
    return result_of(task, rows, starts)


def _graph_of(model: Any, inputs: Inputs, rules: Rules) -> Graph | None:
    """The model's graph, None where it has none: points need none."""
    try:
        return graph_of(model, inputs, rules)
    except TypeError:
        return None


def _prepared(traced: Graph | None, inputs: Inputs, asked: Asked) -> tuple[Graph | None, list[Step]]:
    """The graph as readings take it, and its steps; None where it cannot be read, or has too large values."""
    if traced is None:
        return None, []
    covariance = "diagonal" if asked.diagonal else "full"
    try:
        return prepared(traced, inputs, covariance, asked.limit)
    except (TypeError, LimitError):
        return None, []


def add_points(task: Task, rows: list[Row]) -> None:
    """Double the points of every input until its claim is met, or as many as are allowed are used."""
    points, active = task.points(), rows
    with bar("propagate", " points") as progress:
        for more in doublings(task.most // REPLICATES):
            for chunk in points.next(more):
                arrays = task.arrays(chunk)
                for row in active:
                    row.add(task, *arrays)
                    progress.update(math.prod(chunk.normals.shape[:2]))
            for row in active:
                row.judge(task)
            active = [row for row in active if not row.ends(task.tol)]
            if not active:
                break


def warn(task: Task, rows: list[Row]) -> None:
    """Warn once of the inputs whose claims are not met: what was reached, and what it would take."""
    missed = [k for k, row in enumerate(rows) if not row.errors[-1] <= task.tol]
    if not missed:
        return
    told = "; ".join(_told(task, rows[k], None if task.inputs.single else k) for k in missed[:NAMED])
    more = f"; and {len(missed) - NAMED} more" if len(missed) > NAMED else ""
    cautions.warn(f"tol={task.tol:g} is not met: {told}{more}", AccuracyWarning)


def _told(task: Task, row: Row, place: int | None) -> str:
    where = "" if place is None else f"input {place}: "
    count = REPLICATES * row.statistics.count
    if not np.isfinite(row.found.mean).all() or not np.isfinite(row.found.cov).all():
        return f"{where}outputs at some of {count:,} points are not finite"
    if row.rounding > task.tol:
        return f"{where}rounding to {task.inputs.plan.result} alone is {row.rounding:.2g}; give arrays in float64"
    needed = _needed(row, task.tol)
    return f"{where}the claim is {row.errors[-1]:.2g} after {count:,} points, it would take about most={needed:,}"


def _needed(row: Row, tol: float) -> int:
    """About how many points would meet the claim: by the rate of the last doublings, n^-1/2 to n^-1."""
    errors = row.errors[-3:]
    doubled = max(len(errors) - 1, 1)
    rate = min(max(math.log2(errors[0] / errors[-1]) / doubled, 0.5), 1.0)
    doublings_more = math.ceil(math.log2(errors[-1] / tol) / rate)
    return int(REPLICATES * row.statistics.count * 2**doublings_more)


def result_of(task: Task, rows: list[Row], starts: Starts | None) -> Any:
    """Return the named tuple of the answers of all inputs."""
    inputs, words = task.inputs, task.words
    outputs = rows[0].found.mean.shape[-1] if rows else outputs_of(task)
    shapes = ((outputs,), (outputs,) if task.diagonal else (outputs, outputs), (2 if task.diagonal else 3,), (2,))
    values = [
        words.constant(np.array([row.found[k] for row in rows]).reshape(len(rows), *shape), inputs.means[0])
        for k, shape in enumerate(shapes)
    ]
    mean, spread = with_derivatives(task, rows, starts, values[0], values[1])
    error, weight = (inputs.of_all_rows(words, x) for x in values[2:])
    met = _of_rows(task, [row.errors[-1] <= task.tol for row in rows], bool)
    count = _of_rows(task, [REPLICATES * row.statistics.count for row in rows], int)
    points = tuple(words.xp.concatenate(row.outputs) for row in rows)
    given = points[0] if inputs.single else points

    def structured(x: Any) -> Any:
        return task.run.rebuild(x, inputs.single)

    if task.diagonal:
        plain = starts and Marginals(structured(starts.closure_mean), structured(starts.closure_cov))
        return CheckedMarginals(structured(mean), structured(spread), error, met, count, weight, plain, given)
    full = inputs.of_all_rows(words, spread)
    closure = starts and Moments(structured(starts.closure_mean), inputs.of_all_rows(words, starts.closure_cov))
    return Checked(structured(mean), full, error, met, count, weight, closure, given)


def _of_rows(task: Task, values: list[Any], dtype: type) -> Any:
    """One number for every input of the batch, or the number of a single one."""
    return values[0] if task.inputs.single else task.words.xp.asarray(np.array(values, dtype))


def outputs_of(task: Task) -> int:
    """Return the number of the model's outputs, by running it once: a batch may have no inputs."""
    like = task.inputs.means
    uniforms = 0.5 * task.words.constant(np.ones((1, task.run.draws)), like[0]) if task.run.draws else None
    x = [task.words.constant(np.zeros((1, *mean.shape[1:])), mean) for mean in like]
    return int(task.run(x, uniforms).shape[-1])
