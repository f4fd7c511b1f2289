"""f', f'' and f''' at a point, by differences to a tolerance, for neurons of little or no variance."""

from typing import Any

import numpy as np

from fastmoments_kernels.custom.activation import Custom
from fastmoments_kernels.custom.evaluation import ROUNDING, evaluate

Array = np.ndarray[Any, Any]

HALVINGS = 20  # to a millionth of the first step
# Chebyshev's points on [0, 1], and the weights of the polynomial through them at 0 and of its derivative there
POINTS = 0.5 - 0.5 * np.cos(np.pi * (np.arange(12) + 0.5) / 12)
AT_ZERO = np.array([np.prod([y / (y - x) for y in POINTS if y != x]) for x in POINTS])
SLOPE_AT_ZERO = np.array([-w * np.sum(1.0 / POINTS[POINTS != x]) for w, x in zip(AT_ZERO, POINTS, strict=True)])


def slopes_of(activation: Custom, mu: Array, at_mu: Array) -> tuple[Array, Array]:
    """(f', f'', f''') at mu as (3, m), and the distance from mu within which f is smooth.

    On a kink f' and f'' are the means of both sides, f''' is nan and the distance 0; nan, with distance 0, where
    halving the step does not settle f' and f''. Difference quotients are extrapolated to step 0; they are smooth in
    the step's square, on a kink in the step. f''' is 6 times the slope of the first quotient in that square.
    """
    slopes, before, smooth = np.full((3, mu.size), np.nan), np.full((3, mu.size), np.nan), np.zeros(mu.size)
    distance = np.abs(np.reshape(activation.kinks, (-1, 1)) - mu)
    bent = (distance == 0.0).any(axis=0)
    nearest = np.where(distance > 0.0, distance, np.inf).min(axis=0, initial=np.inf)
    scale = np.minimum(nearest, np.maximum(1.0, np.abs(mu)))
    points = np.where(bent[:, None], POINTS, np.sqrt(POINTS))
    with np.errstate(all="ignore"):
        for _ in range(HALVINGS):
            steps = points * scale[:, None]
            now, size = _extrapolated(_quotients(activation, mu[:, None], at_mu[:, None], steps), scale)
            rounding = ROUNDING * np.abs(at_mu) / steps[:, 0] ** [[1], [2], [3]]
            settled = np.isnan(slopes) & (np.abs(now - before) <= 0.1 * activation.tol * size + rounding)
            slopes[settled] = now[settled]
            # the later of f' and f'' decides
            smooth = np.where(settled[:2].any(axis=0), steps[:, -1], smooth)
            if not np.isnan(slopes).any():
                break
            before, scale = now, 0.5 * scale
    slopes[2, bent] = np.nan
    return slopes, np.where(bent | np.isnan(slopes[:2]).any(axis=0), 0.0, smooth)


def _extrapolated(quotients: Array, scale: Array) -> tuple[Array, Array]:
    """(f', f'', f''') by quotients (2, m, steps) extrapolated to step 0, and the sizes of what they are made of."""
    third = 6.0 * (quotients[:1] @ SLOPE_AT_ZERO) / scale**2
    size = np.abs(quotients).max(axis=-1)
    return np.concatenate([quotients @ AT_ZERO, third]), np.concatenate([size, size[:1] / scale**2])


def _quotients(activation: Custom, mu: Array, at_mu: Array, steps: Array) -> Array:
    """First and second difference quotients around mu, (2, m, steps), by steps as they are after rounding."""
    above, below = mu + steps, mu - steps
    right = (evaluate(activation, above) - at_mu) / (above - mu)
    left = (at_mu - evaluate(activation, below)) / (mu - below)
    return np.stack([0.5 * (right + left), 2.0 * (right - left) / (above - below)])
