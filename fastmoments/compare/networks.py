"""Networks as lists of layers in float64, and their values at points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastmoments import values
from fastmoments.dtypes import eps_of
from fastmoments.frameworks import numpy
from fastmoments.graph.functions import is_stochastic as is_stochastic
from fastmoments.layer_lists import Affine, Layer, arrays_of, checked

FloatArray = NDArray[np.float64]


class Step(NamedTuple):
    """A layer ``f(A x + b) + C x + d`` in float64; an affine layer has no A, and C may be None for 0."""

    activation: Any
    A: FloatArray | None
    b: FloatArray
    C: FloatArray | None
    d: FloatArray


def steps(layers: Sequence[Layer], width: int) -> list[Step]:
    """Convert the layers to steps; raise unless they fit each other and an input of `width` numbers."""
    arrays = {name: np.asarray(value, dtype=np.float64) for name, value in arrays_of(layers).items()}
    return [_step(layer) for layer in checked(layers, arrays, width)]


def _step(layer: Any) -> Step:
    if isinstance(layer, Affine):
        weight: Any = layer.weight
        return Step(None, None, np.zeros(0), weight, _or_zeros(layer.bias, len(weight)))
    n = len(layer.A)
    skip = np.eye(n) if isinstance(layer.C, str) else layer.C
    return Step(layer.activation, layer.A, _or_zeros(layer.b, n), skip, _or_zeros(layer.d, n))


def _or_zeros(vector: Any, length: int) -> FloatArray:
    return np.zeros(length) if vector is None else vector


def gaussian(mu: ArrayLike, cov: ArrayLike) -> tuple[FloatArray, NDArray[Any]]:
    """Check and broadcast an input's mu (..., n) and cov (..., n, n).

    mu becomes float64; cov keeps its dtype, on which its rounding errors depend, and is refused unless it is
    symmetric to rounding.
    """
    mu, cov = np.asarray(mu, dtype=np.float64), np.asarray(cov)
    if mu.ndim < 1:
        raise ValueError("mu: expected shape (..., n), got a scalar")
    n = mu.shape[-1]
    if cov.shape[-2:] != (n, n):
        raise ValueError(f"cov: expected shape (..., {n}, {n}) to go with mu {mu.shape}, got {cov.shape}")
    try:
        batch = np.broadcast_shapes(mu.shape[:-1], cov.shape[:-2])
    except ValueError:
        raise ValueError(f"cov: {cov.shape} does not broadcast with mu {mu.shape}") from None
    cov = numpy.checked_covariance(cov, eps_of(cov, mu))
    return np.broadcast_to(mu, (*batch, n)), np.broadcast_to(cov, (*batch, n, n))


def evaluate(activation: Any, x: FloatArray) -> FloatArray:
    """Return f(x) with neurons along the last axis; for a stochastic activation, its mean given x."""
    found: FloatArray = values.value(numpy, activation, x)
    return found


def value(network: Sequence[Step], x: FloatArray) -> FloatArray:
    """Evaluate the network at the points x, shape (..., n)."""
    for step in network:
        y = step.d if step.C is None else x @ step.C.T + step.d
        if step.A is not None:
            y = evaluate(step.activation, x @ step.A.T + step.b) + y
        x = y
    return x
