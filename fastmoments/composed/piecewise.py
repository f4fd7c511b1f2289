"""Activations that are linear between knots, by their names and in general."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from numbers import Real
from typing import Any

from fastmoments.composed.kinked import Kinked, Sections


@dataclass(frozen=True, eq=False)
class Piecewise(Kinked):
    """A function that is linear between knots, and may jump at them.

    Parameters
    ----------
    knots : increasing numbers t_1 ... t_K, the same for all neurons.
    slopes : K + 1 numbers, the slopes below t_1, between knots, and above t_K.
    jumps : K numbers f(t_k+) - f(t_k-), default 0. At a jump f is the mean of both sides.
    value : f just below t_1.

    Raises
    ------
    TypeError : parameters that are no numbers.
    ValueError : knots that do not increase, numbers that are not finite, or not as many as there have to be.

    Notes
    -----
    A line and K ramps and steps turned away from mu, with closed forms at every rho. The functions are those of any
    activation: `fm.moments(fm.Piecewise(...), mu, cov)`. |error| <= 1e-14 sqrt(K_ii K_jj) up to sd = 10 d, d the
    least distance of two knots, and a saturated neuron's variance keeps 12 digits. For wider inputs ramps d apart
    cancel: relative error (sd / d)^2 eps, 1e-11 at sd = 100 d. Variances and covariances are nan where that exceeds
    1e-3, beyond sd = 2e6 d in float64 and 90 d in float32. Matrices cost K^2 those of relu.
    """

    name = "piecewise"

    knots: tuple[float, ...]
    slopes: tuple[float, ...]
    jumps: tuple[float, ...] | None = None
    value: float = 0.0

    def __post_init__(self) -> None:
        knots, slopes = _numbers("knots", self.knots), _numbers("slopes", self.slopes)
        jumps = (0.0,) * len(knots) if self.jumps is None else _numbers("jumps", self.jumps)
        if not knots:
            raise ValueError("knots: expected at least one; a line is an affine layer")
        if any(one >= two for one, two in pairwise(knots)):
            raise ValueError(f"knots: expected increasing numbers, got {knots}")
        for name, given, count in (("slopes", slopes, len(knots) + 1), ("jumps", jumps, len(knots))):
            if len(given) != count:
                raise ValueError(f"{name}: expected {count} numbers for {len(knots)} knots, got {len(given)}")
        # lists could not be hashed
        for name, given in (("knots", knots), ("slopes", slopes), ("jumps", jumps)):
            object.__setattr__(self, name, given)
        object.__setattr__(self, "value", number("value", self.value))

    @property
    def sections(self) -> Sections:
        """The function's own numbers."""
        return Sections(self.knots, self.slopes, self.jumps or (), self.value)


@dataclass(frozen=True, eq=False)
class HardTanh(Kinked):
    """min(max(x, low), high), which clips; None leaves a side open. Accuracy is that of `Piecewise`."""

    name = "hardtanh"

    low: float | None = -1.0
    high: float | None = 1.0

    def __post_init__(self) -> None:
        ends = [number(name, x) for name, x in (("low", self.low), ("high", self.high)) if x is not None]
        if not ends:
            raise ValueError("low, high: expected at least one of them; without both it is x")
        if len(ends) == 2 and not ends[0] < ends[1]:
            raise ValueError(f"low, high: expected low < high, got {ends[0]} and {ends[1]}")

    def __hash__(self) -> int:
        return hash((type(self), self.low, self.high))  # None is a value too

    @property
    def sections(self) -> Sections:
        """Slope 1 between low and high."""
        if self.low is None:
            assert self.high is not None
            return Sections((float(self.high),), (1.0, 0.0), (0.0,), float(self.high))
        low = float(self.low)
        if self.high is None:
            return Sections((low,), (0.0, 1.0), (0.0,), low)
        return Sections((low, float(self.high)), (0.0, 1.0, 0.0), (0.0, 0.0), low)


@dataclass(frozen=True, eq=False)
class ReLU6(Kinked):
    """min(max(x, 0), 6). Accuracy is that of `Piecewise`."""

    name = "relu6"

    @property
    def sections(self) -> Sections:
        """Slope 1 between 0 and 6."""
        return Sections((0.0, 6.0), (0.0, 1.0, 0.0), (0.0, 0.0), 0.0)


@dataclass(frozen=True, eq=False)
class HardSigmoid(Kinked):
    """min(max(x / 6 + 1 / 2, 0), 1). Accuracy is that of `Piecewise`."""

    name = "hardsigmoid"

    @property
    def sections(self) -> Sections:
        """Slope 1 / 6 between -3 and 3."""
        return Sections((-3.0, 3.0), (0.0, 1.0 / 6.0, 0.0), (0.0, 0.0), 0.0)


@dataclass(frozen=True, eq=False)
class SoftShrink(Kinked):
    """x - lambd where x > lambd, x + lambd where x < -lambd, else 0. Accuracy is that of `Piecewise`."""

    name = "softshrink"

    lambd: float = 0.5

    def __post_init__(self) -> None:
        _positive("lambd", self.lambd)

    @property
    def sections(self) -> Sections:
        """Flat between -lambd and lambd."""
        width = float(self.lambd)
        return Sections((-width, width), (1.0, 0.0, 1.0), (0.0, 0.0), 0.0)


@dataclass(frozen=True, eq=False)
class HardShrink(Kinked):
    """x where |x| > lambd, else 0; at the jumps the mean of both sides. Accuracy is that of `Piecewise`."""

    name = "hardshrink"

    lambd: float = 0.5

    def __post_init__(self) -> None:
        _positive("lambd", self.lambd)

    @property
    def sections(self) -> Sections:
        """Flat between -lambd and lambd, with jumps."""
        width = float(self.lambd)
        return Sections((-width, width), (1.0, 0.0, 1.0), (width, width), -width)


@dataclass(frozen=True, eq=False)
class Threshold(Kinked):
    """x where x > threshold, else value; at the jump the mean of both sides. Accuracy is that of `Piecewise`."""

    name = "threshold"

    threshold: float
    value: float

    def __post_init__(self) -> None:
        number("threshold", self.threshold)
        number("value", self.value)

    @property
    def sections(self) -> Sections:
        """Flat below the threshold."""
        at, value = float(self.threshold), float(self.value)
        return Sections((at,), (0.0, 1.0), (at - value,), value)


def _numbers(name: str, given: Any) -> tuple[float, ...]:
    try:
        return tuple(number(name, x) for x in given)
    except TypeError:
        raise TypeError(f"{name}: expected a tuple of numbers, got {given!r}") from None


def number(name: str, given: Any) -> float:
    """Return a finite number, or raise for what is none."""
    if not isinstance(given, Real):
        raise TypeError(f"{name}: expected a number, the same for all neurons, got {given!r}")
    if not math.isfinite(given):
        raise ValueError(f"{name}: expected a finite number, got {given!r}")
    return float(given)


def _positive(name: str, given: Any) -> None:
    if number(name, given) <= 0.0:
        raise ValueError(f"{name}: expected a number > 0, got {given!r}")
