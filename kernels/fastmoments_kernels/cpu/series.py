"""Covariances as Hermite series, K = sum over n of rho^n b_n b_n (Mehler), and how many terms they take.

By Cauchy-Schwarz the terms beyond N are at most |rho|^(N+1) t_1(N) t_2(N), t(N)^2 = the sum of b_n^2 beyond N,
which is the variance less what the table has of it. One rule for all activations: smooth ones, whose coefficients
fall fast, take few terms at any rho.
"""

import math
from typing import Any

import numpy as np

from fastmoments_kernels.cpu.intrinsics import as_float, as_integer, where
from fastmoments_kernels.cpu.memory import at, column, put
from fastmoments_kernels.cpu.patches import how_many_below
from fastmoments_kernels.cpu.vocabulary import VOCABULARY
from fastmoments_kernels.formulas import identity as formula

Array = Any

exp, log, minimum = (VOCABULARY["float64"][word] for word in ("exp", "log", "minimum"))

BASE = 48  # orders that are tabulated for every neuron, enough for most patches
TERMS = 512  # the longest series
ROUNDED = 1e-13  # of the variance: what is left of it is known no better
ROOT = np.sqrt(np.arange(TERMS + 4.0))
NEURON = (0.0, 0.0, 0.0)  # as long as formula.neuron's tuple


def neuron_at(features: Array, j: int) -> Any:
    """The features of a neuron as the tuple that formulas take."""
    return column(NEURON, features, 0, 1, j)


def coefficients(features: Array, first: int, terms: int, table: Array) -> None:
    """Hermite coefficients b_n of the neurons from `first` on that fill a tile, order n in row top - n.

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
    """rests[n] = log of the largest t(n) / sd of the tile's neurons."""
    top, width = table.shape[0] - 2, min(table.shape[1], variance.shape[0] - first)
    total = np.zeros(width)
    for n in range(rests.shape[0]):
        largest = as_integer(ROUNDED)
        for j in range(width):
            own = at(variance, (first + j,))
            total[j] += table[top - n, j] * table[top - n, j]
            rest = 1.0 - total[j] / own
            largest = max(largest, as_integer(where(own > 0.0, where(rest == rest, rest, 0.0), 0.0)))
        rests[n] = as_float(largest)
    for n in range(rests.shape[0]):
        rests[n] = 0.5 * log(rests[n])


def reaches(rests: Array, log_tolerance: float, served: Array) -> None:
    """served[n] = the largest |rho| that n terms serve, inf beyond BASE."""
    served[:] = math.inf
    for n in range(BASE + 1):
        served[n] = exp(minimum((log_tolerance - rests[n]) / (n + 1.0), 0.0))


def terms_for(rho: float, served: Array) -> int:
    """The least number of tabulated terms, at least 1, that serves; BASE + 1 if none does."""
    terms: int = max(how_many_below(served, rho), 1)
    return terms


def longest(rho: float, rests: Array, log_tolerance: float) -> int:
    """The number of terms beyond the tabulated ones that serves; more than TERMS if none does."""
    if rho < 1.0 and rests[BASE] < math.inf:
        return int(max(BASE, min(math.ceil((log_tolerance - rests[BASE]) / log(rho)), TERMS + 1.0)))
    return TERMS + 1


def cheapest(
    rho: Array, first: int, pairs: int, rests: Array, log_tolerance: float, pair: float
) -> tuple[int, float]:
    """(N, the |rho| up to which it serves) for pairs that ask for more than is tabulated: the least work.

    `pair` is what the formula of a pair costs, in terms of one pair's series. The series makes nan of nan: nan asks
    for no route, and changes no other pair's.
    """
    terms, served, least = 0, 0.0, pair * pairs
    limit, beyond = largest(rho, first, pairs, math.inf)
    while pair * beyond < least and limit > 0.0:
        needed = longest(limit, rests, log_tolerance)
        cost = needed * pairs + pair * beyond
        if needed <= TERMS and cost < least:
            terms, served, least = needed, limit, cost
        limit, beyond = largest(rho, first, pairs, limit)
    return terms, served


def largest(rho: Array, first: int, pairs: int, limit: float) -> tuple[float, int]:
    """The largest |rho| of so many that is less than `limit`, nan aside, and how many are not less."""
    # as integers, which have a vector maximum; those of inf and nan are the largest
    below, above, most, count = as_integer(limit), as_integer(math.inf), 0, 0
    for j in range(pairs):
        size = as_integer(abs(at(rho, (first + j,))))
        inside = size < below
        most = max(most, size if inside else 0)
        count += 0 if inside or size > above else 1
    value: float = as_float(most)
    return value, count


def derivatives(table: Array, terms: int, tables: Array) -> None:
    """tables[d, n - 1] = the coefficient b_n of the d-th derivative of f, times sd^d (Price)."""
    top = table.shape[0] - 2
    for d in range(3):
        for n in range(1, terms + 1):
            root = (ROOT[n + 1] if d > 0 else 1.0) * (ROOT[n + 2] if d > 1 else 1.0)
            for j in range(table.shape[1]):
                put(tables, (d, n - 1, j), root * at(table, (top - n - d, j)))
