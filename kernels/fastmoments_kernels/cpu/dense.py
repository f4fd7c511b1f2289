"""Covariance matrices: tiles of the upper triangle, mirrored, each square of a tile by the cheapest route.

The series with as many terms as a square's correlations ask for, in the matrix's dtype where the tabulated
coefficients serve, in float64 beyond, where rounding would add up; the few pairs that would ask for many more by
the pair formula. Every truncation is positive semidefinite.
"""

from typing import Any

import numpy as np

from fastmoments_kernels.cpu.memory import at
from fastmoments_kernels.cpu.series import (
    BASE,
    TERMS,
    cheapest,
    coefficients,
    neuron_at,
    reaches,
    terms_for,
)
from fastmoments_kernels.cpu.squares import (
    HEIGHT,
    LIMITS,
    VECTOR,
    WIDE,
    correlated,
    largest_of,
    load,
    load_wide,
    store,
    store_transposed,
    to_read,
    to_write,
)
from fastmoments_kernels.cpu.sums import series
from fastmoments_kernels.cpu.tiles import PADDING, TILE, aligned, extent, filled, place, place_image, prepared
from fastmoments_kernels.formulas import identity as formula

Array = Any

PAIR = 8000.0  # what the formula of one pair costs, in terms of its series; a closed one's is a quarter of it


