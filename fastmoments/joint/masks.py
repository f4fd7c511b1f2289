"""Logits of -inf, as attention's masks make them: they count for nothing, whatever their covariance."""

from __future__ import annotations

from typing import Any, NamedTuple

from fastmoments.frameworks import Words

Array = Any  # of the library whose words are given
FAR = -1e15  # below the largest logit: exp(-1e15) is 0, and its square fits float32


class Logits(NamedTuple):
    """Logits less the largest mean: `mu` (..., n) with masked ones far below, `alive` 1 or 0, `top` (..., 1)."""

    mu: Array
    alive: Array
    top: Array


def unmasked(words: Words[Any], mu: Array) -> Logits:
    """Separate masked logits; `top` is 0 where all are masked."""
    xp = words.xp
    masked = mu == -float("inf")
    lowest = float(xp.finfo(mu.dtype).min)
    top = words.detached(xp.amax(xp.where(masked, lowest + 0.0 * xp.ones_like(mu), mu), -1))[..., None]
    top = xp.where(top == lowest, xp.zeros_like(top), top)
    far = FAR * xp.ones_like(mu)
    alive = xp.where(masked, xp.zeros_like(mu), xp.ones_like(mu))
    return Logits(xp.where(masked, far, xp.where(masked, far, mu) - top), alive, top)
