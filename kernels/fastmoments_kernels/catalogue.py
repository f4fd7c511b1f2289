"""One row per activation: its parameters, its formula and where it is not smooth."""

from dataclasses import dataclass, fields
from types import ModuleType
from typing import Any, NamedTuple

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


# Frozen dataclasses rather than tuples: ReLU() == Heaviside() would hold for two empty tuples, and whatever
# caches by activation (jax.jit's static arguments, for one) would take one for the other.
@dataclass(frozen=True)
class ReLU:
    """max(x, 0)."""


@dataclass(frozen=True)
class LeakyReLU:
    """x where x > 0, negative_slope x below."""

    negative_slope: Any = 0.01


@dataclass(frozen=True)
class Abs:
    """|x|."""


@dataclass(frozen=True)
class Heaviside:
    """1 where x > 0, 0 where x < 0, 1/2 at 0."""


@dataclass(frozen=True)
class Probit:
    """Phi(x), the standard normal distribution function."""


@dataclass(frozen=True)
class BernoulliProbit:
    """A stochastic neuron: 1 with probability Phi(x), else 0, independently of others given x."""


@dataclass(frozen=True)
class Erf:
    """erf(x) = 2 Phi(sqrt(2) x) - 1."""


@dataclass(frozen=True)
class GELU:
    """x Phi(x), Phi the standard normal distribution function."""


@dataclass(frozen=True)
class Sin:
    """sin(omega x + phase)."""

    omega: Any = 1.0
    phase: Any = 0.0


@dataclass(frozen=True)
class Cos:
    """cos(omega x + phase)."""

    omega: Any = 1.0
    phase: Any = 0.0


@dataclass(frozen=True)
class Gaussian:
    """exp(-tau (x - center)^2 / 2), tau >= 0 (else nan)."""

    tau: Any = 1.0
    center: Any = 0.0


@dataclass(frozen=True)
class NPN:
    """r - q exp(-tau (x - center)^2 / 2), tau >= 0 (else nan)."""

    r: Any = 1.0
    q: Any = 2.0
    tau: Any = 1.0
    center: Any = 0.0


@dataclass(frozen=True)
class NPNLinear:
    """alpha x + (1 - alpha) (r - q exp(-tau (x - center)^2 / 2)), tau >= 0 (else nan)."""

    alpha: Any = 0.5
    r: Any = 1.0
    q: Any = 2.0
    tau: Any = 1.0
    center: Any = 0.0


@dataclass(frozen=True)
class GaussianMixture:
    """sum_k weights_k exp(-taus_k (x - centers_k)^2 / 2), taus_k >= 0 (else nan)."""

    weights: Any
    taus: Any
    centers: Any = 0.0


Activation = (
    ReLU
    | LeakyReLU
    | Abs
    | Heaviside
    | Probit
    | BernoulliProbit
    | Erf
    | GELU
    | Sin
    | Cos
    | NPN
    | Gaussian
    | GaussianMixture
    | NPNLinear
)


class Row(NamedTuple):
    """An activation: public name, parameter class, formula module, points where f or f' breaks.

    Parameters in `components` have one entry per component of a mixture along their last axis; a formula takes the
    entries one by one.
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
        names = ", ".join(row.name for row in CATALOGUE)
        others = "an object such as ReLU(), or Custom(f) for a function f without a closed form"
        raise ValueError(f"activation: expected one of {names}, {others}, got {activation!r}")
    return row


def parameters_of(activation: object) -> dict[str, Any]:
    """An activation's parameters by name, in the order its formula takes them; a name or class has its defaults."""
    activation = row_of(activation).activation() if isinstance(activation, str | type) else activation
    return {name: getattr(activation, name) for name in PARAMETERS[type(activation)]}
