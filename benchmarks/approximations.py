"""Published approximations of the covariance of two ReLUs, implemented from the papers.

Arguments are standardised: means h and k at variances of 1, and their correlation rho; arrays of one shape.

gain map        Cov = rho Phi(h) Phi(k): first order in rho. Moment neural networks, covariance propagation.
zero mean       the formula for h = k = 0 at every mean. Bibi, Alfadly & Ghanem, CVPR 2018 (network_moments).
linearisation   Cov = rho f'(h) f'(k). Petersen et al., ICLR 2024 (stable distribution propagation).
series          sum_{m=1..K} rho^m / m! E f^(m)(X) E f^(m)(Y). Wright, Nakatsukasa & Williams, AISTATS 2024.
DVI             `experiments/dvi.py`. Wu et al., ICLR 2019.
quadrature      the exact formula with 20 Gauss-Legendre nodes in r. Kuang & Lin, arXiv 2601.22307, and their code.
"""

import math
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from benchmarks import baselines
from experiments import dvi

Array = NDArray[np.float64]


def _density(x: Array) -> Array:
    return np.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def gain_map(h: Array, k: Array, rho: Array) -> Array:
    return rho * ndtr(h) * ndtr(k)


def zero_mean(h: Array, k: Array, rho: Array) -> Array:
    """Cho and Saul's arc-cosine kernel minus the product of the means."""
    angle = np.arccos(rho)
    return (np.sin(angle) + (math.pi - angle) * rho - 1) / (2 * math.pi)


def linearisation(h: Array, k: Array, rho: Array) -> Array:
    return rho * (h > 0) * (k > 0)


def series(h: Array, k: Array, rho: Array, terms: int) -> Array:
    """E f^(m) is Phi for m = 1, then phi He_(m-2) with alternating signs, which cancel in the product."""
    total, power = gain_map(h, k, rho), rho.copy()
    both = _density(h) * _density(k)
    polynomials = [(np.ones_like(h), np.ones_like(k)), (h, k)]
    for m in range(2, terms + 1):
        power = power * rho / m
        one, two = polynomials[0]
        total = total + power * both * one * two
        following = tuple(x * later - (m - 1) * now for x, now, later in zip((h, k), *polynomials, strict=True))
        polynomials = [polynomials[1], following]
    return total


def quadrature(h: Array, k: Array, rho: Array) -> Array:
    return gain_map(h, k, rho) + baselines.plackett(h, k, rho, power=1)


RELU = {
    "quadrature, 20 nodes": quadrature,
    "DVI": dvi.relu_cov,
    "series, 5 terms": partial(series, terms=5),
    "series, 3 terms": partial(series, terms=3),
    "gain map": gain_map,
    "linearisation": linearisation,
    "zero-mean formula": zero_mean,
}
