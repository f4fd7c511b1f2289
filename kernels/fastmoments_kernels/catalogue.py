"""One row per activation: its parameters, its formula and where it is not smooth."""

from dataclasses import dataclass
from types import ModuleType
from typing import NamedTuple

from fastmoments_kernels.formulas import heaviside, relu


# Frozen dataclasses rather than tuples: ReLU() == Heaviside() would hold for two empty tuples, and whatever
# caches by activation (jax.jit's static arguments, for one) would take one for the other.
@dataclass(frozen=True)
class ReLU:
    """max(x, 0)."""


@dataclass(frozen=True)
class Heaviside:
    """1 where x > 0, 0 where x < 0, 1/2 at 0."""


Activation = ReLU | Heaviside


class Row(NamedTuple):
    """An activation: public name, parameter class, formula module, points where f or f' breaks."""

    name: str
    activation: type
    formula: ModuleType
    kinks: tuple[float, ...] = ()


CATALOGUE = (
    Row("relu", ReLU, relu, kinks=(0.0,)),
    Row("heaviside", Heaviside, heaviside, kinks=(0.0,)),
)


def row_of(activation: object) -> Row:
    """The row of an activation given as an object, a class or a name."""
    for row in CATALOGUE:
        if activation == row.name or activation is row.activation or type(activation) is row.activation:
            return row
    names = ", ".join(row.name for row in CATALOGUE)
    raise ValueError(f"activation: expected one of {names} or an object such as ReLU(), got {activation!r}")
