"""f' and f'' at a point, by differences to a tolerance, for neurons of little or no variance."""

from typing import Any

import numpy as np

from fastmoments_kernels.custom.activation import Custom
from fastmoments_kernels.custom.evaluation import ROUNDING, evaluate

Array = np.ndarray[Any, Any]

HALVINGS = 20  # to a millionth of the first step
# Chebyshev's points on [0, 1] and the weights of the polynomial through them at 0
POINTS = 0.5 - 0.5 * np.cos(np.pi * (np.arange(12) + 0.5) / 12)
AT_ZERO = np.array([np.prod([y / (y - x) for y in POINTS if y != x]) for x in POINTS])


def slopes_of(activation: Custom, mu: Array, at_mu: Array) -> tuple[Array, Array]:
    """(f', f'') at mu as (2, m), and the distance from mu within which f is smooth.

    On a kink they are the means of both sides, with distance 0; nan, with distance 0, where halving the step does
    not settle them. Difference quotients are extrapolated to step 0; they are smooth in the step's square, on a
    kink in the step.
    """
    slopes, before, smooth = np.full((2, mu.size), np.nan), np.full((2, mu.size), np.nan), np.zeros(mu.size)
    distance = np.abs(np.reshape(activation.kinks, (-1, 1)) - mu)
    bent = (distance == 0.0).any(axis=0)
    nearest = np.where(distance > 0.0, distance, np.inf).min(axis=0, initial=np.inf)
    steps = np.where(bent[:, None], POINTS, np.sqrt(POINTS))
    steps = steps * np.minimum(nearest, np.maximum(1.0, np.abs(mu)))[:, None]
    with np.errstate(all="ignore"):
        for _ in range(HALVINGS):
            quotients = _quotients(activation, mu[:, None], at_mu[:, None], steps)
            now = quotients @ AT_ZERO
            rounding = ROUNDING * np.abs(at_mu) / steps[:, 0] ** [[1], [2]]
            change, size = np.abs(now - before), np.abs(quotients).max(axis=-1)
            settled = np.isnan(slopes) & (change <= 0.1 * activation.tol * size + rounding)
            slopes[settled] = now[settled]
            # the later of the two decides
            smooth = np.where(settled.any(axis=0), steps[:, -1], smooth)
            if not np.isnan(slopes).any():
                break
            before, steps = now, 0.5 * steps
    return slopes, np.where(bent | np.isnan(slopes).any(axis=0), 0.0, smooth)


def _quotients(activation: Custom, mu: Array, at_mu: Array, steps: Array) -> Array:
    """First and second difference quotients around mu, (2, m, steps), by steps as they are after rounding."""
    above, below = mu + steps, mu - steps
    right = (evaluate(activation, above) - at_mu) / (above - mu)
    left = (at_mu - evaluate(activation, below)) / (mu - below)
    return np.stack([0.5 * (right + left), 2.0 * (right - left) / (above - below)])
