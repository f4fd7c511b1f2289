"""Covariances as Hermite series, K = sum over n of rho^n b_n b_n (Mehler), and how many terms they take.

By Cauchy-Schwarz the terms beyond N are at most |rho|^(N+1) t_1(N) t_2(N), t(N)^2 = the sum of b_n^2 beyond N,
which is the variance less what the table has of it. One rule for all activations: smooth ones, whose coefficients
fall fast, take few terms at any rho.
"""

import math
from typing import Any

import numpy as np

from fastmoments_kernels.cpu.intrinsics import as_float, as_integer, fma, where
from fastmoments_kernels.cpu.memory import column
from fastmoments_kernels.cpu.vocabulary import plus
from fastmoments_kernels.formulas import identity as formula

Array = Any

BASE = 48  # orders that are tabulated for every neuron, enough for most blocks; a multiple of SWEEP, as TERMS is
TERMS = 512  # the longest series
SWEEP = 4  # terms per pass over a row
ROUNDED = 1e-13  # of the variance: what is left of it is known no better
ROOT = np.sqrt(np.arange(TERMS + 4.0))
NEURON = (0.0, 0.0, 0.0)  # as long as formula.neuron's tuple


def neuron_at(features: Array, j: int) -> Any:
    """The features of a neuron as the tuple that formulas take."""
    return column(NEURON, features, 0, 1, j)


def coefficients(features: Array, first: int, terms: int, table: Array) -> None:
    """Hermite coefficients b_n of the neurons from `first` on that fill a block, order n in row top - n.

    So series run upwards through the table. Row top, the last but one, has a_0 on the way and 0 in the end, the
    last row zeros.
    """
    top, width = table.shape[0] - 2, min(table.shape[1], features.shape[1] - first)
    for j in range(width):
        start = formula.series(neuron_at(features, first + j))
        table[top, j], table[top - 1, j], table[top - 2, j] = start
    for n in range(3, terms + 1):
        row = top - n
        for j in range(width):
            neuron = neuron_at(features, first + j)
            table[row, j] = formula.series_step(float(n), neuron, table[row + 1, j], table[row + 2, j])
    # in place: b_n needs no a_k with k > n
    for n in range(max(terms, 2), 0, -1):
        row = top - n
        for j in range(width):
            neuron = neuron_at(features, first + j)
            table[row, j] = formula.coefficient(
                float(n), neuron, table[row, j], table[row + 1, j], table[row + 2, j]
            )
    table[top] = 0.0


def log_rests(table: Array, variance: Array, first: int, rests: Array) -> None:
    """rests[k] = log of the largest t(N) / sd of the block's neurons, N = SWEEP k."""
    top = table.shape[0] - 2
    rests[:] = ROUNDED
    for j in range(min(table.shape[1], variance.shape[0] - first)):
        total, largest = 0.0, variance[first + j]
        for k in range(rests.shape[0]):
            if largest > 0.0:
                rests[k] = max(rests[k], 1.0 - total / largest)
            for n in range(SWEEP * k + 1, min(SWEEP * (k + 1), top) + 1):
                total += table[top - n, j] * table[top - n, j]
    for k in range(rests.shape[0]):
        rests[k] = 0.5 * math.log(rests[k])


def terms_for(rho: float, rests: Array, log_tolerance: float) -> int:
    """The least N, a multiple of SWEEP, that leaves out at most the tolerance; too large where none does."""
    # more than 1 by rounding or by mistake, which the pair formula tells apart
    if rho > 1.0:
        return 2 * TERMS
    log_rho = math.log(rho) if rho > 0.0 else -1000.0
    last = rests.shape[0] - 1
    for k in range(1, last + 1):
        if (SWEEP * k + 1) * log_rho + rests[k] <= log_tolerance:
            return SWEEP * k
    if log_rho < -1e-3 and rests[last] < math.inf:
        exact = (log_tolerance - rests[last]) / log_rho - 1.0
        return SWEEP * int(math.ceil(exact / SWEEP))
    return 2 * TERMS


