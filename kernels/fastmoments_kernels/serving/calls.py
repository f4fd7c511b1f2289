"""The functions of cpu/, answered by compiled kernels or, while these are not compiled, by NumPy.

Each call is answered by one of both: what another process compiles meanwhile serves the next call.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from fastmoments_kernels import cpu
from fastmoments_kernels.background.entries import LARGE, NOTHING, Entry
from fastmoments_kernels.catalogue import PARAMETERS, row_of
from fastmoments_kernels.cpu import tell as tell
from fastmoments_kernels.cpu.layers import FEW
from fastmoments_kernels.eager import layers, matrices, on_numpy
from fastmoments_kernels.kinds import FIXED, KINDS, outputs_of
from fastmoments_kernels.serving.choice import at_hand, by_numpy, required
from fastmoments_kernels.serving.compilation import compiled, ufuncs
from fastmoments_kernels.serving.like_ufunc import LikeUfunc

Array = np.ndarray[Any, Any]

DTYPES = ("float32", "float64")
NAMES = {np.dtype(name): name for name in DTYPES}  # dtype.name takes a microsecond


def _kernels(function: str, activation: object, cov: Array, count: int) -> Any:
    """What answers a call on matrices (batch, rows, columns): the module `cpu` or `eager.matrices`."""
    if (function, activation, count, NAMES[cov.dtype]) in compiled:
        return cpu
    entry = Entry(function, row_of(activation).name, count, NAMES[cov.dtype])
    pairs = cov.size if function.startswith("block") else cov.size // 2
    return matrices if by_numpy(entry, pairs) else cpu


def moments(
    activation: object,
    mu: Array,
    cov: Array,
    mean_out: Array,
    cov_out: Array,
    parameters: tuple[Array, ...] = (),
    n: int | None = None,
) -> None:
    """Write mean and covariance of f(X) to mean_out and cov_out, which may be mu and cov themselves."""
    function = "moments" if mu.size <= LARGE and n in (None, mu.shape[1]) else "large_moments"
    kernels = _kernels(function, activation, cov, len(parameters))
    kernels.moments(activation, mu, cov, mean_out, cov_out, parameters, n)


def are_few(mu: Array) -> bool:
    """Whether `few` may answer for mu, (..., n)."""
    return 0 < mu.size <= LARGE


def few(activation: str, mu: Array, cov: Array, parameters: tuple[Array, ...] = ()) -> Any:
    """Mean, covariance and what `tell` takes, for few neurons by one compiled call; None where there is none.

    mu (..., n) and cov (..., n, n) lie row by row in memory, and parameters broadcast with mu. Callers look for
    negative variances, which are among what is wrong.
    """
    if not are_few(mu):
        return None
    dtype = cov.dtype
    key = "moments of few", activation, len(parameters), dtype
    function = ufuncs.get(key)
    if function is None:
        if ("moments", activation, len(parameters), NAMES[dtype]) not in compiled:
            return None
        ufuncs[key] = function = cpu.whole(activation, len(parameters), dtype)
    return function(mu, cov, *cpu.beside(activation, parameters, mu.shape)) if parameters else function(mu, cov)


def block(
    activation: object, rows: tuple[Array, ...], columns: tuple[Array, ...], cov: Array, cov_out: Array, n: int
) -> None:
    """Write a block off the diagonal of the covariance of n neurons to cov_out (batch, rows, columns)."""
    _kernels("block", activation, cov, len(rows) - 2).block(activation, rows, columns, cov, cov_out, n)


def moments_vjp(
    activation: object,
    mu: Array,
    cov: Array,
    mean_bar: Array,
    cov_bar: Array,
    parameters: tuple[Array, ...] = (),
    n: int | None = None,
) -> tuple[Array, Array]:
    """Gradients (mu_bar, cov_bar) of sum(mean_bar * mean) + sum(cov_bar * cov) with respect to mu and cov."""
    kernels = _kernels("moments_vjp", activation, cov, len(parameters))
    found: tuple[Array, Array] = kernels.moments_vjp(activation, mu, cov, mean_bar, cov_bar, parameters, n)
    return found


def block_vjp(
    activation: object, rows: tuple[Array, ...], columns: tuple[Array, ...], cov: Array, bar: Array, n: int
) -> tuple[tuple[Array, Array], tuple[Array, Array], Array]:
    """Gradients of sum(bar * cov_out), a block off the diagonal: (mu_bar, var_bar) of rows, of columns, cov_bar."""
    kernels = _kernels("block_vjp", activation, cov, len(rows) - 2)
    found: tuple[tuple[Array, Array], tuple[Array, Array], Array] = kernels.block_vjp(
        activation, rows, columns, cov, bar, n
    )
    return found


def parameter_vjp(
    activation: object, mu: Array, cov: Array, mean_bar: Array, cov_bar: Array, parameters: tuple[Array, ...]
) -> tuple[Array, ...]:
    """Gradients of the sum of `moments_vjp` with respect to each neuron's parameters, (batch, n) each."""
    kernels = _kernels("parameter_vjp", activation, cov, len(parameters))
    found: tuple[Array, ...] = kernels.parameter_vjp(activation, mu, cov, mean_bar, cov_bar, parameters)
    return found


