"""Elements of mean -inf, as masks make them: they count for nothing, whatever their covariance."""

from __future__ import annotations

from typing import Any, NamedTuple

from fastmoments.frameworks import Words
from fastmoments.frameworks.products import root

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


class Candidates(NamedTuple):
    """Elements of a maximum: `mu` (..., n), `cov` (..., n, n), and (...), whether there are any but masked ones."""

    mu: Array
    cov: Array
    some: Array


def candidates(words: Words[Any], mu: Array, cov: Array) -> Candidates:
    """Make masked elements copies of the one with the largest mean, far below it: they are never the maximum.

    As copies they have the others' covariances, so that what all share stays shared.
    """
    xp, n = words.xp, mu.shape[-1]
    masked = mu == -float("inf")
    beside = masked[..., :, None] | masked[..., None, :]
    mu = xp.where(masked, xp.zeros_like(mu), mu)
    cov = xp.where(beside, xp.zeros_like(cov), cov)
    lowest = xp.where(masked, float(xp.finfo(mu.dtype).min) * xp.ones_like(mu), mu)
    which = words.eye(n, mu)[xp.argmax(words.detached(lowest), -1)]
    top = (words.detached(mu) * which).sum(-1)[..., None]
    own = xp.einsum("...ii->...i", words.detached(cov))
    reach = xp.amax(xp.where(masked, 0.0 * mu, xp.abs(words.detached(mu) - top)) + 100.0 * root(xp, own), -1)
    reach = xp.where(reach > 0.0, reach, xp.ones_like(reach))[..., None]
    row = (which[..., None, :] @ cov)[..., 0, :]
    cov = xp.where(masked[..., :, None], row[..., None, :], cov)
    column = (cov @ which[..., None])[..., 0]
    cov = xp.where(masked[..., None, :], column[..., :, None], cov)
    return Candidates(xp.where(masked, top - reach, mu), cov, ~masked.all(-1))
