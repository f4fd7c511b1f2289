"""Noise that a network multiplies a value by or adds to it: its nodes, and how it is drawn of uniform numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from fastmoments.frameworks import Words
from fastmoments.frameworks.products import root
from fastmoments.graph.nodes import Affine, Draw, Map, Node, Shape
from fastmoments.joint.noise import dropout_var

Array = Any  # of the library whose words are given


class Factor(NamedTuple):
    """A random factor of mean 1: its variance, its values by words and uniform numbers, and if it is Gaussian."""

    var: float
    of: Callable[[Words[Any], Array], Array]
    gaussian: bool = False


class Shared(NamedTuple):
    """Which elements of a value share a draw.

    A row has `size` draws, of which `spread` makes (rows, *shape) of (rows, size). `own_cov` makes that of `Affine`
    of the factor's variance.
    """

    size: int
    spread: Map
    own_cov: Callable[[float], Map]


def normals(words: Words[Any], uniforms: Array) -> Array:
    """Numbers of N(0, 1) of uniform ones in [0, 1), of which 0 counts as a quarter of eps."""
    eps = float(words.xp.finfo(uniforms.dtype).eps)
    return words.ndtri(words.xp.clip(uniforms, 0.25 * eps, 1.0 - 0.5 * eps))


def mask_of(p: float) -> Factor:
    """The factor of dropout: 0 with probability p < 1, else 1 / (1 - p)."""

    def values(words: Words[Any], uniforms: Array) -> Array:
        none = 0.0 * uniforms
        return words.xp.where(uniforms < p, none, none + 1.0 / (1.0 - p))

    return Factor(dropout_var(p), values)


def gaussian_factor(sd: float) -> Factor:
    """The factor 1 + sd N(0, 1)."""
    return Factor(sd * sd, lambda words, uniforms: 1.0 + sd * normals(words, uniforms), gaussian=True)


def multiplied(node: Node, factor: Factor, name: str, shared: Shared | None = None, scale: float = 1.0) -> Node:
    """Return the node of scale * node * factor, independent of all else; None: every element has its own."""
    shape, var = node.shape, scale * scale * factor.var

    def value(x: Any) -> Any:
        return scale * x  # a copy, for covariances of it are overwritten

    def drawn(words: Words[Any], uniforms: Array, x: Array) -> Array:
        found = factor.of(words, uniforms)
        found = found.reshape(len(x), *shape) if shared is None else shared.spread(found)
        return scale * x * found

    rule = Affine(
        value,
        value,
        lambda x: scale * scale * x,
        own=lambda second: var * second,
        own_cov=None if shared is None else shared.own_cov(var),
        own_gaussian=factor.gaussian,
        draw=Draw(node.size if shared is None else shared.size, drawn),
        joins=True,
    )
    return Node(rule, (node,), shape, name)


def added(node: Node, var: float, name: str) -> Node:
    """Return the node of the value and Gaussian noise of mean 0 and variance `var`, each element's its own."""

    def value(x: Any) -> Any:
        return 1.0 * x  # as above

    def own(second: Any) -> Any:
        return var + 0.0 * second

    rule = Affine(value, value, value, own=own, draw=of_variance(value, own, node.shape), joins=True)
    return Node(rule, (node,), node.shape, name)


def of_variance(value: Map, own: Map, shape: Shape) -> Draw:
    """Draw a map of `shape` whose elements are Gaussian and independent, given the inputs, of variance own(x^2)."""

    def drawn(words: Words[Any], uniforms: Array, *rows: Array) -> Array:
        mean = value(*rows)
        return mean + root(words.xp, own(rows[0] * rows[0])) * normals(words, uniforms).reshape(mean.shape)

    return Draw(math.prod(shape), drawn)


def of_rows(value: Map, own: Map, shape: Shape, features: int) -> Draw:
    """Draw a map of a value of `shape` (..., n) to (..., features) by Gaussian weights that all its rows share.

    `own` is that of `fm.nn.affine`: the variances V x^2 + v of one row, V those of weights and v those of biases.
    """
    n = shape[-1]

    def drawn(words: Words[Any], uniforms: Array, *rows: Array) -> Array:
        x, z = rows[0], normals(words, uniforms)
        units = words.eye(n, x)[None]
        bias_var = own(0.0 * units)[:, :1]
        weights = root(words.xp, own(units) - bias_var) * z[:, features:].reshape(len(x), n, features)
        noise = x.reshape(len(x), -1, n) @ weights + root(words.xp, bias_var) * z[:, None, :features]
        mean = value(*rows)
        return mean + noise.reshape(mean.shape)

    return Draw(features * (n + 1), drawn)
