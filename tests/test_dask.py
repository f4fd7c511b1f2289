"""Dask: lazy arrays in any chunks, computed by blocks. Tests of matrices judge the accuracy of the cpu kernels."""

from typing import NamedTuple

import numpy as np
import pytest

import fastmoments as fm
from tests.conformance import BOUND
from tests.matrices import draw, expected
from tests.rows import activations, function, names, one_name
from tests.test_inputs import gaussian
from tests.test_matrices import assert_within

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
pytestmark = pytest.mark.usefixtures("synchronous")

# rows chunked as columns, ragged chunks, single neurons, whole rows, whole columns, unlike chunks, one block
CHUNKS = {
    "even": (20, 20),
    "ragged": ((1, 30, 7, 27), (1, 30, 7, 27)),
    "single": ((1, 1, 63), (1, 1, 63)),
    "rows": (10, 65),
    "columns": (65, 10),
    "unlike": ((30, 35), (64, 1)),
    "one": (65, 65),
}


def assert_close(name, got, mu, cov):
    """Two results that each lie within the contract's bound differ by at most twice that."""
    want = function(name, "moments")(mu, cov)
    sd = np.sqrt(np.diag(want.cov).astype(np.float64))
    assert_within(got.mean, want.mean, 2 * (np.abs(want.mean) + sd), mu.dtype, "mean")
    size = np.maximum(2 * (sd[:, None] * sd), np.finfo(mu.dtype).tiny)
    assert_within(got.cov, want.cov, size, mu.dtype, "cov")


@pytest.mark.feature("Dask", "values, float32 and float64")
@names
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("kind", ["typical", "tails", "duplicated", "zero_variance", "strong", "singular"])
def test_blocks_give_the_dense_result(name, kind, dtype):
    mu, cov = (x.astype(dtype) for x in draw(kind, 65))
    found = function(name, "moments")(mu, da.from_array(cov, chunks=20))
    assert found.mean.dtype == found.cov.dtype == dtype
    found = fm.Moments(*dask.compute(*found))
    assert found.mean.dtype == found.cov.dtype == dtype
    assert_close(name, found, mu, cov)
    assert np.array_equal(found.cov, found.cov.T)


@pytest.mark.feature("Dask", "values, float32 and float64")
@activations
def test_blocks_by_truth(row):
    mu, cov = draw("typical", 5)
    want = expected(row, "typical", 5, 3)
    mean, out = dask.compute(*function(row.name, "moments")(mu, da.from_array(cov, chunks=2)))
    assert_within(mean, want.mean, np.abs(want.mean) + want.mean_size, "float64", "mean")
    sd = np.sqrt(np.diag(want.cov))
    assert_within(out, want.cov, sd[:, None] * sd + want.cov_size, "float64", "cov")


@pytest.mark.feature("Dask", "first derivatives", "closed forms")
@pytest.mark.feature("Dask", "memory layouts", "any blocks")
@pytest.mark.parametrize("chunks", CHUNKS.values(), ids=CHUNKS)
def test_any_chunking(chunks):
    (mu, cov), bars = draw("strong", 65), gaussian(65, seed=1)
    matrix = da.from_array(cov, chunks=chunks)
    found = fm.relu_moments(da.from_array(mu, chunks=9), matrix)
    if matrix.chunks[0] == matrix.chunks[1]:
        assert found.cov.chunks == matrix.chunks
    found = fm.Moments(*dask.compute(*found))
    assert_close("relu", found, mu, cov)
    assert np.array_equal(found.cov, found.cov.T)
    assert_gradients("relu", mu, matrix, cov, bars)


def assert_gradients(name, mu, matrix, cov, bars):
    got = dask.compute(*function(name, "moments_vjp")(mu, matrix, *bars))
    want = function(name, "moments_vjp")(mu, cov, *bars)
    for x, y in zip(got, want, strict=True):
        assert x.shape == y.shape and x.dtype == y.dtype
        # sums of the same terms in another order
        assert np.abs(x - y).max(initial=0.0) <= BOUND * np.finfo(x.dtype).eps * len(mu) * np.abs(y).max(
            initial=1.0
        )
    assert np.array_equal(got[1], np.swapaxes(got[1], -1, -2))


@pytest.mark.feature("Dask", "empty, n = 1, batches")
@one_name
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("n, batch, chunks", [(0, (), 1), (1, (), 1), (5, (2, 3), (1, 2, 2, 3)), (5, (0,), 2)])
def test_any_shape(name, dtype, n, batch, chunks):
    mu, cov = gaussian(n, dtype, batch)
    bars, matrix = gaussian(n, dtype, batch, seed=1), da.from_array(cov, chunks=chunks)
    mean, out = dask.compute(*function(name, "moments")(da.from_array(mu, chunks=2), matrix))
    want = function(name, "moments")(mu, cov)
    assert mean.dtype == out.dtype == dtype and mean.shape == mu.shape and out.shape == cov.shape
    for got, whole in ((mean, want.mean), (out, want.cov)):
        # numbers of order one
        assert np.abs(got - whole).max(initial=0.0) <= BOUND * np.finfo(dtype).eps
    assert_gradients(name, mu, matrix, cov, bars)


