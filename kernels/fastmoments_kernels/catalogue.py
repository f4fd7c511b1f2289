"""One row per activation: its parameters, its formula and where it is not smooth."""

from dataclasses import dataclass, fields
from types import ModuleType
from typing import Any, NamedTuple

from fastmoments_kernels.custom.activation import READY
from fastmoments_kernels.formulas import abs as absolute_value
from fastmoments_kernels.formulas import (
    bernoulli_probit,
    cos,
    erf,
    gaussian,
    gaussian_mixture,
    gelu,
    heaviside,
    leaky_relu,
    npn,
    npn_linear,
    probit,
    relu,
    sin,
)
from fastmoments_kernels.names import nearest
from fastmoments_kernels.parameters import Parameters


# Frozen dataclasses rather than tuples: ReLU() == Heaviside() would hold for two empty tuples, and caches by
# activation (those of jax.jit's static arguments) would take one for the other. Parameters defines equality,
# because a dataclass's own raises for arrays.
@dataclass(frozen=True, eq=False)
class ReLU(Parameters):
    """max(x, 0)."""


@dataclass(frozen=True, eq=False)
class LeakyReLU(Parameters):
    """x where x > 0, negative_slope x below."""

    negative_slope: Any = 0.01


@dataclass(frozen=True, eq=False)
class Abs(Parameters):
    """|x|."""


@dataclass(frozen=True, eq=False)
class Heaviside(Parameters):
    """1 where x > 0, 0 where x < 0, 1/2 at 0."""


@dataclass(frozen=True, eq=False)
class Probit(Parameters):
    """Phi(x), the standard normal distribution function."""


@dataclass(frozen=True, eq=False)
class BernoulliProbit(Parameters):
    """A stochastic neuron: 1 with probability Phi(x), else 0, independently of others given x."""


@dataclass(frozen=True, eq=False)
class Erf(Parameters):
    """erf(x) = 2 Phi(sqrt(2) x) - 1."""


@dataclass(frozen=True, eq=False)
class GELU(Parameters):
    """x Phi(x), Phi the standard normal distribution function."""


@dataclass(frozen=True, eq=False)
class Sin(Parameters):
    """sin(omega x + phase)."""

    omega: Any = 1.0
    phase: Any = 0.0


@dataclass(frozen=True, eq=False)
class Cos(Parameters):
    """cos(omega x + phase)."""

    omega: Any = 1.0
    phase: Any = 0.0


@dataclass(frozen=True, eq=False)
class Gaussian(Parameters):
    """exp(-tau (x - center)^2 / 2), tau >= 0 (else nan)."""

    tau: Any = 1.0
    center: Any = 0.0


@dataclass(frozen=True, eq=False)
class NPN(Parameters):
    """r - q exp(-tau (x - center)^2 / 2), tau >= 0 (else nan)."""

    r: Any = 1.0
    q: Any = 2.0
    tau: Any = 1.0
    center: Any = 0.0


@dataclass(frozen=True, eq=False)
class NPNLinear(Parameters):
    """alpha x + (1 - alpha) (r - q exp(-tau (x - center)^2 / 2)), tau >= 0 (else nan)."""

    alpha: Any = 0.5
    r: Any = 1.0
    q: Any = 2.0
    tau: Any = 1.0
    center: Any = 0.0


@dataclass(frozen=True, eq=False)
class GaussianMixture(Parameters):
    """sum_k weights_k exp(-taus_k (x - centers_k)^2 / 2), taus_k >= 0 (else nan)."""

    weights: Any
    taus: Any
    centers: Any = 0.0


class Row(NamedTuple):
    """An activation: public name, parameter class, formula module, points where f or f' breaks.

    Parameters in `components` have one entry per component of a mixture along their last axis; a formula takes the
    entries one by one. The first of these parameters is an amplitude: a component of amplitude 0 adds nothing.
    """

    name: str
    activation: type
    formula: ModuleType
    kinks: tuple[float, ...] = ()
    components: tuple[str, ...] = ()


CATALOGUE = (
    Row("relu", ReLU, relu, kinks=(0.0,)),
    Row("leaky_relu", LeakyReLU, leaky_relu, kinks=(0.0,)),
    Row("abs", Abs, absolute_value, kinks=(0.0,)),
    Row("heaviside", Heaviside, heaviside, kinks=(0.0,)),
    Row("probit", Probit, probit),
    Row("bernoulli_probit", BernoulliProbit, bernoulli_probit),
    Row("erf", Erf, erf),
    Row("gelu", GELU, gelu),
    Row("sin", Sin, sin),
    Row("cos", Cos, cos),
    Row("npn", NPN, npn),
    Row("gaussian", Gaussian, gaussian),
    Row("gaussian_mixture", GaussianMixture, gaussian_mixture, components=("weights", "taus", "centers")),
    Row("npn_linear", NPNLinear, npn_linear),
)


ROWS: dict[str | type, Row] = {key: row for row in CATALOGUE for key in (row.name, row.activation)}
# `fields` takes microseconds, as much as a function of a few neurons
PARAMETERS = {row.activation: tuple(field.name for field in fields(row.activation)) for row in CATALOGUE}


def row_of(activation: object) -> Row:
    """The row of an activation given as an object, a class or a name."""
    row = ROWS.get(activation if isinstance(activation, str | type) else type(activation))
    if row is None:
        names = [*(row.name for row in CATALOGUE), *READY]
        others = "an object such as ReLU(), or Custom(f) for a function f without a closed form"
        got = f"{activation!r}{_hint(activation, names)}"
        raise ValueError(f"activation: expected one of {', '.join(names)}, {others}, got {got}")
    return row


def _hint(activation: object, names: list[str]) -> str:
    """A hint at the name nearest to an unknown activation: a name, another library's function, class or module."""
    text = activation if isinstance(activation, str) else ""
    if callable(activation):
        text = getattr(activation, "__name__", type(activation).__name__)
    near = nearest(text, names)
    return f'; did you mean "{near}"?' if near else ""


def parameters_of(activation: object) -> dict[str, Any]:
    """An activation's parameters by name, in the order its formula takes them; a name or class has its defaults."""
    activation = row_of(activation).activation() if isinstance(activation, str | type) else activation
    return {name: getattr(activation, name) for name in PARAMETERS[type(activation)]}
