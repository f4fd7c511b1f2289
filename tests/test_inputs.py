"""Inputs: bad ones raise an error that names the argument, everything that holds numbers is read, none changes."""

import numpy as np
import pytest

import fastmoments as fm
from fastmoments_kernels import cpu
from tests.rows import function, names, numbers

dtypes = pytest.mark.parametrize("dtype", [np.float64, np.float32])


def gaussian(n, dtype=np.float64, batch=(), seed=0):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(*batch, n, n + 2)) / np.sqrt(n + 2)
    return rng.normal(size=(*batch, n)).astype(dtype), (root @ np.swapaxes(root, -1, -2)).astype(dtype)


BAD = {
    "cov: expected shape": lambda moments: moments(np.zeros(3), np.eye(4)),
    "cov: expected shape (..., 2, 2)": lambda moments: moments(np.zeros(2), np.zeros((2, 3))),
    "mu: expected shape": lambda moments: moments(0.0, 1.0),
    "cov: its diagonal": lambda moments: moments(np.zeros(2), -np.eye(2)),
    "cov: leading dimensions": lambda moments: moments(np.zeros((3, 2)), np.zeros((4, 2, 2))),
    "mu: expected an array of real numbers": lambda moments: moments([[1.0], [1.0, 2.0]], np.eye(2)),
    "out: expected a float64 array of shape (2, 2)": lambda moments: moments([0.0, 0.0], np.eye(2), out=np.eye(3)),
    "out: expected the covariance's array or a pair": lambda moments: moments([0.0, 0.0], np.eye(2), out=(1, 2, 3)),
    "cov: expected finite numbers, worst at (0, 1)": lambda moments: moments(
        [0.0, 0.0], [[1.0, np.nan], [np.nan, np.inf]], check=True
    ),
    "precision": lambda moments: moments([0.0, 0.0], np.eye(2), precision="double"),
    "cov: expected a symmetric matrix": lambda moments: moments([0.0, 0.0], [[1.0, 0.5], [0.4, 1.0]], check=True),
    "worst at (0, 1)": lambda moments: moments([0.0, 0.0], [[1.0, 2.0], [2.0, 1.0]], check=True),
    "positive semidefinite": lambda moments: moments(
        np.zeros(3), [[1.0, 0.9, -0.9], [0.9, 1.0, 0.9], [-0.9, 0.9, 1.0]], check=True
    ),
}


@pytest.mark.feature("NumPy", "check=")
@names
@pytest.mark.parametrize("message", BAD)
def test_moments_name_what_is_wrong(name, message):
    with pytest.raises(ValueError) as error:
        BAD[message](function(name, "moments"))
    assert message in str(error.value)


@names
@pytest.mark.parametrize("bad", [object(), "text", True, 1j, np.array([None]), np.zeros(1, np.longdouble)])
def test_dtypes_that_are_not_real(name, bad):
    with pytest.raises(TypeError, match="mu: expected real numbers"):
        function(name, "mean")(bad, 1.0)


def test_masks_are_not_dropped():
    mu = np.ma.masked_array([1.0, 2.0], [False, True])
    dask = pytest.importorskip("dask.array")
    blocks = dask.from_array(mu)
    for call in (
        lambda: fm.relu_mean(mu, 1.0),
        lambda: fm.relu_moments(mu, np.eye(2)),
        lambda: fm.relu_mean(blocks, 1.0),
    ):
        with pytest.raises(TypeError, match=r"mu: masks are not taken into account; pass mu.filled\(numpy.nan\)"):
            call()


@names
def test_mixed_dtypes_name_both(name):
    with pytest.raises(TypeError, match=r"mu is float32 but var is float64: convert"):
        function(name, "mean")(np.zeros(2, np.float32), np.ones(2))
    with pytest.raises(TypeError, match="mu is float32 but cov is float64"):
        function(name, "moments")(np.zeros(2, np.float32), np.eye(2))


@names
def test_negative_variance(name):
    with pytest.raises(ValueError, match=r"var: .*got -1.0 at \(1,\)"):
        function(name, "mean")(np.zeros(2), np.array([1.0, -1.0]))
    with np.errstate(invalid="ignore"):
        assert np.isnan(cpu.elementwise(name, "mean", 2 + len(numbers(name)))(0.0, -1.0, *numbers(name)))


def test_shapes_that_do_not_broadcast_are_named():
    with pytest.raises(ValueError, match=r"broadcast together, got mu \(3,\), var \(2,\)"):
        fm.relu_mean(np.zeros(3), np.ones(2))


def test_unknown_activation():
    with pytest.raises(ValueError, match="activation: expected one of relu"):
        fm.moments("rely", [0.0], [[1.0]])


def test_activation_as_object_class_and_name():
    mu, cov = gaussian(3)
    expected = fm.relu_moments(mu, cov).cov
    for activation in (fm.ReLU(), fm.ReLU, "relu"):
        assert np.array_equal(fm.moments(activation, mu, cov).cov, expected)


@names
def test_scalars_lists_and_integers_are_float64(name):
    mean = function(name, "mean")
    assert mean(1, 2) == mean(1.0, 2.0) == mean(np.int64(1), 2.0)
    assert function(name, "moments")([0, 1], [[1, 0], [0, 1]]).cov.dtype == np.float64
    assert mean(np.float32(1), 2.0).dtype == np.float32  # Python's numbers are weak


@pytest.mark.feature("NumPy", "float16 and bfloat16", "float16")
@names
def test_float16_computes_in_float32(name):
    mu, cov = gaussian(4, np.float16)
    result = function(name, "moments")(mu, cov)
    wide = function(name, "moments")(mu.astype(np.float32), cov.astype(np.float32))
    assert result.cov.dtype == np.float16 and np.array_equal(result.cov, wide.cov.astype(np.float16))


