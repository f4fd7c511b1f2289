"""The vjp of moments of whole vectors of neurons: buffers, grids and constants around its kernels.

Tensors are those of matrices.py.
"""

from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from fastmoments_kernels.catalogue import row_of
from fastmoments_kernels.gpu.beyond_vjp import (
    add_beyond,
    along_mu,
    along_var,
    cov_beyond,
    neurons_beyond,
    neurons_overfull,
)
from fastmoments_kernels.gpu.compiled import device_function, kernel
from fastmoments_kernels.gpu.covariance_vjp import collect, derivatives, pairs_vjp
from fastmoments_kernels.gpu.launch import ELEMENTS, Variant, dtype_name, elementwise, on_device_of
from fastmoments_kernels.gpu.matrices import (
    GROUP,
    LAYOUTS,
    PROGRAMS,
    SWEEP,
    Beyond,
    Prepared,
    beyond_of,
    features_of,
    log_tolerance,
    prepare,
)
from fastmoments_kernels.gpu.parameters_vjp import pairs_dparameters
from fastmoments_kernels.kinds import slack_of

MOST = 128  # terms of a series that tiles choose from: a power of 2, as Triton's ranges are
BLOCK = 128  # neurons of a program
AT_ONCE = 8  # tiles whose shares a program loads together
LISTED = 32  # pairs of the list that a program adds together


class Layout(NamedTuple):
    """Of a dtype: warps and registers of the tiles' programs such that none spills, and how a tile is dealt out.

    A thread has `run` rows next to each other, as many as 16 bytes hold, and `strided` columns: that is how Triton
    deals out a tile that it transposes, and other numbers would only make sums slower. By the formula a program
    computes `part` x `part` pairs at a time, with `warps_part` warps. A series has `terms` at most, more than
    forward: the formulas of a pair beyond it take three times the instructions.
    """

    warps: int
    registers: int
    run: int
    strided: int
    part: int
    warps_part: int
    terms: int


LAYOUTS_VJP = {"float32": Layout(8, 128, 4, 4, 16, 4, 96), "float64": Layout(4, 168, 2, 4, 16, 8, 128)}
BODIES = {"mu": along_mu, "var": along_var}
MATRIX_VJP_KERNELS = (
    "derivatives",
    "pairs_vjp_whole",
    "pairs_vjp_edges",
    "cov_beyond",
    *(f"{name}_{of}" for name in ("beyond", "overfull") for of in BODIES),
    "add_beyond",
    "collect",
)
# of an activation that has parameters
PARAMETER_KERNELS = ("pairs_dparameters",)


