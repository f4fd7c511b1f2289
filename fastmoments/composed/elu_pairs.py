"""Covariances of ELU and its relatives, a ramp beside an exponential, with each other and with kinks."""

from __future__ import annotations

from typing import Any, NamedTuple

from fastmoments.composed import tilted
from fastmoments.composed.base import Library
from fastmoments.composed.tilted import Pair, exp_mean, shifted, shifted_kink, tilted_step, u_mean
from fastmoments.elementwise import cov, curvature, gain, mean
from fastmoments.frameworks.products import finite
from fastmoments.kink_pairs import kink_pair_cov
from fastmoments_kernels.catalogue import Heaviside, ReLU


class Numbers(NamedTuple):
    """f(x) = ramp relu(y) + bend min(e^y - 1, 0), y = scale x."""

    ramp: float
    bend: float
    scale: float


class Parts(NamedTuple):
    """f(x) = slope y + [bend e^y] + ramp relu(away y) - side bend u(y), u(y) = (e^y - 1) step(side y).

    What is straight or exponential at mu is taken whole, and the rest turned away: away is -1 where mu > 0. side is
    1 where mu + var < 0, and only there the exponential is whole.
    """

    numbers: Numbers
    mu: Any  # of y
    var: Any
    slope: Any
    away: Any
    side: Any
    whole: Any  # of bend e^y: its mean


def parts_of(numbers: Numbers, library: Library, mu: Any, var: Any) -> Parts:
    """Take f apart beside an input y of this mean and variance."""
    xp, one = library.xp, library.xp.ones_like(mu)
    is_whole = mu + var < 0.0
    away, side = xp.where(mu > 0.0, -one, one), xp.where(is_whole, one, -one)
    slope = xp.where(mu > 0.0, numbers.ramp * one, 0.0 * one)
    return Parts(numbers, mu, var, slope, away, side, numbers.bend * exp_mean(xp, mu, var, is_whole))


def kink_cov(order: int, f: Parts, pair: Pair) -> Any:
    """Compute Cov(f(X_1), F(X_2)), X_1 being y; F is relu for order 2, step for 1, delta for 0."""
    library, _, mu_2, _, var_2, cov_12 = pair
    xp, one = library.xp, library.xp.ones_like(mu_2)
    if order == 0:
        at_0 = finite(xp, gain(Heaviside, mu_2, var_2))
        moved = gain(Heaviside, mu_2 + cov_12, var_2) - at_0
        slope = finite(xp, curvature(Heaviside, mu_2, var_2))
        beside = kink_pair_cov(library, 0, 2, pair.exchanged.turned(one, f.away))
        of_u = tilted.u_delta_cov(pair, f.side)
        return _total(f, cov_12 * slope, moved, beside, of_u)
    # a ramp is turned away, a step has no straight side
    sign = xp.where(mu_2 > 0.0, -one, one) if order == 2 else one
    of = ReLU if order == 2 else Heaviside
    slope = sign * finite(xp, gain(of, sign * mu_2, var_2))
    moved = shifted_kink(xp, of, sign, mu_2, var_2, cov_12)
    if order == 2:
        beside = cov(ReLU, *pair.turned(f.away, sign))
        total = _total(f, cov_12 * slope, moved, beside, tilted.u_ramp_cov(pair, f.side, sign))
        return total + xp.where(mu_2 > 0.0, cov_12 * _own_gain(library, f), xp.zeros_like(mu_2))
    beside = kink_pair_cov(library, 1, 2, pair.exchanged.turned(sign, f.away))
    return _total(f, cov_12 * slope, moved, beside, tilted.u_step_cov(pair, f.side, sign))


def _total(f: Parts, line: Any, moved: Any, beside: Any, of_u: Any) -> Any:
    """Add the covariances of f's parts with a function h: cov_12 E h', E h(X + cov_12) - E h, and two others."""
    _, bend, _ = f.numbers
    return f.slope * line + f.whole * moved + f.numbers.ramp * beside - f.side * bend * of_u


def _own_gain(library: Library, f: Parts) -> Any:
    """Compute E f'(y)."""
    below = tilted_step(library, f.mu, f.var, -library.xp.ones_like(f.mu))
    return f.numbers.ramp * mean(Heaviside, f.mu, f.var) + f.numbers.bend * below


def cov_of(f: Numbers, g: Numbers, pair: Pair) -> Any:
    """Compute Cov(f(X_1), g(X_2)): g's line, exponential, ramp and u, each beside all of f."""
    library, mu_1, mu_2, var_1, var_2, cov_12 = pair
    xp, (a, b) = library.xp, (f.scale, g.scale)
    pair = Pair(library, a * mu_1, b * mu_2, a * a * var_1, b * b * var_2, a * b * cov_12)
    one = parts_of(f, library, pair.mu_1, pair.var_1)
    two = parts_of(g, library, pair.mu_2, pair.var_2)
    gains = [_own_gain(library, parts) for parts in (one, two)]
    # g's line beside f, and f's line beside the rest of g
    total = pair.cov_12 * (two.slope * gains[0] + one.slope * (gains[1] - two.slope))
    # the exponentials
    total = total + one.whole * two.whole * xp.expm1(
        xp.where(one.whole * two.whole != 0.0, pair.cov_12, 0.0 * mu_1)
    )
    for p, parts, other in ((pair, one, two), (pair.exchanged, two, one)):
        total = total + parts.whole * _moved_rest(p, other)
    ramps = cov(ReLU, *pair.turned(one.away, two.away))
    total = total + one.numbers.ramp * two.numbers.ramp * ramps
    total = total - one.side * one.numbers.bend * two.numbers.ramp * tilted.u_ramp_cov(pair, one.side, two.away)
    crossed = tilted.u_ramp_cov(pair.exchanged, two.side, one.away)
    total = total - two.side * two.numbers.bend * one.numbers.ramp * crossed
    sides = one.side * two.side * one.numbers.bend * two.numbers.bend
    total = total + sides * tilted.u_cov(pair, one.side, two.side)
    alive = (pair.var_1 > 0.0) & (pair.var_2 > 0.0)
    return xp.where(alive, total, pair.cov_12 * gains[0] * gains[1])


def _moved_rest(pair: Pair, f: Parts) -> Any:
    """Compute E r(X_2 + cov_12) - E r(X_2), r the ramp and u of f, whose input is X_2."""
    library, _, _, _, _, cov_12 = pair
    (ramp, bend, _), ones = f.numbers, f.away

    def value(mu: Any) -> Any:
        var, side, away = f.var + 0.0 * mu, f.side + 0.0 * mu, ones + 0.0 * mu
        return ramp * mean(ReLU, away * mu, var) - side * bend * u_mean(library, mu, var, side)

    def slope(mu: Any) -> Any:
        var, side, away = f.var + 0.0 * mu, f.side + 0.0 * mu, ones + 0.0 * mu
        return ramp * away * mean(Heaviside, away * mu, var) - side * bend * tilted_step(library, mu, var, side)

    return shifted(library.xp, value, slope, f.mu, f.var, cov_12)
