"""Everything that the matrix kernels need per neuron, in float64, computed in packs over a whole batch."""

import math
from typing import Any

import numpy as np

from fastmoments_kernels.cpu.layout import BASE, TILE, packed
from fastmoments_kernels.cpu.memory import at
from fastmoments_kernels.cpu.packs import LANES, load_pack, load_packs, store_pack, store_packs
from fastmoments_kernels.cpu.series import coefficients, log_remainders
from fastmoments_kernels.formulas import identity as formula  # `bind` exchanges it for an activation's

Array = Any  # an array in code that Numba compiles

# bound per activation
PARAMETERS: tuple[float, ...] = ()
NEURON = (0.0, 0.0, 0.0)
HAS_SERIES = True


def measure(inputs: Array, results: Array) -> None:
    """From rows mu, var and parameters, a column per neuron, to rows mean and variance of f(X) and features."""
    for i in range(0, inputs.shape[1], LANES):
        neuron = formula.neuron(
            load_pack(inputs, 0, i), load_pack(inputs, 1, i), load_packs(PARAMETERS, inputs, 2, 1, i)
        )
        store_pack(results, 0, i, formula.mean(neuron))
        store_pack(results, 1, i, formula.var(neuron))
        store_packs(results, 2, 1, i, neuron)


def neurons(known: tuple[Array, ...], mu: Array, var: Array, parameters: Array, mean: Array) -> None:
    """Fill `known`, the arrays of `layout.room_of`, and the mean of f(X), (batch, n), for mu and var (batch, n)."""
    variance, features, inverse_sd, table, remainders = known
    batch, n = mu.shape
    count, tiles = batch * n, (n + TILE - 1) // TILE
    whole = (count + LANES - 1) // LANES * LANES
    inputs, results = np.empty((2 + len(PARAMETERS), whole)), np.empty((2 + len(NEURON), whole))
    # loops, not slices: for the error of an assignment that does not fit Numba compiles some forty functions
    for m in range(batch):
        for i in range(n):
            inputs[0, m * n + i], inputs[1, m * n + i] = at(mu, (m, i)), at(var, (m, i))
            for k in range(len(PARAMETERS)):
                inputs[2 + k, m * n + i] = at(parameters, (k, m, i))
    for i in range(count, whole):
        for k in range(2 + len(PARAMETERS)):
            inputs[k, i] = inputs[k, count - 1]
    measure(inputs, results)
    for m in range(batch):
        for i in range(n):
            mean[m, i] = results[0, m * n + i]
            variance[m, i] = results[1, m * n + i]
        for f in range(len(NEURON)):
            for i in range(n):
                features[m, f, i] = results[2 + f, m * n + i]
        for i in range(n, packed(n)):
            variance[m, i] = results[1, m * n + n - 1]
            for f in range(len(NEURON)):
                features[m, f, i] = results[2 + f, m * n + n - 1]
        for i in range(n):
            var_i = at(var, (m, i))
            scale = 0.0 if var_i == 0.0 else 1.0 / math.sqrt(var_i)
            # rho has to be nan where mu is nan: coefficients that are 0 would hide it
            inverse_sd[m, i] = scale if at(mu, (m, i)) == at(mu, (m, i)) else math.nan
        for t in range(tiles):
            if HAS_SERIES:
                first, count = t * TILE, min(TILE, n - t * TILE)
                coefficients(features[m], first, count, BASE, table[m, t])
                log_remainders(table[m, t], variance, m, first, count, remainders[m, t])
            else:
                for order in range(BASE + 1):
                    remainders[m, t, order] = math.inf
                # 0, not what was there: a patch of pairs without correlation takes it times 0
                for order in range(BASE + 2):
                    for i in range(table.shape[3]):
                        table[m, t, order, i] = 0.0
