"""Moments of whole vectors of neurons, and their vjp: buffers, grids and constants around the dense kernels.

Arrays here are (batch, n) and (batch, n, n), float32 or float64, contiguous; checks and shapes are the caller's.
"""

import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch

from fastmoments_kernels.catalogue import row_of
from fastmoments_kernels.formulas.identity import has_series
from fastmoments_kernels.gpu.compiled import device_function, kernel
from fastmoments_kernels.gpu.dense import marginals, neurons, pairs
from fastmoments_kernels.gpu.dense_vjp import along_cov, along_neuron, collect, pair_10, pair_20
from fastmoments_kernels.gpu.launch import Variant, dtype_name, on_device_of

Array = Any

LIMIT = 0.9  # beyond it the series needs more terms than quadrature nodes cost
BLOCK = 128  # neurons of a program
BACKWARD = 1e-3  # derivatives' series converge later: this much smaller a first term left out


class Layout(NamedTuple):
    """What a dtype takes: a tile's side and its warps, chosen so that no variant spills registers."""

    tile: int
    warps: int


LAYOUTS = {"float32": Layout(32, 8), "float64": Layout(16, 4)}
PER_NEURON = {"neurons": neurons, "neurons_vjp": neurons, "diagonal": marginals, "collect": collect}
PER_TILE = {"pairs": pairs, "along_cov": along_cov, "along_mu": along_neuron, "along_var": along_neuron}
RAISED = {"along_mu": (pair_10, 1), "along_var": (pair_20, 2)}
MATRIX_KERNELS = (*PER_NEURON, *PER_TILE)


def features_of(name: str, parameters: int) -> int:
    """How long the activation's tuple of features is."""
    one = np.ones(1)
    return len(row_of(name).formula.neuron(one, one, (one,) * parameters))


def log_tolerance(name: str, dtype: str) -> float:
    """log of the first term a kernel's series leaves out: half an eps of the matrix's scale, or less."""
    forward = name in ("neurons", "pairs")
    return math.log(0.5 * float(np.finfo(dtype).eps) * (1.0 if forward else BACKWARD))


@cache
def matrix_variant(activation: str, name: str, dtype: str, parameters: int = 0) -> Variant:
    """A kernel of MATRIX_KERNELS for matrices of that dtype; per neuron all arithmetic is float64."""
    tolerance = log_tolerance(name, dtype)
    # f'' needs the coefficients two orders up
    features = {"FEATURES": features_of(activation, parameters)}
    series = features | {"TERMS": math.ceil(tolerance / math.log(LIMIT)) + 3}
    if name in PER_NEURON:
        constants = (series if PER_NEURON[name] is neurons else {}) | {"PARAMETERS": parameters, "BLOCK": BLOCK}
        return Variant(kernel(PER_NEURON[name], activation, "float64"), constants, warps=4)
    layout = LAYOUTS[dtype]
    # without a series every tile goes by the pair formula
    limit = LIMIT if has_series(row_of(activation).formula) else -1.0
    tiled = series | {"LOG_TOLERANCE": tolerance, "LIMIT": limit, "TILE": layout.tile}
    if name in RAISED:
        function, order = RAISED[name]
        tiled = {"BODY": device_function(function, activation, dtype), "ORDER": order} | tiled
    return Variant(kernel(PER_TILE[name], activation, dtype), tiled, layout.warps)


class _Prepared(NamedTuple):
    """What the kernels of one pair of arrays share: per-neuron buffers and the grids."""

    parameters: Array
    features: Array
    coefficients: Array
    blocks: int
    tiles: int
    slack: float


def _prepare(activation: str, name: str, mu: Array, cov: Array, parameters: tuple[Array, ...]) -> _Prepared:
    (batch, n), dtype = mu.shape, dtype_name(cov)
    variant = matrix_variant(activation, name, dtype, len(parameters))
    # without parameters any array stands for them
    rows = torch.stack([p.expand(batch, n) for p in parameters], 1).contiguous() if parameters else mu
    features = mu.new_empty((batch, variant.constants["FEATURES"] + 2, n))
    coefficients = mu.new_empty((batch, variant.constants["TERMS"], n))
    blocks = -(-n // BLOCK)
    variant(batch * blocks, mu, cov, rows, features, coefficients, n, blocks)
    slack = 64 * n * torch.finfo(cov.dtype).eps
    return _Prepared(rows, features, coefficients, blocks, -(-n // LAYOUTS[dtype].tile), slack)


def moments(
    activation: Any, mu: Array, cov: Array, mean_out: Array, cov_out: Array, parameters: tuple[Array, ...] = ()
) -> None:
    """Mean and covariance of f(X) into mean_out and cov_out, which may be mu and cov themselves."""
    name, dtype, (batch, n) = row_of(activation).name, dtype_name(cov), mu.shape
    with on_device_of(cov):
        rows, features, coefficients, blocks, tiles, slack = _prepare(name, "neurons", mu, cov, parameters)
        of_neurons, of_pairs = (
            matrix_variant(name, kind, dtype, len(parameters)) for kind in ("diagonal", "pairs")
        )
        of_neurons(batch * blocks, mu, cov, rows, mean_out, cov_out, n, blocks)
        of_pairs(batch * (tiles * (tiles + 1) // 2), features, coefficients, cov, cov_out, n, tiles, slack)


def moments_vjp(
    activation: Any, mu: Array, cov: Array, mean_bar: Array, cov_bar: Array, parameters: tuple[Array, ...] = ()
) -> tuple[Array, Array]:
    """Gradients (mu_bar, cov_bar) of sum(mean_bar * mean) + sum(cov_bar * cov) with respect to mu and cov."""
    name, dtype, (batch, n), count = row_of(activation).name, dtype_name(cov), mu.shape, len(parameters)
    mu_grad, cov_grad = torch.empty_like(mu), torch.empty_like(cov)
    with on_device_of(cov):
        rows, features, coefficients, blocks, tiles, slack = _prepare(name, "neurons_vjp", mu, cov, parameters)
        mu_parts, var_parts = mu.new_empty((2, batch, tiles, n))
        outputs = {"along_cov": cov_grad, "along_mu": mu_parts, "along_var": var_parts}
        for kind, out in outputs.items():
            programs = batch * (tiles * (tiles + 1) // 2 if kind == "along_cov" else tiles * tiles)
            variant = matrix_variant(name, kind, dtype, count)
            variant(programs, features, coefficients, cov, cov_bar, out, n, tiles, slack)
        arrays = (mu, cov, rows, mean_bar, cov_bar, mu_parts, var_parts, mu_grad, cov_grad)
        matrix_variant(name, "collect", dtype, count)(batch * blocks, *arrays, n, blocks, tiles)
    return mu_grad, cov_grad
