"""Moments of whole vectors of neurons, and their vjp: buffers, grids and constants around the kernels.

Tensors are (batch, n) and (batch, n, n), float32 or float64, contiguous; callers check them.
"""

import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from fastmoments_kernels.catalogue import row_of
from fastmoments_kernels.formulas.identity import has_series
from fastmoments_kernels.gpu.compiled import device_function, kernel
from fastmoments_kernels.gpu.covariance import neurons, pairs
from fastmoments_kernels.gpu.covariance_vjp import along_cov, along_neuron, collect, pair_10, pair_20
from fastmoments_kernels.gpu.launch import Variant, dtype_name, on_device_of
from fastmoments_kernels.kinds import slack_of

BLOCK = 128  # neurons of a program
BACKWARD = 1e-3  # the series of derivatives converge later: their tolerance is smaller by this factor
SWEEP = 8  # the number of a series' terms is a multiple of it


class Layout(NamedTuple):
    """Sides and warps of a dtype's tiles, such that no variant spills registers, and the most terms of a series.

    Forward, a tile is as large as the series' registers allow, because coefficients are loaded once per tile.
    """

    tile: int
    warps: int
    tile_vjp: int
    warps_vjp: int
    terms: int


LAYOUTS = {"float32": Layout(64, 8, 16, 4, 64), "float64": Layout(32, 8, 16, 8, 128)}
PART = 16  # the side of the part of a tile that the formula computes at a time
PER_NEURON = {"neurons": neurons, "neurons_vjp": neurons, "collect": collect}
PER_TILE = {"pairs": pairs, "along_cov": along_cov, "along_mu": along_neuron, "along_var": along_neuron}
FORWARD = ("neurons", "pairs")
RAISED = {"along_mu": (pair_10, 1), "along_var": (pair_20, 2)}
MATRIX_KERNELS = (*PER_NEURON, *PER_TILE)


def features_of(name: str, parameters: int) -> int:
    """The length of an activation's tuple of features."""
    one = np.ones(1)
    return len(row_of(name).formula.neuron(one, one, (one,) * parameters))


def log_tolerance(name: str, dtype: str) -> float:
    """log of the share that a kernel's series may leave out: half an eps of the matrix's scale, or less."""
    return math.log(0.5 * float(np.finfo(dtype).eps) * (1.0 if name in FORWARD else BACKWARD))


