"""Networks as lists of layers: their checks, and their values at points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastmoments.parameters import of_neurons
from fastmoments_kernels import custom
from fastmoments_kernels.catalogue import row_of
from fastmoments_kernels.custom import Custom

FloatArray = NDArray[np.float64]


class Affine(NamedTuple):
    """The layer ``weight @ x + bias``; the fields are those of `fastmoments.affine_moments`."""

    weight: ArrayLike
    bias: ArrayLike | None = None


class Residual(NamedTuple):
    """The layer ``f(A @ x + b) + C @ x + d``; the fields are those of `fastmoments.residual_moments`."""

    activation: Any
    A: ArrayLike
    b: ArrayLike | None = None
    C: ArrayLike | Literal["identity"] | None = None
    d: ArrayLike | None = None


Layer = Affine | Residual


class Step(NamedTuple):
    """A layer ``f(A x + b) + C x + d`` in float64; an affine layer has no A, and C may be None for 0."""

    activation: Any
    A: FloatArray | None
    b: FloatArray
    C: FloatArray | None
    d: FloatArray


def steps(layers: Sequence[Layer], width: int) -> list[Step]:
    """Convert the layers to steps; raise unless they fit each other and an input of `width` numbers."""
    if not layers:
        raise ValueError("layers: expected at least one layer, got none")
    result = []
    for position, layer in enumerate(layers):
        step = _step(layer, f"layers[{position}]", width)
        result.append(step)
        width = len(step.d)
    return result


def _step(layer: Layer, name: str, width: int) -> Step:
    if isinstance(layer, Affine):
        weight = _matrix(layer.weight, f"{name}.weight", (None, width))
        return Step(None, None, np.zeros(0), weight, _vector(layer.bias, f"{name}.bias", len(weight)))
    if not isinstance(layer, Residual):
        raise TypeError(f"{name}: expected Affine or Residual, got {type(layer).__name__}")
    A = _matrix(layer.A, f"{name}.A", (None, width))
    b, d = (_vector(value, f"{name}.{field}", len(A)) for field, value in (("b", layer.b), ("d", layer.d)))
    return Step(layer.activation, A, b, _skip(layer.C, f"{name}.C", A.shape), d)


def _skip(C: ArrayLike | None, name: str, shape: tuple[int, int]) -> FloatArray | None:
    if C is None:
        return None
    if not isinstance(C, str):
        return _matrix(C, name, shape)
    if C != "identity" or shape[0] != shape[1]:
        raise ValueError(f'{name}: expected a matrix {shape}, None, or "identity" for square A, got {C!r}')
    return np.eye(shape[0])


def _matrix(value: ArrayLike, name: str, shape: tuple[int | None, int]) -> FloatArray:
    matrix = np.asarray(value, dtype=np.float64)
    rows, columns = shape
    if matrix.ndim != 2 or matrix.shape[1] != columns or rows not in (None, len(matrix)):
        expected = f"({'m' if rows is None else rows}, {columns})"
        raise ValueError(f"{name}: expected shape {expected}, got {matrix.shape}")
    return matrix


def _vector(value: ArrayLike | None, name: str, length: int) -> FloatArray:
    if value is None:
        return np.zeros(length)
    vector = np.asarray(value, dtype=np.float64)
    if vector.shape != (length,):
        raise ValueError(f"{name}: expected shape ({length},), got {vector.shape}")
    return vector


def gaussian(mu: ArrayLike, cov: ArrayLike) -> tuple[FloatArray, NDArray[Any]]:
    """Check and broadcast an input's mu (..., n) and cov (..., n, n).

    mu becomes float64; cov keeps its dtype, on which its rounding errors depend.
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
    return np.broadcast_to(mu, (*batch, n)), np.broadcast_to(cov, (*batch, n, n))


def evaluate(activation: Any, x: FloatArray) -> FloatArray:
    """Return f(x) with neurons along the last axis; for a stochastic activation, its mean given x."""
    name, parameters = of_neurons(activation)
    if isinstance(name, Custom):
        return custom.evaluate(name, x)
    return np.asarray(row_of(name).formula.function(x, *map(np.asarray, parameters.values())))


def is_stochastic(activation: Any) -> bool:
    """Whether f(x) is random given x."""
    name, _ = of_neurons(activation)
    return not isinstance(name, Custom) and hasattr(row_of(name).formula, "conditional_var")


def value(network: Sequence[Step], x: FloatArray) -> FloatArray:
    """Evaluate the network at the points x, shape (..., n)."""
    for step in network:
        y = step.d if step.C is None else x @ step.C.T + step.d
        if step.A is not None:
            y = evaluate(step.activation, x @ step.A.T + step.b) + y
        x = y
    return x
