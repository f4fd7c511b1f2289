"""What a Gaussian over outputs says: class probabilities, and what is known of some given others."""

import math
from typing import Any

import torch
from scipy.stats import qmc

from fastmoments.frameworks.products import without_rounding
from fastmoments.results import Moments

Tensor = Any


def class_probabilities(mean: Tensor, cov: Tensor, link: str = "softmax", samples: int = 4096) -> Tensor:
    """Probabilities of classes from a Gaussian over logits.

    Parameters
    ----------
    mean : tensor (..., k), mean of the logits.
    cov : tensor (..., k, k), their covariance.
    link : "softmax" for E softmax(Z); "argmax" for P(Z_i is largest).
    samples : quasi-Monte Carlo points (a power of two), the same for every row.

    Returns
    -------
    tensor (..., k)
        For two classes "argmax" is exact, Phi(m / s) of the logits' difference, and "softmax" MacKay's
        approximation sigmoid(m / sqrt(1 + pi s^2 / 8)), within 0.02 of the truth. For more classes both are means
        over scrambled Sobol points, whose error falls about as 1 / samples.
    """
    if link not in ("softmax", "argmax"):
        raise ValueError(f'link: expected "softmax" or "argmax", got {link!r}')
    k = mean.shape[-1]
    if tuple(cov.shape[-2:]) != (k, k):
        raise ValueError(f"cov: expected shape (..., {k}, {k}), got {tuple(cov.shape)}")
    if k == 2:
        gap = mean[..., 1] - mean[..., 0]
        var = cov[..., 0, 0] + cov[..., 1, 1] - cov[..., 0, 1] - cov[..., 1, 0]
        if link == "argmax":
            second = torch.special.ndtr(gap / torch.sqrt(var))
        else:
            second = torch.sigmoid(gap / torch.sqrt(1.0 + math.pi / 8.0 * var))
        return torch.stack([1.0 - second, second], -1)
    uniform = qmc.Sobol(k, seed=0).random(samples).clip(1e-12, 1 - 1e-12)
    normal = torch.special.ndtri(torch.as_tensor(uniform, dtype=torch.float64)).to(mean)
    logits = mean[..., None, :] + normal @ _root(cov).mT
    if link == "softmax":
        return torch.softmax(logits, -1).mean(-2)
    return torch.nn.functional.one_hot(logits.argmax(-1), k).to(mean).mean(-2)


def _root(cov: Tensor) -> Tensor:
    """A square root of a covariance that may be singular."""
    values, vectors = torch.linalg.eigh(cov)
    return vectors * torch.sqrt(values.clamp_min(0.0))[..., None, :]


def condition(
    mean: Tensor, cov: Tensor, observed: Tensor, values: Tensor, noise_cov: Tensor | None = None
) -> Moments:
    """The Gaussian N(mean, cov) given that some of its entries were seen: a Kalman update, missing inputs.

    Parameters
    ----------
    mean : tensor (..., n).
    cov : tensor (..., n, n).
    observed : indices (m,) of the entries seen.
    values : tensor (..., m), what was seen.
    noise_cov : tensor (m, m), covariance of the noise in it; None for none.

    Returns
    -------
    Moments
        Of all n entries; those seen without noise have their values and no variance.
    """
    index = torch.as_tensor(observed, device=mean.device)
    seen = cov[..., index, :]
    innovation = seen[..., index]
    innovation = innovation if noise_cov is None else innovation + noise_cov
    # least squares: what is seen may be redundant
    pull = torch.linalg.pinv(innovation, hermitian=True) @ seen
    shift = (values - mean[..., index])[..., None, :] @ pull
    left = cov - seen.mT @ pull
    left = 0.5 * (left + left.mT)
    if noise_cov is None:
        known = torch.zeros(mean.shape[-1], dtype=torch.bool, device=mean.device).index_fill(0, index, True)
        left = torch.where(known | known[:, None], 0.0 * left, left)
    sizes = torch.linalg.eigvalsh(innovation).abs()
    eps = torch.finfo(cov.dtype).eps
    conditioned = sizes.amax(-1) / torch.maximum(sizes.amin(-1), eps * sizes.amax(-1)) if index.numel() else 1.0
    scale = torch.diagonal(cov, dim1=-2, dim2=-1).sum(-1)
    return Moments(mean + shift[..., 0, :], without_rounding(torch, left, eps * conditioned * scale))
