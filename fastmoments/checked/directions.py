"""The input as mean + standard normal numbers times a matrix, whose first columns matter most at the output.

Sobol points are most uniform in their first coordinates. By pilots, Gaussians of half the covariance, the closure
tells how the output answers to the input: Cov(output, input) = J Cov(input), Stein's lemma. Eigenvectors of the
mean J^T J are the directions that matter, for activations without a slope, such as steps, too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fastmoments.checked.arrays import FloatArray, on_host
from fastmoments.frameworks import Words
from fastmoments.graph.inputs import Inputs
from fastmoments.graph.nodes import Graph, in_order
from fastmoments.graph.order import Step
from fastmoments.graph.readings.full import Full

PILOTS = 16
NUMBERS = 2**25  # in the covariances of the pilots that are taken at once: 256 MiB


class Spread(NamedTuple):
    """The input is mean + z @ root^T; root^T @ back is 1 for what derivatives are told of."""

    root: FloatArray
    back: FloatArray

    def factor(self, words: Words[Any], like: Any, cov: Any = None) -> Any:
        """Return root, an array like another, with derivatives along the covariance if that is given."""
        root = words.constant(self.root, like)
        if cov is None:
            return root
        # dL = (I - P / 2) dC C^+ L solves L dL^T + dL L^T = dC on the range of C, on which P projects
        change = (cov - words.detached(cov)) @ words.constant(self.back, like)
        return root + change - 0.5 * words.constant(self.root @ self.back.T, like) @ change

    def rows(self, mean: Any, normals: Any, factor: Any) -> Any:
        """Return inputs (..., n) for normal numbers (..., d)."""
        return mean + normals @ factor.mT


class Variances(NamedTuple):
    """The input is mean + sd * z[places]: independent elements, those of large variance first in z."""

    sd: FloatArray
    places: Any

    def factor(self, words: Words[Any], like: Any, var: Any = None) -> Any:
        """Return sd, an array like another, with derivatives along the variances if these are given."""
        sd = words.constant(self.sd, like)
        if var is None:
            return sd
        slope = 0.5 / np.where(self.sd > 0.0, self.sd, np.inf)
        return sd + words.constant(slope, like) * (var - words.detached(var))

    def rows(self, mean: Any, normals: Any, factor: Any) -> Any:
        """Return inputs (..., n) for normal numbers (..., n)."""
        return mean + normals[..., self.places] * factor


def variances_of(var: FloatArray) -> Variances:
    """Return independent coordinates, those of large variance first."""
    order = np.argsort(-var, kind="stable")
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    return Variances(np.sqrt(var), places)


def spread_of(cov: FloatArray, eps: float) -> Spread:
    """Return the axes of a covariance (n, n), known to eps; raise unless it is positive semidefinite.

    They are the principal ones of the correlations: elements of a small variance keep it beside large ones.
    """
    if not np.isfinite(cov).all():
        nothing = np.full_like(cov, np.nan)
        return Spread(nothing, nothing)
    var = np.diag(cov)
    sd = np.sqrt(np.where(var > 0.0, var, 1.0))
    values, vectors = np.linalg.eigh(cov / sd / sd[:, None])
    if len(cov) and values[0] < -(len(cov) ** 2) * eps:
        raise ValueError(
            f"cov: expected a positive semidefinite matrix, smallest eigenvalue {np.linalg.eigvalsh(cov)[0]:.3g}"
        )
    largest = len(cov) * values[-1:]
    # what float64 knows of a covariance in float32 is kept, but has no derivatives, which would divide by it
    sds = np.sqrt(np.where(values > np.finfo(float).eps * largest, values, 0.0))
    known = np.where(values > eps * largest, sds, np.inf)
    root, back = sd[:, None] * vectors * sds, vectors / sd[:, None] / known
    back[var <= 0.0] = 0.0
    return Spread(root, back)


def by_variance(spread: Spread) -> Spread:
    """Return the spread with its coordinates turned so that those of large variance come first."""
    return _turned(spread, spread.root.T @ spread.root)


def turned(spread: Spread, slopes: FloatArray) -> Spread:
    """Return the spread with its coordinates turned so that what moves the outputs most comes first.

    `slopes` (pilots, m, d) are those of the outputs along the coordinates.
    """
    sizes = np.sqrt(np.mean(slopes**2, axis=(0, 2)))
    rows = (slopes / np.where(sizes > 0.0, sizes, np.inf)[:, None]).reshape(-1, slopes.shape[-1])
    return _turned(spread, rows.T @ rows)


def _turned(spread: Spread, weights: FloatArray) -> Spread:
    """The eigenvectors of a matrix (d, d) for coordinates, those of large eigenvalues first, if it is finite."""
    if not np.isfinite(weights).all():
        return spread
    turn = np.linalg.eigh(weights)[1][:, ::-1]
    return Spread(spread.root @ turn, spread.back @ turn)


def slopes_of(
    graph: Graph, steps: list[Step], words: Words[Any], mean: FloatArray, spread: Spread, inputs: Inputs, seed: int
) -> FloatArray:
    """Return how the outputs move along the coordinates of an input, (pilots, m, d)."""
    off = np.random.default_rng([seed, PILOTS]).standard_normal((PILOTS, spread.root.shape[1]))
    pilots = mean + math.sqrt(0.5) * off @ spread.root.T
    cov = words.constant(0.5 * spread.root @ spread.root.T, inputs.means[0])[None]
    largest = max(node.size for node in in_order(graph.outputs, graph.inputs))
    at_once = max(NUMBERS // largest**2, 1)
    found = []
    for k in range(0, PILOTS, at_once):
        rows = words.constant(pilots[k : k + at_once], inputs.means[0])
        found.append(on_host(words, _crossed(graph, steps, words, inputs.parts(rows), cov)))
    return 2.0 * np.concatenate(found) @ spread.back


def _crossed(graph: Graph, steps: list[Step], words: Words[Any], means: Sequence[Any], cov: Any) -> Any:
    """Cov(outputs, inputs), (rows, m, n)."""
    reading = Full(words)
    reading.start(list(graph.inputs), list(means), cov)
    reading.run(graph._replace(outputs=[*graph.outputs, *graph.inputs]), steps)
    return reading.blocks(list(graph.outputs), list(graph.inputs), len(means[0]))
