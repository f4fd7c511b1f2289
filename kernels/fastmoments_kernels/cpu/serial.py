"""Small matrices in one call that NumPy makes: to pass arrays to Numba takes as long as a few neurons take."""

import math
from typing import Any

import numpy as np
from numba import carray

from fastmoments_kernels.cpu.beyond import one_by_one
from fastmoments_kernels.cpu.covariance import pairs
from fastmoments_kernels.cpu.layout import ALONE, TILE, list_of_pairs, room_of
from fastmoments_kernels.cpu.loops import clear_flags
from fastmoments_kernels.cpu.memory import pointer
from fastmoments_kernels.cpu.neurons import neurons
from fastmoments_kernels.cpu.small import BEYOND, FAILED, NEGATIVE
from fastmoments_kernels.kinds import slack_of

Array = Any  # an array in code that Numba compiles

# bound per activation and dtype
PARAMETERS: tuple[float, ...] = ()
NEURON = (0.0, 0.0, 0.0)  # as long as formula.neuron's tuple
REAL, SIZE, EPS = np.float64, 8, 2.0**-52
OPERANDS = 5


def loop(args: Array, dims: Array, steps: Array, data: Array) -> None:
    """NumPy's inner loop of `small.whole`; numbers of a row lie one after the other."""
    address, step, (batch, n) = carray(args, OPERANDS), carray(steps, OPERANDS), (dims[0], dims[1])
    mean, full, wrong = OPERANDS - 3, OPERANDS - 2, OPERANDS - 1
    for m in range(batch):
        _put_byte(address[wrong] + m * step[wrong], FAILED)
    apart = step[0] != n * SIZE or step[1] != n * n * SIZE or step[mean] != n * SIZE or step[full] != n * n * SIZE
    apart |= len(PARAMETERS) > 0 and step[2] != len(PARAMETERS) * n * 8
    rows = 1 if apart else batch
    for m in range(0, batch, rows):
        answer = whole(
            carray(pointer(address[0] + m * step[0]), (rows, n), REAL),
            carray(pointer(address[1] + m * step[1]), (rows, n, n), REAL),
            carray(pointer(address[2] + m * step[2]), (rows, len(PARAMETERS), n), np.float64),
            carray(pointer(address[mean] + m * step[mean]), (rows, n), REAL),
            carray(pointer(address[full] + m * step[full]), (rows, n, n), REAL),
        )
        for row in range(m, m + rows):
            _put_byte(address[wrong] + row * step[wrong], answer)
    clear_flags()


def _put_byte(address: int, value: int) -> None:
    carray(pointer(address), 1, np.int8)[0] = value


def whole(mu: Array, cov: Array, parameters: Array, mean_out: Array, cov_out: Array) -> int:
    """`neurons`, all tiles of `pairs`, and `one_by_one`; return the sum of BEYOND and NEGATIVE where these hold."""
    batch, n = mu.shape
    var, stacked, negative = np.empty(mu.shape), np.empty((len(PARAMETERS), batch, n)), False
    for m in range(batch):
        for i in range(n):
            var[m, i] = cov[m, i, i]
            negative |= var[m, i] < 0.0
            for k in range(len(PARAMETERS)):
                stacked[k, m, i] = parameters[m, k, i]
    # in float64, those that are not
    wide, mean, made = np.asarray(mu, np.float64), np.asarray(mean_out, np.float64), room_of(var, len(NEURON))
    neurons(made, wide, var, stacked, mean)
    variance, features, inverse_sd, table, remainders = made
    known = variance, features, inverse_sd, np.asarray(table, REAL), remainders
    slack, log_tolerance = slack_of(n, EPS), math.log(0.5 * EPS)
    places, covs, progress = list_of_pairs(TILE * TILE)
    beyond, is_full = False, True
    while is_full:
        is_full = pairs(known, cov, cov_out, 0, ALONE, log_tolerance, places, covs, progress, 0, 1)
        beyond |= one_by_one(features, slack, places, covs, progress[1], cov_out)
        progress[1] = 0
    for m in range(batch):
        for i in range(n):
            mean_out[m, i] = mean[m, i]
    return (BEYOND if beyond else 0) + (NEGATIVE if negative else 0)
