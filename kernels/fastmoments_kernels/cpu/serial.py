"""Small matrices in one compiled call: passing arrays to a second one takes longer than a few neurons take."""

from typing import Any

import numpy as np

from fastmoments_kernels.cpu.beyond import ALONE, one_by_one
from fastmoments_kernels.cpu.covariance import pairs
from fastmoments_kernels.cpu.layout import TILE, list_of_pairs, room_of
from fastmoments_kernels.cpu.neurons import neurons

Array = np.ndarray[Any, Any]

NEURON = (0.0, 0.0, 0.0)  # bound per activation: as long as formula.neuron's tuple


def whole(
    mu: Array,
    cov: Array,
    parameters: Array,
    mean_out: Array,
    cov_out: Array,
    slack: float,
    log_tolerance: float,
) -> bool:
    """`neurons`, all tiles of `pairs`, and `one_by_one`, whose answer is returned; mean_out and cov_out may be mu and cov."""
    wide, var = np.empty(mu.shape), np.empty(mu.shape)
    for m in range(len(mu)):
        for i in range(mu.shape[1]):
            wide[m, i], var[m, i] = mu[m, i], cov[m, i, i]
    mean, made = np.empty(mu.shape), room_of(wide, len(NEURON))
    neurons(made, wide, var, parameters, mean)
    variance, features, inverse_sd, table, remainders = made
    known = variance, features, inverse_sd, table.astype(cov.dtype), remainders
    places, covs, progress = list_of_pairs(TILE * TILE)
    beyond, is_full = False, True
    while is_full:
        is_full = pairs(known, cov, cov_out, 0, ALONE, log_tolerance, places, covs, progress, 0, 1)
        beyond |= one_by_one(features, slack, places, covs, progress[1], cov_out)
        progress[1] = 0
    for m in range(len(mu)):
        for i in range(mu.shape[1]):
            mean_out[m, i] = mean[m, i]
    return beyond
