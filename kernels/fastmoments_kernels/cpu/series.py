"""Covariances as Hermite series, K = sum over n of rho^n b_n b_n (Mehler), and how many terms they take.

By Cauchy-Schwarz the terms beyond N are at most |rho|^(N+1) t_1(N) t_2(N), t(N)^2 = the sum of b_n^2 beyond N,
which is the variance minus the sum up to N. One rule serves all activations: smooth ones, whose coefficients fall
fast, take few terms at any rho.
"""

import math
from typing import Any

import numpy as np

from fastmoments_kernels.cpu.intrinsics import as_float, as_integer, where
from fastmoments_kernels.cpu.layout import BASE
from fastmoments_kernels.cpu.memory import at, column
from fastmoments_kernels.cpu.patches import how_many_below
from fastmoments_kernels.cpu.vocabulary import VOCABULARY
from fastmoments_kernels.formulas import identity as formula  # `bind` exchanges it for an activation's

Array = Any  # an array in code that Numba compiles

exp, log, minimum = (VOCABULARY["float64"][word] for word in ("exp", "log", "minimum"))

TERMS = 512  # the longest series
ROUNDED = 1e-13  # rounding of t(N)^2, relative to the variance
ROOT = np.sqrt(np.arange(TERMS + 4.0))
NEURON = (0.0, 0.0, 0.0)  # as long as formula.neuron's tuple


def neuron_at(features: Array, j: int) -> Any:
    """The features of a neuron as the tuple that formulas take."""
    return column(NEURON, features, 0, 1, j)


def coefficients(features: Array, first: int, terms: int, table: Array) -> None:
    """Fill `table` with the Hermite coefficients of a tile's neurons, from neuron `first` on: b_n in row top - n.

    A series reads the table downwards, from high orders to low. Row top, the last but one, holds a_0 while the
    recurrence runs and 0 afterwards; the last row is 0.
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


def log_remainders(table: Array, variance: Array, first: int, remainders: Array) -> None:
    """remainders[n] = log of the largest t(n) / sd of the tile's neurons."""
    top, width = table.shape[0] - 2, min(table.shape[1], variance.shape[0] - first)
    total = np.zeros(width)
    for n in range(remainders.shape[0]):
        largest = as_integer(ROUNDED)
        for j in range(width):
            whole = at(variance, (first + j,))
            total[j] += table[top - n, j] * table[top - n, j]
            remainder = 1.0 - total[j] / whole
            largest = max(
                largest, as_integer(where(whole > 0.0, where(remainder == remainder, remainder, 0.0), 0.0))
            )
        remainders[n] = as_float(largest)
    for n in range(remainders.shape[0]):
        remainders[n] = 0.5 * log(remainders[n])


def reaches(remainders: Array, log_tolerance: float, reach: Array) -> None:
    """reach[n] = the largest |rho| for which n terms suffice, inf for n > BASE."""
    reach[:] = math.inf
    for n in range(BASE + 1):
        reach[n] = exp(minimum((log_tolerance - remainders[n]) / (n + 1.0), 0.0))


def terms_for(rho: float, reach: Array) -> int:
    """The least number of tabulated terms, at least 1, that suffices; BASE + 1 if none does."""
    terms: int = max(how_many_below(reach, rho), 1)
    return terms


def longest(rho: float, remainders: Array, log_tolerance: float) -> int:
    """The number of terms, at least BASE, that suffices; more than TERMS if none up to TERMS does."""
    if rho < 1.0 and remainders[BASE] < math.inf:
        return int(max(BASE, min(math.ceil((log_tolerance - remainders[BASE]) / log(rho)), TERMS + 1.0)))
    return TERMS + 1


def cheapest(
    rho: Array, first: int, pairs: int, remainders: Array, log_tolerance: float, pair: float
) -> tuple[int, float]:
    """(N, the |rho| up to which N terms suffice), the least work for a hard patch; pairs beyond take the formula.

    `pair` is the cost of one pair's formula, in terms of a series. A correlation that is nan is left to the series,
    which returns nan, and does not change the choice.
    """
    terms, reach, least = 0, 0.0, pair * pairs
    limit, beyond = largest(rho, first, pairs, math.inf)
    while pair * beyond < least and limit > 0.0:
        needed = longest(limit, remainders, log_tolerance)
        cost = needed * pairs + pair * beyond
        if needed <= TERMS and cost < least:
            terms, reach, least = needed, limit, cost
        limit, beyond = largest(rho, first, pairs, limit)
    return terms, reach


def largest(rho: Array, first: int, pairs: int, limit: float) -> tuple[float, int]:
    """The largest |rho| less than `limit`, without nan, of `pairs` pairs, and the number of those not less."""
    # by their bits as integers, which have a vector maximum; inf and nan have the largest bits
    below, above, most, count = as_integer(limit), as_integer(math.inf), 0, 0
    for j in range(pairs):
        size = as_integer(abs(at(rho, (first + j,))))
        inside = size < below
        most = max(most, size if inside else 0)
        count += 0 if inside or size > above else 1
    value: float = as_float(most)
    return value, count
