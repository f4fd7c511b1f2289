"""Results that no cache holds: where their memory begins at a line they are written past the caches."""

import tracemalloc

import numpy as np
import pytest

import fastmoments as fm
from fastmoments_kernels.cpu.layout import LINE, PAST


def begin(array):
    return array.__array_interface__["data"][0] % LINE


def elsewhere(like):
    """An array whose memory does not begin at a line."""
    raw = np.empty(like.size + LINE // like.itemsize, like.dtype)
    first = -begin(raw) % LINE // like.itemsize + 1
    found = raw[first : first + like.size].reshape(like.shape)
    assert begin(found) == like.itemsize
    return found


def weak(n, dtype, batch=()):
    """Weak correlations but for some neurons that are almost equal, and one without variance."""
    rng = np.random.default_rng(0)
    noise = (rng.normal(size=(*batch, n, 32)) / 32**0.5).astype(dtype)
    noise[..., 5::97, :] = noise[..., 5:6, :] + 1e-3 * noise[..., 5::97, :]
    noise[..., 70, :] = 0.0
    return rng.normal(size=(*batch, n)).astype(dtype), noise @ noise.mT


CASES = [(2904, "float64", ()), (2897, "float64", ()), (1056, "float32", (16,))]  # rows of whole lines, and not


@pytest.mark.parametrize(("n", "dtype", "batch"), CASES)
def test_the_place_of_a_result_changes_no_bit(n, dtype, batch, threads):
    mu, cov = weak(n, dtype, batch)
    assert cov.nbytes >= PAST
    own = fm.relu_moments(mu, cov)
    assert begin(own.cov) == 0
    other = elsewhere(cov)
    threads(2)
    fm.relu_moments(mu, cov, out=(np.empty_like(mu), other))
    assert np.array_equal(own.cov, other)
    assert np.array_equal(own.cov, own.cov.mT)
    threads(1)
    for place in (other, fm.relu_moments(mu, cov).cov):
        place[...] = cov
        fm.relu_moments(mu, place, out=place)
        assert np.array_equal(own.cov, place)


def test_gradients_begin_at_a_line():
    mu, cov = weak(200, "float64")
    assert begin(fm.relu_moments_vjp(mu, cov, mu, cov).cov_bar) == 0


@pytest.mark.parametrize("layout", ["repeated", "strided", "by columns"])
def test_variances_are_not_copied(layout):
    """Variances are checked in the memory of cov, in any layout: beside the result, no array of its size."""
    var = {
        "repeated": np.broadcast_to(1.0, (500, 400)),
        "strided": np.ones((500, 400, 2))[..., 0],
        "by columns": np.ones((400, 500)).T,
    }[layout]
    out = np.empty(var.shape)
    fm.relu_mean(0.0, var, out=out)
    tracemalloc.start()
    fm.relu_mean(0.0, var, out=out)
    worst = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert worst < out.nbytes / 4
    with pytest.raises(ValueError, match=r"var: .* got -1.0 at \(0, 0\)"):
        fm.relu_mean(0.0, -var)