@pytest.mark.feature("NumPy", "precision=")
@names
def test_precision_sets_the_arithmetic_and_keeps_the_dtype(name):
    mu, cov = gaussian(4, np.float32)
    result = function(name, "moments")(mu, cov, precision="float64")
    wide = function(name, "moments")(mu.astype(np.float64), cov.astype(np.float64))
    assert result.cov.dtype == np.float32 and np.array_equal(result.cov, wide.cov.astype(np.float32))


@pytest.mark.feature("NumPy", "empty, n = 1, batches")
@names
@dtypes
@pytest.mark.parametrize("batch", [(0,), (2, 3)])
@pytest.mark.parametrize("n", [0, 1, 5])
def test_batches_are_loops(name, dtype, batch, n):
    mu, cov = gaussian(n, dtype, batch)
    bars = gaussian(n, dtype, batch, seed=1)
    moments = function(name, "moments")(mu, cov)
    gradients = function(name, "moments_vjp")(mu, cov, *bars)
    assert moments.mean.shape == gradients.mu_bar.shape == mu.shape
    assert moments.cov.shape == gradients.cov_bar.shape == cov.shape
    for index in np.ndindex(batch):
        one = function(name, "moments")(mu[index], cov[index])
        assert np.array_equal(moments.mean[index], one.mean) and np.array_equal(moments.cov[index], one.cov)
        back = function(name, "moments_vjp")(mu[index], cov[index], bars[0][index], bars[1][index])
        assert np.array_equal(gradients.mu_bar[index], back.mu_bar)
        assert np.array_equal(gradients.cov_bar[index], back.cov_bar)


def test_batches_of_more_than_one_part():
    n = 64
    mu, cov = gaussian(n, batch=(cpu.matrices.AT_ONCE // n + 1,))
    result = fm.npn_moments(mu, cov, tau=np.linspace(0.5, 2.0, n))
    for m in (0, -2, -1):
        one = fm.npn_moments(mu[m], cov[m], tau=np.linspace(0.5, 2.0, n))
        assert np.array_equal(result.mean[m], one.mean) and np.array_equal(result.cov[m], one.cov)


@names
def test_leading_dimensions_broadcast(name):
    mu, _ = gaussian(3, batch=(4,))
    _, cov = gaussian(3)
    result = function(name, "moments")(mu, cov).cov
    assert np.array_equal(result[2], function(name, "moments")(mu[2], cov).cov)


@pytest.mark.feature("NumPy", "memory layouts")
@names
@dtypes
def test_any_memory_layout_and_no_input_changed(name, dtype):
    mu, cov = gaussian(70, dtype)
    expected = function(name, "moments")(mu, cov)
    wide = np.zeros((140, 140), dtype)
    wide[::2, ::2] = cov
    frozen_mu, frozen = mu.copy(), cov.copy()
    frozen_mu.setflags(write=False)
    frozen.setflags(write=False)
    for a, b in ((frozen_mu, frozen), (np.repeat(mu, 2)[::2], wide[::2, ::2]), (mu, np.asfortranarray(cov))):
        got = function(name, "moments")(a, b)
        assert np.array_equal(got.mean, expected.mean) and np.array_equal(got.cov, expected.cov)
        back = function(name, "moments_vjp")(a, b, a, b)
        assert np.isfinite(back.cov_bar).all()
    assert np.array_equal(frozen, cov) and np.array_equal(wide[::2, ::2], cov)


@names
def test_elementwise_strides_and_broadcasting(name):
    mu, var = np.linspace(-2, 2, 300)[::3], np.linspace(0.1, 2, 100)
    expected = function(name, "mean")(mu.copy(), var)
    assert np.array_equal(function(name, "mean")(mu, var), expected)
    grid = function(name, "marginals")(mu[:, None], var[None, :4])
    assert grid.mean.shape == grid.var.shape == (100, 4)
    assert function(name, "mean")(np.empty((0, 3)), 1.0).shape == (0, 3)


@pytest.mark.feature("NumPy", "out=, where=")
@names
def test_out_and_where(name):
    mu, var = np.linspace(-2, 2, 5), np.ones(5)
    out = np.full(5, np.nan)
    returned = function(name, "var")(mu, var, out=out, where=mu > 0)
    assert returned is out and np.isnan(out[:3]).all() and np.isfinite(out[3:]).all()
    pair = np.full(5, np.nan), np.full(5, np.nan)
    assert function(name, "marginals")(mu, var, out=pair).mean is pair[0]
    assert np.array_equal(pair[1], function(name, "var")(mu, var))
    assert function(name, "mean")(mu, var, dtype=np.float32).dtype == np.float32


@pytest.mark.feature("NumPy", "out=, where=")
@names
def test_out_of_moments(name):
    mu, cov = gaussian(70)
    expected = function(name, "moments")(mu, cov)
    for out in (np.full((70, 70), np.nan), np.full((140, 140), np.nan)[::2, ::2], cov.copy()):
        result = function(name, "moments")(mu, cov, out=out)
        assert result.cov is out and np.array_equal(out, expected.cov)
    inside = cov.copy()
    assert function(name, "moments")(mu, inside, out=inside).cov is inside
    assert np.array_equal(inside, expected.cov)
    frozen = np.empty((70, 70))
    frozen.setflags(write=False)
    with pytest.raises(ValueError, match="out: the array is read-only"):
        function(name, "moments")(mu, cov, out=frozen)


@names
def test_a_mapped_file_as_out(name, tmp_path):
    mu, cov = gaussian(70)
    out = np.memmap(tmp_path / "cov", np.float64, "w+", shape=(70, 70))
    function(name, "moments")(mu, cov, out=out)
    assert np.array_equal(out, function(name, "moments")(mu, cov).cov)
