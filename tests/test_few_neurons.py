"""Calls on few neurons, whose time is that of checks: what is checked quickly is checked all the same."""

from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

import numpy as np
import pytest

import fastmoments as fm


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
    fm.relu_mean(mu[:1], abs(var[:1]))


@pytest.mark.parametrize("var", [[np.nan, 1.0], [-0.0, 1.0], [np.inf, 0.0], []])
def test_variances_that_are_not_negative(var):
    assert fm.relu_mean(np.zeros(len(var)), np.array(var)).shape == (len(var),)


def test_no_floating_point_error_is_reported():
    """Whatever the caller's settings, in every thread and in calls within calls; the settings stay."""
    mu, var = np.array([1e308, -1e308, 0.0]), np.array([1e308, 5e-324, np.inf])

    def calls(_):
        with np.errstate(all="raise"):
            found = fm.gelu_mean(mu, var), fm.relu_marginals(mu, var), fm.relu_mean(mu, var, out=np.empty(3))
            assert set(np.geterr().values()) == {"raise"}
        return found

    def within(x):
        # settings and context are the caller's in a user's function
        assert label.get() == "mine"
        fm.gelu_mean(mu, var)
        return np.tanh(x)

    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(calls, range(8)):
            assert np.array_equal(found[0], calls(0)[0], equal_nan=True)
    label = ContextVar("label")
    token = label.set("mine")
    fm.mean(fm.Custom(within), np.zeros(2), np.ones(2))
    label.reset(token)