def test_leading_dimensions_broadcast():
    mu, cov = gaussian(5, batch=(4,))[0], gaussian(5)[1]
    found = fm.relu_moments(da.from_array(mu, chunks=(3, 2)), da.from_array(cov, chunks=3))
    assert found.cov.chunks == ((3, 1), (3, 2), (3, 2))
    assert np.abs(found.cov.compute() - fm.relu_moments(mu, cov).cov).max() <= BOUND * np.finfo(float).eps


def test_parameters_of_every_neuron():
    (mu, cov), tau = gaussian(7), np.linspace(0.5, 2.0, 7)
    want = fm.npn_moments(mu, cov, tau=tau).cov
    for given in (tau, da.from_array(tau, chunks=2)):
        found = fm.npn_moments(mu, da.from_array(cov, chunks=3), tau=given).cov.compute()
        assert np.abs(found - want).max() <= BOUND * np.finfo(float).eps
    with pytest.raises(ValueError, match=r"tau: expected a number or one per neuron, shape \(7,\)"):
        fm.npn_moments(mu, da.from_array(cov), tau=tau[1:])


@pytest.mark.feature("Dask", "fm.Custom")
def test_an_activation_without_a_closed_form():
    mu, cov = gaussian(9)
    matrix, bars = da.from_array(cov, chunks=4), gaussian(9, seed=1)
    for activation in ("tanh", fm.Custom(np.tanh, tol=1e-8)):
        want, tol = fm.moments(activation, mu, cov), 1e-8
        got = fm.Moments(*dask.compute(*fm.moments(activation, mu, matrix)))
        assert np.array_equal(got.mean, want.mean) and np.abs(got.cov - want.cov).max() <= tol
        assert np.array_equal(got.cov, got.cov.T)
    got, want = (fm.tanh_moments_vjp(mu, x, *bars) for x in (matrix, cov))
    for x, y in zip(dask.compute(*got), want, strict=True):
        # a sum over 9 neurons, each within the tolerance
        assert np.abs(x - y).max() <= 1e-8 * np.abs(y).max()


@pytest.mark.parametrize("kind", ["mean", "var", "gain", "marginals", "cov", "cov_partials"])
@names
def test_elementwise(name, kind):
    mu, var = np.linspace(-2.0, 2.0, 7), np.linspace(0.5, 1.5, 7)
    inputs = (mu, -mu, var, 1.0, 0.25) if kind.startswith("cov") else (mu[:, None], var)
    lazy = [da.from_array(x, chunks=2 + k) if isinstance(x, np.ndarray) else x for k, x in enumerate(inputs)]
    found, want = function(name, kind)(*lazy), function(name, kind)(*inputs)
    assert type(found) is type(want) or isinstance(found, da.Array)
    got = dask.compute(*found) if isinstance(want, tuple) else (found.compute(),)
    for x, y in zip(got, want if isinstance(want, tuple) else (want,), strict=True):
        assert np.array_equal(x, y)


def test_bivariate_normal():
    h = np.linspace(-2.0, 2.0, 5)
    found = fm.bivariate_normal_cdf(da.from_array(h, chunks=2), 0.5, -0.25)
    assert np.array_equal(found.compute(), fm.bivariate_normal_cdf(h, 0.5, -0.25))


@pytest.mark.feature("Dask", "bad input: the same errors", "when computed")
def test_a_negative_variance_is_the_blocks_error():
    cov = np.eye(4)
    cov[3, 3] = -1.0
    found = fm.relu_moments(np.zeros(4), da.from_array(cov, chunks=2))
    assert np.isfinite(found.cov[:2, :2].compute()).all()
    for part in (found.mean, found.cov, found.cov[:2, 2:]):
        with pytest.raises(ValueError, match=r"cov: its diagonal must hold variances >= 0, got -1.0 at \(1,\)"):
            part.compute()
    with pytest.raises(ValueError, match=r"var: it must hold variances >= 0, got -1.0 at \(0,\)"):
        fm.relu_mean(da.zeros(2, chunks=1), np.array([1.0, -1.0])).compute()


def test_rounding_is_that_of_all_neurons():
    """A correlation in a block of two may exceed 1 by the rounding of all 64 neurons."""
    excess = 1.0 + 64 * 16 * np.finfo(float).eps
    cov = np.eye(64)
    cov[0, 1] = cov[1, 0] = cov[0, 63] = cov[63, 0] = np.sqrt(excess)
    found = fm.relu_moments(np.zeros(64), da.from_array(cov, chunks=2)).cov.compute()
    assert np.isfinite(found).all()
    with pytest.warns(RuntimeWarning, match="cov: not positive semidefinite"):
        small = fm.relu_moments(np.zeros(2), da.from_array(cov[:2, :2], chunks=1)).cov.compute()
    assert np.isnan(small[0, 1]) and np.isfinite(np.diag(small)).all()


