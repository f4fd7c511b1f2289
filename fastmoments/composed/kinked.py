"""Activations that are linear between knots: a line, ramps and steps.

Every ramp and step is turned away from mu, by relu(x) = x + relu(-x) and step(x) = 1 - step(-x): the line is then
that on mu's own section, and where the function is straight or flat nothing is subtracted. The variance of a
saturated neuron keeps its digits.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

from fastmoments.composed import ramps
from fastmoments.composed.base import Composed, Library, Pair
from fastmoments.elementwise import curvature, gain, mean, var_partials
from fastmoments.frameworks.products import finite
from fastmoments.kink_pairs import kink_pair_partials
from fastmoments.kinks import pieces_cov
from fastmoments.pieces import Kink, Pieces, Side
from fastmoments_kernels.catalogue import Heaviside, ReLU

OF_ORDER = {2: ReLU, 1: Heaviside}
LARGEST_ERROR = 1e-3  # of covariances, relative: beyond it they are nan


class Sections(NamedTuple):
    """Knots in their order, the slope of every section, the jump at every knot, and f just below the first."""

    knots: tuple[float, ...]
    slopes: tuple[float, ...]
    jumps: tuple[float, ...]
    value: float

    @property
    def anchors(self) -> list[tuple[float, float, float]]:
        """A point of every section, f there, and the slope."""
        found = [(self.knots[0], self.value, self.slopes[0])]
        value = self.value
        for k, knot in enumerate(self.knots):
            value += self.jumps[k] + (self.slopes[k] * (knot - self.knots[k - 1]) if k else 0.0)
            found.append((knot, value, self.slopes[k + 1]))
        return found


class Kinked(Composed):
    """A function that is linear between knots; a class supplies `sections`."""

    @property
    def sections(self) -> Sections:
        """The function's own numbers."""
        raise NotImplementedError

    @property
    def kinks(self) -> tuple[float, ...]:
        """The knots."""
        return self.sections.knots

    @property
    def jumping(self) -> tuple[tuple[float, float], ...]:
        """The knots where f jumps, each with the height."""
        found = zip(self.sections.knots, self.sections.jumps, strict=True)
        return tuple((knot, jump) for knot, jump in found if jump)

    @property
    def lipschitz(self) -> float:
        """The largest slope, or infinity."""
        return float("inf") if any(self.sections.jumps) else max(map(abs, self.sections.slopes))

    def function(self, xp: Any, x: Any) -> Any:
        """Compute f; on a jump the mean of both sides."""
        value = self._on_section(xp, x)
        for knot, jump in zip(self.sections.knots, self.sections.jumps, strict=True):
            value = value + 0.5 * jump * (x == knot) if jump else value
        return value

    def _on_section(self, xp: Any, x: Any) -> Any:
        """Return the value of the line on x's own section, at a knot that below it."""
        (knot, value, slope), *others = self.sections.anchors
        found = _line(x, knot, value, slope)
        for knot, value, slope in others:
            found = xp.where(x > knot, _line(x, knot, value, slope), found)
        return found

    def _slope(self, xp: Any, x: Any) -> Any:
        """Return the slope of x's own section."""
        found = self.sections.slopes[0] + 0.0 * x
        for knot, slope in zip(self.sections.knots, self.sections.slopes[1:], strict=True):
            found = xp.where(x > knot, slope, found)
        return found

    def turned(self, xp: Any, mu: Any) -> list[Kink]:
        """Return the ramps and steps turned away from mu; weights and scales are arrays."""
        knots, slopes, jumps, _ = self.sections
        found = []
        for knot, (below, above), jump in zip(knots, pairwise(slopes), jumps, strict=True):
            away = xp.where(mu > knot, -xp.ones_like(mu), xp.ones_like(mu))
            if above != below:
                found.append(Kink(2, (above - below) * xp.ones_like(mu), away, knot))
            if jump:
                found.append(Kink(1, jump * away, away, knot))
        return found

    def pieces(self, side: Side) -> Pieces:
        """Return the line on mu's section and the kinks turned away from it."""
        slope = self._slope(side.xp, side.mu) if any(self.sections.slopes) else None
        return Pieces(slope, tuple(self.turned(side.xp, side.mu)), ())

    def mean(self, library: Library, mu: Any, var: Any) -> Any:
        """Compute E f(X)."""
        kinks = self.turned(library.xp, mu)
        means = (k.weight * mean(OF_ORDER[k.order], k.scale * (mu - k.knot), var) for k in kinks)
        return sum(means, self._on_section(library.xp, mu))

    def gain(self, library: Library, mu: Any, var: Any) -> Any:
        """Compute E f'(X)."""
        kinks = self.turned(library.xp, mu)
        gains = (k.weight * k.scale * gain(OF_ORDER[k.order], k.scale * (mu - k.knot), var) for k in kinks)
        return sum(gains, self._slope(library.xp, mu))

    def mean_dvar(self, library: Library, mu: Any, var: Any) -> Any:
        """Compute E f''(X) / 2."""
        kinks = self.turned(library.xp, mu)
        halves = (0.5 * k.weight * curvature(OF_ORDER[k.order], k.scale * (mu - k.knot), var) for k in kinks)
        return sum(halves, 0.0 * mu)

    def gain_dvar(self, library: Library, mu: Any, var: Any) -> Any:
        """Compute E f'''(X) / 2, the derivative of the gain along the variance; 0 without variance."""
        xp, total = library.xp, 0.0 * mu
        positive = xp.where(var > 0.0, var, xp.ones_like(var))
        for k in self.turned(xp, mu):
            from_knot = mu - k.knot
            if k.order == 2:
                half = 0.5 * k.weight * k.scale * curvature(Heaviside, k.scale * from_knot, var)
            else:
                # the second derivative of the density
                density = gain(Heaviside, from_knot, var)
                bend = (from_knot * from_knot / positive - 1.0) / positive
                half = 0.5 * k.weight * k.scale * density * bend
            total = total + finite(xp, half)
        return xp.where(var > 0.0, total, 0.0 * mu)

    def slopes_and_gains(self, library: Library, mu: Any, var: Any) -> tuple[Any, Any]:
        """Compute the slope of mu's section and E f'(X), 0 in place of infinity."""
        return self._slope(library.xp, mu), finite(library.xp, self.gain(library, mu, var))

    def var(self, library: Library, mu: Any, var: Any) -> Any:
        """Compute Var f(X): the covariance at rho = 1, whose own derivatives are infinite on jumps."""

        def value(mu: Any, var: Any) -> Any:
            return self.cov(library, mu, mu, var, var, var)

        def partials(mu: Any, var: Any) -> tuple[Any, Any]:
            return self.var_partials(library, mu, var)

        return library.with_partials(value, partials, (mu, var))

    def var_partials(self, library: Library, mu: Any, var: Any) -> tuple[Any, Any]:
        """Compute the derivatives of Var f(X) along mu and var."""
        xp, kinks = library.xp, self.turned(library.xp, mu)
        slope, full = self.slopes_and_gains(library, mu, var)
        doubled = 2.0 * finite(xp, self.mean_dvar(library, mu, var))
        by_mu = 2.0 * slope * var * doubled
        by_var = slope * (2.0 * full - slope) + 2.0 * slope * var * self.gain_dvar(library, mu, var)
        for i, a in enumerate(kinks):
            own = var_partials(OF_ORDER[a.order], a.scale * (mu - a.knot), var)
            by_mu = by_mu + a.weight * a.weight * a.scale * own[0]
            by_var = by_var + a.weight * a.weight * own[1]
            for b in kinks[:i]:
                d = _of_one_neuron(library, a, b, mu, var)
                by_mu, by_var = by_mu + 2.0 * d[0], by_var + 2.0 * d[1]
        return by_mu, by_var

    def cov(self, library: Library, *pair: Any) -> Any:
        """Compute Cov(f(X_1), f(X_2))."""
        mu_1, mu_2, var_1, var_2, cov_12 = pair
        one, two = (Side(library, self, {}, mu, var) for mu, var in ((mu_1, var_1), (mu_2, var_2)))
        return pieces_cov(one, two, cov_12) + self.too_wide(library, var_1) + self.too_wide(library, var_2)

    def too_wide(self, library: Library, var: Any) -> Any:
        """Return 0, or nan for inputs so wide that rounding of kinks apart would exceed LARGEST_ERROR."""
        knots = self.sections.knots
        if len(knots) < 2:
            return 0.0 * var
        gap = min(two - one for one, two in pairwise(knots))
        limit = gap * gap * LARGEST_ERROR / float(library.xp.finfo(var.dtype).eps)
        return library.xp.where(var > limit, float("nan"), library.xp.zeros_like(var))

    def cov_partials(self, library: Library, *pair: Any) -> Pair:
        """Compute the derivatives of `cov`: of the lines, cov_12 (s_1 G_2 + s_2 G_1 - s_1 s_2), and of kinks."""
        xp, (mu_1, mu_2, var_1, var_2, cov_12) = library.xp, pair
        sides = (mu_1, var_1), (mu_2, var_2)
        (s_1, g_1), (s_2, g_2) = (self.slopes_and_gains(library, *side) for side in sides)
        c_1, c_2 = (2.0 * finite(xp, self.mean_dvar(library, *side)) for side in sides)
        d_1, d_2 = (self.gain_dvar(library, *side) for side in sides)
        total = [s_2 * cov_12 * c_1, s_1 * cov_12 * c_2, s_2 * cov_12 * d_1, s_1 * cov_12 * d_2]
        total.append(s_1 * g_2 + s_2 * (g_1 - s_1))
        for a in self.turned(xp, mu_1):
            for b in self.turned(xp, mu_2):
                total = [x + y for x, y in zip(total, _partials_of(library, a, b, pair), strict=True)]
        by_mu_1, by_mu_2, by_var_1, by_var_2, by_cov = total
        return by_mu_1, by_mu_2, by_var_1, by_var_2, by_cov

    def moments(self, library: Library, mu: Any, cov: Any) -> tuple[Any, Any]:
        """Compute mean and covariance: without jumps by the covariance of all ramps."""
        if any(self.sections.jumps):
            return super().moments(library, mu, cov)
        return ramps.moments(self, library, mu, cov)

    def moments_vjp(self, library: Library, mu: Any, cov: Any, mean_bar: Any, cov_bar: Any) -> tuple[Any, Any]:
        """Compute the gradients along mu and cov."""
        if any(self.sections.jumps):
            return super().moments_vjp(library, mu, cov, mean_bar, cov_bar)
        return ramps.moments_vjp(self, library, mu, cov, mean_bar, cov_bar)


