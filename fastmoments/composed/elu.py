"""ELU and its relatives, exponentials below 0: a ramp beside u(x) = (e^x - 1) step(-x), by tilting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from fastmoments.composed import tilted
from fastmoments.composed.base import Composed, Library
from fastmoments.composed.base import Pair as Moments
from fastmoments.composed.piecewise import number
from fastmoments.composed.tilted import Pair, exp_mean, shifted, shifted_kink, tilted_step, u_mean
from fastmoments.elementwise import cov, curvature, gain, mean
from fastmoments.frameworks import shapes
from fastmoments.frameworks.products import finite
from fastmoments.kink_pairs import kink_pair_cov
from fastmoments.kinks import mean_slope
from fastmoments.pieces import Side, pieces_of
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


class Exponential(Composed):
    """A ramp above 0 and an exponential below; a class supplies `numbers`."""

    @property
    def numbers(self) -> Numbers:
        """The function's own numbers."""
        raise NotImplementedError

    @property
    def kinks(self) -> tuple[float, ...]:
        """0."""
        return (0.0,)

    @property
    def lipschitz(self) -> float:
        """The larger of the slopes on both sides of 0."""
        ramp, bend, scale = self.numbers
        return max(abs(ramp * scale), abs(bend * scale))

    def function(self, xp: Any, x: Any) -> Any:
        """Compute f."""
        ramp, bend, scale = self.numbers
        y = scale * x
        return xp.where(y > 0.0, ramp * y, bend * xp.expm1(xp.where(y > 0.0, xp.zeros_like(y), y)))

    def mean(self, library: Library, mu: Any, var: Any) -> Any:
        """Compute E f(X)."""
        ramp, bend, scale = self.numbers
        below = u_mean(library, scale * mu, scale * scale * var, -library.xp.ones_like(mu))
        return ramp * mean(ReLU, scale * mu, scale * scale * var) + bend * below

    def _slopes(self, library: Library, mu: Any, var: Any) -> tuple[Any, Any, Any]:
        """Return E e^Y step(-Y), E step(Y) and E delta(Y)."""
        scale = self.numbers.scale
        mu, var = scale * mu, scale * scale * var
        below = tilted_step(library, mu, var, -library.xp.ones_like(mu))
        return below, mean(Heaviside, mu, var), gain(Heaviside, mu, var)

    def gain(self, library: Library, mu: Any, var: Any) -> Any:
        """Compute E f'(X)."""
        ramp, bend, scale = self.numbers
        below, above, _ = self._slopes(library, mu, var)
        return scale * (ramp * above + bend * below)

    def mean_dvar(self, library: Library, mu: Any, var: Any) -> Any:
        """Compute E f''(X) / 2."""
        ramp, bend, scale = self.numbers
        below, _, at_0 = self._slopes(library, mu, var)
        jump = (ramp - bend) * at_0 if ramp != bend else 0.0
        return 0.5 * scale * scale * (bend * below + jump)

    def var(self, library: Library, mu: Any, var: Any) -> Any:
        """Compute Var f(X)."""
        return library.with_partials(
            lambda mu, var: self.cov(library, mu, mu, var, var, var),
            lambda mu, var: self.var_partials(library, mu, var),
            (mu, var),
        )

    def var_partials(self, library: Library, mu: Any, var: Any) -> tuple[Any, Any]:
        """Compute the derivatives of Var f(X): nothing jumps, and those of `cov` are finite."""
        by_mu_1, by_mu_2, by_var_1, by_var_2, by_cov = self.cov_partials(library, mu, mu, var, var, var)
        return by_mu_1 + by_mu_2, by_var_1 + by_var_2 + by_cov

    def cov(self, library: Library, *pair: Any) -> Any:
        """Compute Cov(f(X_1), f(X_2))."""
        return library.with_partials(
            lambda *pair: cov_of(self, self, Pair(library, *pair)),
            lambda *pair: self.cov_partials(library, *pair),
            pair,
        )

    def cov_partials(self, library: Library, *pair: Any) -> Moments:
        """Compute the derivatives of `cov` by f' = f - ramp relu + (ramp - bend) step + bend, twice."""
        ramp, bend, scale = self.numbers
        scaled = self._scaled(library, *pair)
        turned = scaled.exchanged
        one, two = (_parts(self.numbers, p.library, p.mu_1, p.var_1) for p in (scaled, turned))
        with_1 = [_kink_cov(order, one, scaled) for order in (0, 1, 2)]  # Cov(f(X_1), F(X_2))
        with_2 = [_kink_cov(order, two, turned) for order in (0, 1, 2)]
        both, change = cov_of(self, self, Pair(library, *pair)), ramp - bend
        step_ramp, ramp_step = (kink_pair_cov(library, 1, 2, p.moments) for p in (scaled, turned))
        by_mu_1 = both - ramp * with_2[2] + change * with_2[1]
        by_mu_2 = both - ramp * with_1[2] + change * with_1[1]
        second_1 = both - ramp * with_2[2] - bend * with_2[1] + change * with_2[0]
        second_2 = both - ramp * with_1[2] - bend * with_1[1] + change * with_1[0]
        # Cov(relu(X_1), f'(X_2)) and Cov(step(X_1), f'(X_2))
        ramps = with_2[2] - ramp * cov(ReLU, *scaled.moments) + change * ramp_step
        steps = with_2[1] - ramp * step_ramp + change * cov(Heaviside, *scaled.moments)
        slopes = [self.gain(library, *x) / scale for x in (pair[::2][:2], pair[1::2][:2])]
        by_cov = by_mu_2 - ramp * ramps + change * steps + slopes[0] * slopes[1]
        alive = (scaled.var_1 > 0.0) & (scaled.var_2 > 0.0)
        none = library.xp.zeros_like(by_cov)
        squared = scale * scale
        halves = (
            library.xp.where(alive, 0.5 * squared * finite(library.xp, x), none) for x in (second_1, second_2)
        )
        by_mu_1, by_mu_2 = (library.xp.where(alive, scale * x, none) for x in (by_mu_1, by_mu_2))
        by_cov = squared * library.xp.where(alive, by_cov, slopes[0] * slopes[1])
        return by_mu_1, by_mu_2, *halves, by_cov

    def _scaled(self, library: Library, *pair: Any) -> Pair:
        mu_1, mu_2, var_1, var_2, cov_12 = pair
        scale = self.numbers.scale
        squared = scale * scale
        return Pair(library, scale * mu_1, scale * mu_2, squared * var_1, squared * var_2, squared * cov_12)

    def cov_beside(self, one: Side, two: Side, cov_12: Any) -> Any:
        """Compute the covariance with another of these, or with a sum of lines and kinks."""
        given = {"mu_1": one.mu, "mu_2": two.mu, "var_1": one.var, "var_2": two.var, "cov_12": cov_12}
        shape = shapes.agreed(given)
        pair = Pair(one.library, *(one.xp.broadcast_to(x, shape) for x in given.values()))
        if isinstance(two.name, Exponential):
            return cov_of(self, two.name, pair)
        if not two.has_pieces:
            return None
        slope, kinks, bumps = pieces_of(two)
        scale = self.numbers.scale
        parts = _parts(self.numbers, one.library, scale * pair.mu_1, scale * scale * pair.var_1)
        own = finite(one.xp, self.gain(one.library, one.mu, one.var))
        total = 0.0 if slope is None else slope * cov_12 * own
        for kink in (*kinks, *(bump.as_kink(one.xp) for bump in bumps)):
            of_kink = kink.scale * (pair.mu_2 - kink.knot), kink.scale * kink.scale * pair.var_2 + kink.noise
            moved = Pair(one.library, parts.mu, of_kink[0], parts.var, of_kink[1], scale * kink.scale * pair.cov_12)
            total = total + kink.weight * _kink_cov(kink.order, parts, moved)
        alive = (one.var > 0.0) & (two.var > 0.0)
        return one.xp.where(alive, total, cov_12 * own * mean_slope(two))


