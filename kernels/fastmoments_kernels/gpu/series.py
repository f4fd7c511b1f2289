"""Covariances as Hermite series, K = sum over n of rho^n b_n b_n (Mehler), and how many terms a tile takes.

By Cauchy-Schwarz the terms beyond N are at most |rho|^(N+1) t_1(N) t_2(N) of sqrt(K_11 K_22), where t(N)^2 is the
share of a neuron's variance that its first N coefficients lack. One rule serves all activations: smooth ones, whose
coefficients fall fast, take few terms at any rho.
"""

import triton.language as tl

from fastmoments_kernels.formulas import identity as formula  # `bind` exchanges it for an activation's
from fastmoments_kernels.vocabulary import Real, Reals, exp, log, maximum, minimum, where

ROUNDED = 1e-13  # rounding of t(N)^2


def store_coefficients(
    row_ptr: Real,
    remainders_ptr: Real,
    neuron: Reals,
    spread: Real,
    n: Real,
    inside: Real,
    terms: Real,
    SWEEP: tl.constexpr,
) -> None:
    """Write b_1 .. b_(terms + 2) of a block's neurons and, every SWEEP orders, the log of its largest t(N)."""
    alive = inside & (spread > 0.0)
    scale = 1.0 / where(alive, spread, 1.0)
    before, last, this = formula.series(neuron)
    order = tl.full((), 1.0, tl.float64)
    b = formula.coefficient(order, neuron, last, before, 0.0 * last)
    tl.store(row_ptr, b, mask=inside)
    share = b * b * scale
    for k in range(1, terms + 2):
        order += 1.0
        b = formula.coefficient(order, neuron, this, last, before)
        tl.store(row_ptr + k * n, b, mask=inside)
        share += b * b * scale
        if (k + 1) % SWEEP == 0:
            if k < terms:
                # a neuron that is nan does not change the others' number of terms
                remainder = tl.max(tl.where(alive & (share < 1.0), 1.0 - share, 0.0), 0)
                tl.store(remainders_ptr + k // SWEEP, 0.5 * log(maximum(remainder, ROUNDED)))
        before = last
        last = this
        this = formula.series_step(order + 1.0, neuron, last, before)


def load_remainders(
    remainders_ptr: Real, tile_i: Real, tile_j: Real, terms: Real, SWEEP: tl.constexpr, MOST: tl.constexpr
) -> Real:
    """log t_1(N) t_2(N) of a tile's pairs for N = SWEEP, 2 SWEEP ... MOST; inf beyond `terms`."""
    count = terms // SWEEP
    k = tl.arange(0, MOST // SWEEP)
    remainder_1 = tl.load(remainders_ptr + tile_i * count + k, mask=k < count, other=float("inf"))
    remainder_2 = tl.load(remainders_ptr + tile_j * count + k, mask=k < count, other=float("inf"))
    return remainder_1 + remainder_2


def reach(remainders: Real, LOG_TOLERANCE: tl.constexpr, SWEEP: tl.constexpr, MOST: tl.constexpr) -> Real:
    """The |rho| below which all tabulated terms suffice: at most 1, and 0 without a series."""
    order = SWEEP * (tl.arange(0, MOST // SWEEP) + 1)
    exponent = (LOG_TOLERANCE - remainders) / (order + 1).to(remainders.dtype)
    # more terms reach further
    return exp(minimum(tl.max(exponent, 0), 0.0))


def terms_for(
    largest: Real,
    remainders: Real,
    terms: Real,
    LOG_TOLERANCE: tl.constexpr,
    SWEEP: tl.constexpr,
    MOST: tl.constexpr,
) -> Real:
    """The least N, a multiple of SWEEP, that leaves out at most the tolerance up to |rho| = largest, in reach."""
    order = SWEEP * (tl.arange(0, MOST // SWEEP) + 1)
    left_out = (order + 1).to(remainders.dtype) * log(maximum(largest, 1e-30)) + remainders
    return tl.min(tl.where(left_out <= LOG_TOLERANCE, order, terms), 0)


def series(coefficients_ptr: Real, rho: Real, i: Real, j: Real, n: Real, terms: Real) -> Real:
    """sum over k = 1 .. terms of rho^k b_k b_k, by Horner's rule."""
    total = tl.zeros_like(rho)
    row_1_ptr = coefficients_ptr + (terms - 1) * n + i
    row_2_ptr = coefficients_ptr + (terms - 1) * n + j
    for _ in range(terms):
        b_1 = tl.load(row_1_ptr, mask=i < n, other=0.0)
        b_2 = tl.load(row_2_ptr, mask=j < n, other=0.0)
        total = tl.fma(total, rho, b_1[:, None] * b_2[None, :])
        row_1_ptr -= n
        row_2_ptr -= n
    return total * rho
