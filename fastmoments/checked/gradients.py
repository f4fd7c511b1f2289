"""Derivatives of a checked answer: along the paths of its points, and through the moments without points.

Counts and weights are frozen. Paths are x(z) = mean + root z, where the derivative of root along the covariance
is a solution of d root root^T + root d root^T = d cov: it needs no derivatives of eigenvectors, which equal
eigenvalues have not. Points of a model that jumps have no derivative of use; its answer then has that of the
moments without points.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from fastmoments.checked.points import REPLICATES, middle
from fastmoments.frameworks import Words

if TYPE_CHECKING:
    from fastmoments.checked.starts import Starts
    from fastmoments.checked.task import Row, Task


def without_derivatives(framework: str) -> AbstractContextManager[Any]:
    """Return a context in which nothing is recorded for derivatives."""
    return sys.modules["torch"].no_grad() if framework == "torch" else nullcontext()


def is_tracked(framework: str, array: Any) -> bool:
    """Whether derivatives of the array have been asked for."""
    if framework == "torch":
        from fastmoments.frameworks import torch_tracking

        return torch_tracking.is_tracked(array)
    return framework == "jax" and isinstance(array, sys.modules["jax"].core.Tracer)


def forgetful(framework: str, function: Any) -> Any:
    """Return the function of arrays that keeps nothing for derivatives and computes it again for them."""
    if framework == "jax":
        jax = sys.modules["jax"]
        return jax.jit(jax.checkpoint(function))  # one program for all chunks of one size
    from fastmoments.checked import torch_memory

    return torch_memory.forgetful(function)


def with_value(words: Words[Any], value: Any, tracked: Any) -> Any:
    """Return the value with the derivatives of another array."""
    return value + (tracked - words.detached(tracked))


def with_derivatives(task: Task, rows: list[Row], starts: Starts | None, mean: Any, spread: Any) -> tuple[Any, Any]:
    """Return means (rows, m) and covariances or variances with the derivatives that are asked for."""
    words, framework = task.words, task.inputs.plan.framework
    if framework == "numpy" or not rows:
        return mean, spread
    by_start = starts is not None and (is_tracked(framework, starts.mean) or is_tracked(framework, starts.cov))
    inputs = [_input(task, k) for k in range(len(rows))]
    if not (by_start or _depends(task, rows[0], *inputs[0])):
        return mean, spread
    if task.run.jumps and starts is None:
        raise TypeError(
            "model: it jumps, so that points tell no derivatives, and no closure tells them; call it without "
            "derivatives, under torch.no_grad() or with jax.lax.stop_gradient"
        )
    if task.run.jumps:
        assert starts is not None
        return with_value(words, mean, starts.mean), with_value(words, spread, starts.cov)
    found = []
    for k, row in enumerate(rows):
        of_points = path_moments(task, row, *inputs[k])
        of_start = (starts.mean[k], starts.cov[k]) if starts else of_points
        weights = map(float, row.found.weight)
        found.append([w * a + (1.0 - w) * b for w, a, b in zip(weights, of_start, of_points, strict=True)])
    means, spreads = (words.xp.stack(x) for x in zip(*found, strict=True))
    return with_value(words, mean, means), with_value(words, spread, spreads)


def _input(task: Task, k: int) -> tuple[Any, Any]:
    """Mean (n,) and covariance or variances of one input, with derivatives."""
    inputs, words = task.inputs, task.words
    mean = inputs.flattened(words)[k]
    if task.diagonal:
        return mean, inputs.flattened(words, inputs.variances)[k]
    return mean, inputs.cov[k if len(inputs.cov) > 1 else 0]


def _depends(task: Task, row: Row, mean: Any, spread: Any) -> bool:
    """Whether outputs have derivatives, by running the model once: they may come from tensors we do not see."""
    factor = row.spread.factor(task.words, mean, row.along(task, spread))
    normals, uniforms = task.arrays(middle(task.inputs.features, task.run.draws))
    y = task.outputs(row, normals, uniforms, mean, factor)
    return is_tracked(task.inputs.plan.framework, y)


def path_moments(task: Task, row: Row, mean: Any, spread: Any) -> tuple[Any, Any]:
    """Return the mean and covariance, or variances, of an input's points with derivatives along their paths.

    `mean` (n,) and `spread`, the covariance or variances, are the input's, with derivatives.
    """
    words, framework = task.words, task.inputs.plan.framework
    factor = row.spread.factor(words, mean, row.along(task, spread))
    centre = words.constant(row.statistics.estimates().means.mean(0), mean)

    def sums(mean: Any, factor: Any, normals: Any, uniforms: Any) -> tuple[Any, Any]:
        y = task.outputs(row, normals, uniforms, mean, factor) - centre
        return y.sum((0, 1)), (y * y).sum((0, 1)) if task.diagonal else words.xp.einsum("rki,rkj->ij", y, y)

    forgetting = forgetful(framework, sums)
    count = REPLICATES * row.statistics.count
    first, second = 0.0 * centre, 0.0
    for chunk in task.points().up_to(row.statistics.count):
        of_y, of_products = forgetting(mean, factor, *task.arrays(chunk))
        first, second = first + of_y / count, second + of_products / count
    return centre + first, second - (first * first if task.diagonal else first[:, None] * first)
