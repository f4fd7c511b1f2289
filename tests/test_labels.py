"""Tables keep their labels through fm.ufuncs, which are NumPy ufuncs, and give fm's functions their values."""

import numpy as np
import pytest
from numpy.lib.mixins import NDArrayOperatorsMixin

import fastmoments as fm

X, VAR = np.array([-1.0, 0.0, 2.0]), np.array([0.5, 1.0, 2.0])
MEAN = fm.relu_mean(X, VAR)


class Labelled(NDArrayOperatorsMixin):
    """An array with labels, by the protocol that pandas and xarray implement."""

    def __init__(self, values, labels):
        self.values, self.labels, self.dtype = np.asarray(values), labels, np.asarray(values).dtype

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype)

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        values = (x.values if isinstance(x, Labelled) else x for x in inputs)
        found = getattr(ufunc, method)(*values, **options)
        results = tuple(Labelled(x, self.labels) for x in (found if isinstance(found, tuple) else (found,)))
        return results if len(results) > 1 else results[0]


def test_the_protocol():
    table = Labelled(X, ["a", "b", "c"])
    found = fm.ufuncs.relu_mean(table, VAR)
    assert found.labels == table.labels
    np.testing.assert_array_equal(found.values, MEAN)
    mean, var = fm.ufuncs.relu_marginals(table, VAR)
    assert mean.labels == var.labels == table.labels
    np.testing.assert_array_equal(fm.relu_mean(table, VAR), MEAN)


def test_pandas():
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    series = pandas.Series(X, ["a", "b", "c"])
    found = fm.ufuncs.relu_mean(series, pandas.Series(VAR, series.index))
    pandas.testing.assert_series_equal(found, pandas.Series(MEAN, series.index))
    frame = pandas.DataFrame({"x": X, "y": X}, series.index)
    pandas.testing.assert_frame_equal(
        fm.ufuncs.relu_mean(frame, 1.0), frame.map(lambda x: float(fm.relu_mean(x, 1.0)))
    )
    np.testing.assert_array_equal(fm.relu_mean(series, VAR), MEAN)


def test_xarray():
    xarray = pytest.importorskip("xarray", reason="xarray is not installed")
    array = xarray.DataArray(X, dims="place", coords={"place": ["a", "b", "c"]})
    found = fm.ufuncs.relu_mean(array, array.copy(data=VAR))
    xarray.testing.assert_identical(found, array.copy(data=MEAN))
    np.testing.assert_array_equal(fm.relu_mean(array, VAR), MEAN)


class Float64:
    """A dtype of polars, or one of pandas's own: no NumPy dtype, and its name has a capital."""

    def __str__(self):
        return "Float64"


def test_a_dtype_that_is_not_numpys():
    column = Labelled(X, ["a", "b", "c"])
    column.dtype = Float64()
    np.testing.assert_array_equal(fm.relu_mean(column, VAR), MEAN)
    with pytest.raises(TypeError, match="mu is float64 but var is float32"):
        fm.relu_mean(column, VAR.astype(np.float32))


def test_polars():
    polars = pytest.importorskip("polars", reason="polars is not installed")
    column = polars.Series("x", X)
    found = fm.ufuncs.relu_mean(column, VAR)
    assert (found.name, found.to_list()) == ("x", MEAN.tolist())
    np.testing.assert_array_equal(fm.relu_mean(column, VAR), MEAN)
    # what is missing is not a number
    missing = fm.relu_mean(polars.Series([*X[:2], None]), VAR)
    np.testing.assert_array_equal(missing, [*MEAN[:2], np.nan])
