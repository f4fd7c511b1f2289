"""How many terms of relu's series tiles take at n = 8192, and how many of their pairs are listed beyond it.

The kernels' own rules decide, on arrays of all tiles; the remainders are those of the interpreted kernel.

usage: TRITON_INTERPRET=1 python -m benchmarks.gpu_terms       writes benchmarks/results/gpu-terms.json
"""

from collections.abc import Callable, Iterator
from itertools import product
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks.gpu import RESULTS, SIZES, strong, typical
from benchmarks.gpu_parts import write
from fastmoments_kernels.bind import bind
from fastmoments_kernels.gpu.covariance_vjp import of_derivatives
from fastmoments_kernels.gpu.matrices import LAYOUTS, SHARE, SWEEP, features_of, log_tolerance, matrix_variant
from fastmoments_kernels.gpu.matrices_vjp import LAYOUTS_VJP
from fastmoments_kernels.gpu.series import reach, terms_for

ACTIVATION = "relu"
DATA = {"typical": typical, "strong": strong}
# Triton's words on arrays whose first axis is a tile's remainders
WORDS = {
    "tl": SimpleNamespace(
        arange=lambda first, last: torch.arange(first, last)[:, None, None],
        where=torch.where,
        max=torch.amax,
        min=torch.amin,
    ),
    "exp": torch.exp,
    "log": torch.log,
    "maximum": torch.clamp_min,
    "minimum": torch.clamp_max,
}


class Found(NamedTuple):
    """Tiles by their number of terms; the shares of tiles that list pairs, are overfull, and of pairs listed."""

    data: str
    dtype: str
    direction: str
    tiles: dict[int, int]
    listing: float
    overfull: float
    pairs: float


def ruled(function: Callable[..., Any], *arguments: Any, terms: int) -> Tensor:
    """A rule of series.py on arrays."""
    found: Tensor = bind(function, WORDS)(*arguments, SWEEP, terms)
    return found


def found(data: str, dtype: str, n: int = SIZES.matrix) -> Iterator[Found]:
    """Count the tiles of one matrix of the data, forward and backward."""
    tile, tolerance = LAYOUTS[dtype].tile, log_tolerance(dtype)
    mu, cov = DATA[data](n, getattr(torch, dtype), "cpu")
    rho = by_tiles(correlations(cov), tile)
    above = torch.ones(rho.shape[:2], dtype=torch.bool).triu()
    for direction, terms in (("forward", LAYOUTS[dtype].terms), ("backward", LAYOUTS_VJP[dtype].terms)):
        own = remainders_of(mu, cov, terms)
        remainders = own[:, :, None] + own[:, None, :]
        if direction == "backward":
            remainders = ruled(of_derivatives, remainders, terms=terms)
        counts = ruled(terms_for, rho.amax((2, 3)), remainders, tolerance, terms=terms)[above].clamp(max=terms)
        limit = ruled(reach, remainders, tolerance, terms=terms)
        beyond = (rho >= limit[:, :, None, None]).sum((2, 3))[above]
        numbers, of = counts.unique(return_counts=True)
        yield Found(
            data,
            dtype,
            direction,
            dict(zip(numbers.tolist(), of.tolist(), strict=True)),
            (beyond > 0).double().mean().item(),
            (beyond > tile**2 // SHARE).double().mean().item(),
            beyond.sum().item() / (n * (n - 1) / 2),
        )


def remainders_of(mu: Tensor, cov: Tensor, terms: int) -> Tensor:
    """Return the remainders that the kernel `neurons` writes, (terms / SWEEP, tiles)."""
    n, dtype = len(mu), str(cov.dtype).removeprefix("torch.")
    tiles = n // LAYOUTS[dtype].tile
    features, coefficients = mu.new_empty(features_of(ACTIVATION, 0) + 2, n), mu.new_empty(terms + 2, n)
    remainders = mu.new_empty(tiles, terms // SWEEP)
    written = torch.empty_like(mu), torch.empty_like(cov), features, coefficients, remainders
    matrix_variant(ACTIVATION, "neurons", dtype)(tiles, mu, cov, mu, *written, n, tiles, terms)
    return remainders.mT


def correlations(cov: Tensor) -> Tensor:
    """|rho| above the diagonal, 0 elsewhere."""
    inverse = cov.diagonal().rsqrt()
    return (cov * torch.outer(inverse, inverse)).abs_().triu_(1)


def by_tiles(matrix: Tensor, tile: int) -> Tensor:
    """(tiles, tiles, tile, tile), tile rows and columns first, of a matrix of whole tiles."""
    return matrix.unflatten(1, (-1, tile)).unflatten(0, (-1, tile)).transpose(1, 2)


def main() -> None:
    rows = []
    for data, dtype in product(DATA, LAYOUTS):
        for row in found(data, dtype):
            print(row)
            rows.append(row._asdict())
    write(RESULTS / "gpu-terms.json", {"n": SIZES.matrix, "rows": rows})


if __name__ == "__main__":
    main()
