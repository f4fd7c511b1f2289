"""ELU and its relatives, exponentials below 0: a ramp beside u(x) = (e^x - 1) step(-x), by tilting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastmoments.composed.base import Composed, Library
from fastmoments.composed.base import Pair as Moments
from fastmoments.composed.elu_pairs import Numbers, cov_of, kink_cov, parts_of
from fastmoments.composed.piecewise import number
from fastmoments.composed.tilted import Pair, tilted_step, u_mean
from fastmoments.elementwise import cov, gain, mean
from fastmoments.frameworks import shapes
from fastmoments.frameworks.products import finite
from fastmoments.kink_pairs import kink_pair_cov
from fastmoments.kinks import mean_slope
from fastmoments.pieces import Side, pieces_of
from fastmoments_kernels.catalogue import Heaviside, ReLU


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
            lambda *pair: cov_of(self.numbers, self.numbers, Pair(library, *pair)),
            lambda *pair: self.cov_partials(library, *pair),
            pair,
        )

    def cov_partials(self, library: Library, *pair: Any) -> Moments:
        """Compute the derivatives of `cov` by f' = f - ramp relu + (ramp - bend) step + bend, twice."""
        ramp, bend, scale = self.numbers
        scaled = self._scaled(library, *pair)
        turned = scaled.exchanged
        one, two = (parts_of(self.numbers, p.library, p.mu_1, p.var_1) for p in (scaled, turned))
        with_1 = [kink_cov(order, one, scaled) for order in (0, 1, 2)]  # Cov(f(X_1), F(X_2))
        with_2 = [kink_cov(order, two, turned) for order in (0, 1, 2)]
        both, change = cov_of(self.numbers, self.numbers, Pair(library, *pair)), ramp - bend
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
            return cov_of(self.numbers, two.name.numbers, pair)
        if not two.has_pieces:
            return None
        slope, kinks, bumps = pieces_of(two)
        scale = self.numbers.scale
        parts = parts_of(self.numbers, one.library, scale * pair.mu_1, scale * scale * pair.var_1)
        own = finite(one.xp, self.gain(one.library, one.mu, one.var))
        total = 0.0 if slope is None else slope * cov_12 * own
        for kink in (*kinks, *(bump.as_kink(one.xp) for bump in bumps)):
            of_kink = kink.scale * (pair.mu_2 - kink.knot), kink.scale * kink.scale * pair.var_2 + kink.noise
            moved = Pair(one.library, parts.mu, of_kink[0], parts.var, of_kink[1], scale * kink.scale * pair.cov_12)
            total = total + kink.weight * kink_cov(kink.order, parts, moved)
        alive = (one.var > 0.0) & (two.var > 0.0)
        return one.xp.where(alive, total, cov_12 * own * mean_slope(two))


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
