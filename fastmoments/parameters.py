"""The name and the parameters of an activation that is given as an object, a class or a name."""

from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

import numpy as np

from fastmoments import hints
from fastmoments.composed.base import Composed
from fastmoments.composed.logistic import LOGISTIC
from fastmoments.signatures import A
from fastmoments_kernels.catalogue import PARAMETERS, ROWS, Heaviside, Row, parameters_of, row_of
from fastmoments_kernels.custom import READY, Custom

# the names of activations without parameters: what others have takes as long to find as a few neurons take
_WITHOUT = {kind: row_of(kind).name for kind, names in PARAMETERS.items() if not names}


def own(activation: Any) -> Any:
    """Return the activation of the package that another library's module or function is, else what was given."""
    kind = activation if isinstance(activation, type) else type(activation)
    if kind in ROWS or issubclass(kind, (Custom, Composed)):
        return activation
    if isinstance(activation, str):
        _check_name(activation)
        return activation
    # networks are a layer above, and their front ends know what functions are
    from fastmoments.graph.foreign import activation_meant

    found = activation_meant(activation)
    if found is None and isinstance(activation, FunctionType):
        raise ValueError(
            "activation: expected an object or a name, got a function; for a function f give fm.Custom(f)"
        )
    return activation if found is None else found


def _check_name(name: str) -> None:
    """Raise for a name that stands for an object; `row_of` raises for those that are not known."""
    if name in ROWS or name in LOGISTIC or name in READY:
        return
    known = hints.ALIASES.get(name.lower())
    if known:
        raise ValueError(f'activation: expected the name that it has here, "{known}", got {name!r}')
    found = hints.object_named(name)
    if found:
        raise ValueError(f"activation: expected an object such as {found}(...), which has no name, got {name!r}")


def of_neurons(activation: Any) -> tuple[str | Custom | Composed, dict[str, Any]]:
    """Return the activation's name and its parameters by name; a mixture's have a name per component, `taus[0]` ...

    For a Custom function or a composed activation, return the object instead of a name, and no parameters.
    """
    plain = _WITHOUT.get(type(activation))
    if plain is not None:
        return plain, {}
    row, values = _apart(activation)
    if not isinstance(row, Row):
        return row, {}
    if not row.components:
        return row.name, values
    count = _components(row.components, values)
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= _entries(name, value, count) if name in row.components else {name: value}
    return row.name, found


def kinks_of(activation: Any) -> tuple[float, ...]:
    """Return where an activation or its slope breaks."""
    activation = own(activation)
    whole = _whole(activation)
    return row_of(activation).kinks if whole is None else whole.kinks


def jumps_of(activation: Any) -> tuple[tuple[float, float], ...]:
    """Return the points where an activation jumps, each with the height, as far as they are known."""
    activation = own(activation)
    whole = _whole(activation)
    if isinstance(whole, Composed):
        return whole.jumping
    # the catalogue's only step
    return ((0.0, 1.0),) if whole is None and row_of(activation).activation is Heaviside else ()


def of_pairs(activation: Any) -> tuple[str | Custom | Composed, dict[str, Any]]:
    """Return the name and parameters for a pair of neurons: `tau_1`, `tau_2`, which differ if `tau` is a tuple."""
    row, values = _apart(activation)
    if not isinstance(row, Row):
        return row, {}
    pairs = {name: _pair(name, value, name in row.components) for name, value in values.items()}
    sides = [{name: pair[i] for name, pair in pairs.items()} for i in (0, 1)]
    count = max(_components(row.components, side) for side in sides)
    found: dict[str, Any] = {}
    for name in values:
        entries = [
            _entries(name, side[name], count) if name in row.components else {name: side[name]} for side in sides
        ]
        for key in entries[0]:
            found |= {f"{key}_1": entries[0][key], f"{key}_2": entries[1][key]}
    return row.name, found


