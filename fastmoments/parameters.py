"""An activation given as an object, a class or a name: its row's name and its parameters as arrays."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastmoments_kernels.catalogue import parameters_of, row_of
from fastmoments_kernels.custom import READY, Custom

Array = Any


def of_neurons(activation: Any) -> tuple[str | Custom, dict[str, Array]]:
    """(name, parameters by name), each one array: of a mixture's parameter one per component, `taus[0]` ...

    An activation without a closed form is a Custom object instead of a name, and has no parameters.
    """
    custom = _without_closed_form(activation)
    if custom is not None:
        return custom, {}
    row = row_of(activation)
    values = parameters_of(activation)
    if not row.components:
        return row.name, values
    count = _components(row.components, values)
    found: dict[str, Array] = {}
    for name, value in values.items():
        found |= _entries(name, value, count) if name in row.components else {name: value}
    return row.name, found


def of_pairs(activation: Any) -> tuple[str | Custom, dict[str, Array]]:
    """(name, parameters by name) for a pair: `tau_1`, `tau_2`, equal unless a pair (p_1, p_2) is given."""
    custom = _without_closed_form(activation)
    if custom is not None:
        return custom, {}
    row = row_of(activation)
    values = parameters_of(activation)
    pairs = {name: _pair(name, value, name in row.components) for name, value in values.items()}
    sides = [{name: pair[i] for name, pair in pairs.items()} for i in (0, 1)]
    count = max(_components(row.components, side) for side in sides)
    found: dict[str, Array] = {}
    for name in values:
        entries = [
            _entries(name, side[name], count) if name in row.components else {name: side[name]} for side in sides
        ]
        for key in entries[0]:
            found |= {f"{key}_1": entries[0][key], f"{key}_2": entries[1][key]}
    return row.name, found


def by_name(entries: dict[str, Array], stack: Callable[..., Array]) -> dict[str, Array]:
    """What `of_neurons` took apart, one array a parameter again: of a mixture with its components last."""
    found: dict[str, list[Array]] = {}
    for entry, array in entries.items():
        found.setdefault(entry.partition("[")[0], []).append(array)
    are_components = any("[" in entry for entry in entries)
    return {name: stack(arrays, -1) if are_components else arrays[0] for name, arrays in found.items()}


def _without_closed_form(activation: Any) -> Custom | None:
    if isinstance(activation, str):
        return READY.get(activation)
    return activation if isinstance(activation, Custom) else None


def _pair(name: str, value: Any, is_component: bool) -> tuple[Any, Any]:
    """A value for each neuron; a mixture's shared (K,) is no pair, a tuple of two sequences is."""
    if isinstance(value, tuple) and not (is_component and np.ndim(value[0]) == 0):
        if len(value) != 2:
            raise ValueError(f"{name}: expected a number or a pair of them, one a neuron, got {len(value)}")
        return value[0], value[1]
    return value, value


def _components(names: tuple[str, ...], values: dict[str, Any]) -> int:
    """How many components a mixture has; parameters of one component count for all."""
    sizes = {name: len(_columns(values[name])) for name in names}
    for name, size in sizes.items():
        if size == 0:
            raise ValueError(f"{name}: expected at least one component, got none")
    counts = {size for size in sizes.values() if size != 1} or {1}
    if len(counts) > 1:
        shown = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise ValueError(f"expected one entry per component in every parameter, got {shown}")
    return int(counts.pop())


def _entries(name: str, value: Any, count: int) -> dict[str, Array]:
    columns = _columns(value)
    return {f"{name}[{k}]": columns[k if len(columns) > 1 else 0] for k in range(count)}


def _columns(value: Any) -> list[Any]:
    """The entries along the last axis; Python's numbers stay weak in the dtype they are computed in."""
    if hasattr(value, "dtype"):
        return [value[..., k] for k in range(value.shape[-1])] if value.ndim else [value]
    if not isinstance(value, Sequence):
        return [float(value)]
    # torch.compile would make tensors of what NumPy makes of flat ones
    is_flat = not value or not isinstance(value[0], Sequence)
    return [float(entry) for entry in value] if is_flat else np.moveaxis(np.asarray(value, float), -1, 0).tolist()
