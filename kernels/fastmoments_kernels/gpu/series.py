"""Covariances as Hermite series, K = sum over n of rho^n b_n b_n (Mehler), and how many terms a tile takes.

By Cauchy-Schwarz the terms beyond N are at most |rho|^(N+1) t_1(N) t_2(N) of sqrt(K_11 K_22), where t(N)^2 is the
share of a neuron's variance that its first N coefficients lack. One rule serves all activations: smooth ones, whose
coefficients fall fast, take few terms at any rho.
"""

import triton.language as tl

from fastmoments_kernels.formulas import identity as formula  # `bind` exchanges it for an activation's
from fastmoments_kernels.formulas.order import order_of
from fastmoments_kernels.gpu.tiles import outer
from fastmoments_kernels.vocabulary import Real, Reals, exp, log, maximum, minimum, where

ROUNDED = 1e-13  # rounding of t(N)^2


def store_coefficients(
    row_ptr: Real,
    remainders_ptr: Real,
    neuron: Reals,
    spread: Real,
    stride: Real,
    inside: Real,
    in_row: Real,
    terms: Real,
    SWEEP: tl.constexpr,
) -> None:
    """Write b_1 .. b_(terms + 2) of a block's neurons and, every SWEEP orders, the log of its largest t(N).

    Formulas divide by roots of the order, which are the same for every neuron. A table of them would save half of
    this kernel's instructions, but 2 % (float32) and 1 % (float64) of those of a matrix of 8192 neurons, for which
    no formula needs to take its order apart; of a batch of matrices of 64 neurons a quarter.
    """
    alive = inside & (spread > 0.0)
    scale = 1.0 / where(alive, spread, 1.0)
    before, last, this = formula.series(neuron)
    share, earlier = tl.zeros_like(spread), 0.0 * last
    order = tl.full((), 1.0, tl.float64)
    for sweep in range(terms // SWEEP):
        for _ in range(SWEEP):
            # a_n, a_(n - 1), a_(n - 2) of n = order are last, before, earlier
            b = formula.coefficient(order_of(order), neuron, last, before, earlier)
            tl.store(row_ptr, b, mask=in_row)
            row_ptr += stride
            share += b * b * scale
            earlier = before
            before = last
            last = this
            this = formula.series_step(order_of(order + 2.0), neuron, last, before)
            order += 1.0
        # a neuron that is nan does not change the others' number of terms
        remainder = tl.max(tl.where(alive & (share < 1.0), 1.0 - share, 0.0), 0)
        tl.store(remainders_ptr + sweep, 0.5 * log(maximum(remainder, ROUNDED)))
    tl.store(row_ptr, formula.coefficient(order_of(order), neuron, last, before, earlier), mask=in_row)
    tl.store(row_ptr + stride, formula.coefficient(order_of(order + 1.0), neuron, this, last, before), mask=in_row)


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
    largest: Real, remainders: Real, LOG_TOLERANCE: tl.constexpr, SWEEP: tl.constexpr, MOST: tl.constexpr
) -> Real:
    """The least N, a multiple of SWEEP, that leaves out at most the tolerance up to |rho| = largest.

    It is more than MOST if no tabulated N does, or if `largest` is 1 or more, or nan.
    """
    order = SWEEP * (tl.arange(0, MOST // SWEEP) + 1)
    size = tl.where(largest < 1.0, log(maximum(largest, 1e-30)), float("inf"))
    left_out = (order + 1).to(remainders.dtype) * size + remainders
    return tl.min(tl.where(left_out <= LOG_TOLERANCE, order, MOST + SWEEP), 0)


def series(
    coefficients_ptr: Real,
    rho: Real,
    i: Real,
    j: Real,
    r: Real,
    c: Real,
    stride: Real,
    terms: Real,
    UNROLL: tl.constexpr,
    EDGE: tl.constexpr,
) -> Real:
    """sum over k = 1 .. terms of rho^k b_k b_k, by Horner's rule, for rows i + r and columns j + c.

    The coefficients of UNROLL terms are loaded at a time.
    """
    total = tl.zeros_like(rho)
    row_ptr = coefficients_ptr + (terms - 1) * stride
    for _ in range(terms // UNROLL):
        for _k in tl.static_range(UNROLL):
            b_1 = load_row(row_ptr, i, r, stride, EDGE)
            b_2 = load_row(row_ptr, j, c, stride, EDGE)
            total = tl.fma(total, rho, outer(b_1, b_2))
            row_ptr -= stride
    return total * rho


def load_row(row_ptr: Real, start: Real, offsets: Real, stride: Real, EDGE: tl.constexpr) -> Real:
    """A row's numbers start + offsets; at an EDGE 0 beyond its end, which is a multiple of 16."""
    if EDGE:
        return tl.load(row_ptr + start + offsets, mask=start + offsets < stride, other=0.0)
    else:
        return tl.load(row_ptr + start + offsets)
