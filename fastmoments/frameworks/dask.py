"""Dask arrays: lazy results, computed block by block by the cpu kernels.

No value is read before the result is computed: the block that holds a negative variance then raises, with the index
in the block. A task holds one block of a matrix.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from operator import itemgetter
from types import SimpleNamespace
from typing import Any

import dask.array as da
import numpy as np
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph

from fastmoments.dispatch import Named, Plan
from fastmoments.frameworks import dask_blocks as blocks
from fastmoments.frameworks import numpy, options, products, shapes
from fastmoments.results import Moments
from fastmoments_kernels.kinds import outputs_of

Array = da.Array
Key = tuple[Any, ...]  # a block's name and indices
Tasks = dict[Any, Any]  # by key
Chunks = tuple[tuple[int, ...], ...]
xp = SimpleNamespace(**vars(da) | {"finfo": np.finfo})  # Dask has no finfo
arithmetic, compiled = numpy.arithmetic, numpy.compiled


def elementwise(plan: Plan, activation: Any, name: str, arguments: Named, given: Named) -> Any:
    """Call the function `name` of an activation on every block; None stands for the bivariate normal."""
    options.refuse("Dask arrays", **given)
    arrays = to_arrays(plan, arguments)
    shapes.agreed(arrays)
    shapes.doubt(activation, arrays, may_be_covariance)
    call = partial(blocks.elementwise, plan, activation, name, tuple(arrays))
    return by_blocks(plan, call, arrays, outputs_of(name, len(arrays)))


def by_blocks(plan: Plan, call: Callable[..., Any], arrays: dict[str, Array], outputs: int = 1) -> Any:
    """Call a function of NumPy arrays, element by element, on a block of every array."""
    signature = f"{','.join(['()'] * len(arrays))}->{','.join(['()'] * outputs)}"
    dtypes = [plan.result] * outputs if outputs > 1 else plan.result
    _, cut_alike = da.core.unify_chunks(*(x for array in arrays.values() for x in (array, _labels(array, ""))))
    return da.apply_gufunc(call, signature, *cut_alike, output_dtypes=dtypes)


def moments(plan: Plan, activation: Any, inputs: Named, parameters: Named, out: Any, check: bool) -> Moments[Array]:
    """Compute the mean and covariance of f(X); blocks below the diagonal are transposes of those above it."""
    options.refuse("Dask arrays", out=out)
    given = _Given(plan, inputs, parameters)
    if check:
        check_covariance(given.cov)
    function = blocks.OfBlocks(plan, activation, given.mu.shape[-1])
    name = f"moments-{tokenize(function, *given.arrays)}"
    tasks = {
        (name, *batch, i, j): (function.moments, i == j, (given.cov.name, *batch, i, j), *given.sides(batch, i, j))
        for batch, i, j in _upper(given.cov)
    }
    full = _array(plan, name, tasks | _mirrored(tasks), given.arrays, given.cov.chunks)
    neurons = dict(zip(("mu", "var", *parameters), given.neurons, strict=True))
    # a matrix's kernel computes its neurons in float64, whatever the matrix's dtype
    mean = elementwise(plan._replace(compute="float64"), activation, "mean", neurons, {})
    return Moments(mean, full)


def moments_vjp(
    plan: Plan, activation: Any, inputs: Named, bars: Named, parameters: Named, along_parameters: bool
) -> tuple[Array, ...]:
    """Compute the gradients along mu and cov. A neuron's is a sum over its blocks, in their order."""
    if along_parameters:
        raise TypeError("return_parameters: there are no gradients along parameters of Dask arrays; leave it out")
    given = _Given(plan, inputs, parameters)
    bars = to_arrays(plan, bars)
    shapes.check_bars(bars, given.mu, given.cov)
    mean_bar, cov_bar = (
        x.rechunk(like.chunks) for x, like in zip(bars.values(), (given.mu, given.cov), strict=True)
    )
    function = blocks.OfBlocks(plan, activation, given.mu.shape[-1])
    token = tokenize(function, *given.arrays, mean_bar, cov_bar)
    of_mu, of_cov, visit, share, total = (f"{x}-{token}" for x in ("mu_bar", "cov_bar", "visit", "share", "total"))
    shared: Tasks = {}
    tasks: Tasks = {}
    for batch, i, j in _upper(given.cov):
        # a visit holds the gradients of the block, of its rows' neurons and of its columns' neurons
        key, above = (visit, *batch, i, j), (cov_bar.name, *batch, i, j)
        weights = (above, (cov_bar.name, *batch, j, i)) if i < j else ((mean_bar.name, *batch, i), above)
        shared[key] = (function.vjp, i == j, (given.cov.name, *batch, i, j), *weights, *given.sides(batch, i, j))
        shared[(share, *batch, i, j)] = (itemgetter(1), key)
        if i < j:
            shared[(share, *batch, j, i)] = (itemgetter(2), key)
        tasks[(of_cov, *batch, i, j)] = (function.cov_bar, key, *([(total, *batch, i)] if i == j else []))
    numbers = given.mu.numblocks
    for neurons in product(*map(range, numbers)):
        shared[(total, *neurons)] = (sum, [(share, *neurons, j) for j in range(numbers[-1])])
    arrays = (*given.arrays, mean_bar, cov_bar)
    full = _array(plan, of_cov, shared | tasks | _mirrored(tasks), arrays, given.cov.chunks)
    sums = {(of_mu, *i): (function.mu_bar, (total, *i)) for i in product(*map(range, numbers))}
    return _array(plan, of_mu, sums, (full,), given.mu.chunks), full


