"""Compilation ahead of use."""

from typing import Any

import numpy as np

from fastmoments.layers import bayes_linear_marginals
from fastmoments.moments import cov, cov_partials, gain, marginals, mean, moments, moments_vjp, var
from fastmoments_kernels.catalogue import CATALOGUE, row_of

FUNCTIONS = (mean, var, gain, marginals)
OUTPUTS = (1, 32)  # a layer's outputs: fewer than a vector of the processor holds, and more


def warm_up(*activations: Any, dtypes: str | tuple[str, ...] = ("float32", "float64")) -> None:
    """Compile the CPU kernels now instead of at their first call, and keep them on disk.

    Parameters
    ----------
    *activations : objects such as ReLU(), or names; default all activations but mixtures.
    dtypes : the dtypes of the matrices.

    Notes
    -----
    Later processes read the compiled kernels from disk until fastmoments is upgraded. With tqdm installed a
    progress bar is shown.

    Kernels are compiled for a number of components: each number up to 8 (up to 20 in functions of one neuron), then
    powers of two. Each component adds about half a second to the compilation.
    """
    dtypes = (dtypes,) if isinstance(dtypes, str) else dtypes
    chosen = activations or tuple(row.name for row in CATALOGUE if not row.components)
    for activation in _progress(list(chosen)):
        row = row_of(activation)
        # a mixture's parameters have no defaults
        name = activation if row.components else row.name
        for dtype in dtypes:
            x, matrix = np.ones(1, dtype), np.ones((1, 1), dtype)
            moments(name, x, matrix)
            moments_vjp(name, x, matrix, x, matrix)
            for function in FUNCTIONS:
                function(name, x, x)
            for pair in (cov, cov_partials):
                pair(name, x, x, x, x, 0 * x)
            for columns in OUTPUTS:
                weight = np.ones((columns, 1), dtype)
                bayes_linear_marginals(x, x, weight, weight, activation=name)


def _progress(rows: list[Any]) -> Any:
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return rows
    return tqdm(rows, desc="Compiling", unit="activation")