@cache
def matrix_vjp_variant(
    activation: str, name: str, dtype: str, parameters: int = 0, aligned: bool = False
) -> Variant:
    """The kernel `name` of MATRIX_VJP_KERNELS for a dtype; `aligned` if n is a multiple of 16.

    What is per neuron is float64.
    """
    layout, tile, features = LAYOUTS_VJP[dtype], LAYOUTS[dtype].tile, features_of(activation, parameters)
    constants: dict[str, Any]
    if name == "collect":
        constants = {"PARAMETERS": parameters, "BLOCK": BLOCK, "AT_ONCE": AT_ONCE}
        return Variant(kernel(collect, activation, "float64"), constants, warps=4)
    if name == "derivatives":
        constants = {"FEATURES": features, "SWEEP": SWEEP, "TILE": tile}
        return Variant(kernel(derivatives, activation, "float64"), constants, warps=4)
    if name == "add_beyond":
        return Variant(kernel(add_beyond, activation, dtype), {"TILE": tile, "BLOCK": LISTED}, warps=4)
    if name == "pairs_dparameters":
        constants = {"BLOCK": ELEMENTS}
        return Variant(kernel(pairs_dparameters, activation, dtype), constants, warps=4)
    constants = {"FEATURES": features, "TILE": tile}
    if name.startswith("pairs_vjp"):
        of_series = {"LOG_TOLERANCE": log_tolerance(dtype), "SWEEP": SWEEP, "MOST": MOST}
        of_threads = {"RUN": layout.run, "STRIDED": layout.strided}
        constants |= {**of_series, **of_threads, "EDGE": int(name.endswith("edges"))}
        # masks, of which there are few, and single numbers' addresses need registers
        registers = layout.registers if name.endswith("whole") and aligned else 255
        return Variant(kernel(pairs_vjp, activation, dtype), constants, layout.warps, registers, fused=True)
    of_list = {"GROUP": GROUP, "BLOCK": ELEMENTS}
    if name == "cov_beyond":
        return Variant(kernel(cov_beyond, activation, dtype), constants | of_list, warps=4)
    template, along = name.split("_")
    constants |= {"BODY": device_function(BODIES[along], activation, dtype)}
    if template == "beyond":
        return Variant(kernel(neurons_beyond, activation, dtype), constants | of_list, warps=4)
    constants |= {"PART": layout.part}
    return Variant(kernel(neurons_overfull, activation, dtype), constants, layout.warps_part)


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
    mu_grad, cov_grad = mu.new_empty(mu.shape), cov.new_empty(cov.shape)
    call = _Call(name, dtype, count, n % 16 == 0)
    with on_device_of(cov):
        # the marginals are written where `collect` will write the gradients
        prepared = prepare(name, (mu, cov), parameters, (mu_grad, cov_grad), LAYOUTS_VJP[dtype].terms)
        tiles, blocks = prepared.tiles, -(-n // BLOCK)
        shares = mu.new_empty((2, batch, tiles, n))
        beyond = _by_series(call, prepared, (cov, cov_bar, cov_grad), shares)
        if n > 1:
            _by_formula(call, prepared, beyond, (cov, cov_bar, cov_grad), shares)
        arrays = (mu, cov, prepared.parameters, mean_bar, cov_bar, *shares, mu_grad, cov_grad)
        call.launch("collect", batch * blocks, *arrays, n, blocks, tiles)
    return mu_grad, cov_grad


def parameter_vjp(
    activation: object,
    mu: Tensor,
    cov: Tensor,
    mean_bar: Tensor,
    cov_bar: Tensor,
    parameters: tuple[Tensor, ...],
) -> tuple[Tensor, ...]:
    """Gradients of the sum of `moments_vjp` with respect to each neuron's parameters, (batch, n) each.

    Memory beside the arguments and results: per neuron a few numbers, and for each parameter n / ELEMENTS.
    """
    name, dtype, (batch, n), count = row_of(activation).name, dtype_name(cov), mu.shape, len(parameters)
    parameters = tuple(p.expand(batch, n).contiguous() for p in parameters)
    blocks = -(-n // ELEMENTS)
    shares = tuple(mu.new_empty((batch, blocks, n)) for _ in parameters)
    with on_device_of(cov):
        slack = slack_of(n, torch.finfo(cov.dtype).eps)
        variant = matrix_vjp_variant(name, "pairs_dparameters", dtype, count)
        variant(batch * blocks * n, mu, cov, parameters, cov_bar, shares, n, blocks, slack)
    var, bar = (matrix.diagonal(0, 1, 2).contiguous() for matrix in (cov, cov_bar))
    own = [elementwise(name, kind)(mu, var, *parameters) for kind in ("mean_dparameters", "var_dparameters")]
    return tuple(
        share.sum(1, dtype=torch.float64).to(mu.dtype) + _weighed(mean_bar, of_mean) + _weighed(bar, of_var)
        for share, of_mean, of_var in zip(shares, *own, strict=True)
    )


def _weighed(bar: Tensor, slope: Tensor) -> Tensor:
    """Return bar * slope, and 0 where bar is 0 and the slope infinite or nan."""
    return torch.where(bar == 0.0, 0.0, bar * slope)


class _Call(NamedTuple):
    """What chooses the kernels of a call."""

    activation: str
    dtype: str
    parameters: int
    aligned: bool

    def launch(self, kind: str, programs: int, *arguments: Any) -> None:
        """Launch the kernel `kind` of MATRIX_VJP_KERNELS, if it has programs."""
        if programs:
            matrix_vjp_variant(self.activation, kind, *self[1:])(programs, *arguments)


def _by_series(call: _Call, prepared: Prepared, matrices: tuple[Tensor, ...], shares: Tensor) -> Beyond:
    """Write gradients along the covariances, and shares, by the series; list the pairs beyond it."""
    _, features, coefficients, remainders, tiles, terms, _ = prepared
    (batch, n), tile, blocks = matrices[0].shape[:2], LAYOUTS[call.dtype].tile, terms // SWEEP + 1
    tables = features.new_empty((batch, tiles, terms + 1, 3, tile))
    call.launch("derivatives", batch * tiles * blocks, features, coefficients, tables, n, tiles, blocks, terms)
    beyond = beyond_of(matrices[0], tile)
    arrays = (features, tables, remainders, beyond.positions, beyond.counts, *matrices, *shares)
    whole = n // tile * (n // tile - 1) // 2
    for kind, number in (("whole", whole), ("edges", tiles * (tiles + 1) // 2 - whole)):
        call.launch(f"pairs_vjp_{kind}", batch * number, *arrays, n, tiles, terms, beyond.segment)
    return beyond


def _by_formula(
    call: _Call, prepared: Prepared, beyond: Beyond, matrices: tuple[Tensor, ...], shares: Tensor
) -> None:
    """Work off the list of pairs beyond the series."""
    features, tiles, slack = prepared.features, prepared.tiles, prepared.slack
    positions, counts, segment, programs = beyond
    n, tile, part = shares.shape[3], LAYOUTS[call.dtype].tile, LAYOUTS_VJP[call.dtype].part
    sizes = n, tiles, len(counts), segment
    call.launch("cov_beyond", programs, features, positions, counts, *matrices, *sizes, slack)
    products = features.new_empty((2, 2, len(counts), segment))
    tasks = 2 * len(counts) * (tile // part) if segment < min(tile * tile, n * (n - 1) // 2) else 0
    for along, of_list, of_tiles in zip(BODIES, products, shares, strict=True):
        listed = (features, positions, counts, *matrices[:2], of_list)
        call.launch(f"beyond_{along}", 2 * programs, *listed, *sizes, slack)
        overfull = (features, counts, *matrices[:2], of_tiles)
        call.launch(f"overfull_{along}", min(tasks, PROGRAMS), *overfull, *sizes, slack)
    arrays = (positions, counts, *products, *shares)
    call.launch("add_beyond", min(len(counts), PROGRAMS), *arrays, *sizes)
