"""What the matrix kernels need to know of every neuron, in float64, computed in packs over a whole batch."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fastmoments_kernels.cpu.memory import at
from fastmoments_kernels.cpu.packs import LANES, load_pack, load_packs, store_pack, store_packs
from fastmoments_kernels.cpu.series import BASE, coefficients, log_rests
from fastmoments_kernels.cpu.tiles import TILE, aligned, filled
from fastmoments_kernels.formulas import identity as formula

Array = Any

# bound per activation
PARAMETERS: tuple[float, ...] = ()
NEURON = (0.0, 0.0, 0.0)
HAS_SERIES = True


class Known(NamedTuple):
    """What is known of the neurons of a batch of matrices."""

    variance: Array  # of f(X), (batch, n)
    features: Array  # of formula.neuron, (batch, features, n)
    inverse_sd: Array  # 1 / sd in whole lines, 0 for a neuron without variance, whose rho is 0, and beyond the last
    table: Array  # Hermite coefficients, (batch, tiles, BASE + 2, columns of a tile)
    rests: Array  # `series.log_rests` of every tile, (batch, tiles, BASE + 1)


def measure(given: Array, known: Array) -> None:
    """Rows mu, var and the parameters, a neuron a column, to rows mean and variance of f(X) and features."""
    for i in range(0, given.shape[1], LANES):
        neuron = formula.neuron(
            load_pack(given, 0, i), load_pack(given, 1, i), load_packs(PARAMETERS, given, 2, 1, i)
        )
        store_pack(known, 0, i, formula.mean(neuron))
        store_pack(known, 1, i, formula.var(neuron))
        store_packs(known, 2, 1, i, neuron)


measure_packs: Callable[[Array, Array], None] = measure  # bound to packs, where `neurons` is bound to numbers


def neurons(mu: Array, var: Array, parameters: Array) -> tuple[Array, tuple[Array, ...]]:
    """The mean of f(X), (batch, n), and the fields of Known, for mu and var (batch, n)."""
    batch, n = mu.shape
    count, tiles = batch * n, (n + TILE - 1) // TILE
    whole = (count + LANES - 1) // LANES * LANES
    given, known = np.empty((2 + len(PARAMETERS), whole)), np.empty((2 + len(NEURON), whole))
    given[0, :count], given[1, :count] = mu.reshape(count), var.reshape(count)
    for k in range(len(PARAMETERS)):
        given[2 + k, :count] = parameters[k].reshape(count)
    for i in range(count, whole):
        given[:, i] = given[:, count - 1]
    measure_packs(given, known)
    mean, variance = known[0, :count].reshape(batch, n), known[1, :count].reshape(batch, n)
    inverse_sd, rests = np.zeros((batch, filled(n))), np.empty((batch, tiles, BASE + 1))
    features = np.empty((batch, len(NEURON), n))
    table = aligned((batch, tiles, BASE + 2, min(TILE, filled(n))), mu)
    for m in range(batch):
        for f in range(len(NEURON)):
            features[m, f] = known[2 + f, m * n : (m + 1) * n]
        for i in range(n):
            own = at(var, (m, i))
            scale = 0.0 if own == 0.0 else 1.0 / math.sqrt(own)
            # the coefficients of a constant are 0 whatever its mean
            inverse_sd[m, i] = scale if at(mu, (m, i)) == at(mu, (m, i)) else math.nan
        for t in range(tiles):
            if HAS_SERIES:
                coefficients(features[m], t * TILE, BASE, table[m, t])
                log_rests(table[m, t], variance[m], t * TILE, rests[m, t])
            else:
                rests[m, t] = math.inf
    return mean, (variance, features, inverse_sd, table, rests)