def test_only_the_upper_triangle_is_read():
    mu, cov = gaussian(9)
    lower = cov + np.tril(np.full((9, 9), np.nan), -1)
    found, want = (fm.relu_moments(mu, da.from_array(x, chunks=4)).cov.compute() for x in (lower, cov))
    assert np.array_equal(found, want)


@pytest.mark.feature("Dask", "float16 and bfloat16", "float16")
@pytest.mark.feature("Dask", "precision=")
def test_precision_and_float16():
    mu, cov = gaussian(5, np.float16)
    found = fm.relu_moments(mu, da.from_array(cov, chunks=2))
    assert found.cov.dtype == np.float16
    assert np.array_equal(found.cov.compute(), fm.relu_moments(mu, cov).cov)
    wide = fm.relu_moments(mu, da.from_array(cov, chunks=2), precision="float64")
    assert wide.cov.dtype == np.float16


@pytest.mark.feature("Dask", "check=", "refused")
@pytest.mark.feature("Dask", "out=, where=", "refused")
def test_what_is_refused():
    mu, cov = np.zeros(2), da.eye(2, chunks=1)
    with pytest.raises(TypeError, match="out: Dask arrays are returned"):
        fm.relu_moments(mu, cov, out=np.eye(2))
    with pytest.raises(TypeError, match="where: Dask arrays are returned"):
        fm.relu_mean(da.zeros(2), 1.0, where=np.array([True, False]))
    with pytest.raises(TypeError, match="check: the values of Dask arrays"):
        fm.relu_moments(mu, cov, check=True)
    with pytest.raises(ValueError, match=r"cov: expected shape \(..., 3, 3\)"):
        fm.relu_moments(np.zeros(3), cov)
    with pytest.raises(ValueError, match="cov_bar: expected shape"):
        fm.relu_moments_vjp(mu, cov, mu, np.eye(3))
    unknown = cov[da.zeros(2, chunks=1) == 0]
    with pytest.raises(ValueError, match="cov: expected blocks of known sizes; call cov.compute_chunk_sizes"):
        fm.relu_moments(mu, unknown)
    with pytest.raises(TypeError, match="mu is float32 but cov is float64"):
        fm.relu_moments(mu.astype(np.float32), cov)
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match="mu is from torch but cov is from dask"):
        fm.relu_moments(torch.zeros(2), cov)


@pytest.mark.feature("Dask", "fm.plan")
def test_plan():
    plan = fm.plan(np.zeros(2), da.eye(2))
    first, why, *_ = str(plan).split("\n")
    assert first == "dask arrays on cpu -> cpu kernels, computed in float64, returned in float64"
    assert "every block" in why


LAYERS = {
    "affine": lambda g, w: fm.affine_moments(g.mu, g.cov, w[0], w[1], return_cross=True),
    "identity": lambda g, w: fm.residual_moments("relu", g.mu, g.cov, w[2], g.mu, "identity", return_cross=True),
    "matrix": lambda g, w: fm.residual_moments("relu", g.mu, g.cov, w[0], w[1], w[0], w[1]),
    "bayes": lambda g, w: fm.bayes_linear_moments(g.mu, g.cov, w[0], w[0] ** 2, w[1], w[1] ** 2, "relu"),
    "marginals": lambda g, w: fm.bayes_linear_marginals(g.mu, g.mu**2, w[0], w[0] ** 2, w[1], w[1] ** 2, "relu"),
}


class Gaussian(NamedTuple):
    mu: object
    cov: object


@pytest.mark.feature("Dask", "layers")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_layers(layer, dtype):
    dense, rng = Gaussian(*gaussian(7, dtype)), np.random.default_rng(2)
    weights = [rng.normal(size=shape).astype(dtype) for shape in ((5, 7), (5,), (7, 7))]
    cut = Gaussian(dense.mu, da.from_array(dense.cov, chunks=(3, 4)))
    found = layer(cut, [da.from_array(x, chunks=4) for x in weights])
    for x, want in zip(dask.compute(*found), layer(dense, weights), strict=True):
        assert x.dtype == dtype and x.shape == want.shape
        # sums of 7 terms, a few of them chained, in another order
        assert np.abs(x - want).max() <= BOUND * 7 * np.finfo(dtype).eps * np.abs(want).max()


def test_a_layers_graph_holds_its_inputs_alone():
    """A matrix as large as the result, in memory before anything is computed, would be no lazy result."""
    rng = np.random.default_rng(3)
    mu, cov, weight = rng.normal(size=6), np.eye(6), rng.normal(size=(90, 6))
    arrays = mu, cov, weight, weight**2
    found = fm.bayes_linear_moments(*(da.from_array(x, chunks=30) for x in arrays))
    held = [getattr(task, "value", task) for task in dict(found.cov.__dask_graph__()).values()]
    assert 0 < sum(x.nbytes for x in held if isinstance(x, np.ndarray)) <= sum(x.nbytes for x in arrays)
