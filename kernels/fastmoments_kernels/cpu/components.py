"""Mixtures of many components: their number, which is compiled in, is rounded up, so that few numbers are.

A kernel's compilation takes about as long as one of a few components, and half a second more a component.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastmoments_kernels.catalogue import row_of

EXACT = 8  # as many and fewer are compiled as they are; beyond, powers of two


def padded(activation: Any, parameters: Sequence[Any], neurons: int = 1) -> tuple[Any, ...]:
    """Parameters of each of `neurons` in turn, with components of amplitude 0 that are otherwise the last again."""
    fields = len(row_of(activation).components)
    count = len(parameters) // (fields * neurons) if fields else 0
    missing = _rounded_up(count) - count
    if not missing:
        return tuple(parameters)
    amplitudes, *others = _by_field(parameters, fields)
    found = [*amplitudes, *[np.zeros_like(amplitudes[0])] * (missing * neurons)]
    for entries in others:
        found += [*entries, *entries[-neurons:] * missing]
    return tuple(found)


def kept(activation: Any, values: Sequence[Any], parameters: int) -> tuple[Any, ...]:
    """The values, one a padded parameter, of the `parameters` that were given."""
    fields = len(row_of(activation).components)
    if len(values) == parameters:
        return tuple(values)
    return tuple(value for entries in _by_field(values, fields) for value in entries[: parameters // fields])


def _rounded_up(count: int) -> int:
    return count if count <= EXACT else 1 << (count - 1).bit_length()


def _by_field(values: Sequence[Any], fields: int) -> list[list[Any]]:
    length = len(values) // fields
    return [list(values[i * length : (i + 1) * length]) for i in range(fields)]
