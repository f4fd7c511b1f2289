"""Any input gives a result within the contract, or one error on all frameworks, and is not changed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz import MISTAKES, assert_moments, gaussians, laid_out, outcome
from tests.rows import function

# which matrices are warned of, test_not_a_covariance.py says
pytestmark = pytest.mark.filterwarnings("ignore:cov. not positive semidefinite:RuntimeWarning")
# the same cases each time, so that what fails fails for everybody; the many are new ones
FEW = settings(max_examples=200, deadline=None, derandomize=True, database=None)
MANY = settings(max_examples=10**4, deadline=None)
names = st.sampled_from(("relu", "npn"))
# XLA compiles for every shape
ON_JAX = {"dtypes": ("float32",), "shapes": [((), 3)], "layouts": ("contiguous", "strided", "read-only")}
X64 = ON_JAX | {"dtypes": ("float32", "float64"), "shapes": [((), 1), ((), 5), ((2,), 3), ((0,), 2)]}


def as_it_is(array):
    return array


def as_tensor(array):
    """A tensor on the array's memory, or a copy if a stride is negative, which torch does not support."""
    torch = pytest.importorskip("torch")
    negative = any(stride < 0 for stride in array.strides)
    return torch.from_numpy(np.ascontiguousarray(array) if negative else array)


def as_jax(array):
    return pytest.importorskip("jax").numpy.asarray(array)


def as_blocks(array):
    return pytest.importorskip("dask.array").from_array(array, chunks=2)


def check(name, case, *converters):
    mu, cov = (laid_out(x, case.layout) for x in case[:2])
    kept = mu.copy(), cov.copy()
    moments = function(name, "moments")
    found = [moments(convert(mu), convert(cov)) for convert in converters]
    assert_moments(name, mu, cov, found[0])
    for other in found[1:]:  # the same kernels: the same bits
        for got, expected in zip(other, found[0], strict=True):
            assert np.array_equal(np.asarray(got), expected, equal_nan=True)
    for array, before in zip((mu, cov), kept, strict=True):
        assert np.array_equal(array, before, equal_nan=True)


@pytest.mark.feature("NumPy", "any input: contract or nan")
@pytest.mark.feature("PyTorch", "any input: contract or nan")
@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")
@FEW
@given(gaussians(), names)
def test_numpy_and_torch(case, name):
    check(name, case, as_it_is, as_tensor)


@pytest.mark.feature("JAX", "any input: contract or nan")
@FEW
@given(gaussians(**ON_JAX), names)
def test_jax(case, name):
    check(name, case, as_jax)


@pytest.mark.feature("Dask", "any input: contract or nan")
@settings(FEW, max_examples=100)
@given(gaussians(), names)
def test_dask(case, name):
    check(name, case, as_blocks)


@pytest.mark.slow
@MANY
@given(gaussians(), names)
def test_dask_at_length(case, name):
    check(name, case, as_blocks)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")
@MANY
@given(gaussians(), names)
def test_numpy_and_torch_at_length(case, name):
    check(name, case, as_it_is, as_tensor)


@pytest.mark.slow
@MANY
@given(gaussians(**X64), names)
def test_jax_at_length(case, name):
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        check(name, case, as_jax)


@pytest.mark.feature("NumPy", "bad input: the same errors")
@pytest.mark.feature("PyTorch", "bad input: the same errors")
@pytest.mark.feature("JAX", "bad input: the same errors", "nan for a negative variance")
@FEW
# at wide scales a mistake may be rounding
@given(gaussians(**ON_JAX, scales=("ordinary",)), names, st.sampled_from(sorted(MISTAKES)))
def test_mistakes_have_the_same_words_everywhere(case, name, mistake):
    arrays = (np.nan_to_num(x, posinf=1.0) for x in case[:2])
    kind, arguments, keywords = MISTAKES[mistake](*arrays)
    found = [outcome(name, kind, arguments, keywords, convert) for convert in (as_it_is, as_tensor, as_jax)]
    numpy, torch, jax = found
    assert numpy[0] == "error" and numpy[1] in (ValueError, TypeError), numpy
    assert torch == numpy
    if mistake.startswith("negative variance"):  # JAX does not look at values
        assert jax[0] == "result" and any(np.isnan(np.asarray(x)).any() for x in jax[1])
    else:
        assert jax == numpy
