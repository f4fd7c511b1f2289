"""The tasks of a Dask graph: each gives blocks, NumPy arrays, to the cpu kernels."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastmoments.dispatch import Plan
from fastmoments.frameworks import numpy
from fastmoments.frameworks.numpy import kernels_of
from fastmoments.frameworks.numpy_arrays import flat

Block = NDArray[Any]
Side = list[Block]  # mu, var and the parameters of a block's neurons, (..., length) each
Visit = tuple[Block, Block, Block | None]  # gradients of the block, of (mu, var) of its rows and of its columns


def elementwise(plan: Plan, activation: Any, name: str, keys: tuple[str, ...], *blocks: Block) -> Any:
    """Call the function `name` of an activation on a block of every argument."""
    # broadcast first: a block beside smaller ones might be taken for a covariance matrix
    given = dict(zip(keys, np.broadcast_arrays(*blocks), strict=True))
    return numpy.elementwise(plan, activation, name, given, {})


def variances(diagonal: Block) -> Block:
    """Return a block of cov's diagonal; raise if it holds a negative variance."""
    numpy.check_variances("cov", diagonal, "its diagonal")
    return diagonal


def mirrored(block: Block) -> Block:
    """Return the block on the other side of the diagonal."""
    return np.swapaxes(block, -1, -2)


@dataclass(frozen=True)
class OfBlocks:
    """An activation's functions of one block, on or above the diagonal, of the covariance of n neurons."""

    plan: Plan
    activation: Any
    n: int

    def moments(self, on_diagonal: bool, cov: Block, rows: Side, columns: Side) -> Block:
        """Compute the covariances of f between the rows' neurons and the columns' neurons."""
        kernels, cov = kernels_of(self.activation), np.ascontiguousarray(cov)
        out = np.empty_like(cov)
        if cov.size and on_diagonal:
            mu, _, *parameters = _flat(rows)
            kernels.moments(
                self.activation, mu, flat(cov, 2), np.empty_like(mu), flat(out, 2), tuple(parameters), self.n
            )
        elif cov.size:
            kernels.block(self.activation, _flat(rows), _flat(columns), flat(cov, 2), flat(out, 2), self.n)
        return out.astype(self.plan.result, copy=False)

    def vjp(self, on_diagonal: bool, cov: Block, bar_1: Block, bar_2: Block, rows: Side, columns: Side) -> Visit:
        """Compute the block's gradients. `bar_1` and `bar_2` are mean_bar and cov_bar for a block on the diagonal.

        For a block above it they are cov_bar of the block and of the one on the other side of the diagonal.
        """
        kernels, cov = kernels_of(self.activation), np.ascontiguousarray(cov)
        if not cov.size:
            return cov, np.zeros((2, *rows[0].shape)), np.zeros((2, *columns[0].shape))
        if on_diagonal:
            mu, _, *parameters = _flat(rows)
            bars = flat(np.ascontiguousarray(bar_1), 1), flat(np.ascontiguousarray(bar_2), 2)
            found = kernels.moments_vjp(self.activation, mu, flat(cov, 2), *bars, tuple(parameters), self.n)
            mu_bar, cov_bar = (x.reshape(like.shape) for x, like in zip(found, (bar_1, cov), strict=True))
            return cov_bar, np.stack([mu_bar, np.einsum("...ii->...i", cov_bar)]), None
        bar = flat(bar_1 + mirrored(bar_2), 2)
        *sides, cov_bar = kernels.block_vjp(self.activation, _flat(rows), _flat(columns), flat(cov, 2), bar, self.n)
        of_rows, of_columns = (
            np.stack(x).reshape(2, *side[0].shape) for x, side in zip(sides, (rows, columns), strict=True)
        )
        return cov_bar.reshape(cov.shape), of_rows, of_columns

    def cov_bar(self, visit: Visit, total: Block | None = None) -> Block:
        """Return the gradient of the block; on the diagonal `total` holds its neurons' sums."""
        found = visit[0].astype(self.plan.result)
        if total is not None:
            np.einsum("...ii->...i", found)[...] = total[1]
        return found

    def mu_bar(self, total: Block) -> Block:
        """Return the gradient of the neurons' means."""
        found: Block = total[0].astype(self.plan.result)
        return found


def _flat(side: Side) -> tuple[Block, ...]:
    return tuple(flat(np.ascontiguousarray(x), 1) for x in side)