def terms_of(activation: str, dtype: str, n: int) -> int:
    """The number of coefficients per neuron, limited so that those of a small matrix take fewer bytes than it."""
    if not has_series(row_of(activation).formula):
        return 0
    return min(max(n // 2 // SWEEP, 1) * SWEEP, LAYOUTS[dtype].terms)


@cache
def matrix_variant(activation: str, name: str, dtype: str, parameters: int = 0) -> Variant:
    """The kernel `name` of MATRIX_KERNELS for matrices of a dtype; everything per neuron is float64."""
    layout = LAYOUTS[dtype]
    tile, warps = layout[:2] if name in FORWARD else layout[2:4]
    constants: dict[str, Any] = {"PARAMETERS": parameters, "BLOCK": BLOCK}
    if name == "collect":
        return Variant(kernel(collect, activation, "float64"), constants, warps=4)
    constants = {"FEATURES": features_of(activation, parameters), "SWEEP": SWEEP}
    if name in PER_NEURON:
        constants |= {"PARAMETERS": parameters, "BLOCK": tile}
        return Variant(kernel(neurons, activation, "float64"), constants, warps=max(tile // 32, 1))
    constants |= {"LOG_TOLERANCE": log_tolerance(name, dtype), "MOST": layout.terms, "TILE": tile}
    if name == "pairs":
        constants |= {"PART": PART}
    if name in RAISED:
        function, order = RAISED[name]
        constants |= {"BODY": device_function(function, activation, dtype), "ORDER": order}
    return Variant(kernel(PER_TILE[name], activation, dtype), constants, warps)


class _Prepared(NamedTuple):
    """Arguments that the kernels of one call share: buffers per neuron, tiles of a side, and constants."""

    parameters: Tensor
    features: Tensor
    coefficients: Tensor
    remainders: Tensor
    tiles: int
    terms: int
    slack: float


def _prepare(
    activation: str,
    name: str,
    arrays: tuple[Tensor, Tensor],
    parameters: tuple[Tensor, ...],
    outputs: tuple[Tensor, Tensor],
) -> _Prepared:
    """Launch `neurons` for (mu, cov); the marginals go to `outputs`."""
    mu, cov = arrays
    (batch, n), dtype = mu.shape, dtype_name(cov)
    variant = matrix_variant(activation, name, dtype, len(parameters))
    # without parameters any array stands for them
    rows = torch.stack([p.expand(batch, n) for p in parameters], 1).contiguous() if parameters else mu
    tiles, terms = -(-n // variant.constants["BLOCK"]), terms_of(activation, dtype, n)
    features = mu.new_empty((batch, variant.constants["FEATURES"] + 2, n))
    coefficients = mu.new_empty((batch, terms + 2, n))
    remainders = mu.new_empty((batch, tiles, max(terms // SWEEP, 1)))
    variant(batch * tiles, mu, cov, rows, *outputs, features, coefficients, remainders, n, tiles, terms)
    return _Prepared(
        rows, features, coefficients, remainders, tiles, terms, slack_of(n, torch.finfo(cov.dtype).eps)
    )


def moments(
    activation: object,
    mu: Tensor,
    cov: Tensor,
    mean_out: Tensor,
    cov_out: Tensor,
    parameters: tuple[Tensor, ...] = (),
) -> None:
    """Write mean and covariance of f(X) to mean_out and cov_out, which are not mu and cov."""
    name, dtype, (batch, n) = row_of(activation).name, dtype_name(cov), mu.shape
    with on_device_of(cov):
        _, *buffers, tiles, terms, slack = _prepare(name, "neurons", (mu, cov), parameters, (mean_out, cov_out))
        variant = matrix_variant(name, "pairs", dtype, len(parameters))
        variant(batch * (tiles * (tiles + 1) // 2), *buffers, cov, cov_out, n, tiles, terms, slack)


def moments_vjp(
    activation: object,
    mu: Tensor,
    cov: Tensor,
    mean_bar: Tensor,
    cov_bar: Tensor,
    parameters: tuple[Tensor, ...] = (),
) -> tuple[Tensor, Tensor]:
    """Gradients (mu_bar, cov_bar) of sum(mean_bar * mean) + sum(cov_bar * cov) with respect to mu and cov."""
    name, dtype, (batch, n), count = row_of(activation).name, dtype_name(cov), mu.shape, len(parameters)
    mu_grad, cov_grad = torch.empty_like(mu), torch.empty_like(cov)
    with on_device_of(cov):
        # the marginals are written where `collect` will write the gradients
        rows, *buffers, tiles, terms, slack = _prepare(
            name, "neurons_vjp", (mu, cov), parameters, (mu_grad, cov_grad)
        )
        mu_parts, var_parts = mu.new_empty((2, batch, tiles, n))
        outputs = {"along_cov": cov_grad, "along_mu": mu_parts, "along_var": var_parts}
        for kind, out in outputs.items():
            programs = batch * (tiles * (tiles + 1) // 2 if kind == "along_cov" else tiles * tiles)
            variant = matrix_variant(name, kind, dtype, count)
            variant(programs, *buffers, cov, cov_bar, out, n, tiles, terms, slack)
        arrays = (mu, cov, rows, mean_bar, cov_bar, mu_parts, var_parts, mu_grad, cov_grad)
        blocks = -(-n // BLOCK)
        matrix_variant(name, "collect", dtype, count)(batch * blocks, *arrays, n, blocks, tiles)
    return mu_grad, cov_grad
