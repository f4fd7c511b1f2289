"""Covariances of sums of lines, kinks and bumps: every pair of these pieces is a function of `moments.py`.

Noise of its own adds to a piece's variance and to no covariance. A covariance of derivatives is a derivative of a
covariance (Price): with relu' = step and step' = delta, those of different kinks are the partial derivatives of
`cov`. A bump is a delta seen through noise.
"""

from __future__ import annotations

from typing import Any

from fastmoments.frameworks.products import finite, root
from fastmoments.moments import cov, cov_partials, gain
from fastmoments.pieces import Bump, Kink, Pieces, Side, pieces_of
from fastmoments_kernels.catalogue import Gaussian, Heaviside, Probit, ReLU


def pieces_cov(one: Side, two: Side, cov_12: Any) -> Any:
    """Compute Cov(f(X_1), g(X_2)) of two functions that are sums of pieces."""
    parts_1, parts_2 = pieces_of(one), pieces_of(two)
    terms = [
        *_lines(one, two, parts_1, parts_2, cov_12),
        *(_bumps_cov(a, b, one, two, cov_12) for a in parts_1.bumps for b in parts_2.bumps),
        *(
            _kinks_cov(a, b, one, two, cov_12)
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


def _bumps_cov(a: Bump, b: Bump, one: Side, two: Side, cov_12: Any) -> Any:
    """Compute the covariance of two bumps."""
    pair = Gaussian(tau=(a.tau, b.tau), center=(a.center, b.center))
    return a.weight * b.weight * cov(pair, one.mu, two.mu, one.var, two.var, cov_12)


def _kinks_cov(a: Kink, b: Kink, one: Side, two: Side, cov_12: Any) -> Any:
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
    steps: type = Heaviside
    if b.order == 1 and a.noise == b.noise == 1.0:
        steps = Probit  # it adds the noise itself, where no digit is lost
    elif a.noise == b.noise == 0.0 and a.order != b.order:
        pair[4] = _inside(one.xp, *pair[2:])
    else:
        pair[2], pair[3] = pair[2] + a.noise, pair[3] + b.noise
    weight = a.weight * b.weight
    if a.order == b.order:
        return weight * cov(ReLU if b.order == 2 else steps, *pair)
    if b.order - a.order == 1:
        return weight * cov_partials(ReLU if b.order == 2 else steps, *pair).d_mu_1
    return weight * 2.0 * cov_partials(ReLU, *pair).d_var_1


def _inside(xp: Any, var_1: Any, var_2: Any, cov_12: Any) -> Any:
    """Move cov_12 by its rounding where |rho| = 1.

    There partial derivatives are integrals over an empty interval, which have no derivatives of their own.
    """
    rounding = 4.0 * float(xp.finfo(cov_12.dtype).eps)
    limit = root(xp, var_1) * root(xp, var_2)
    return xp.where(xp.abs(cov_12) > (1.0 - rounding) * limit, (1.0 - rounding) * cov_12, cov_12)
