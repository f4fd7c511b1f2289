"""Covariances of sums of lines, kinks and bumps: every pair of these pieces is a function of `elementwise.py`.

Noise of its own adds to a piece's variance and to no covariance. A covariance of derivatives is a derivative of a
covariance (Price): with relu' = step and step' = delta, those of different kinks are the partial derivatives of
`cov`. A bump is a delta seen through noise.
"""

from __future__ import annotations

from typing import Any

from fastmoments.elementwise import cov, cov_partials, gain
from fastmoments.frameworks.products import finite
from fastmoments.kink_pairs import kink_pair_cov
from fastmoments.pieces import Bump, Kink, Pieces, Side, pieces_of
from fastmoments_kernels.catalogue import Gaussian, Probit


def pieces_cov(one: Side, two: Side, cov_12: Any) -> Any:
    """Compute Cov(f(X_1), g(X_2)) of two functions that are sums of pieces."""
    parts_1, parts_2 = pieces_of(one), pieces_of(two)
    terms = [
        *_lines(one, two, parts_1, parts_2, cov_12),
        *(bumps_cov(a, b, one, two, cov_12) for a in parts_1.bumps for b in parts_2.bumps),
        *(
            kinks_cov(a, b, one, two, cov_12)
            for a, b in (
                *((a, b) for a in parts_1.kinks for b in parts_2.kinks),
                *((a, b.as_kink(one.xp)) for a in parts_1.kinks for b in parts_2.bumps),
                *((a.as_kink(one.xp), b) for a in parts_1.bumps for b in parts_2.kinks),
            )
        ),
    ]
    alive = (one.var > 0.0) & (two.var > 0.0)
    # 0 beside an input without variance, with the derivative E f' E g' along cov_12
    return one.xp.where(alive, sum(terms[1:], terms[0]), cov_12 * mean_slope(one) * mean_slope(two))


def _lines(one: Side, two: Side, parts_1: Pieces, parts_2: Pieces, cov_12: Any) -> list[Any]:
    """Return the lines' covariances with the whole of the other function, and with each other once (Stein)."""
    terms = []
    if parts_1.slope is not None:
        terms.append(parts_1.slope * cov_12 * mean_slope(two))
    if parts_2.slope is not None:
        rest = mean_slope(one) if parts_1.slope is None else mean_slope(one) - parts_1.slope
        terms.append(parts_2.slope * cov_12 * rest)
    return terms


def mean_slope(side: Side) -> Any:
    """Return E f'(X), 0 in place of infinity, which an input without variance has on a jump."""
    return finite(side.xp, gain(side.activation, side.mu, side.var))


def bumps_cov(a: Bump, b: Bump, one: Side, two: Side, cov_12: Any) -> Any:
    """Compute the covariance of two bumps."""
    pair = Gaussian(tau=(a.tau, b.tau), center=(a.center, b.center))
    return a.weight * b.weight * cov(pair, one.mu, two.mu, one.var, two.var, cov_12)


def kinks_cov(a: Kink, b: Kink, one: Side, two: Side, cov_12: Any) -> Any:
    """Compute the covariance of two kinks, of which at most one is a delta."""
    if a.order > b.order:
        a, b, one, two = b, a, two, one
    pair = [
        a.scale * (one.mu - a.knot),
        b.scale * (two.mu - b.knot),
        a.scale * a.scale * one.var,
        b.scale * b.scale * two.var,
        a.scale * b.scale * cov_12,
    ]
    if b.order == 1 and a.noise == b.noise == 1.0:
        # probit adds the noise itself, where no digit is lost
        value = cov(Probit, *pair) if a.order == 1 else cov_partials(Probit, *pair).d_mu_1
    else:
        pair[2], pair[3] = pair[2] + a.noise, pair[3] + b.noise
        value = kink_pair_cov(one.library, a.order, b.order, tuple(pair))
    return a.weight * b.weight * value
