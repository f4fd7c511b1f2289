"""Any model at many points: the model itself, or its graph where what is random in it is drawn of the points.

Rows are cut into batches of ON_CPU or ELSEWHERE numbers in the widest value of the graph, what is drawn for it
included. Without a graph, values inside count as WIDER times as wide as inputs and outputs.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from fastmoments.checked import drawing
from fastmoments.dispatch import Plan
from fastmoments.frameworks import Words, words_of
from fastmoments.graph.frontends.own_rules import Rule
from fastmoments.graph.inputs import Inputs
from fastmoments.graph.nodes import Graph, Shape, parted

Array = Any  # of the model's library
Batch = Callable[[list[Array], Array | None], list[Array]]  # of one batch and its uniform numbers

ON_CPU = 2**20  # numbers in the widest value of a batch: 8 MB in float64, the fastest of those that were tried
ELSEWHERE = 2**24  # 128 MB, for devices whose kernels take long to start
WIDER = 16  # times the inputs and outputs: what is guessed of values inside


class Runs(NamedTuple):
    """A function that runs one batch, the shapes of its outputs' rows, and one that makes the model's structure."""

    batch: Batch
    shapes: list[Shape]
    rebuild: Callable[[Sequence[Array], bool], Any]


class Runner:
    """A model at many points.

    Attributes
    ----------
    draws : how many uniform numbers a row takes for what is random in the model; 0 if nothing is.
    most : the most rows that run at once.
    """

    def __init__(self, words: Words[Any], runs: Runs, draws: int, most: int, graph: Graph | None) -> None:
        self.draws, self.most = draws, most
        self._words, self._runs, self._graph = words, runs, graph

    @cached_property
    def jumps(self) -> bool | None:
        """Whether an activation jumps or is random, so that derivatives of points are wrong; None if unknown."""
        return None if self._graph is None else drawing.jumps(self._graph)

    def __call__(self, x: Sequence[Array], uniforms: Array | None = None) -> Array:
        """Return all outputs, flattened in order, (rows, m), of inputs (rows, *shape).

        `uniforms` (rows, draws) in [0, 1) are what is random in the model: every row's own.
        """
        if self.draws and uniforms is None:
            raise TypeError(f"uniforms: the model draws {self.draws} random numbers a row")
        sizes, found = [math.prod(shape) for shape in self._runs.shapes], []
        for start in range(0, len(x[0]), self.most):
            at = slice(start, start + self.most)
            given = uniforms[at] if self.draws and uniforms is not None else None
            parts = self._runs.batch([part[at] for part in x], given)
            flat = [part.reshape(len(part), size) for part, size in zip(parts, sizes, strict=True)]
            found.append(self._words.xp.concatenate(flat, 1))
        # a model need not run for no rows
        return self._words.xp.concatenate(found) if found else self._words.constant(np.zeros((0, sum(sizes))), x[0])

    def rebuild(self, mean: Array, single: bool) -> Any:
        """Return (rows, m) in the structure that the model returns, without a batch for a `single` input."""
        return self._runs.rebuild(parted(mean, self._runs.shapes), single)


def runner_of(model: Any, inputs: Inputs, graph: Graph | None, rules: Mapping[type, Rule]) -> Runner:
    """Return what runs a model at many points.

    Parameters
    ----------
    model : as in `propagate`. Without a graph a function of JAX arrays, a module or function of tensors, a model of
        scikit-learn that has `predict`, or a function of NumPy arrays.
    inputs : the model's arguments, as `inputs_of` makes them.
    graph : the model's graph, as recorded or rewritten: where something in it is random it is read with draws, else
        the model runs itself. As recorded it may have functions without rules. None: the model has no graph.
    rules : rules of modules by their class.

    Raises
    ------
    TypeError, ValueError : by name, what is random and cannot be drawn; rows of a batch that meet.
    """
    words, widths = words_of(inputs.plan), [math.prod(mean.shape[1:]) for mean in inputs.means]
    if graph is None:
        draws = 0
        batch, shapes, rebuild = _library_of(inputs).without_graph(model, inputs, rules)
        widest = WIDER * max(*widths, *map(math.prod, shapes))
    else:
        batch = evaluation = drawing.Evaluation(words, graph)
        draws, widest = evaluation.count, max(evaluation.widest, *widths)
        shapes, rebuild = [node.shape for node in graph.outputs], graph.rebuild
        if graph.parts is not None and not draws:
            batch = _library_of(inputs).batch_of(model, inputs, graph.parts)
    most = max(1, (ON_CPU if _is_on_cpu(inputs.plan) else ELSEWHERE) // max(1, widest))
    if inputs.plan.framework == "jax":
        from fastmoments.checked.jax_models import compiled

        batch = compiled(batch, most)
    return Runner(words, Runs(batch, shapes, rebuild), draws, most, graph)


def _library_of(inputs: Inputs) -> Any:
    """The module that runs models of the inputs' library."""
    if inputs.plan.framework == "torch":
        from fastmoments.checked import torch_models

        return torch_models
    if inputs.plan.framework == "jax":
        from fastmoments.checked import jax_models

        return jax_models
    from fastmoments.checked import numpy_models

    return numpy_models


def _is_on_cpu(plan: Plan) -> bool:
    if plan.framework == "jax":
        return bool(sys.modules["jax"].default_backend() == "cpu")
    return plan.device.startswith("cpu")
