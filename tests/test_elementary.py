"""Elementary functions of the cpu vocabulary against mpmath, to the ends of either dtype's range."""

import numba
import numpy as np
import pytest
from mpmath import mp, mpf

from fastmoments_kernels.cpu.vocabulary import VOCABULARY

NAMES = ("exp", "expm1", "log", "log1p", "sin", "cos")
# half a unit for the last rounding, and as much for each product of two rounded factors, at most two of them
UNITS = 1.5
# above it 2^n overflows, and exp is inf one octave before its value overflows
EARLY = {"float32": 88.37, "float64": 709.436}


def loop(function):
    """A compiled loop of the function over an array."""

    @numba.njit
    def over(x, out):
        for i in range(len(x)):
            out[i] = function(x[i])

    return over


def evaluate(name, x):
    out = np.full_like(x, np.nan)
    loop(VOCABULARY[x.dtype.name][name])(x, out)
    return out


def arguments(name, dtype):
    """Numbers of every size, near 0 with either sign, and near the ends of the function's domain."""
    info, rng = np.finfo(dtype), np.random.default_rng(0)
    sizes = np.exp(rng.uniform(np.log(float(info.tiny)), np.log(float(info.max)), 400))
    moderate = rng.uniform(-EARLY[dtype] - 20.0, EARLY[dtype], 400)
    x = {
        "exp": [*moderate, *rng.normal(size=100), 0.0],
        "expm1": [*moderate, *rng.normal(size=100), *np.minimum(sizes, 1.0), *-np.minimum(sizes, 1.0)],
        "log": [*sizes, *rng.uniform(0.5, 2.0, 200), info.tiny / 2**9, info.max],
        "log1p": [*sizes, *-np.minimum(sizes, 0.999), *rng.uniform(-0.9, 1.0, 200)],
    }
    return np.array(x.get(name, [*rng.uniform(-1e4, 1e4, 400), *rng.normal(size=100), 0.0, 1e6]), dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NAMES)
def test_values(name, dtype):
    x = arguments(name, dtype)
    info = np.finfo(dtype)
    with mp.workdps(40):
        for argument, got in zip(x, evaluate(name, x), strict=True):
            true = getattr(mp, name)(mpf(float(argument)))
            error = abs(mpf(float(got)) - true)
            # values below the normal numbers may become 0
            assert error <= max(UNITS * float(info.eps) * abs(true), mpf(float(info.tiny))), (argument, got)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_beyond_the_numbers(dtype):
    x = np.array([-np.inf, -1e5, 1e5, np.inf, np.nan], dtype)
    assert np.array_equal(evaluate("exp", x), np.array([0, 0, np.inf, np.inf, np.nan], dtype), equal_nan=True)
    assert np.array_equal(evaluate("expm1", x), np.array([-1, -1, np.inf, np.inf, np.nan], dtype), equal_nan=True)
    x = np.array([-1.0, 0.0, -0.0, np.inf, np.nan], dtype)
    wanted = np.array([np.nan, -np.inf, -np.inf, np.inf, np.nan], dtype)
    assert np.array_equal(evaluate("log", x), wanted, equal_nan=True)
    assert np.array_equal(evaluate("log1p", x - 1), wanted, equal_nan=True)
    assert np.isnan(evaluate("sin", np.array([np.nan], dtype))).all()
