"""Covariances of a sine or cosine with another one, and with a bump."""

from __future__ import annotations

from typing import Any

from fastmoments.elementwise import cov_partials, mean
from fastmoments.kinks import mean_slope
from fastmoments.pieces import Bump, Side, pieces_of
from fastmoments_kernels.catalogue import Gaussian, Sin


def sin_cos_cov(sine: Side, cosine: Side, cov_12: Any) -> Any:
    """Compute the covariance of a sine of X_1 and a cosine of X_2.

    It is the derivative of two sines' covariance along the second's angle. A phase of pi / 2 would be rounded.
    """
    p, q = sine.parameters, cosine.parameters
    omega = q["omega"]
    pair = Sin(omega=(p["omega"], 1.0 + 0.0 * omega), phase=(p["phase"], q["phase"]))
    angle, spread = omega * cosine.mu, omega * omega * cosine.var
    return cov_partials(pair, sine.mu, angle, sine.var, spread, omega * cov_12).d_mu_2


def bumps_wave_cov(bumps: Side, wave: Side, cov_12: Any) -> Any:
    """Compute the covariance of a function that is a line plus bumps of X_1 and a wave of X_2."""
    slope, _, parts = pieces_of(bumps)
    line = 0.0 if slope is None else slope * cov_12 * mean_slope(wave)
    return sum((_bump_wave_cov(bump, bumps, wave, cov_12) for bump in parts), line)


def _bump_wave_cov(bump: Bump, one: Side, two: Side, cov_12: Any) -> Any:
    """Compute the covariance of a bump s of X_1 and a wave f of X_2.

    The density times s is Gaussian: it moves X_2's mean by -cov_12 t (mu_1 - center), t = tau / (1 + tau var_1),
    and takes cov_12^2 t from its variance. So the covariance is E s(X_1) times the difference that this makes to
    E f(X_2) = exp(-V / 2) f(angle), V = omega^2 var_2, taken in two steps: the variance's, then the mean's.
    """
    xp, omega, (wave, slope) = two.xp, two.parameters["omega"], _wave_and_slope(two)
    pull = bump.tau / (1.0 + bump.tau * one.var)
    shift = -omega * cov_12 * pull * (one.mu - bump.center)
    power, lost = omega * omega * two.var, omega * omega * cov_12 * cov_12 * pull
    angle = omega * two.mu + two.parameters["phase"]
    narrowed = -xp.expm1(-0.5 * lost) * xp.exp(0.5 * (lost - power)) * wave(angle + shift)
    moved = 2.0 * xp.exp(-0.5 * power) * slope(angle + 0.5 * shift) * xp.sin(0.5 * shift)
    height = mean(Gaussian(tau=bump.tau, center=bump.center), one.mu, one.var)
    return bump.weight * height * (narrowed + moved)


def _wave_and_slope(side: Side) -> tuple[Any, Any]:
    """Return the wave as a function of its angle, and its derivative."""
    xp = side.xp
    return (xp.sin, xp.cos) if side.name == "sin" else (xp.cos, lambda angle: -xp.sin(angle))
