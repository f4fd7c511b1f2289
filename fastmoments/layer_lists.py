"""Networks as lists of layers, whose arrays are of any library: the layers and their checks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, TypeGuard

from numpy.typing import ArrayLike

from fastmoments.dispatch import Named


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


def is_list(model: Any) -> TypeGuard[Sequence[Layer]]:
    """Whether a model is a list or a tuple, which counts as one of layers."""
    return isinstance(model, list | tuple) and not isinstance(model, Affine | Residual)


def arrays_of(layers: Sequence[Layer]) -> Named:
    """Return the arrays of all layers by the names that errors give them: `layers[0].weight` ..."""
    if not layers:
        raise ValueError("layers: expected at least one layer, got none")
    found: Named = {}
    for k, layer in enumerate(layers):
        if not isinstance(layer, Affine | Residual):
            hint = "; of modules make torch.nn.Sequential(*layers)" if hasattr(layer, "forward") else ""
            raise TypeError(f"layers[{k}]: expected Affine or Residual, got {type(layer).__name__}{hint}")
        matrix = layer.weight if isinstance(layer, Affine) else layer.A
        if isinstance(matrix, str) or not (hasattr(matrix, "shape") or isinstance(matrix, Sequence)):
            order = f"{type(layer).__name__}({', '.join(layer._fields)})"
            raise TypeError(f"layers[{k}]: expected a matrix as {order} has it, got {matrix!r}")
        for field, value in layer._asdict().items():
            if field != "activation" and not isinstance(value, str | None):
                found[f"layers[{k}].{field}"] = value
    return found


def checked(layers: Sequence[Layer], arrays: Named, width: int) -> list[Any]:
    """Return the layers with these arrays; raise unless they fit each other and an input of `width` numbers."""
    found = []
    for k, layer in enumerate(layers):
        name = f"layers[{k}]"
        own = {field: arrays[f"{name}.{field}"] for field in layer._fields if f"{name}.{field}" in arrays}
        found.append(layer._replace(**own))
        width = _check(found[-1], name, width)
    return found


def _check(layer: Any, name: str, width: int) -> int:
    """Raise unless the arrays fit; return the width of the layer's output."""
    if isinstance(layer, Affine):
        rows = _rows(layer.weight, f"{name}.weight", (None, width))
        _check_vector(layer.bias, f"{name}.bias", rows)
        return rows
    rows = _rows(layer.A, f"{name}.A", (None, width))
    for field in ("b", "d"):
        _check_vector(getattr(layer, field), f"{name}.{field}", rows)
    if not isinstance(layer.C, str | None):
        _rows(layer.C, f"{name}.C", (rows, width))
    elif layer.C is not None and (layer.C != "identity" or rows != width):
        expected = f'a matrix {(rows, width)}, None, or "identity" for square A'
        raise ValueError(f"{name}.C: expected {expected}, got {layer.C!r}")
    return rows


def _rows(matrix: Any, name: str, shape: tuple[int | None, int]) -> int:
    found, (rows, columns) = tuple(matrix.shape), shape
    if len(found) != 2 or found[1] != columns or rows not in (None, found[0]):
        raise ValueError(f"{name}: expected shape ({'m' if rows is None else rows}, {columns}), got {found}")
    return int(found[0])


def _check_vector(vector: Any, name: str, length: int) -> None:
    if vector is not None and tuple(vector.shape) != (length,):
        raise ValueError(f"{name}: expected shape ({length},), got {tuple(vector.shape)}")
