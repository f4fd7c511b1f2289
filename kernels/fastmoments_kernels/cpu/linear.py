"""A layer with Gaussian weights and the activation behind it, ROWS x WIDTH sums at a time.

Sums go from registers to a chunk in the first cache level; `body`, bound to a body of elementwise.py, applies the
activation to the chunk, and the result is written from there.
"""

from typing import Any

import numpy as np

from fastmoments_kernels.cpu.layout import aligned
from fastmoments_kernels.cpu.products import add_products, copy

Array = Any  # an array in code that Numba compiles

# bound per activation, dtype and shape: the body's inputs and operands; a panel's vectors, a step's rows, columns
INPUTS, OPERANDS, VECTORS, ROWS, WIDTH = 2, 4, 2, 6, 32


def body(x: Array, count: int, slack: float) -> None:
    """Leave the sums as they are, for a layer without activation."""


def linear(
    mu: Array,
    var: Array,
    weights: Array,
    biases: Array,
    parameters: Array,
    mean_out: Array,
    var_out: Array,
    negative: Array,
    chunk: int,
    first: int,
    step: int,
) -> None:
    """Write mean mu M^T + b and variance var (M^2 + V)^T + mu^2 V^T + c, or the activation's, to (rows, columns).

    mu and var are (rows, depth), weights those of `by_panels`, biases (2, columns), parameters (count, columns).
    Every `step`th chunk of rows is done, from chunk `first` on; negative[first] counts negative variances.
    """
    (rows, depth), columns, panels = mu.shape, mean_out.shape[1], len(weights)
    offsets, x = aligned((panels, 2, WIDTH), mu), aligned((panels, OPERANDS, ROWS * WIDTH), mu)
    square = np.empty((chunk, depth), mu.dtype)
    for p in range(panels):
        for c in range(min(WIDTH, columns - p * WIDTH)):
            offsets[p, 0, c], offsets[p, 1, c] = biases[0, p * WIDTH + c], biases[1, p * WIDTH + c]
            for k in range(len(parameters)):
                x[p, 2 + k, c::WIDTH] = parameters[k, p * WIDTH + c]
    for start in range(first * chunk, rows, step * chunk):
        some_mu, some_var = mu[start : start + chunk], var[start : start + chunk]
        negative[first] += prepare(some_mu.reshape(-1), some_var.reshape(-1), square.reshape(-1))
        for p in range(panels):
            for i in range(0, len(some_mu), ROWS):
                add_products(VECTORS, some_mu, some_var, square, i, weights[p], offsets[p], x[p])
                body(x[p], ROWS * WIDTH, 0.0)
                write(x[p, INPUTS], start + i, p * WIDTH, mean_out)
                write(x[p, INPUTS + 1], start + i, p * WIDTH, var_out)


def by_panels(mean: Array, var: Array, out: Array, first: int, step: int) -> None:
    """Write M, M^2 + V, V (columns, depth) to panels first, first + step, ... of (panels, depth, 3, WIDTH)."""
    for p in range(first, len(out), step):
        some_mean, some_var = mean[p * WIDTH : (p + 1) * WIDTH], var[p * WIDTH : (p + 1) * WIDTH]
        for k in range(mean.shape[1]):
            for c in range(len(some_mean)):
                m, v = some_mean[c, k], some_var[c, k]
                out[p, k, 0, c], out[p, k, 1, c], out[p, k, 2, c] = m, m * m + v, v


def prepare(mu: Array, var: Array, square: Array) -> int:
    """Fill `square` with mu^2 and count the negative variances; reading in order brings both into the caches."""
    negative = 0
    for i in range(len(mu)):
        square[i] = mu[i] * mu[i]
        negative += var[i] < 0.0
    return negative


def write(sums: Array, i: int, j: int, out: Array) -> None:
    """Write the part of ROWS x WIDTH sums that lies inside `out` to out[i, j] and on."""
    rows, columns = out.shape
    for r in range(min(ROWS, rows - i)):
        if columns - j >= WIDTH:
            copy(VECTORS, sums, r * WIDTH, out, i + r, j)
        else:
            for c in range(columns - j):
                out[i + r, j + c] = sums[r * WIDTH + c]
