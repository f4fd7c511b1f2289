"""Calls on batches of few neurons that figures time: 2,048 covariances 8 x 8 through layers of 32 neurons."""

from typing import Any, NamedTuple

import numpy as np

import fastmoments as fm
from benchmarks.calls import Call

BATCH, INPUTS, NEURONS = 2048, 8, 32


class Layers(NamedTuple):
    """Means and covariances of the inputs, and a layer's weights; those of the skip connection and the output."""

    mu: Any
    cov: Any
    A: Any
    b: Any
    C: Any
    out: Any


def layers() -> Layers:
    rng = np.random.default_rng(0)
    root = rng.normal(size=(BATCH, INPUTS, INPUTS)) / INPUTS**0.5
    A, C = rng.normal(size=(2, NEURONS, INPUTS)) / INPUTS**0.5
    mu, b, out = rng.normal(size=(BATCH, INPUTS)), rng.normal(size=NEURONS), rng.normal(size=(1, NEURONS))
    return Layers(mu, root @ np.swapaxes(root, -1, -2), A, b, C, out / NEURONS**0.5)


def copied() -> dict[str, Call]:
    """A copy of as many bytes as the layer's covariances have."""
    full = np.ones((BATCH, NEURONS, NEURONS))
    return {"copy": lambda: np.copyto(np.empty_like(full), full)}


def affine() -> tuple[Call, Call]:
    """An affine layer, divided by the product of matrices alone."""
    x = layers()
    return lambda: fm.affine_moments(x.mu, x.cov, x.A, x.b), lambda: x.A @ x.cov @ x.A.T


def residual() -> tuple[Call, float]:
    """A residual layer with a matrix C, divided by 9 us a matrix."""
    x = layers()
    return lambda: fm.residual_moments("relu", x.mu, x.cov, x.A, x.b, x.C), 9e-6 * BATCH


def residual_of_activation() -> dict[str, Call]:
    """The activation's part of the residual layer, and `copied`."""
    x = layers()
    inner = fm.affine_moments(x.mu, x.cov, x.A, x.b)
    return {"activation": lambda: fm.relu_moments(*inner)} | copied()


def house() -> tuple[Call, float]:
    """The network 8-32-1 of examples/california_housing.py, all inputs of one covariance, divided by 12 us each."""
    x = layers()
    network = [fm.compare.Residual("relu", x.A, x.b, x.C), fm.compare.Affine(x.out)]
    return lambda: fm.propagate(network, x.mu, x.cov[0]), 12e-6 * BATCH