def reach(terms: int, rests: Array, log_tolerance: float) -> float:
    """The largest |rho| that so many terms serve."""
    rest = rests[min(terms // SWEEP, rests.shape[0] - 1)]
    return math.exp(min((log_tolerance - rest) / (terms + 1), 0.0))


def largest_of_two(rho: Array, i: int, width: int) -> float:
    """The largest |rho| of rows i and i + 1, nan aside: as integers, which have a vector maximum."""
    largest = 0
    for j in range(width):
        one, two = abs(rho[i, j]), abs(rho[i + 1, j])
        one, two = where(one == one, one, 0.0), where(two == two, two, 0.0)
        largest = max(largest, max(as_integer(one), as_integer(two)))
    size: float = as_float(largest)
    return size


def cheapest(
    rho: Array, i: int, width: int, rests: Array, log_tolerance: float, pair: float
) -> tuple[int, float, int]:
    """(N, the |rho| up to which it serves, how many pairs are beyond) for rows i and i + 1: the least work.

    `pair` is what the formula of a pair costs, in terms of one pair's series, which makes nan of nan: nan asks for
    no route, and changes no other pair's.
    """
    largest = largest_of_two(rho, i, width)
    terms = terms_for(largest, rests, log_tolerance)
    if terms <= BASE:
        return terms, largest, 0
    best_terms, best_limit, best_beyond, least = 0, 0.0, 2 * width, pair * 2.0 * width
    candidate = min(terms, TERMS)
    while candidate > 2 * SWEEP:
        limit, beyond = reach(candidate, rests, log_tolerance), 0
        for j in range(width):
            beyond += 1 if abs(rho[i, j]) > limit else 0
            beyond += 1 if abs(rho[i + 1, j]) > limit else 0
        cost = 2.0 * candidate * width + pair * beyond
        if cost < least:
            best_terms, best_limit, best_beyond, least = candidate, limit, beyond, cost
        candidate = SWEEP * (5 * candidate // (8 * SWEEP))
    return best_terms, best_limit, best_beyond


def two_rows(rho: Array, i: int, rows: Array, columns: Array, terms: int, width: int, out: Array) -> None:
    """K of rows i and i + 1 with every column by Horner's rule, SWEEP terms at a time."""
    top, k = columns.shape[0] - 2, i + 1
    for j in range(width):
        out[i, j] = 0.0
        out[k, j] = 0.0
    for n in range(top - terms, top, SWEEP):
        a_4, a_3, a_2, a_1 = rows[n, i], rows[n + 1, i], rows[n + 2, i], rows[n + 3, i]
        b_4, b_3, b_2, b_1 = rows[n, k], rows[n + 1, k], rows[n + 2, k], rows[n + 3, k]
        for j in range(width):
            c_4, c_3, c_2, c_1 = columns[n, j], columns[n + 1, j], columns[n + 2, j], columns[n + 3, j]
            r, a = rho[i, j], out[i, j]
            s, b = rho[k, j], out[k, j]
            a = fma(fma(a, r, a_4 * c_4), r, a_3 * c_3)
            b = fma(fma(b, s, b_4 * c_4), s, b_3 * c_3)
            out[i, j] = fma(fma(a, r, a_2 * c_2), r, a_1 * c_1)
            out[k, j] = fma(fma(b, s, b_2 * c_2), s, b_1 * c_1)
    for j in range(width):
        out[i, j] *= rho[i, j]
        out[k, j] *= rho[k, j]


def reversed_rows(table: Array, terms: int, upward: Array) -> None:
    """Order n in row n - 1: what runs from the first order to the last, upwards through memory as well."""
    top = table.shape[0] - 2
    for n in range(terms):
        for j in range(table.shape[1]):
            upward[n, j] = table[top - n - 1, j]


def two_rows_vjp(
    rho: Array, i: int, rows: Array, upward: Array, terms: int, width: int, power: Array, slope: Array, sums: Array
) -> tuple[float, float, float, float]:
    """Of rows i and i + 1 with every column, given weights w in `power`, which becomes w rho^N:

    `slope` = rho w dK / d rho; `sums` (n, j) gains the rows' part of sum_i w rho^n b_n(i); and of each row in turn
    sum_n sqrt(n + 1) b_{n+1} s_n and sum_n sqrt((n + 1)(n + 2)) b_{n+2} s_n, where s_n = sum_j w rho^n b_n(j).
    """
    top, k = rows.shape[0] - 2, i + 1
    by_mu_1, by_var_1, by_mu_2, by_var_2 = 0.0, 0.0, 0.0, 0.0
    for j in range(width):
        slope[i, j] = 0.0
        slope[k, j] = 0.0
    for n in range(1, terms, 2):
        a_1, a_2, a_3, a_4 = rows[top - n, i], rows[top - n - 1, i], rows[top - n - 2, i], rows[top - n - 3, i]
        b_1, b_2, b_3, b_4 = rows[top - n, k], rows[top - n - 1, k], rows[top - n - 2, k], rows[top - n - 3, k]
        s_1, s_2, t_1, t_2 = 0.0, 0.0, 0.0, 0.0
        for j in range(width):
            c_1, c_2 = upward[n - 1, j], upward[n, j]
            r, p_1 = rho[i, j], power[i, j] * rho[i, j]
            s, q_1 = rho[k, j], power[k, j] * rho[k, j]
            p_2, q_2 = p_1 * r, q_1 * s
            power[i, j] = p_2
            power[k, j] = q_2
            sums[n - 1, j] = fma(p_1, a_1, fma(q_1, b_1, sums[n - 1, j]))
            sums[n, j] = fma(p_2, a_2, fma(q_2, b_2, sums[n, j]))
            x_1, x_2, y_1, y_2 = p_1 * c_1, p_2 * c_2, q_1 * c_1, q_2 * c_2
            slope[i, j] = fma(n * a_1, x_1, fma((n + 1.0) * a_2, x_2, slope[i, j]))
            slope[k, j] = fma(n * b_1, y_1, fma((n + 1.0) * b_2, y_2, slope[k, j]))
            s_1, s_2, t_1, t_2 = plus(s_1, x_1), plus(s_2, x_2), plus(t_1, y_1), plus(t_2, y_2)
        by_mu_1 += ROOT[n + 1] * a_2 * s_1 + ROOT[n + 2] * a_3 * s_2
        by_mu_2 += ROOT[n + 1] * b_2 * t_1 + ROOT[n + 2] * b_3 * t_2
        by_var_1 += ROOT[n + 2] * (ROOT[n + 1] * a_3 * s_1 + ROOT[n + 3] * a_4 * s_2)
        by_var_2 += ROOT[n + 2] * (ROOT[n + 1] * b_3 * t_1 + ROOT[n + 3] * b_4 * t_2)
    return by_mu_1, by_var_1, by_mu_2, by_var_2
