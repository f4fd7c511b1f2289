"""Functions without a known form: panels in ever more parts until two results agree, and derivatives by parts."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastmoments.frameworks import Words
from fastmoments.powers.common import Counts, Moments, Neurons, hermite
from fastmoments.powers.grid import REACH
from fastmoments.powers.panels import by_panels, ends_of
from fastmoments_kernels.custom import Custom, ToleranceError

MOST = 64  # parts of a panel
ROUNDING = 64  # of f, in eps
CENTRES = ((0.0, 1.0),)  # common functions bend near 0 on a length of one


def settled(neurons: Neurons, activation: Custom, counts: Counts, parts: int = 1) -> Moments:
    """Integrate in twice as many parts until that changes nothing but rounding.

    Raises `ToleranceError` if it never does; nan where values cannot be read.
    """
    xp, library = neurons.xp, neurons.library
    widest = library.largest(neurons.sd)
    ends = ends_of(neurons, activation.kinks, CENTRES, widest)
    coarse, fine = (by_panels(neurons, counts, ends, n) for n in (parts, 2 * parts))
    off = _off(neurons, activation, counts, coarse, fine)
    if widest is None:
        return [xp.where(off, math.nan, x) for x in fine]
    if 2 * parts >= MOST and bool(off.any()):
        raise ToleranceError(
            f"tol: {activation.tol:g} cannot be met at mu = {float(neurons.mu[off][0]):g}, var = "
            f"{float(neurons.sd[off][0]) ** 2:g}: f is not smooth or not finite there, grows too fast, or is not "
            "computed in float64; give `kinks`, or a larger tol"
        )
    return neurons.replaced(off, lambda some: settled(some, activation, counts, 2 * parts), fine)


def _off(neurons: Neurons, activation: Custom, counts: Counts, coarse: Moments, fine: Moments) -> Any:
    """Whether two results differ, are not finite, or f is not small beyond the reach; False for neurons of nan."""
    xp, eps = neurons.xp, float(neurons.xp.finfo(neurons.mu.dtype).eps)
    tol = max(activation.tol, ROUNDING * eps)
    noise = ROUNDING * eps * (xp.abs(neurons.f(neurons.mu)) + xp.abs(neurons.centre)) / neurons.scale
    # roots of E g^2p, by Jensen at least these
    square, fourth = xp.abs(fine[1][0]), xp.abs(fine[3][0])
    sizes = [0.0 * square + 1.0, square**0.5, fourth**0.5, fourth**0.75, fourth]
    ends = [xp.abs(neurons.deviations(end + 0.0 * neurons.mu)) for end in (-REACH, REACH)]
    fits = square == square
    for p, (one, two) in enumerate(zip(coarse, fine, strict=True), 1):
        count = counts[p - 1]
        scale = np.sqrt([math.factorial(k) for k in range(count)]).reshape(-1, *(1,) * len(neurons.shape))
        limit = neurons.library.constant(scale, neurons.mu) * (10.0 * tol * sizes[p] + p * noise * sizes[p - 1])
        beyond = (ends[0] ** p + ends[1] ** p) * hermite(REACH, count)[-1] * math.exp(-0.5 * REACH**2)
        fits = fits & ((xp.abs(one - two) <= limit) & (limit < math.inf)).all(0) & (beyond <= limit[-1])
    return ~fits & xp.isfinite(neurons.mu) & xp.isfinite(neurons.sd)


def by_parts(
    words: Words[Any],
    moments: Callable[..., Moments],
    counts: Counts,
    mu: Any,
    var: Any,
    *constants: Any,
) -> Moments:
    """Return moments(mu, var, *constants, counts) with derivatives where f itself has none.

    d h[k] / d mu = h[k + 1] / sd and d h[k] / d var = (k h[k] + h[k + 2]) / (2 var), 0 without variance.
    """

    def function(mu: Any, var: Any, *constants: Any) -> tuple[Any, ...]:
        return tuple(row for own in moments(mu, var, *constants, counts) for row in own)

    def partials(mu: Any, var: Any, *constants: Any) -> tuple[tuple[Any, Any], ...]:
        more = by_parts(words, moments, tuple(count + 2 for count in counts), mu, var, *constants)
        some = var > 0.0
        by_var = words.xp.where(some, 1.0 / words.xp.where(some, var, 1.0), 0.0)
        by_sd = by_var**0.5
        return tuple(
            (by_sd * own[k + 1], 0.5 * by_var * (k * own[k] + own[k + 2]))
            for own, count in zip(more, counts, strict=True)
            for k in range(count)
        )

    rows = iter(words.with_partials(function, partials, (mu, var), constants))
    return [words.xp.stack([next(rows) for _ in range(count)]) for count in counts]
