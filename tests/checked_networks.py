"""Small random networks, their answers, and their moments by many points of another code."""

import warnings

import numpy as np
import pytest

import fastmoments as fm
from fastmoments.compare import Affine, Residual

ACTIVATIONS = ("relu", "gelu", "heaviside", "probit")


def network(seed, inputs=None, depth=None, width=12, outputs=4):
    """Layers, mu and cov: weights N(0, 2 / fan-in), biases N(0, 1/4), an input sd of .1 to 2."""
    rng = np.random.default_rng([20, seed])
    inputs = inputs or int(rng.choice([1, 2, 4, 8]))
    depth = depth or int(rng.integers(2, 4))
    layers, width_in = [], inputs
    for _ in range(depth):
        layers.append(Residual(ACTIVATIONS[seed % 4], *_weights(rng, width, width_in)))
        width_in = width
    factor = rng.standard_normal((inputs, inputs)) / np.sqrt(inputs)
    cov = float(rng.choice([0.01, 0.25, 1.0, 4.0])) * (0.5 * factor @ factor.T + 0.5 * np.eye(inputs))
    return [*layers, Affine(*_weights(rng, outputs, width))], 0.5 * rng.standard_normal(inputs), cov


def _weights(rng, rows, columns):
    return rng.standard_normal((rows, columns)) * np.sqrt(2.0 / columns), 0.5 * rng.standard_normal(rows)


def sampled(layers, mu, cov, samples=2**15):
    """Mean and covariance by Sobol points of other code, with a fifth of the errors of the claims judged by it."""
    return fm.compare.monte_carlo(layers, mu, cov, samples, "sobol", seed=999)


def errors(found, truth):
    """What `Checked.error` claims: of the mean in sds, of the sds, of the covariance in Frobenius norm."""
    sd = np.sqrt(np.diag(truth.cov))
    kept = sd > 0.0
    by_mean = (np.asarray(found.mean) - truth.mean)[kept] / sd[kept]
    by_sd = np.sqrt(np.diag(found.cov))[kept] / sd[kept] - 1.0
    by_cov = np.linalg.norm(found.cov - truth.cov) / np.linalg.norm(truth.cov)
    return np.array([np.sqrt(np.mean(by_mean**2)), np.sqrt(np.mean(by_sd**2)), by_cov])


def unmet(*args, **options):
    """The answer, whose warning that `tol` is not met is asserted."""
    with pytest.warns(fm.AccuracyWarning, match="is not met"):
        return fm.propagate(*args, **options)


def quiet(*args, **options):
    """The answer, met or not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fm.AccuracyWarning)
        return fm.propagate(*args, **options)
