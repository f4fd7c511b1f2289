"""Moments of whole vectors of neurons, and their vjp: buffers, grids and constants around the dense kernels.

Arrays here are (batch, n) and (batch, n, n), float32 or float64, contiguous; checks and shapes are the caller's.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import torch

from fastmoments_kernels.catalogue import row_of
from fastmoments_kernels.gpu.compiled import kernel
from fastmoments_kernels.gpu.dense import neurons, pairs
from fastmoments_kernels.gpu.launch import OPTIONS, dtype_name, on_device_of

Array = Any

LIMIT = 0.9  # beyond it the series needs more terms than quadrature nodes cost
BLOCK = 128  # neurons of a program


class Layout(NamedTuple):
    """What a dtype takes: a tile's side and its warps, chosen so that no variant spills registers."""

    tile: int
    warps: int


LAYOUTS = {"float32": Layout(32, 4), "float64": Layout(16, 4)}


def features_of(name: str) -> int:
    """How long the activation's tuple of features is."""
    return len(row_of(name).formula.neuron(np.zeros(1), np.ones(1)))


def log_tolerance(dtype: str) -> float:
    """log of the first term the series leaves out, half an eps of the matrix's scale."""
    return math.log(0.5 * float(np.finfo(dtype).eps))


def neuron_constants(name: str, terms: int) -> dict[str, int]:
    return {"FEATURES": features_of(name), "TERMS": terms, "BLOCK": BLOCK}


def pair_constants(name: str, dtype: str) -> dict[str, Any]:
    """The forward kernel's constants."""
    tolerance = log_tolerance(dtype)
    return {
        "FEATURES": features_of(name),
        "TERMS": math.ceil(tolerance / math.log(LIMIT)) + 1,
        "LOG_TOLERANCE": tolerance,
        "LIMIT": LIMIT,
        "TILE": LAYOUTS[dtype].tile,
    }


def moments(activation: Any, mu: Array, cov: Array, mean_out: Array, cov_out: Array) -> None:
    """Mean and covariance of f(X) into mean_out and cov_out, which may be mu and cov themselves."""
    name, dtype, (batch, n) = row_of(activation).name, dtype_name(cov), mu.shape
    constants = pair_constants(name, dtype)
    per_neuron = neuron_constants(name, constants["TERMS"])
    features = mu.new_empty((batch, per_neuron["FEATURES"] + 1, n))
    coefficients = mu.new_empty((batch, per_neuron["TERMS"], n))
    tiles = -(-n // constants["TILE"])
    slack = 64 * n * torch.finfo(cov.dtype).eps
    with on_device_of(cov):
        kernel(neurons, name, "float64")[(-(-n // BLOCK), batch)](
            mu, cov, mean_out, cov_out, features, coefficients, n, **per_neuron, **OPTIONS
        )
        kernel(pairs, name, dtype)[(batch * tiles * (tiles + 1) // 2,)](
            features,
            coefficients,
            cov,
            cov_out,
            n,
            tiles,
            slack,
            **constants,
            num_warps=LAYOUTS[dtype].warps,
            **OPTIONS,
        )
