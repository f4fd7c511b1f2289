"""Sigmoid, softplus and SiLU on arrays: derivatives of any order, and rises f(x) - f(m) without cancellation."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.polynomial import Polynomial

SIGMOID, SOFTPLUS, SILU = "sigmoid", "softplus", "silu"
CENTRED = "centred"  # sigmoid(x) - 1/2, to its own digits near 0
STEPS = SIGMOID, CENTRED


class Point(NamedTuple):
    """x, sigmoid(x) and sigmoid(-x), the latter two to their own digits."""

    x: Any
    up: Any
    down: Any


def at(xp: Any, x: Any) -> Point:
    """Return sigmoid on both sides of x."""
    positive = x > 0.0
    # not |x|, whose derivative at 0 is that of neither side
    e = xp.exp(xp.where(positive, -x, x))
    high = 1.0 / (1.0 + e)
    low = e * high
    return Point(x, xp.where(positive, high, low), xp.where(positive, low, high))


@lru_cache(maxsize=32)
def _factor(order: int) -> tuple[float, ...]:
    """Return R in s = sigmoid(x), highest power first: the derivative of this order is s (1 - s) R(s)."""
    s, found = Polynomial([0.0, 1.0]), Polynomial([1.0])
    for _ in range(order - 1):
        found = (1.0 - 2.0 * s) * found + (s - s**2) * found.deriv()
    return tuple(found.coef[::-1].tolist())


@lru_cache(maxsize=32)
def _polynomial(order: int) -> tuple[float, ...]:
    """Return the derivative of this order as a polynomial in s = sigmoid(x), highest power first."""
    s = Polynomial([0.0, 1.0])
    whole = s if order == 0 else (s - s**2) * Polynomial(_factor(order)[::-1])
    return tuple(whole.coef[::-1].tolist())


def _sigmoid_slope(order: int, p: Point) -> Any:
    if order == 0:
        return p.up
    total: Any = 0.0
    for coefficient in _factor(order):
        total = total * p.up + coefficient
    return p.up * p.down * total


def slope(xp: Any, kind: str, order: int, p: Point) -> Any:
    """Compute the derivative of an order at a point."""
    if kind == CENTRED and order == 0:
        return 0.5 * xp.tanh(0.5 * p.x)
    if kind in STEPS:
        return _sigmoid_slope(order, p)
    if kind == SILU:
        lower = order * _sigmoid_slope(order - 1, p) if order else 0.0
        return p.x * _sigmoid_slope(order, p) + lower
    if order:
        return _sigmoid_slope(order - 1, p)
    positive = p.x > 0.0
    return xp.where(positive, p.x, 0.0 * p.x) + xp.log1p(xp.exp(xp.where(positive, -p.x, p.x)))


class Step(NamedTuple):
    """The points m and m + t, t, and sigmoid(m + t) - sigmoid(m) to its own digits."""

    start: Point
    end: Point
    t: Any
    rise: Any


def step_between(xp: Any, start: Point, end: Point, t: Any) -> Step:
    """Return the step between two points that are t apart."""
    upwards = t > 0.0
    shrink = -xp.expm1(xp.where(upwards, -t, t))
    return Step(start, end, t, shrink * xp.where(upwards, end.up * start.down, -start.up * end.down))


def _sigmoid_rise(order: int, step: Step) -> Any:
    """Compute the rise of a derivative: that of sigmoid times a divided difference of polynomials."""
    if order == 0:
        return step.rise
    quotient, value = 0.0, 0.0 * step.start.up
    for coefficient in _polynomial(order):
        quotient = quotient * step.end.up + value
        value = value * step.start.up + coefficient
    return step.rise * quotient


def rise(xp: Any, kind: str, order: int, step: Step) -> Any:
    """Compute f^(order)(m + t) - f^(order)(m) to its own digits."""
    start, end, t, _ = step
    if kind in STEPS:
        return _sigmoid_rise(order, step)
    if kind == SILU:
        lower = order * _sigmoid_rise(order - 1, step) if order else 0.0
        return t * _sigmoid_slope(order, end) + start.x * _sigmoid_rise(order, step) + lower
    if order:
        return _sigmoid_rise(order - 1, step)
    # softplus(x) = x + softplus(-x): the side on which nothing is subtracted
    right = start.x > 0.0
    return xp.where(right, t, 0.0 * t) + xp.log1p(
        xp.where(right, start.down, start.up) * xp.expm1(xp.where(right, -t, t))
    )


def slopes_on_numpy(kind: str, order: int, x: Any) -> Any:
    """Compute the derivative of an order of NumPy's numbers."""
    return slope(np, kind, order, at(np, x))
