"""Counts of the kernels' work on given data, which explain the limits of figures by numbers of the same run."""

from functools import cache
from typing import Any

import numba
import numpy as np

from fastmoments_kernels.catalogue import parameters_of, row_of
from fastmoments_kernels.cpu import covariance, matrices
from fastmoments_kernels.cpu.layout import ALONE, LINE, TILE, TOGETHER, list_of_pairs
from fastmoments_kernels.cpu.patches import HEIGHT, load
from fastmoments_kernels.cpu.small import SMALL
from fastmoments_kernels.cpu.vocabulary import binding, inline
from fastmoments_kernels.formulas import bivariate, bivariate_normal

Array = Any

BY_FORMULA = -1.0
MOST_NODES = (0.0, 4.0, 5.0)  # routes of orthant.route that use the longest rule
FEW_NODES = 6.0  # from here on routes use the shorter rules, the shortest last


@cache
def _counting() -> Any:
    """The kernel of covariance matrices, bound to return the number of a pair's terms in place of its covariance.

    It chooses the terms of patches itself; everything that it would compute from them, and that depends on the
    activation, is replaced.
    """

    def terms_of(rho: Any, rows: Array, columns: Array, terms: int, i: int, j: int) -> Any:
        return load(np.full((HEIGHT, LINE // rows.itemsize), terms, rows.dtype), 0, 0)

    nothing = numba.njit(lambda features, first, n, terms, table: None)
    names = {"series": numba.njit(terms_of), "coefficients": nothing}
    return numba.njit(binding("float64", names, inline).copy(covariance.pairs), error_model="numpy")


def series_terms(name: str, mu: Array, cov: Array) -> tuple[float, float]:
    """The average number of terms of a pair's series, and the share of pairs that take the formula instead."""
    row, counted = row_of(name), np.zeros_like(cov)
    parameters = tuple(map(np.asarray, parameters_of(row.activation()).values()))
    neurons = matrices.prepare(name, mu[None], np.diagonal(cov)[None], parameters)
    known = neurons.known._replace(table=neurons.known.table.astype(cov.dtype))
    places, covs, progress = list_of_pairs(cov.size + TILE * TILE)
    price = ALONE if len(mu) <= SMALL else TOGETHER
    options = price, matrices.rounding(cov.dtype, len(mu))[1], places, covs, progress
    _counting()(tuple(known), cov[None], counted[None], 0, *options, 0, 1)
    _, i, j = places[: progress[1]].T
    counted[i, j] = BY_FORMULA
    pairs = counted[np.triu_indices_from(counted, 1)]
    by_series = pairs[pairs != BY_FORMULA]
    return float(by_series.mean()), 1 - len(by_series) / len(pairs)


def quadrature_nodes(h: Array, k: Array, rho: Array) -> float:
    """The average number of nodes of the bivariate normal distribution function; its series near |rho| = 1 has
    none.

    Where the longest rule may take a second panel, one panel is counted.
    """
    routes = bivariate_normal.bivariate_route(h, k, rho)
    total = 2 * len(bivariate.LONGEST) * np.isin(routes, MOST_NODES).sum()
    for few, rule in enumerate(reversed(bivariate.SYMMETRIC)):
        total += 2 * len(rule) * (routes == FEW_NODES + few).sum()
    return float(total / len(routes))
