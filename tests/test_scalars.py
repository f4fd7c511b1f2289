"""The scalar functions in users' own kernels: Numba here, Triton in processes of its own."""

import sys
from itertools import product

import numba
import numpy as np
import pytest
from numba.core.errors import TypingError

import fastmoments as fm
from fastmoments_kernels.catalogue import CATALOGUE
from tests import conformance, points
from tests.processes import python
from tests.rows import numbers

DTYPES = ("float64", "float32")


def cases():
    """(row, kind) of activations without components; `make test` runs one of each kind that compiles quickly."""
    for row, kind in product(CATALOGUE, ("mean", "cov")):
        if not row.components:
            quick = (row.name, kind) in (("npn", "mean"), ("relu", "cov"))
            yield pytest.param(row, kind, marks=[] if quick else pytest.mark.slow, id=f"{row.name}-{kind}")


@pytest.mark.feature("Numba code", "values, float32 and float64")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("row", "kind"), list(cases()))
def test_numba_by_the_tables(row, dtype, kind):
    function, real = getattr(fm.njit, f"{row.name}_{kind}"), np.dtype(dtype).type
    given = [case for case in points.table(row.name, dtype) if len(case.inputs) == (2 if kind == "mean" else 5)]
    judged = 0
    for case in given[::5]:
        if points.why_excluded(case, kind, row.kinks, float(np.finfo(dtype).eps)):
            continue
        got = function(*map(real, (*case.inputs, *points.numbers(row, case))))
        assert conformance.error(got, *case.truth[kind], dtype) <= conformance.BOUND, case.inputs
        judged += 1
    assert judged > 10


@numba.njit
def _in_user_code(mu, var, means, covs):
    for i in range(mu.size):
        means[i] = fm.njit.npn_mean(mu[i], var[i], 1.0, 2.0, 1.0, 0.0)
        covs[i] = fm.njit.relu_cov(mu[i], mu[0], var[i], var[0], mu[i] * 0)


@pytest.mark.feature("Numba code", "bad input: the same errors", "nan")
def test_numba_code_calls_it():
    mu, var = np.linspace(-2, 2, 5), np.linspace(0.5, 2, 5)
    means, covs = np.full(5, np.nan), np.full(5, np.nan)
    _in_user_code(mu, var, means, covs)
    assert np.abs(means - fm.npn_mean(mu, var)).max() <= 8 * np.finfo(float).eps
    assert not covs.any()
    assert np.isnan(fm.njit.npn_mean(0.0, -1.0, *numbers("npn")))


@pytest.mark.feature("Numba code", "values, float32 and float64")
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_numba_function_returns_the_type_it_is_given(dtype):
    real = numba.from_dtype(np.dtype(dtype))
    fm.njit.npn_mean(*map(np.dtype(dtype).type, (0.5, 1.0, *numbers("npn"))))
    signatures = [found for found in fm.njit.npn_mean.nopython_signatures if found.args[:2] == (real, real)]
    assert signatures and all(found.return_type == real for found in signatures)


def test_arrays_are_no_numbers():
    """Numba takes the first element of an array for a number."""
    for bad in (np.ones(3), np.array(1.0)):
        with pytest.raises(TypingError, match=r"expected real numbers, got array\(.*use fm.ufuncs for arrays"):
            fm.njit.relu_mean(bad, 1.0)


def test_names_are_those_of_the_ufuncs():
    assert dir(fm.njit) == dir(fm.triton) == dir(fm.ufuncs)
    for module in (fm.njit, fm.triton, fm.ufuncs):
        with pytest.raises(AttributeError, match="has no function 'relu_moments'; did you mean relu_mean"):
            _ = module.relu_moments


def run_triton(kernel, interpret):
    return python("-Wignore", "-m", "tests.triton_scalars", kernel, TRITON_INTERPRET=interpret).split()


kernels = pytest.mark.parametrize("kernel", ["of_neurons", pytest.param("of_pairs", marks=pytest.mark.slow)])


@pytest.mark.feature("Triton code", "values, float32 and float64")
@pytest.mark.feature("Triton code", "bad input: the same errors", "nan")
@pytest.mark.skipif(sys.platform != "linux", reason="Triton has wheels for Linux only")
@kernels
def test_triton_kernels_call_it(kernel):
    """Interpreted, with the largest error against NumPy's results, in eps of float64 and of float32."""
    for error in map(float, run_triton(kernel, interpret="1")):
        # both within the contract, at conditions below 3
        assert error <= 2 * conformance.BOUND * 4


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="Triton has wheels for Linux only")
@kernels
def test_triton_kernels_compile_for_a_card(kernel):
    assert all(int(size) > 0 for size in run_triton(kernel, interpret=None))