class _Given:
    """The arguments with one batch shape; rows and columns of cov are cut into blocks at the same neurons."""

    def __init__(self, plan: Plan, inputs: Named, parameters: Named) -> None:
        self.mu, self.cov = vector_and_matrix(plan, **inputs)
        diagonal = da.diagonal(self.cov, axis1=-2, axis2=-1).rechunk(self.mu.chunks)
        others = to_arrays(plan, parameters)
        shapes.check_parameters(others, self.mu.shape)
        self.neurons = (
            self.mu,
            da.map_blocks(blocks.variances, diagonal, dtype=diagonal.dtype, meta=diagonal._meta),
            *(_broadcast(array, self.mu.shape, self.mu.chunks) for array in others.values()),
        )
        self.arrays = (*self.neurons, self.cov)

    def sides(self, batch: Key, i: int, j: int) -> tuple[list[Key], list[Key]]:
        """Return the keys of the neurons' blocks in block row i and in block column j."""
        rows, columns = ([(x.name, *batch, k) for x in self.neurons] for k in (i, j))
        return rows, columns


def _upper(matrix: Array) -> Iterator[tuple[Key, int, int]]:
    """Yield (batch, row, column) of the blocks on and above the diagonal."""
    for *batch, i, j in product(*map(range, matrix.numblocks)):
        if i <= j:
            yield tuple(batch), i, j


def _mirrored(tasks: Tasks) -> Tasks:
    """Return the tasks of the blocks below the diagonal."""
    above = (key for key in tasks if key[-2] < key[-1])
    return {(*key[:-2], key[-1], key[-2]): (blocks.mirrored, key) for key in above}


def _array(plan: Plan, name: str, tasks: Tasks, needed: tuple[Array, ...], chunks: Chunks) -> Array:
    collections: Any = needed  # its annotation asks for a protocol that Dask's own arrays lack
    graph = HighLevelGraph.from_collections(name, tasks, dependencies=collections)
    return da.Array(graph, name, chunks, meta=np.empty((0,) * len(chunks), plan.result))


def to_arrays(plan: Plan, arguments: Named) -> dict[str, Array]:
    """Return the arguments as Dask arrays in the dtype of the computation."""
    arrays: dict[str, Array] = {}
    for name, value in arguments.items():
        arrays[name] = da.asarray(value).astype(plan.compute)
        if any(map(math.isnan, arrays[name].shape)):
            raise ValueError(f"{name}: expected blocks of known sizes; call {name}.compute_chunk_sizes() first")
    return arrays


