"""Mean and covariance of a network's output without samples, by fastmoments and by other methods."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from fastmoments.compare.gaussians import square_root
from fastmoments.compare.networks import FloatArray, Step, gaussian, steps, value
from fastmoments.dispatch import plan_of
from fastmoments.elementwise import gain, marginals
from fastmoments.frameworks import framework_of, numpy
from fastmoments.graph.propagate import propagate
from fastmoments.hints import explained
from fastmoments.layer_lists import Affine, Layer, arrays_of, checked
from fastmoments.layers import affine_moments, residual_moments
from fastmoments.results import Moments, T
from fastmoments.signatures import Operand


@explained
def analytic(layers: Sequence[Layer], mu: Operand[T], cov: Operand[T]) -> Moments[T]:
    """Exact mean and covariance, layer by layer: the method of fastmoments.

    Parameters
    ----------
    layers : sequence of Affine and Residual
        The network, first layer first.
    mu : array, shape (..., n)
        Input mean.
    cov : array, shape (..., n, n)
        Input covariance.

    Returns
    -------
    Moments
        ``mean`` (..., m) and ``cov`` (..., m, m) of the network's output.

    Raises
    ------
    TypeError : an entry of layers is neither Affine nor Residual.
    ValueError : shapes disagree, or cov is not symmetric to rounding or has a negative variance.

    Notes
    -----
    It is `fastmoments.propagate` of the list, with any leading dimensions. One layer with an activation, and
    affine layers around it, are exact. The only approximation comes before every further activation, where a
    Gaussian of the same mean and covariance replaces the distribution.

    References
    ----------
    Kuang & Lin, arXiv 2601.22307, section 3.
    """
    arrays = arrays_of(layers)
    plan = plan_of({"mu": mu, "cov": cov, **arrays})
    words = framework_of(plan)
    mean, full = words.vector_and_matrix(plan, mu, cov)
    with words.arithmetic(plan):
        through = _layer_by_layer if plan.framework == "dask" else _through_graph
        found = through(checked(layers, words.to_arrays(plan, arrays), mean.shape[-1]), mean, full)
        return Moments(*(words.result(plan, x) for x in found))


def _through_graph(layers: Sequence[Layer], mu: Any, cov: Any) -> tuple[Any, Any]:
    *batch, n = mu.shape
    rows = math.prod(batch)
    # the limit protects from networks with more features than one thinks, and a list says how many it has
    mean, full = propagate(layers, mu.reshape(rows, n), cov.reshape(rows, n, n), limit=sys.maxsize)
    return mean.reshape(*batch, *mean.shape[1:]), full.reshape(*batch, *full.shape[1:])


def _layer_by_layer(layers: Sequence[Layer], mu: Any, cov: Any) -> tuple[Any, Any]:
    """Do the same for Dask arrays, for which the graph's readings have no words: they reshape covariances."""
    moments: tuple[Any, Any] = mu, cov
    for layer in layers:
        parameters: list[Any] = list(layer)
        if isinstance(layer, Affine):
            moments = affine_moments(*moments, *parameters)
        else:
            moments = residual_moments(parameters[0], *moments, *parameters[1:])
    return moments


@explained
def linearise(layers: Sequence[Layer], mu: ArrayLike, cov: ArrayLike) -> Moments[FloatArray]:
    """First-order approximation by the network's value and its Jacobian J at the mean of the input.

    Parameters
    ----------
    layers : sequence of Affine and Residual
        The network, first layer first.
    mu : array, shape (..., n)
        Input mean.
    cov : array, shape (..., n, n)
        Input covariance.

    Returns
    -------
    Moments
        ``mean`` = g(mu), shape (..., m), and ``cov`` = J cov J^T, shape (..., m, m), in float64.

    Raises
    ------
    TypeError : an entry of layers is neither Affine nor Residual.
    ValueError : shapes disagree, or cov is not symmetric to rounding or has a negative variance.

    Notes
    -----
    Where an activation has a jump or a kink, its derivative is that almost everywhere (0 for Heaviside).

    References
    ----------
    Smith, Schmidt & McGee, "Application of statistical filter theory to the optimal estimation of position
    and velocity on board a circumlunar vehicle", NASA TR R-135, 1962 (the extended Kalman filter).
    """
    x, cov_x = gaussian(mu, cov)
    numpy.check_variances("cov", cov_x.diagonal(0, -2, -1), "its diagonal")
    cov_out = cov_x.astype(np.float64)
    for step in steps(layers, x.shape[-1]):
        J = _jacobian(step, x)
        cov_out = J @ cov_out @ np.swapaxes(J, -1, -2)
        x = value([step], x)
    # rounding of products differs between the triangles
    return Moments(x, 0.5 * (cov_out + np.swapaxes(cov_out, -1, -2)))


def _jacobian(step: Step, x: FloatArray) -> FloatArray:
    J = np.zeros((len(step.d), x.shape[-1])) if step.C is None else step.C
    if step.A is None:
        return J
    z = x @ step.A.T + step.b
    # without variance the gain E f'(Z) is f'(z)
    slope = gain(step.activation, z, np.zeros_like(z))
    return np.asarray(slope[..., None] * step.A + J)


