"""Mixtures of many components: kernels are compiled for few numbers of components; others are rounded up to these.

A compilation takes about half a second more for each component.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from fastmoments_kernels.catalogue import row_of

Value = TypeVar("Value")

EXACT = 8  # up to this number it is not rounded; above, it is rounded to a power of two


def padded(activation: object, parameters: Sequence[Any], neurons: int = 1) -> tuple[Any, ...]:
    """The parameters, of `neurons` neurons in turn, and components of amplitude 0, otherwise equal to the last."""
    fields = len(row_of(activation).components)
    count = len(parameters) // (fields * neurons) if fields else 0
    missing = _rounded_up(count) - count
    if not missing:
        return tuple(parameters)
    amplitudes, *others = _by_field(parameters, fields)
    longer = [*amplitudes, *[np.zeros_like(amplitudes[0])] * (missing * neurons)]
    for entries in others:
        longer += [*entries, *entries[-neurons:] * missing]
    return tuple(longer)


def kept(activation: object, values: Sequence[Value], parameters: int) -> tuple[Value, ...]:
    """The values, of one per padded parameter, that belong to the `parameters` parameters before padding."""
    fields = len(row_of(activation).components)
    if len(values) == parameters:
        return tuple(values)
    return tuple(value for entries in _by_field(values, fields) for value in entries[: parameters // fields])


def _rounded_up(count: int) -> int:
    return count if count <= EXACT else 1 << (count - 1).bit_length()


def _by_field(values: Sequence[Value], fields: int) -> list[list[Value]]:
    length = len(values) // fields
    return [list(values[i * length : (i + 1) * length]) for i in range(fields)]