def with_partials(
    function: Callable[..., Any], partials: Any, arrays: tuple[Array, ...], beside: tuple[Array, ...] = ()
) -> Any:
    """Compute function(*arrays, *beside); nothing differentiates it."""
    return function(*arrays, *beside)


def values(plan: Plan, arrays: dict[str, Array]) -> None:
    """Return None: there are no values before the result is computed."""


def vector_and_matrix(plan: Plan, mu: Any, cov: Any) -> tuple[Array, Array]:
    """Return mu (..., n) and cov (..., n, n) with one batch shape, in blocks of the same neurons.

    The blocks are cov's if its rows are cut where its columns are. Else they are squares as large as its largest.
    """
    mu, cov = to_arrays(plan, {"mu": mu, "cov": cov}).values()
    batch, n = shapes.batch_of(mu.shape, cov.shape), mu.shape[-1]
    rows, columns = cov.chunks[-2:]
    if rows != columns:
        side = max(1, math.isqrt(max(rows) * max(columns)))
        cov = cov.rechunk({cov.ndim - 2: side, cov.ndim - 1: side})
    core = cov.chunks[-1]
    lead = da.core.unify_chunks(mu, _labels(mu, "i"), cov, _labels(cov, "ij"))[0]
    chunks = (*(lead[k] for k in range(-len(batch), 0)), core)
    return _broadcast(mu, (*batch, n), chunks), _broadcast(cov, (*batch, n, n), (*chunks, core))


def _labels(array: Array, core: str) -> tuple[Any, ...]:
    """Return a label for each dimension: -1, -2 ... for the leading ones, from the last, then those in `core`."""
    return (*range(len(core) - array.ndim, 0), *core)


def _broadcast(array: Array, shape: tuple[int, ...], chunks: Chunks) -> Array:
    """Broadcast the array to a shape in given blocks."""
    cuts = zip(array.shape, chunks[len(chunks) - array.ndim :], strict=True)
    array = array.rechunk(tuple(cut if size == sum(cut) else (1,) for size, cut in cuts))
    broadcast: Array = array if array.shape == shape else da.broadcast_to(array, shape, chunks=chunks)
    return broadcast


def symmetric(cov: Array) -> Array:
    """Return the symmetric matrix of cov's upper triangle."""
    full: Array = da.triu(cov) + da.swapaxes(da.triu(cov, 1), -1, -2)
    return full


def symmetric_product(left: Array, right: Array, rounding: Callable[[], Array]) -> Array:
    """Return left (m, n) times right (..., n, m), a covariance, without errors of up to `rounding()`."""
    full = left @ right
    mean: Array = 0.5 * (full + da.swapaxes(full, -1, -2))
    return products.without_rounding(xp, mean, rounding())


def plus_diagonal(full: Array, vector: Array) -> Array:
    """Return full with the vector added to its diagonal."""
    # made block by block: a matrix in the graph would be as large as the result
    rows, columns = (da.arange(vector.shape[-1], chunks=(cut,)) for cut in full.chunks[-2:])
    added: Array = full + da.where(rows[:, None] == columns, vector[..., None], 0.0)
    return added


with_skip, congruence = products.plus_skip, products.no_kernel


def linear_kernel(plan: Plan, activation: Any, arguments: Named, parameters: Named) -> None:
    """Return None: there is no such kernel, layers are Dask's matrix products."""


def may_be_covariance(matrix: Array) -> bool:
    """Return True: there are no values that could tell."""
    return True


def check_covariance(cov: Array) -> None:
    """Raise: there are no values before the result is computed."""
    raise TypeError("check: the values of Dask arrays are not looked at beforehand; leave check out")


def check_variances(name: str, var: Array, what: str = "it", remedy: str = "") -> None:
    """Do nothing: each block checks its variances when it is computed."""


def result(plan: Plan, value: Array) -> Array:
    """Return the value in the result's dtype."""
    converted: Array = value.astype(plan.result)
    return converted