def pairs(
    variance: Array,
    features: Array,
    inverse_sd: Array,
    table: Array,
    rests: Array,
    cov: Array,
    cov_out: Array,
    start: int,
    slack: float,
    log_tolerance: float,
    first: int,
    step: int,
) -> bool:
    """Every matrix; of all its tiles this call does first, first + step, ... Whether a pair `is_beyond`.

    The columns' neurons begin at `start`: at 0 they are the rows', the upper triangle is read and mirrored; at the
    first whole tile beyond the rows' they are others, and the matrix is a rectangle off the diagonal.
    """
    (batch, rows_all, columns_all), n = cov.shape, variance.shape[1]
    side, lanes = min(TILE, filled(n)), VECTOR // cov.itemsize
    most_hard = side * side // (HEIGHT * lanes)
    block, out, mirror = (
        aligned((side, side), cov),
        aligned((side, side), cov),
        aligned((side, side + PADDING), cov),
    )
    rows, columns, rho = aligned((2, TILE), rests), aligned((2, TILE), rests), aligned((2, lanes), rests)
    served, both, limits = np.empty(LIMITS), np.empty(BASE + 1), np.empty(most_hard)
    hard = np.empty((most_hard, 3), np.int64)
    task, beyond = 0, False
    for m in range(batch):
        given, result, known, per_sd = cov[m], cov_out[m], features[m], inverse_sd[m]
        for i in range(0, rows_all, TILE):
            for j in range(i if start == 0 else 0, columns_all, TILE):
                if task % step == first:
                    k, (height, width) = start + j, extent(given, i, j)
                    both[:] = rests[m, i // TILE] + rests[m, k // TILE]
                    reaches(both, log_tolerance, served)
                    of_1, of_2 = table[m, i // TILE], table[m, k // TILE]
                    whole = height == TILE and width == TILE and i != k and vary(per_sd, i) and vary(per_sd, k)
                    if whole:
                        count = quick(
                            given, i, j, result, i, j, per_sd, i, k, TILE, TILE, of_1, of_2, served, mirror, hard
                        )
                    else:
                        prepared(given, i, j, start, per_sd, block)
                        count = quick(
                            block, 0, 0, out, 0, 0, per_sd, i, k, height, width, of_1, of_2, served, mirror, hard
                        )
                    if count > 0:
                        if whole:
                            prepared(given, i, j, start, per_sd, block)
                        if len(rows) < TERMS:
                            rows, columns = aligned((TERMS + 2, TILE), rests), aligned((TERMS + 2, TILE), rests)
                            rho = aligned((most_hard * HEIGHT, lanes), rests)
                        most = hard_squares(
                            block, per_sd, i, k, lanes, both, log_tolerance, PAIR, count, hard, limits, rho
                        )
                        coefficients(known, i, most, rows)
                        if i != k:
                            coefficients(known, k, most, columns)
                        across = rows if i == k else columns
                        for q in range(count):
                            by_series(rho, q, rows, across, hard, out, mirror)
                            beyond |= by_formula(
                                known, i, k, block, rho, q, hard, limits[q], height, width, slack, out, mirror
                            )
                    if whole:
                        for q in range(count):
                            store(load(out, hard[q, 0], hard[q, 1]), result, i + hard[q, 0], j + hard[q, 1])
                        place_image(mirror, result, i, j, start)
                    else:
                        place(out, mirror, result, i, j, start)
                    if i == k:
                        for a in range(i, i + height):
                            result[a, a] = variance[m, a]
                task += 1
    return beyond


def vary(per_sd: Array, i: int) -> bool:
    """Whether all neurons of a tile have variance."""
    constant = 0
    for a in range(TILE):
        constant += 1 if at(per_sd, (i + a,)) == 0.0 else 0
    return constant == 0


def quick(
    given: Array,
    a: int,
    b: int,
    out: Array,
    c: int,
    d: int,
    per_sd: Array,
    i: int,
    k: int,
    height: int,
    width: int,
    of_1: Array,
    of_2: Array,
    served: Array,
    mirror: Array,
    hard: Array,
) -> int:
    """The covariances of a block at given[a, b] into out[c, d] and `mirror` where the tabulated terms serve.

    How many squares ask for more, which `hard` lists.
    """
    lanes, count = VECTOR // out.itemsize, 0
    for r in range(0, height, HEIGHT):
        for s in range(r // lanes * lanes if i == k else 0, width, lanes):
            to_read(given, a + r + HEIGHT, b + s)
            to_write(out, c + r + HEIGHT, d + s)
            rho = correlated(load(given, a + r, b + s), per_sd, i + r, k + s)
            terms = terms_for(largest_of(rho), served)
            if terms > BASE:
                hard[count, 0], hard[count, 1] = r, s
                count += 1
            else:
                values = series(rho, of_1, of_2, terms, r, s)
                store(values, out, c + r, d + s)
                store_transposed(values, mirror, s, r)
    return count


def hard_squares(
    block: Array,
    per_sd: Array,
    i: int,
    k: int,
    lanes: int,
    rests: Array,
    log_tolerance: float,
    pair: float,
    count: int,
    hard: Array,
    limits: Array,
    rho: Array,
) -> int:
    """For every hard square its correlations in float64, how many terms and up to which |rho|; the most terms."""
    most, flat = 0, rho.reshape(-1)
    for q in range(count):
        r, s = hard[q, 0], hard[q, 1]
        for t in range(0, lanes, WIDE):
            store(correlated(load_wide(block, r, s + t), per_sd, i + r, k + s + t), rho, q * HEIGHT, t)
        pairs = HEIGHT * lanes
        hard[q, 2], limits[q] = cheapest(flat, q * pairs, pairs, rests, log_tolerance, pair)
        most = max(most, hard[q, 2])
    return most


def by_series(rho: Array, q: int, rows: Array, columns: Array, hard: Array, out: Array, mirror: Array) -> None:
    """A hard square's series."""
    r, s, terms = hard[q, 0], hard[q, 1], hard[q, 2]
    for t in range(0, VECTOR // out.itemsize, WIDE):
        values = series(load(rho, q * HEIGHT, t), rows, columns, terms, r, s + t)
        store(values, out, r, s + t)
        store_transposed(values, mirror, s + t, r)


def by_formula(
    features: Array,
    i: int,
    j: int,
    block: Array,
    rho: Array,
    q: int,
    hard: Array,
    limit: float,
    height: int,
    width: int,
    slack: float,
    out: Array,
    mirror: Array,
) -> bool:
    """The pair formula for those pairs of a hard square that the series does not serve.

    Rows are neurons i, i + 1, ..., columns j, j + 1, ... The answer says whether one of the pairs `is_beyond`.
    """
    r, s, beyond = hard[q, 0], hard[q, 1], False
    for a in range(min(HEIGHT, height - r)):
        for b in range(min(VECTOR // out.itemsize, width - s)):
            if abs(rho[q * HEIGHT + a, b]) > limit:
                one, two, c = neuron_at(features, i + r + a), neuron_at(features, j + s + b), block[r + a, s + b]
                value = formula.cov(one, two, float(c), slack)
                out[r + a, s + b] = mirror[s + b, r + a] = value
                beyond |= is_beyond(rho[q * HEIGHT + a, b], value, slack)
    return beyond


def is_beyond(rho: float, value: float, slack: float) -> bool:
    """Whether a value is nan for a correlation beyond 1, and not for a nan that was given."""
    return value != value and rho * rho > 1.0 + slack
