"""Calls on few neurons, whose time is that of checks: what is checked quickly is checked all the same."""

import numpy as np
import pytest

import fastmoments as fm
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
        assert set(np.geterr().values()) == {"raise"}
