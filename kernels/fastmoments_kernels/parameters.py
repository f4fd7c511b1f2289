"""The base class of the catalogue's activations: parameters, compared by their values."""

import inspect
from dataclasses import fields
from numbers import Number
from typing import Any

import numpy as np

from fastmoments_kernels.names import nearest


class Explained(type):
    """The type of classes whose error for a parameter that they do not take says what was meant."""

    @property
    def __signature__(cls) -> inspect.Signature:
        own = list(inspect.signature(cls.__init__).parameters.values())  # type: ignore[misc]
        return inspect.Signature([parameter.replace(annotation=parameter.empty) for parameter in own[1:]])

    def __call__(cls, *values: Any, **parameters: Any) -> Any:
        """Make an object."""
        try:
            return super().__call__(*values, **parameters)
        except TypeError:
            signature = inspect.signature(cls)
            unknown = next((name for name in parameters if name not in signature.parameters), None)
            if unknown is None:
                raise
            near = nearest(unknown, signature.parameters)
            hint = f"; did you mean {near}?" if near else ""
            it_is = f"{cls.__name__}{signature}"
            raise TypeError(f"{cls.__name__}: no parameter {unknown!r}{hint}; it is {it_is}") from None


class Parameters(metaclass=Explained):
    """Base of frozen dataclasses made with eq=False; parameters are numbers, arrays or sequences of them.

    Two are equal if their class is the same, their numbers are equal, and their arrays have the same type, dtype,
    shape, device and values. Only numbers and tuples of numbers have a hash: an array may change after it was
    hashed.
    """

    def _values(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(map(_same, self._values().values(), other._values().values()))

    def __hash__(self) -> int:
        for name, value in self._values().items():
            if not _is_constant(value):
                kind = type(value).__name__
                of = f"{type(self).__name__}: no hash where {name} is of type {kind}"
                raise TypeError(f"{of}; give a number, or a tuple of them, where one is asked for")
        return hash((type(self), *self._values().values()))


def _is_constant(value: Any) -> bool:
    return all(map(_is_constant, value)) if isinstance(value, tuple) else isinstance(value, Number | np.generic)


def _same(a: Any, b: Any) -> bool:
    if a is b:
        return True
    # numpy.float64 is a Python float; a NumPy number of another dtype is compared as an array without axes
    if isinstance(a, int | float) and isinstance(b, int | float):
        return a == b
    if type(a) is not type(b):
        return False
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    if not hasattr(a, "dtype"):
        return bool(a == b)
    kinds = ((x.dtype, tuple(x.shape), getattr(x, "device", None)) for x in (a, b))
    return next(kinds) == next(kinds) and bool((a == b).all())
