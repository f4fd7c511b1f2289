"""`out` that shares memory with an input: the result has the bits of the result with copies, or is an error."""

import numpy as np
import pytest

import fastmoments as fm
from tests.test_inputs import gaussian

# three tiles of a matrix with threads, a call that one thread does, a batch of several parts
SHAPES = {"tiles": ((), 140), "whole": ((), 20), "batch": ((5,), 8), "parts": ((600,), 8)}
overlaps = pytest.mark.parametrize("activation", ["relu", "tanh"])


def shifted(array, shift):
    """The array, and another of its shape that begins `shift` elements behind it in one buffer."""
    buffer = np.zeros(array.size + abs(shift))
    ahead, behind = buffer[: array.size], buffer[abs(shift) :]
    one, two = (ahead, behind) if shift >= 0 else (behind, ahead)
    one[...] = array.ravel()
    return one.reshape(array.shape), two.reshape(array.shape)


@overlaps
@pytest.mark.parametrize("shift", ["one", "row", "matrix", "back"])
@pytest.mark.parametrize("shape", SHAPES)
def test_covariance_over_a_part_of_cov(activation, shape, shift):
    batch, n = SHAPES[shape]
    if activation == "tanh" and shape == "parts":
        pytest.skip("only the compiled kernels go by parts")
    mu, cov = gaussian(n, batch=batch)
    expected = fm.moments(activation, mu, cov).cov
    given, out = shifted(cov, {"one": 1, "row": n, "matrix": n * n, "back": -n}[shift])
    assert np.array_equal(fm.moments(activation, mu, given, out=out).cov, expected)


@overlaps
@pytest.mark.parametrize("shape", SHAPES)
def test_mean_over_a_part_of_mu_or_cov(activation, shape):
    batch, n = SHAPES[shape]
    if activation == "tanh" and shape == "parts":
        pytest.skip("only the compiled kernels go by parts")
    mu, cov = gaussian(n, batch=batch)
    expected = fm.moments(activation, mu, cov)
    for given, out in (shifted(mu, 1), shifted(mu, -n), (mu.copy(),) * 2):
        result = fm.moments(activation, given, cov, out=(out, np.empty_like(cov)))
        assert np.array_equal(result.mean, expected.mean) and np.array_equal(result.cov, expected.cov)
    over = cov.copy()
    result = fm.moments(activation, mu, over, out=(over[..., 0, :], np.empty_like(cov)))
    assert np.array_equal(result.mean, expected.mean) and np.array_equal(result.cov, expected.cov)


def test_mean_over_a_parameter():
    mu, cov = gaussian(8, batch=(600,))
    tau = np.linspace(0.5, 2.0, mu.size).reshape(mu.shape)
    expected = fm.npn_moments(mu, cov, tau=tau)
    given, out = shifted(tau, 8)
    result = fm.npn_moments(mu, cov, tau=given, out=(out, np.empty_like(cov)))
    assert np.array_equal(result.mean, expected.mean) and np.array_equal(result.cov, expected.cov)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("kind, inputs, outputs", [("mean", 2, 1), ("marginals", 2, 2), ("cov", 5, 1)])
def test_ufuncs(kind, inputs, outputs, masked):
    """NumPy copies overlapping arrays, because our loops write a chunk before they read the next."""
    count, rng = 20000, np.random.default_rng(0)
    others = [rng.uniform(0.5, 1.5, count) for _ in range(inputs - 1)]
    others[-1] *= 0.1 if kind == "cov" else 1.0  # a matrix that is a covariance
    where = rng.random(count) < 0.5 if masked else True
    values = rng.uniform(0.5, 1.5, count)
    call = getattr(fm, f"relu_{kind}")
    expected = call(values, *others)
    expected = expected[0] if outputs > 1 else expected
    for shift in (1, -1, 300):
        given, out = shifted(values, shift)
        kept = out.copy()
        call(given, *others, out=(out, *[None] * (outputs - 1)) if outputs > 1 else out, where=where)
        assert np.array_equal(out, np.where(where, expected, kept))


def test_outputs_have_no_memory_in_common():
    mu, cov = gaussian(4)
    out = np.empty((4, 4))
    with pytest.raises(ValueError, match="out: two of the arrays have memory in common"):
        fm.relu_moments(mu, cov, out=(out[1], out))
    row = np.empty(4)
    with pytest.raises(ValueError, match="out: two of the arrays have memory in common"):
        fm.relu_marginals(mu, 1.0, out=(row, row))
    # memory bounds may overlap where no element does
    both = np.empty(8)
    mean, var = fm.relu_marginals(mu, 1.0, out=(both[::2], both[1::2]))
    assert np.array_equal(mean, fm.relu_mean(mu, 1.0)) and np.array_equal(var, fm.relu_var(mu, 1.0))
