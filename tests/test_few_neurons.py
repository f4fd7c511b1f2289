"""Calls on few neurons, whose time is that of checks: what is checked quickly is checked all the same."""

import numpy as np
import pytest

import fastmoments as fm
from fastmoments.parameters import of_neurons
from fastmoments_kernels import cpu
from fastmoments_kernels.catalogue import row_of
from fastmoments_kernels.cpu.small import FAILED
from tests.rows import function, names


@pytest.mark.parametrize("given", [(np.nan, -1.0), (-1.0, np.nan), (1.0, np.nan, -1.0, np.inf)])
@pytest.mark.parametrize("library", ["numpy", "torch"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_negative_variance_beside_nan(given, library, dtype):
    """The quick look at variances stops at nan, so that the thorough one follows."""
    convert = getattr(pytest.importorskip(library), "from_numpy", np.asarray)
    var, at = np.array(given, dtype), given.index(-1.0)
    mu, var, cov = map(convert, (np.zeros_like(var), var, np.diag(var)))
    with pytest.raises(ValueError, match=rf"var: .*got -1.0 at \({at},\)"):
        fm.relu_mean(mu, var)
    with pytest.raises(ValueError, match=rf"cov: its diagonal .*got -1.0 at \({at},\)"):
        fm.relu_moments(mu, cov)


@pytest.mark.parametrize("var", [[np.nan, 1.0], [-0.0, 1.0], [np.inf, 0.0], []])
def test_variances_that_are_not_negative(var):
    assert fm.relu_mean(np.zeros(len(var)), np.array(var)).shape == (len(var),)


@names
def test_no_floating_point_error_is_reported(name):
    """Whatever the caller's settings: loops leave none to report, and casts are quiet."""
    mu, var = np.array([1e308, -1e308, np.inf, np.nan]), np.array([1e308, 5e-324, 0.0, 1.0])
    with np.errstate(all="raise"):
        function(name, "mean")(mu, var)
        function(name, "marginals")(mu, var, out=(np.empty(4), np.empty(4)))
        function(name, "mean")(mu, var, dtype=np.float32)
        function(name, "moments")(mu, np.diag(var))
        assert set(np.geterr().values()) == {"raise"}


def _batch(rows, n=5):
    """Return mu (rows, n) and cov (rows, n, n) of correlations up to .9."""
    rng = np.random.default_rng(rows)
    factors = rng.normal(size=(rows, n, 3))
    cov = factors @ factors.swapaxes(1, 2) + 0.1 * np.eye(n)
    return rng.normal(size=(rows, n)), 0.5 * (cov + cov.swapaxes(1, 2))


@names
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_batch_has_the_bits_of_its_rows(name, dtype):
    """In one call of NumPy's, whatever the shape of the batch, and for rows that do not lie one after the other."""
    mu, cov = (x.astype(dtype) for x in _batch(6))
    of = function(name, "moments")
    rows = [of(*row) for row in zip(mu, cov, strict=True)]
    mean, full = (np.stack(x) for x in zip(*rows, strict=True))
    for batch in ((6,), (2, 3), (1, 6), (3, 1, 2, 1)):
        shapes = (*batch, 5), (*batch, 5, 5)
        found = of(mu.reshape(shapes[0]), cov.reshape(shapes[1]))
        for value, expected, shape in zip(found, (mean, full), shapes, strict=True):
            assert value.dtype == dtype and value.flags.c_contiguous
            np.testing.assert_array_equal(value, expected.reshape(shape), strict=True)
    found = of(mu[::2], cov[::2])
    np.testing.assert_array_equal(found.cov, full[::2], strict=True)
    row = row_of(name)
    given = tuple(np.asarray(value) for value in of_neurons(row.activation())[1].values())
    kernel = cpu.whole(name, len(given), np.dtype(dtype))
    apart = np.broadcast_to(mu[0], mu.shape)
    found = kernel(apart, cov, *cpu.beside(name, given, mu.shape))
    single = [kernel(mu[0], one, *cpu.beside(name, given, (5,))) for one in cov]
    for value, expected in zip(found, zip(*single, strict=True), strict=True):
        np.testing.assert_array_equal(value, np.stack(expected), strict=True)


def test_parameters_of_neurons_in_a_batch():
    """A number, one for each neuron and one for each row are the same where their values are."""
    mu, cov = _batch(4)
    number = fm.npn_moments(mu, cov, tau=0.3)
    for shape in ((), (5,), (4, 5), (4, 1)):
        found = fm.npn_moments(mu, cov, tau=np.full(shape, 0.3))
        np.testing.assert_array_equal(found.cov, number.cov)
    taus = np.linspace(0.0, 1.0, 5)
    found = fm.npn_moments(mu, cov, tau=taus)
    one = fm.npn_moments(mu[2], cov[2], tau=taus)
    np.testing.assert_array_equal(found.cov[2], one.cov)
    with pytest.raises(ValueError, match=r"tau: .* shape \(5,\), got \(3,\)"):
        fm.npn_moments(mu, cov, tau=np.ones(3))


def test_what_is_wrong_with_a_batch():
    """One row is enough; a negative variance is an error before a correlation is a warning; nothing is written."""
    mu, cov = _batch(4)
    beyond, negative = cov.copy(), cov.copy()
    beyond[2, 0, 1] = beyond[2, 1, 0] = 2.0 * np.sqrt(cov[2, 0, 0] * cov[2, 1, 1])
    negative[3, 4, 4] = -1.0
    both = np.where(np.arange(4)[:, None, None] == 2, beyond, negative)
    with pytest.warns(RuntimeWarning, match="not positive semidefinite"):
        found = fm.relu_moments(mu, beyond)
    assert np.isnan(found.cov[2, 0, 1]) and np.isnan(found.cov).sum() == 2
    for given in (negative, both):
        before = given.copy()
        with pytest.raises(ValueError, match=r"cov: its diagonal .*got -1.0 at \(3, 4\)"):
            fm.relu_moments(mu, given)
        np.testing.assert_array_equal(given, before)
    with pytest.raises(ValueError, match=r"got -1.0 at \(4,\)"):
        fm.relu_moments(mu[3], negative[3])


def test_no_memory_is_an_error():
    with pytest.raises(MemoryError):
        cpu.tell(np.array([0, FAILED], np.int8))
    with pytest.raises(MemoryError):
        cpu.tell(np.int8(FAILED))
    cpu.tell(np.int8(0))