def linear_marginals(
    activation: object,
    inputs: tuple[Array, ...],
    weights: tuple[Array, ...],
    biases: tuple[Array | None, ...],
    outputs: tuple[Array, ...],
    parameters: tuple[Array, ...] = (),
) -> int:
    """Write mean and variance of f(W X + b), or of W X + b if `activation` is None, to outputs (rows, columns).

    Returns the number of negative variances among the inputs.
    """
    name = NOTHING if activation is None else row_of(activation).name
    entry = Entry("linear_marginals", name, len(parameters), NAMES[weights[0].dtype])
    kernels = layers if by_numpy(entry, len(inputs[0]) * weights[0].size) else cpu
    negative: int = kernels.linear_marginals(activation, inputs, weights, biases, outputs, parameters)
    return negative


def congruence(cov: Array, left: Array, gains: Array, right: Array, full: Array, adds: bool) -> bool | None:
    """Write the covariance of a layer of few neurons to full (batch, m, m), in one pass; None if none is at hand.

    It is the mean of both triangles of P cov C^T and, if it `adds`, of full. `left` A and `right` C are (m, n), cov
    is (batch or 1, n, n), of which the upper triangle is read. P is A without gains (0, m); with gains (batch, m)
    it is 2 G A + C for G = diag(gains). The answer says whether a covariance was beyond sqrt(var_i var_j); of
    A cov A^T alone, those are moved there that rounding may have taken beyond.
    """
    (m, n), name = left.shape, NAMES.get(full.dtype)
    if name is None or max(m, n) > FEW:
        return None
    if not at_hand(Entry("congruence", NOTHING, 0, name), len(full) * m * n * (m + n)):
        return None
    beyond: bool = cpu.congruence(cov, left, gains, right, full, adds)
    return beyond


def elementwise(activation: object, name: str, inputs: int, size: int, dtype: str) -> Callable[..., Any]:
    """The function `name` of KINDS, on arrays of one dtype that broadcast to `size` elements.

    It takes `out=`, `where=` and `dtype=` as NumPy's ufuncs do, and has their number of outputs as `nout`.
    """
    key = activation, name, inputs, dtype
    found: Callable[..., Any] | None = ufuncs.get(key)
    if found is None:
        if by_numpy(Entry(name, row_of(activation).name, inputs, dtype), size):
            return LikeUfunc(on_numpy.elementwise(activation, name), outputs_of(name, inputs))
        ufuncs[key] = found = cpu.elementwise(activation, name, inputs, dtype)
    return found


def normal(name: str, size: int, dtype: str) -> Callable[..., Any]:
    """The function `name` of OF_NORMAL, on arrays of one dtype that broadcast to `size` elements."""
    if by_numpy(Entry(name, NOTHING, 3, dtype), size):
        return LikeUfunc(on_numpy.normal(name), outputs_of(name, 3))
    function: Callable[..., Any] = cpu.normal(name, dtype)
    return function


def ufunc(activation: str | None, name: str) -> np.ufunc:
    """The compiled ufunc `name` of an activation, None for the bivariate normal; NumPy's formulas make none."""
    if activation is None:
        inputs, of = FIXED[0], NOTHING
    else:
        neurons, of = KINDS[name].neurons, activation
        inputs = FIXED[neurons] + neurons * len(PARAMETERS[row_of(activation).activation])
    for dtype in DTYPES:
        required(Entry(name, of, inputs, dtype))
    # of activations without components, for which there is a ufunc
    function: Any = cpu.normal(name) if activation is None else cpu.elementwise(activation, name)
    found: np.ufunc = function
    return found