def _parts(numbers: Numbers, library: Library, mu: Any, var: Any) -> Parts:
    xp, one = library.xp, library.xp.ones_like(mu)
    is_whole = mu + var < 0.0
    away, side = xp.where(mu > 0.0, -one, one), xp.where(is_whole, one, -one)
    slope = xp.where(mu > 0.0, numbers.ramp * one, 0.0 * one)
    return Parts(numbers, mu, var, slope, away, side, numbers.bend * exp_mean(xp, mu, var, is_whole))


def _kink_cov(order: int, f: Parts, pair: Pair) -> Any:
    """Compute Cov(f(X_1), F(X_2)), X_1 being y; F is relu for order 2, step for 1, delta for 0."""
    library, _, mu_2, _, var_2, cov_12 = pair
    xp, one = library.xp, library.xp.ones_like(mu_2)
    if order == 0:
        at_0 = finite(xp, gain(Heaviside, mu_2, var_2))
        moved = gain(Heaviside, mu_2 + cov_12, var_2) - at_0
        slope = 2.0 * _half(xp, curvature(Heaviside, mu_2, var_2))
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


def _half(xp: Any, value: Any) -> Any:
    return 0.5 * finite(xp, value)


def _total(f: Parts, line: Any, moved: Any, beside: Any, of_u: Any) -> Any:
    """Add the covariances of f's parts with a function h: cov_12 E h', E h(X + cov_12) - E h, and two others."""
    _, bend, _ = f.numbers
    return f.slope * line + f.whole * moved + f.numbers.ramp * beside - f.side * bend * of_u


