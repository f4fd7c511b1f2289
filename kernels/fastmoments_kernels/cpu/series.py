"""Covariances as Hermite series, K = sum over n of rho^n b_n b_n (Mehler), and how many terms they take.

By Cauchy-Schwarz the terms beyond N are at most |rho|^(N+1) t_1(N) t_2(N), t(N)^2 = the sum of b_n^2 beyond N,
which is the variance minus the sum up to N. One rule serves all activations: smooth ones, whose coefficients fall
fast, take few terms at any rho.
"""

import math
from typing import Any

import numpy as np

from fastmoments_kernels.cpu.intrinsics import fma, square_root, where
from fastmoments_kernels.cpu.layout import BASE
from fastmoments_kernels.cpu.memory import column
from fastmoments_kernels.cpu.packs import LANES, largest_lane, load_pack, load_packs, store_pack
from fastmoments_kernels.cpu.patches import HEIGHT, WIDE, how_many_above, how_many_below, largest_of, load
from fastmoments_kernels.cpu.vocabulary import VOCABULARY
from fastmoments_kernels.formulas import identity as formula  # `bind` exchanges it for an activation's
from fastmoments_kernels.formulas.order import order_of

Array = Any  # an array in code that Numba compiles

exp, log, minimum = (VOCABULARY["float64"][word] for word in ("exp", "log", "minimum"))

TERMS = 512  # the longest series
LONGER = (BASE, 64, 80, 100, 128, 160, 200, 256, 320, 400, TERMS)  # terms that the hard patches choose from
ROUNDED = 1e-13  # rounding of t(N)^2, relative to the variance
ROOT = np.sqrt(np.arange(TERMS + 4.0))
ORDERS = np.array(order_of(np.maximum(np.arange(TERMS + 6.0), 1.0)))  # a column an order; 0 is never read
NEURON = (0.0, 0.0, 0.0)  # as long as formula.neuron's tuple


def neuron_at(features: Array, j: int) -> Any:
    """The features of a neuron as the tuple that formulas take."""
    return column(NEURON, features, 0, 1, j)


def order_at(n: int) -> Any:
    """`order_of` n."""
    return column((0.0, 0.0, 0.0), ORDERS, 0, 1, n)


def coefficients(features: Array, first: int, n: int, terms: int, table: Array) -> None:
    """Fill `table` with the Hermite coefficients of n neurons, from neuron `first` on: b_k in row top - k.

    A series reads the table downwards, from high orders to low. Row top, the last but one, is 0. Columns are
    filled by whole packs.
    """
    top = table.shape[0] - 2
    for j in range(0, n, LANES):
        neuron = load_packs(NEURON, features, 0, 1, first + j)
        # a_k, a_(k - 1), a_(k - 2) of order k are last, before, earlier
        before, last, this = formula.series(neuron)
        earlier = 0.0 * last
        store_pack(table, top, j, earlier)
        for k in range(1, terms + 1):
            store_pack(table, top - k, j, formula.coefficient(order_at(k), neuron, last, before, earlier))
            earlier, before, last = before, last, this
            this = formula.series_step(order_at(k + 2), neuron, last, before)


def log_remainders(table: Array, variance: Array, m: int, first: int, n: int, remainders: Array) -> None:
    """remainders[k] = log of the largest t(k) / sd of n neurons of matrix m, from neuron `first` on."""
    top = table.shape[0] - 2
    for k in range(remainders.shape[0]):
        remainders[k] = ROUNDED
    for j in range(0, n, LANES):
        whole = load_pack(variance, m, first + j)
        alive = whole > 0.0
        per_sd = 1.0 / square_root(where(alive, whole, 1.0))
        total = 0.0 * per_sd
        for k in range(remainders.shape[0]):
            b = load_pack(table, top - k, j) * per_sd
            total = fma(b, b, total)
            # a neuron that is nan does not change the others' number of terms
            remainders[k] = largest_lane(where(alive & (total < 1.0), 1.0 - total, 0.0), remainders[k])
    for k in range(remainders.shape[0]):
        remainders[k] = 0.5 * log(remainders[k])


def reaches(remainders: Array, log_tolerance: float, reach: Array) -> None:
    """reach[n] = the largest |rho| for which n terms suffice, inf for n > BASE."""
    reach[:] = math.inf
    for n in range(BASE + 1):
        reach[n] = exp(minimum((log_tolerance - remainders[n]) / (n + 1.0), 0.0))


def terms_for(rho: float, reach: Array) -> int:
    """The least number of tabulated terms, at least 1, that suffices; BASE + 1 if none does."""
    terms: int = max(how_many_below(reach, rho), 1)
    return terms


def longer_reaches(remainders: Array, log_tolerance: float) -> Any:
    """The largest |rho| for which the numbers of terms in LONGER suffice."""
    reach = np.empty(len(LONGER))
    for c in range(len(LONGER)):
        reach[c] = exp(minimum((log_tolerance - remainders[BASE]) / LONGER[c], 0.0))
    return reach


def cheapest(
    rho: Array, first: int, lanes: int, reach: Array, remainders: Array, log_tolerance: float, price: float
) -> tuple[int, float, int]:
    """(N, the |rho| up to which N terms suffice, the number of pairs beyond), the least work for a hard patch.

    The patch begins at rho[first, 0] and has `lanes` columns. Pairs beyond take the formula; `price` is what one
    costs, in terms of a series. A correlation that is nan is left to the series, which returns nan, and does not
    change the choice.
    """
    pairs = HEIGHT * lanes
    if remainders[BASE] == math.inf:
        return 0, 0.0, pairs
    choice, rest, least = -1, pairs, price * pairs
    for c in range(len(LONGER)):
        beyond = 0
        for t in range(0, lanes, WIDE):
            beyond += how_many_above(load(rho, first, t), reach[c])
        cost = LONGER[c] * pairs + price * beyond
        if cost < least:
            choice, rest, least = c, beyond, cost
    if choice < 0:
        return 0, 0.0, rest
    limit = 0.0
    for t in range(0, lanes, WIDE):
        limit = max(limit, largest_of(load(rho, first, t), reach[choice]))
    return min(needed(limit, remainders, log_tolerance), LONGER[choice]), limit, rest


def needed(rho: float, remainders: Array, log_tolerance: float) -> int:
    """The number of terms, at least BASE and at most TERMS, that suffices for |rho| <= 1 where so many do."""
    if rho >= 1.0:
        return TERMS
    z = (1.0 - rho) / (1.0 + rho)
    fall = 2.0 * z * (1.0 + z * z / 3.0)  # -log(rho) = 2 artanh(z) is a little more, and takes longer
    return int(max(BASE, min(math.ceil((remainders[BASE] - log_tolerance) / fall), TERMS)))
