"""The vjp of moments of whole vectors of neurons: buffers, grids and constants around its kernels.

Tensors are those of matrices.py.
"""

from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

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
    SCHEDULES,
    SWEEP,
    features_of,
    log_tolerance,
    programs_beyond,
    rows_of,
    started,
    tiles_apart,
)
from fastmoments_kernels.gpu.parameters_vjp import pairs_dparameters
from fastmoments_kernels.gpu.schedule import Schedule
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
    constants |= {"PART": layout.part, "GROUP": GROUP}
    return Variant(kernel(neurons_overfull, activation, dtype), constants, layout.warps_part)


def moments_vjp(
    activation: str,
    mu: Tensor,
    cov: Tensor,
    mean_bar: Tensor,
    cov_bar: Tensor,
    parameters: tuple[Tensor, ...] = (),
) -> tuple[Tensor, Tensor]:
    """Gradients (mu_bar, cov_bar) of sum(mean_bar * mean) + sum(cov_bar * cov) with respect to mu and cov."""
    n, mu_grad, cov_grad = mu.shape[-1], mu.new_empty(mu.shape), cov.new_empty(cov.shape)
    launch = _schedule(activation, dtype_name(cov.dtype), mu.numel() // n, n, len(parameters))
    launch(mu, cov, rows_of(parameters, mu), mean_bar, cov_bar, mu_grad, cov_grad)
    return mu_grad, cov_grad


def parameter_vjp(
    activation: str,
    mu: Tensor,
    cov: Tensor,
    mean_bar: Tensor,
    cov_bar: Tensor,
    parameters: tuple[Tensor, ...],
) -> tuple[Tensor, ...]:
    """Gradients of the sum of `moments_vjp` with respect to each neuron's parameters, (batch, n) each.

    Memory beside the arguments and results: per neuron a few numbers, and for each parameter n / ELEMENTS.
    """
    dtype, n, count = dtype_name(cov.dtype), mu.shape[-1], len(parameters)
    mu, mean_bar = mu.view(-1, n), mean_bar.view(-1, n)
    cov, cov_bar = cov.view(-1, n, n), cov_bar.view(-1, n, n)
    parameters = tuple(p.reshape(-1, n).contiguous() for p in parameters)
    batch, blocks = len(mu), -(-n // ELEMENTS)
    shares = tuple(mu.new_empty((batch, blocks, n)) for _ in parameters)
    with on_device_of(cov):
        slack = slack_of(n, torch.finfo(cov.dtype).eps)
        variant = matrix_vjp_variant(activation, "pairs_dparameters", dtype, count)
        variant(batch * blocks * n, mu, cov, parameters, cov_bar, shares, n, blocks, slack)
    var, bar = (matrix.diagonal(0, 1, 2).contiguous() for matrix in (cov, cov_bar))
    own = [elementwise(activation, kind)(mu, var, *parameters) for kind in ("mean_dparameters", "var_dparameters")]
    return tuple(
        share.sum(1, dtype=torch.float64).to(mu.dtype) + _weighed(mean_bar, of_mean) + _weighed(bar, of_var)
        for share, of_mean, of_var in zip(shares, *own, strict=True)
    )


def _weighed(bar: Tensor, slope: Tensor) -> Tensor:
    """Return bar * slope, and 0 where bar is 0 and the slope infinite or nan."""
    return torch.where(bar == 0.0, 0.0, bar * slope)


@lru_cache(SCHEDULES)
def _schedule(activation: str, dtype: str, batch: int, n: int, parameters: int) -> Schedule:
    arrays = "mu", "cov", "parameters", "mean_bar", "cov_bar", "mu_grad", "cov_grad"
    # the marginals are written where `collect` will write the gradients
    outputs = {"mean_ptr": "mu_grad", "out_ptr": "cov_grad"}
    schedule = started(arrays, activation, dtype, batch, n, parameters, LAYOUTS_VJP[dtype].terms, **outputs)
    tile, real = LAYOUTS[dtype].tile, getattr(torch, dtype)
    tiles, terms = schedule.numbers["tiles"], schedule.numbers["terms"]
    orders, blocks = terms // SWEEP + 1, -(-n // BLOCK)

    def add(kind: str, programs: int, **own: Any) -> None:
        schedule.add(matrix_vjp_variant(activation, kind, dtype, parameters, n % 16 == 0), programs, **own)

    schedule.share("tables", real, batch * tiles * (terms + 1) * 3 * tile)
    for along in BODIES:
        schedule.share(f"{along}_shares", real, batch * tiles * n)
    add("derivatives", batch * tiles * orders, blocks=orders)
    for kind, number in tiles_apart(n, tile).items():
        add(f"pairs_vjp_{kind}", batch * number)
    if n > 1:
        _add_beyond(schedule, add, dtype)
    add("collect", batch * blocks, blocks=blocks)
    return schedule


def _add_beyond(schedule: Schedule, add: Callable[..., None], dtype: str) -> None:
    """Append the launches that work off the list of pairs beyond the series."""
    n, count, segment = (schedule.numbers[name] for name in ("n", "count", "segment"))
    tile, part = LAYOUTS[dtype].tile, LAYOUTS_VJP[dtype].part
    programs = programs_beyond(n, tile, count)
    tasks = 2 * count * (tile // part) if segment < min(tile * tile, n * (n - 1) // 2) else 0
    for along in BODIES:
        schedule.share(f"{along}_products", getattr(torch, dtype), 2 * count * segment)
    add("cov_beyond", programs)
    for along in BODIES:
        add(f"beyond_{along}", 2 * programs, products_ptr=f"{along}_products")
        # PROGRAMS is a multiple of a tile's parts too
        add(f"overfull_{along}", min(tasks, PROGRAMS), shares_ptr=f"{along}_shares")
    add("add_beyond", min(count, PROGRAMS))