def paired(activation: Any) -> Any:
    """Return an activation of n neurons as one of all pairs, (n, n): parameters (..., n) of rows and of columns."""
    activation = own(activation)
    if _whole(activation) is not None:
        return activation
    row, values = row_of(activation), parameters_of(activation)
    found = {name: _of_rows_and_columns(value, name in row.components) for name, value in values.items()}
    return row.activation(**found)


def _of_rows_and_columns(value: Any, is_component: bool) -> Any:
    if getattr(value, "ndim", 0) <= is_component:
        return value
    if is_component:
        return value[..., :, None, :], value[..., None, :, :]
    return value[..., :, None], value[..., None, :]


def name_of(activation: Any) -> str:
    """Return what an activation is called where people read it: its name, or that of its class."""
    if isinstance(activation, str):
        return activation
    name: str = getattr(activation, "__name__", type(activation).__name__)
    return name


def by_name(entries: dict[str, A], stack: Callable[..., A]) -> dict[str, A]:
    """Undo `of_neurons`: return one array per parameter, with a mixture's components along the last axis."""
    found: dict[str, list[A]] = {}
    for entry, array in entries.items():
        found.setdefault(entry.partition("[")[0], []).append(array)
    are_components = any("[" in entry for entry in entries)
    return {name: stack(arrays, -1) if are_components else arrays[0] for name, arrays in found.items()}


def _apart(activation: Any) -> tuple[Row | Custom | Composed, dict[str, Any]]:
    """Return an activation's row and parameters; itself and none if the kernels do not take it apart."""
    row = ROWS.get(type(activation))
    if row is None:
        activation = own(activation)
        whole = _whole(activation)
        if whole is not None:
            return whole, {}
        row = row_of(activation)
    return row, parameters_of(activation)


def _whole(activation: Any) -> Custom | Composed | None:
    """Return an activation that the kernels do not take apart into a name and arrays."""
    if isinstance(activation, str):
        return LOGISTIC.get(activation) or READY.get(activation)
    if isinstance(activation, type) and issubclass(activation, Composed):
        return activation()
    return activation if isinstance(activation, Custom | Composed) else None


def _pair(name: str, value: Any, is_component: bool) -> tuple[Any, Any]:
    """Return the two neurons' values. For a mixture a tuple of two sequences is a pair, and one (K,) is shared."""
    if isinstance(value, tuple) and not (is_component and np.ndim(value[0]) == 0):
        if len(value) != 2:
            raise ValueError(f"{name}: expected a number or a pair of them, one per neuron, got {len(value)}")
        return value[0], value[1]
    return value, value


def _components(names: tuple[str, ...], values: dict[str, Any]) -> int:
    """Return the number of components; a parameter with one component has it for all."""
    sizes = {name: len(_columns(values[name])) for name in names}
    for name, size in sizes.items():
        if size == 0:
            raise ValueError(f"{name}: expected at least one component, got none")
    counts = {size for size in sizes.values() if size != 1} or {1}
    if len(counts) > 1:
        shown = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise ValueError(f"expected one entry per component in every parameter, got {shown}")
    return int(counts.pop())


def _entries(name: str, value: Any, count: int) -> dict[str, Any]:
    columns = _columns(value)
    return {f"{name}[{k}]": columns[k if len(columns) > 1 else 0] for k in range(count)}


def _columns(value: Any) -> list[Any]:
    """Return the entries along the last axis; Python's numbers stay numbers, which take the arrays' dtype."""
    if hasattr(value, "dtype"):
        return [value[..., k] for k in range(value.shape[-1])] if value.ndim else [value]
    if not isinstance(value, Sequence):
        return [float(value)]
    # a flat sequence does without NumPy, whose results torch.compile would turn into tensors
    is_flat = not value or not isinstance(value[0], Sequence)
    return [float(entry) for entry in value] if is_flat else np.moveaxis(np.asarray(value, float), -1, 0).tolist()
