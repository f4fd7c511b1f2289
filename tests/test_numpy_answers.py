"""NumPy in the place of compiled kernels: the same contract, arguments and options."""

import math
import sys

import numpy as np
import pytest

import fastmoments as fm
from fastmoments_kernels.catalogue import row_of
from tests import test_matrices, test_parameters, truth
from tests.settings import chosen
from tests.test_inputs import gaussian

AT_ZERO = 1.0 / math.sqrt(2.0 * math.pi)  # the mean of relu at N(0, 1)
EPS = np.finfo(np.float64).eps


@pytest.fixture(autouse=True)
def never():
    with chosen("never"):
        yield


@pytest.mark.parametrize(
    "name, kind", [("relu", "typical"), ("relu", "zero_variance"), ("npn", "typical"), ("gelu", "tails")]
)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_numpy_keeps_the_contract_of_matrices(name, kind, dtype):
    test_matrices.judge(row_of(name), kind, 5, dtype, count=1)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_numpy_keeps_the_contract_of_gradients(dtype):
    test_matrices.test_gradient(row_of("relu"), "typical", 5, dtype)


def test_chunks_of_pairs_are_the_whole(monkeypatch):
    """Some pairs at a time, in place, of a batch: the bits of all at once."""
    mu, cov = (np.stack(x) for x in zip(gaussian(20), gaussian(20, seed=3), strict=True))
    bars = gaussian(20, seed=1)
    expected = *fm.gelu_moments(mu, cov), *fm.gelu_moments_vjp(mu, cov, *(np.stack([x, x]) for x in bars))
    monkeypatch.setattr("fastmoments_kernels.eager.matrices.CHUNK", 100)
    found = *fm.gelu_moments(mu, cov), *fm.gelu_moments_vjp(mu, cov, *(np.stack([x, x]) for x in bars))
    assert all(np.array_equal(a, b) for a, b in zip(expected[:2], found[:2], strict=True))
    for a, b in zip(expected[2:], found[2:], strict=True):  # sums of 20 terms in another order
        assert np.allclose(a, b, rtol=64 * EPS, atol=64 * EPS)
    out = mu.copy(), cov.copy()
    fm.gelu_moments(*out, out=out)
    assert all(np.array_equal(a, b) for a, b in zip(expected, out, strict=False))


def test_numpy_takes_any_layout():
    mu, cov = gaussian(6)
    wide = np.zeros((12, 12))
    wide[::2, ::2] = cov
    strided = wide[::2, ::2]
    strided.setflags(write=False)
    assert np.array_equal(fm.relu_moments(mu, strided).cov, fm.relu_moments(mu, cov).cov)
    assert fm.relu_moments(np.zeros(0), np.zeros((0, 0))).cov.shape == (0, 0)
    assert fm.relu_mean(np.zeros((0, 3)), 1.0).shape == (0, 3)
    one = np.ones((2, 1)), np.ones((2, 1, 1))
    assert fm.relu_moments_vjp(*one, *one).mu_bar.shape == (2, 1)


def test_a_layer_by_numpy():
    """Against sums of two terms and products, which round four times, and integrals of relu."""
    mu, var, weight, weight_var = (
        np.array([0.5, -1.0]),
        np.array([0.3, 2.0]),
        np.array([[1.0, 0.7]]),
        np.full((1, 2), 0.1),
    )
    mean, spread = (mu @ weight.T)[0], (var @ (weight**2 + weight_var).T + mu**2 @ weight_var.T)[0]
    found = fm.bayes_linear_marginals(mu, var, weight, weight_var)
    assert np.allclose(found, [[mean], [spread]], rtol=4 * EPS, atol=0)
    want = truth.neuron_truth(truth.activation(row_of("relu")), found.mean[0], found.var[0])
    found = fm.bayes_linear_marginals(mu, var, weight, weight_var, activation="relu")
    for got, name in zip(found, ("mean", "var"), strict=True):
        assert float(got[0]) == pytest.approx(float(want[name].value), rel=16 * EPS, abs=0)


def test_gradients_along_parameters_by_numpy():
    test_parameters.test_vjp_along_parameters(row_of("gaussian"), "float64")


def test_blocks_by_numpy(synchronous):
    """Dask's blocks, on and off the diagonal, are parts of the matrix that is judged above."""
    dask = pytest.importorskip("dask.array")
    mu, cov = gaussian(7)
    mean_bar, cov_bar = gaussian(7, seed=1)
    lazy = [dask.from_array(x, chunks=3) for x in (mu, cov, mean_bar, cov_bar)]
    assert np.allclose(
        fm.relu_moments(*lazy[:2]).cov.compute(), fm.relu_moments(mu, cov).cov, rtol=8 * EPS, atol=EPS
    )
    want = fm.relu_moments_vjp(mu, cov, mean_bar, cov_bar)
    for got, of in zip(fm.relu_moments_vjp(*lazy), want, strict=True):
        assert np.allclose(got.compute(), of, rtol=64 * EPS, atol=64 * EPS)


def test_options_of_ufuncs_by_numpy():
    mu, out = np.zeros(3), np.full(3, 7.0)
    assert fm.relu_mean(mu, 1.0, out=out, where=[True, False, True]) is out
    assert out == pytest.approx([AT_ZERO, 7.0, AT_ZERO], rel=8 * EPS)
    pair = np.empty(3), np.empty(3)
    assert fm.relu_marginals(mu, 1.0, out=pair).mean is pair[0]
    assert pair[1] == pytest.approx(0.5 - 0.5 / math.pi, rel=8 * EPS)
    assert fm.relu_mean(mu, 1.0, dtype="float32").dtype == np.float32
    wider = fm.relu_mean(np.zeros(2, np.float32), np.float32(1.0), dtype="float64")
    assert wider.dtype == np.float64 and wider == pytest.approx(AT_ZERO, rel=8 * EPS)
    with pytest.raises(TypeError):
        fm.relu_mean(mu, 1.0, out=np.zeros(3, int))
    with pytest.raises(ValueError, match="read-only"):
        fm.relu_mean(mu, 1.0, out=np.broadcast_to(0.0, 3))
    with pytest.raises(RuntimeError, match=r"relu_var \(float32\): NumPy's ufuncs are compiled, but .* never"):
        _ = fm.ufuncs.relu_var


@pytest.mark.parametrize("when", ["never", "wait"])
@pytest.mark.parametrize("dtype", ["float16", "int32", "complex128", ">f8" if sys.byteorder == "little" else "<f8"])
def test_other_dtypes_are_refused_before_anything_is_compiled(when, dtype, capsys):
    with chosen(when), pytest.raises(TypeError, match="dtype: expected float32 or float64, got "):
        fm.relu_mean(np.zeros(2), 1.0, dtype=dtype)
    assert not capsys.readouterr().err


def test_one_array_for_two_outputs():
    with pytest.raises(TypeError, match="out: expected 2 arrays, got 1"):
        fm.relu_marginals(np.zeros(2), 1.0, out=np.zeros(2))
