"""Covariance matrices of functions of several ramps: n neurons become K n inputs of relu, one for every ramp.

With f(x) = line + sum_k w_k relu(o_k (x - t_k)), o_k = -1 or 1, the inputs of relu have means o_k (mu - t_k) and
covariances o_k o_l C. The line with slope s_i on neuron i adds C_ij (s_i G_j + s_j G_i - s_i s_j), G the full gains
(Stein).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from fastmoments.moments import moments as moments_of
from fastmoments.moments import moments_vjp as vjp_of
from fastmoments_kernels.catalogue import ReLU


class Expanded(NamedTuple):
    """The ramps' inputs: mu (..., K n) and cov (..., K n, K n), and (..., K, n) weights and signs."""

    mu: Any
    cov: Any
    weights: Any
    signs: Any


def moments(activation: Any, library: Any, mu: Any, cov: Any) -> tuple[Any, Any]:
    """Compute mean and covariance."""
    ramps = _expanded(activation, library, mu, cov)
    _, full = moments_of(ReLU, ramps.mu, ramps.cov)
    var = library.xp.einsum("...ii->...i", cov)
    slopes, gains = activation.slopes_and_gains(library, mu, var)
    lines = slopes[..., :, None] * gains[..., None, :] + gains[..., :, None] * slopes[..., None, :]
    lines = cov * (lines - slopes[..., :, None] * slopes[..., None, :])
    wide = activation.too_wide(library, var)
    lines = lines + wide[..., :, None] + wide[..., None, :]
    return activation.mean(library, mu, var), library.symmetric(_contracted(full, ramps.weights) + lines)


def moments_vjp(activation: Any, library: Any, mu: Any, cov: Any, mean_bar: Any, cov_bar: Any) -> tuple[Any, Any]:
    """Compute the gradients along mu and cov."""
    xp, cov_bar = library.xp, 0.5 * (cov_bar + library.xp.swapaxes(cov_bar, -1, -2))
    ramps, var = _expanded(activation, library, mu, cov), xp.einsum("...ii->...i", cov)
    means = mean_bar[..., None, :] * ramps.weights
    of_mu, of_cov = vjp_of(ReLU, ramps.mu, ramps.cov, _flat(means), _spread(cov_bar, ramps.weights))[:2]
    slopes, gains = activation.slopes_and_gains(library, mu, var)
    lines = slopes[..., :, None] * gains[..., None, :] + gains[..., :, None] * slopes[..., None, :]
    lines = cov_bar * (lines - slopes[..., :, None] * slopes[..., None, :])
    along_gain = 2.0 * ((cov_bar * cov) @ slopes[..., None])[..., 0]
    var_bar = along_gain * activation.gain_dvar(library, mu, var)
    mu_bar = (of_mu.reshape(ramps.signs.shape) * ramps.signs).sum(-2) + mean_bar * slopes
    mu_bar = mu_bar + along_gain * 2.0 * activation.mean_dvar(library, mu, var)
    return mu_bar, library.plus_diagonal(library.symmetric(_contracted(of_cov, ramps.signs) + lines), var_bar)


def _expanded(activation: Any, library: Any, mu: Any, cov: Any) -> Expanded:
    xp, kinks = library.xp, activation.turned(library.xp, mu)
    weights, signs = (xp.stack(x, -2) for x in zip(*((k.weight, k.scale) for k in kinks), strict=True))
    moved = xp.stack([k.scale * (mu - k.knot) for k in kinks], -2)
    return Expanded(_flat(moved), _spread(cov, signs), weights, signs)


def _flat(rows: Any) -> Any:
    """Return (..., K, n) as (..., K n)."""
    return rows.reshape((*rows.shape[:-2], rows.shape[-2] * rows.shape[-1]))


def _spread(matrix: Any, factors: Any) -> Any:
    """Return the matrix (..., n, n) times the factors (..., K, n) of both sides, as (..., K n, K n)."""
    blocks = factors[..., :, :, None, None] * matrix[..., None, :, None, :] * factors[..., None, None, :, :]
    side = factors.shape[-2] * factors.shape[-1]
    return blocks.reshape((*matrix.shape[:-2], side, side))


def _contracted(full: Any, factors: Any) -> Any:
    """Return the sum over ramps of (..., K n, K n) times the factors (..., K, n) of both sides."""
    count, n = factors.shape[-2:]
    blocks = full.reshape((*full.shape[:-2], count, n, count, n))
    total: Any = 0.0
    for k in range(count):
        for j in range(count):
            sides = factors[..., k, :, None] * factors[..., j, None, :]
            total = total + sides * blocks[..., k, :, j, :]
    return total
