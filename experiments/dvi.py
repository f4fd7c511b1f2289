"""The covariance of ReLUs in deterministic variational inference (DVI), from its paper's formula.

For standardised means h, k and correlation rho the published formula is

    E relu(X) relu(Y) / (sd_x sd_y) = SR(h) SR(k) + rho Phi(h) Phi(k) + exp(-Q),    SR(h) = phi(h) + h Phi(h),
    Q = -log(rho g / (2 pi)) + rho (h^2 + k^2) / (2 g (1 + r)) - (asin(rho) - rho) h k / (rho g),
    g = asin(rho) - rho / (1 + r),  r = sqrt(1 - rho^2):

to second order in the means, exact at h = k = 0 and asymptotically. SR(h) SR(k) is the product of the means.

Wu, Nowozin, Meeds, Turner, Hernandez-Lobato & Gaunt, "Deterministic variational inference for robust Bayesian
neural networks", ICLR 2019, section 3.1 and appendix A.
"""

from typing import Any

import numpy as np
from scipy.special import ndtr

import fastmoments as fm


def relu_cov(h: Any, k: Any, rho: Any) -> Any:
    """Cov(relu(X), relu(Y)) at unit variances."""
    h, k, rho = np.broadcast_arrays(h, k, rho)
    certain = rho == 0
    rho = np.where(certain, 0.5, np.clip(rho, -1, 1))
    r = np.sqrt(1 - rho**2)
    g = np.arcsin(rho) - rho / (1 + r)
    square, product = rho / (2 * g * (1 + r)), (np.arcsin(rho) - rho) / (rho * g)
    rest = rho * g / (2 * np.pi) * np.exp(-square * (h**2 + k**2) + product * h * k)
    return np.where(certain, 0.0, rho * ndtr(h) * ndtr(k) + rest)


def relu_moments(mu: Any, cov: Any) -> fm.Moments:
    """Exact means and variances, and DVI's covariances between neurons."""
    var = np.diagonal(cov, axis1=-2, axis2=-1)
    sd = np.sqrt(var)
    h, scale = mu / sd, sd[..., :, None] * sd[..., None, :]
    mean, own = fm.relu_marginals(mu, var)
    full = scale * relu_cov(h[..., :, None], h[..., None, :], cov / scale)
    n = np.arange(mu.shape[-1])
    full[..., n, n] = own
    return fm.Moments(mean, full)