def _own_gain(library: Library, f: Parts) -> Any:
    """Compute E f'(y)."""
    below = tilted_step(library, f.mu, f.var, -library.xp.ones_like(f.mu))
    return f.numbers.ramp * mean(Heaviside, f.mu, f.var) + f.numbers.bend * below


def cov_of(f: Exponential, g: Exponential, pair: Pair) -> Any:
    """Compute Cov(f(X_1), g(X_2)): g's line, exponential, ramp and u, each beside all of f."""
    library, mu_1, mu_2, var_1, var_2, cov_12 = pair
    xp, (a, b) = library.xp, (f.numbers.scale, g.numbers.scale)
    pair = Pair(library, a * mu_1, b * mu_2, a * a * var_1, b * b * var_2, a * b * cov_12)
    one = _parts(f.numbers, library, pair.mu_1, pair.var_1)
    two = _parts(g.numbers, library, pair.mu_2, pair.var_2)
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


@dataclass(frozen=True, eq=False)
class ELU(Exponential):
    """x where x > 0, alpha (e^x - 1) below.

    By tilting: e^x beside a function moves the Gaussian's means. |error| <= 1e-12 sqrt(K_ii K_jj) in float64, 64
    eps in float32, for sds from 1e-4 to 1e2; 1e-6 and 1e-2 where |rho| is within rounding of 1. Autograd and JAX
    have first derivatives; second ones of variances are nan. A pair takes 30 us on NumPy's arrays, and JAX compiles
    for minutes.
    """

    name = "elu"

    alpha: float = 1.0

    def __post_init__(self) -> None:
        number("alpha", self.alpha)

    @property
    def numbers(self) -> Numbers:
        """No scale."""
        return Numbers(1.0, float(self.alpha), 1.0)


@dataclass(frozen=True, eq=False)
class SELU(Exponential):
    """1.0507 x where x > 0, 1.0507 * 1.6733 (e^x - 1) below. Accuracy is that of `ELU`.

    References
    ----------
    Klambauer, Unterthiner, Mayr, Hochreiter, "Self-Normalizing Neural Networks", 2017.
    """

    name = "selu"

    @property
    def numbers(self) -> Numbers:
        """The constants of the reference."""
        scale = 1.0507009873554804934193349852946
        return Numbers(scale, scale * 1.6732632423543772848170429916717, 1.0)


@dataclass(frozen=True, eq=False)
class CELU(Exponential):
    """x where x > 0, alpha (e^(x / alpha) - 1) below, alpha > 0. Accuracy is that of `ELU`, of x / alpha."""

    name = "celu"

    alpha: float = 1.0

    def __post_init__(self) -> None:
        if number("alpha", self.alpha) <= 0.0:
            raise ValueError(f"alpha: expected a number > 0, got {self.alpha!r}")

    @property
    def numbers(self) -> Numbers:
        """Both parts of x / alpha."""
        alpha = float(self.alpha)
        return Numbers(alpha, alpha, 1.0 / alpha)
