"""Kernels read no memory that they have not written, and lose no digits of the least and the largest numbers."""

import warnings

import numpy as np
import pytest

import fastmoments as fm
from fastmoments_kernels.cpu import matrices
from tests.rows import function

N = 130  # more neurons than one call takes


def _filled(*arguments):
    room = ROOM_OF(*arguments)
    for field in room:
        # but for 1 / sd, which is cleared, and 0 where it fills up lines
        if field is not room[2]:
            field.fill(np.nan)
    return room


ROOM_OF = matrices.room_of


@pytest.mark.parametrize(
    "name, dtype", [("relu", np.float32), ("relu", np.float64), ("gaussian_mixture", np.float64)]
)
def test_independent_pairs_next_to_correlated_ones(name, dtype, monkeypatch):
    """Patches without correlation are a factor 0 times coefficients, which nan would not be. Mixtures have none."""
    monkeypatch.setattr(matrices, "room_of", _filled)
    cov = np.eye(N, dtype=dtype)
    cov[0, 1] = cov[1, 0] = cov[0, N - 1] = cov[N - 1, 0] = 0.5
    mu, bar = np.zeros(N, dtype), np.ones(N, dtype)
    with warnings.catch_warnings(action="error"):
        result = function(name, "moments")(mu, cov)
        gradients = function(name, "moments_vjp")(mu, cov, bar, np.outer(bar, bar))
    assert np.isfinite(result.mean).all() and np.isfinite(result.cov).all()
    assert (result.cov[2:-1, 2:-1][~np.eye(N - 3, dtype=bool)] == 0).all()
    assert all(np.isfinite(gradient).all() for gradient in gradients)


def test_variances_next_to_the_least_number():
    """1 / var would be infinite. At zero means the covariance of relu is elementary (Cho and Saul)."""
    var, rho = 1e-308, 0.3
    cov = np.full((3, 3), rho * var)
    np.fill_diagonal(cov, var)
    got = fm.relu_moments(np.zeros(3), cov).cov[0, 1]
    product = np.sqrt(1 - rho * rho) + rho * (np.pi - np.arccos(rho))
    # subnormal numbers of this size have 47 bits
    np.testing.assert_allclose(got, var * (product - 1) / (2 * np.pi), rtol=1e-13)


def test_means_beyond_float32_overflow_in_silence():
    """As those of a few neurons do."""
    for n in (5, N):
        with warnings.catch_warnings(action="error"):
            mean, _ = fm.leaky_relu_moments(
                np.full(n, -1e38, "f4"), np.eye(n, dtype="f4"), negative_slope=np.float32(10)
            )
        assert (mean == -np.inf).all()
