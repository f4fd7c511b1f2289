"""What a matrix asks of every neuron by itself: in Blocks over all matrices of a batch, in float64."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastmoments_kernels.cpu.block import LANES, load_block, load_blocks, store_block, store_blocks
from fastmoments_kernels.cpu.memory import at
from fastmoments_kernels.cpu.series import BASE, coefficients, log_rests
from fastmoments_kernels.cpu.tiles import TILE, aligned, filled
from fastmoments_kernels.formulas import identity as formula

Array = Any

# bound per activation
PARAMETERS: tuple[float, ...] = ()
NEURON = (0.0, 0.0, 0.0)
HAS_SERIES = True


def measure(given: Array, known: Array) -> None:
    """Of neurons, one a column: rows mu, var and the parameters to rows mean and variance of f(X), and features."""
    for i in range(0, given.shape[1], LANES):
        neuron = formula.neuron(
            load_block(given, 0, i), load_block(given, 1, i), load_blocks(PARAMETERS, given, 2, 1, i)
        )
        store_block(known, 0, i, formula.mean(neuron))
        store_block(known, 1, i, formula.var(neuron))
        store_blocks(known, 2, 1, i, neuron)


measure_blocks: Callable[[Array, Array], None] = measure  # bound to be of Blocks, where `neurons` is of numbers


def neurons(mu: Array, var: Array, parameters: Array) -> tuple[Array, Array, Array, Array, Array, Array]:
    """What is known of every neuron (batch, n): mean and variance of f(X), features, and for the series.

    That is 1 / sd, 0 for one without variance, whose rho is 0, and beyond the last; the first coefficients; and
    `log_rests`, by blocks.
    """
    batch, n = mu.shape
    count, blocks = batch * n, (n + TILE - 1) // TILE
    whole = (count + LANES - 1) // LANES * LANES
    given, known = np.empty((2 + len(PARAMETERS), whole)), np.empty((2 + len(NEURON), whole))
    given[0, :count], given[1, :count] = mu.reshape(count), var.reshape(count)
    for k in range(len(PARAMETERS)):
        given[2 + k, :count] = parameters[k].reshape(count)
    for i in range(count, whole):
        given[:, i] = given[:, count - 1]
    measure_blocks(given, known)
    mean, variance = known[0, :count].reshape(batch, n), known[1, :count].reshape(batch, n)
    inverse_sd, rests = np.zeros((batch, filled(n))), np.empty((batch, blocks, BASE + 1))
    features = np.empty((batch, len(NEURON), n))
    table = aligned((batch, blocks, BASE + 2, min(TILE, filled(n))), mu)
    for m in range(batch):
        for f in range(len(NEURON)):
            features[m, f] = known[2 + f, m * n : (m + 1) * n]
        for i in range(n):
            own = at(var, (m, i))
            scale = 0.0 if own == 0.0 else 1.0 / math.sqrt(own)
            # the coefficients of a constant are 0 whatever its mean
            inverse_sd[m, i] = scale if at(mu, (m, i)) == at(mu, (m, i)) else math.nan
        for block in range(blocks):
            if HAS_SERIES:
                coefficients(features[m], block * TILE, BASE, table[m, block])
                log_rests(table[m, block], variance[m], block * TILE, rests[m, block])
            else:
                rests[m, block] = math.inf
    return mean, variance, features, inverse_sd, table, rests