@explained
def unscented(
    layers: Sequence[Layer], mu: ArrayLike, cov: ArrayLike, weights: Literal["1995", "2002"] = "1995"
) -> Moments[FloatArray]:
    """Unscented transform: weighted moments of the network's values at 2n + 1 sigma points around the mean.

    Parameters
    ----------
    layers : sequence of Affine and Residual
        The network, first layer first; the points go through all of it.
    mu : array, shape (..., n)
        Input mean.
    cov : array, shape (..., n, n)
        Input covariance; singular is allowed.
    weights : {"1995", "2002"}
        The original weights, or the scaled ones.

    Returns
    -------
    Moments
        ``mean`` (..., m) and ``cov`` (..., m, m), in float64.

    Raises
    ------
    TypeError : an entry of layers is neither Affine nor Residual.
    ValueError : shapes disagree, cov is not symmetric to rounding or not positive semidefinite, or weights is
        neither of the two.

    Notes
    -----
    The points are mu and mu +- sqrt(n + lambda) L_i with the columns L_i of cov's Cholesky factor,

        mean = sum_i w_i y_i,   w_0 = lambda / (n + lambda),   w_i = 1 / (2 (n + lambda)),
        cov  = sum_i c_i (y_i - mean) (y_i - mean)^T,   c_i = w_i,   c_0 = w_0 + 1 - alpha^2 + beta.

    * "1995": lambda = kappa = 0, alpha = 1, beta = 0, so that the centre has no weight. Its authors suggest
      kappa = 3 - n for a Gaussian input, but from n = 4 on the centre's weight is then negative and
      variances can come out negative too; kappa = 0 reproduces the table of Kuang & Lin.
    * "2002": lambda = alpha^2 (n + kappa) - n, alpha = 1e-3, beta = 2, kappa = 0: the points are
      1e-3 sqrt(n) standard deviations from the centre, so that a piecewise linear network gives the result of
      linearise, unless a kink is that close.

    References
    ----------
    Julier, Uhlmann & Durrant-Whyte, "A new approach for filtering nonlinear systems", 1995, section 3;
    Julier, "The scaled unscented transformation", 2002, section 3.
    """
    if weights not in ("1995", "2002"):
        raise ValueError(f'weights: expected "1995" or "2002", got {weights!r}')
    x, cov_x = gaussian(mu, cov)
    network, n = steps(layers, x.shape[-1]), x.shape[-1]
    alpha, beta = (1.0, 0.0) if weights == "1995" else (1e-3, 2.0)
    spread = alpha**2 * n  # n + lambda
    offsets = np.sqrt(spread) * np.swapaxes(square_root(cov_x), -1, -2)
    centre = value(network, x)
    points = x[..., None, :] + np.concatenate([offsets, -offsets], axis=-2)
    # differences from the centre: w_0 is -1e6 for alpha = 1e-3, which would cost six digits
    difference = value(network, points) - centre[..., None, :]
    shift = difference.sum(axis=-2) / (2 * spread)
    centred = difference - shift[..., None, :]
    c_0 = (spread - n) / spread + 1 - alpha**2 + beta
    cov_out = np.swapaxes(centred, -1, -2) @ centred / (2 * spread)
    return Moments(centre + shift, cov_out + c_0 * shift[..., :, None] * shift[..., None, :])


@explained
def mean_field(layers: Sequence[Layer], mu: ArrayLike, cov: ArrayLike) -> Moments[FloatArray]:
    """Exact mean and variance of every neuron, layer by layer, as if the neurons before it were independent.

    Parameters
    ----------
    layers : sequence of Affine and Residual
        The network, first layer first.
    mu : array, shape (..., n)
        Input mean.
    cov : array, shape (..., n, n)
        Input covariance, of which the diagonal is used.

    Returns
    -------
    Moments
        ``mean`` (..., m) and a diagonal ``cov`` (..., m, m), in float64.

    Raises
    ------
    TypeError : an entry of layers is neither Affine nor Residual.
    ValueError : shapes disagree, or cov is not symmetric to rounding or has a negative variance.

    Notes
    -----
    With independent inputs of variance v the pre-activation z = A x + b has var_z = (A * A) v, and

        var f(z) + C x = var_f + (C * C) v + 2 gain (A * C) v,   gain = E f'(z).

    References
    ----------
    Gast & Roth, "Lightweight probabilistic deep networks", 2018, section 3; Kuang & Lin, arXiv 2601.22307.
    """
    x, cov_x = gaussian(mu, cov)
    var = cov_x.diagonal(0, -2, -1).astype(np.float64)
    numpy.check_variances("cov", var, "its diagonal")
    for step in steps(layers, x.shape[-1]):
        x, var = _mean_field_step(step, x, var)
    return Moments(x, var[..., None] * np.eye(var.shape[-1]))


def _mean_field_step(step: Step, x: FloatArray, var: FloatArray) -> tuple[FloatArray, FloatArray]:
    mean = step.d if step.C is None else x @ step.C.T + step.d
    var_out = np.zeros(()) if step.C is None else var @ np.square(step.C).T
    if step.A is not None:
        z, var_z = x @ step.A.T + step.b, var @ np.square(step.A).T
        mean_f, var_f = marginals(step.activation, z, var_z)
        mean, var_out = mean_f + mean, var_f + var_out
        if step.C is not None:
            var_out = var_out + 2 * gain(step.activation, z, var_z) * (var @ (step.A * step.C).T)
    return mean, var_out
