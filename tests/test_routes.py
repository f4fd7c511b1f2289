"""What pairs of different routes share: bits that do not depend on neighbours, and differences of nearby tails."""

import numpy as np
import pytest
from mpmath import mp, mpf

import fastmoments as fm
from fastmoments_kernels.formulas.normal import cdf_difference


@pytest.mark.parametrize("function", [fm.relu_cov, fm.abs_cov])
def test_pairs_do_not_depend_on_each_other(function):
    """A pack has pairs of several routes where it is the last of one and the first of the next."""
    rng = np.random.default_rng(0)
    h, k = rng.normal(size=(2, 20_000)) * 10 ** rng.uniform(-3, 1, 20_000)
    rho = np.tanh(rng.normal(size=20_000) * 3)
    rho[::50], h[7], k[8] = np.sign(rho[::50]), np.nan, np.inf
    found, order = function(h, k, 1.0, 1.0, rho), rng.permutation(20_000)
    assert np.array_equal(function(h[order], k[order], 1.0, 1.0, rho[order]), found[order], equal_nan=True)
    assert np.array_equal(function(h[::-3], k[::-3], 1.0, 1.0, rho[::-3]), found[::-3], equal_nan=True)
    assert all(function(h[i], k[i], 1.0, 1.0, rho[i]) == found[i] for i in range(50, 80))
    assert function(h[:0], k[:0], 1.0, 1.0, rho[:0]).size == 0


def test_difference_of_nearby_tails():
    """Up to the widest shift that the series sums; phi rounds by the square of its argument."""
    eps = np.finfo(float).eps
    for middle in (0.0, 0.3, -1.0, 2.5, -6.0, 20.0):
        for share in (1e-9, 0.1, 0.5, 0.99, -0.99):
            shift = share * 1.5 / (1 + 2 * abs(middle))
            low = middle - shift / 2
            with mp.workdps(60):
                truth = mp.ncdf(-mpf(low)) - mp.ncdf(-(mpf(low) + mpf(shift)))
                error = abs(mpf(float(cdf_difference(low + shift, low, shift))) / truth - 1)
            assert error < 3 * eps * (1 + middle * middle), (middle, share)