def _line(x: Any, knot: float, value: float, slope: float) -> Any:
    # a flat section is flat at infinity too
    return value + slope * (x - knot) if slope else value + 0.0 * (x == knot)


def _of_one_neuron(library: Library, a: Kink, b: Kink, mu: Any, var: Any) -> tuple[Any, Any]:
    """Return the derivatives along mu and var of the covariance of two weighted kinks of one input."""
    if a.knot != b.knot:
        d = _partials_of(library, a, b, (mu, mu, var, var, var))
        return d[0] + d[1], d[2] + d[3] + d[4]
    # a step and a ramp at the same knot, E ramp P(input < 0): at rho = 1 the pair's derivatives have no limit
    from_knot, both = a.scale * (mu - a.knot), a.weight * b.weight
    ramp, above, below = (
        mean(of, x, var) for of, x in ((ReLU, from_knot), (Heaviside, from_knot), (Heaviside, -from_knot))
    )
    density = finite(library.xp, gain(Heaviside, from_knot, var))
    positive = library.xp.where(var > 0.0, var, library.xp.ones_like(var))
    by_mu = above * below - ramp * density
    return both * a.scale * by_mu, both * 0.5 * density * (below + ramp * from_knot / positive)


def _partials_of(library: Library, a: Kink, b: Kink, pair: Any) -> tuple[Any, ...]:
    """Return the derivatives of two weighted kinks' covariance along the inputs' moments."""
    mu_1, mu_2, var_1, var_2, cov_12 = pair
    if a.order > b.order:
        d = _partials_of(library, b, a, (mu_2, mu_1, var_2, var_1, cov_12))
        return d[1], d[0], d[3], d[2], d[4]
    both = a.weight * b.weight
    moved = a.scale * (mu_1 - a.knot), b.scale * (mu_2 - b.knot), var_1, var_2, a.scale * b.scale * cov_12
    d = kink_pair_partials(library, a.order, b.order, moved)
    return both * a.scale * d[0], both * b.scale * d[1], both * d[2], both * d[3], both * a.scale * b.scale * d[4]
