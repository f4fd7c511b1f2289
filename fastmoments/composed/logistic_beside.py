"""Covariances of a logistic activation with another activation, element by element."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastmoments.composed.logistic import Logistic
from fastmoments.composed.logistic_mixture import mixture
from fastmoments.composed.logistic_pairs import Pairs
from fastmoments.composed.logistic_slopes import SIGMOID, SILU
from fastmoments.kinks import bumps_cov, kinks_cov, mean_slope
from fastmoments.pieces import DENSITY_AT_0, Bump, Kink, Pieces, Side, pieces_of

STEP = 0.08  # of the mixture: 49 terms, right to rounding of sigmoid(x) up to x = -20


def beside_cov(one: Side, two: Side, cov_12: Any) -> Any:
    """Compute Cov(f(X_1), g(X_2)) of a logistic f and a g that is logistic or has pieces, else return None."""
    assert isinstance(one.name, Logistic)
    if isinstance(two.name, Logistic):
        pairs = Pairs(one.library, one.name.scaled, two.name.scaled)
        pair = one.mu, two.mu, one.var, two.var, cov_12
        return pairs.covs(((0, 0),), pair, (one.mu, one.var, two.mu, two.var))[0]
    return _by_mixture(one, one.name, two, cov_12) if two.has_pieces else None


def _by_mixture(one: Side, logistic: Logistic, two: Side, cov_12: Any) -> Any:
    """Sum over the mixture's steps or ramps, and bumps, with all pieces of the other function."""
    others, (kind, amplitude, rate) = pieces_of(two), logistic.scaled
    xp, shape = one.xp, np.broadcast_shapes(*(tuple(x.shape) for x in (one.mu, two.mu, cov_12)))
    like = xp.broadcast_to(cov_12, shape)

    def terms(share: Any, scale: Any) -> tuple[Any]:
        ramp = amplitude * share / scale
        first = Kink(1, amplitude * share, rate * scale, noise=1.0)
        parts = [first if kind == SIGMOID else Kink(2, ramp, rate * scale, noise=1.0)]
        bump = Bump(-DENSITY_AT_0 * ramp, (rate * scale) ** 2, 0.0 * ramp)
        parts += [bump.as_kink(xp)] if kind == SILU else []
        of_kinks = [kinks_cov(a, b, one, two, cov_12) for a in parts[:1] for b in _kinks(others, xp)]
        of_kinks += [kinks_cov(a, b, one, two, cov_12) for a in parts[1:] for b in others.kinks]
        of_bumps = [bumps_cov(bump, b, one, two, cov_12) for b in others.bumps if kind == SILU]
        total = sum([*of_kinks, *of_bumps], 0.0 * share)
        return (total + xp.zeros_like(like),)

    library: Any = one.library  # a module that networks have; Dask's blocks are NumPy's
    scale, share = mixture(STEP)
    (value,) = library.summed(terms, np.stack([share, scale], axis=-1), like)
    if others.slope is not None:
        value = value + others.slope * cov_12 * mean_slope(one)
    alive = (one.var > 0.0) & (two.var > 0.0)
    # 0 beside an input without variance, with the derivative E f' E g' along cov_12
    return xp.where(alive, value, cov_12 * mean_slope(one) * mean_slope(two))


def _kinks(pieces: Pieces, xp: Any) -> tuple[Kink, ...]:
    return *pieces.kinks, *(bump.as_kink(xp) for bump in pieces.bumps)
