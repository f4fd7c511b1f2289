"""Moments of networks that draw masks, by all masks that there are, and by what the network itself draws."""

import itertools
import math

import numpy as np
import torch
from torch import nn

P = 0.3
KEEP = 1.0 - P
# sums over up to 2^8 masks of products of a few numbers of order 1
CLOSE = dict(rtol=1e-12, atol=1e-12)


class Of(nn.Module):
    """A function of the module and x, with a linear layer of n and dropouts at hand."""

    def __init__(self, function, n=3):
        super().__init__()
        self.function, self.linear = function, nn.Linear(n, n)
        self.drop, self.other = nn.Dropout(P), nn.Dropout(P)

    def forward(self, x):
        return self.function(self, x)


def gaussian(*shape, seed=0):
    """Mean (1, *shape) of order 1, and covariance (1, n, n) with correlations."""
    rng, n = np.random.default_rng(seed), math.prod(shape)
    root = rng.normal(size=(n, n + 2)) / math.sqrt(n + 2)
    return torch.from_numpy(rng.normal(size=(1, *shape))), torch.from_numpy(root @ root.T)[None]


def masks(count, keep=KEEP):
    """Every mask of so many draws that are 1 with probability `keep`, else 0, and its probability."""
    for drawn in itertools.product((0.0, 1.0), repeat=count):
        yield np.array(drawn), math.prod(keep if m else 1.0 - keep for m in drawn)


def mixed(parts):
    """Mean and covariance of a mixture of (probability, mean, cov)."""
    mean = sum(w * m for w, m, _ in parts)
    return mean, sum(w * (c + np.outer(m, m)) for w, m, c in parts) - np.outer(mean, mean)


def by_masks(count, line, mu, cov):
    """Moments of A(mask) X + b(mask) over all masks; `line` makes A and b."""
    mu, cov = mu.numpy().ravel(), cov[0].numpy()
    parts = []
    for mask, w in masks(count):
        a, b = line(mask)
        parts.append((w, a @ mu + b, a @ cov @ a.T))
    return mixed(parts)


def assert_moments(found, mean, cov, **close):
    close = close or CLOSE
    np.testing.assert_allclose(found.mean.detach().numpy().ravel(), mean, **close)
    np.testing.assert_allclose(found.cov[0].detach().numpy(), cov, **close)
    assert torch.equal(found.cov, found.cov.mT)


def draws(model, mu, cov, count):
    """Outputs of the model itself (count, m) for inputs drawn from the Gaussian."""
    root = torch.linalg.cholesky(cov[0])
    x = mu.reshape(-1) + torch.randn(count, len(root)) @ root.T
    with torch.no_grad():
        return model(x.reshape(count, *mu.shape[1:])).flatten(1)


def assert_drawn(found, y):
    """Means and covariances are within 6 standard errors of those of draws."""
    off = y - y.mean(0)
    products = off[:, :, None] * off[:, None]
    z = (y.mean(0) - found.mean.flatten()) / (y.std(0) / len(y) ** 0.5)
    z_cov = (products.mean(0) - found.cov[0]) / (products.std(0) / len(y) ** 0.5)
    assert z.abs().max() < 6 and z_cov.abs().max() < 6
