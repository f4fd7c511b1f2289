"""Layers of Gaussian weights on NumPy arrays, as cpu/layers.py computes them; all is computed in float64."""

from typing import Any

import numpy as np

from fastmoments_kernels.eager import on_numpy

Array = np.ndarray[Any, Any]


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
    (mu, var), (weight, weight_var) = ([x.astype(np.float64) for x in pair] for pair in (inputs, weights))
    with np.errstate(all="ignore"):
        mean = mu @ weight.T
        total = var @ (weight**2 + weight_var).T + mu**2 @ weight_var.T
        for x, bias in zip((mean, total), biases, strict=True):
            x += 0.0 if bias is None else bias
        if activation is not None:
            mean, total = on_numpy.elementwise(activation, "marginals")(mean, total, *parameters)
        for out, values in zip(outputs, (mean, total), strict=True):
            out[...] = values
    return int(np.sum(var < 0.0))
