"""One formula, every array world: the same relu.cov on NumPy, Numba, mpmath, jax.numpy and Triton."""

import sys
from dataclasses import fields

import numpy as np
import pytest
from mpmath import mp, mpf

from fastmoments_kernels.bind import Binding, bind
from fastmoments_kernels.catalogue import CATALOGUE
from fastmoments_kernels.cpu import elementwise
from fastmoments_kernels.formulas import relu
from tests.mpmath_vocabulary import MPMATH
from tests.processes import python

# two ordinary pairs, one near |rho| = 1, one on it, one in the tails
MU_1 = np.array([0.3, -1.0, 0.5, 0.2, -4.0])
MU_2 = np.array([-0.4, 0.7, 0.5, 0.2, -5.0])
VAR_1 = np.array([1.0, 0.5, 1.0, 4.0, 1.0])
VAR_2 = np.array([2.0, 1.5, 1.0, 4.0, 1.0])
COV_12 = np.array([0.6, -0.4, 1.0 - 1e-9, 4.0, -0.5])
# The formula's own rounding: every binding evaluates the same expression in its own order
ULPS = 64


def pair_cov(binding, *arrays):
    mu_1, mu_2, var_1, var_2, cov_12 = arrays
    neuron = binding(relu.neuron)
    return binding(relu.cov)(neuron(mu_1, var_1, ()), neuron(mu_2, var_2, ()), cov_12, 1e-14)


def assert_close(got, expected):
    error = np.abs(np.asarray(got, dtype=np.float64) / expected - 1.0)
    assert error.max() <= ULPS * np.finfo(np.float64).eps, error


@pytest.fixture(scope="module")
def truth():
    """The formula in 40 digits: what its float64 bindings round to."""
    with mp.workdps(40):
        rows = zip(MU_1, MU_2, VAR_1, VAR_2, COV_12, strict=True)
        return np.array([float(pair_cov(Binding(MPMATH), *map(mpf, map(float, row)))) for row in rows])


def test_numpy(truth):
    with np.errstate(all="ignore"):
        assert_close(pair_cov(lambda function: function, MU_1, MU_2, VAR_1, VAR_2, COV_12), truth)


def test_numba(truth):
    assert_close(elementwise("relu", "cov")(MU_1, MU_2, VAR_1, VAR_2, COV_12), truth)


def test_jax(truth):
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        jnp = jax.numpy
        names = ("exp", "expm1", "log", "log1p", "sqrt", "minimum", "maximum", "where")
        words = {name: getattr(jnp, name) for name in names} | {"absolute": jnp.abs, "unit": jnp.ones_like}
        binding = Binding(words | {"either": lambda c, a, b, x: jnp.where(c, a(*x), b(*x))})
        arrays = [jnp.asarray(a) for a in (MU_1, MU_2, VAR_1, VAR_2, COV_12)]
        assert_close(jax.jit(lambda *a: pair_cov(binding, *a))(*arrays), truth)


@pytest.mark.skipif(sys.platform != "linux", reason="Triton has wheels for Linux only")
@pytest.mark.parametrize("name", ["mean", "cov"])
def test_triton(name):
    """Interpreted against NumPy, and compiled for a GPU that need not be there: two processes, they do not mix."""
    assert float(_run(name, interpret="1")) <= ULPS * np.finfo(np.float64).eps
    assert int(_run(name, interpret=None)) > 0


def _run(name, interpret):
    return python("-m", "tests.triton_binding", name, TRITON_INTERPRET=interpret).split()[-1]


def test_only_what_changes_is_copied():
    assert bind(relu.mean, {}) is relu.mean
    shifted = bind(relu.function, {"maximum": lambda a, b: np.maximum(a, b) + 1.0})
    assert shifted(2.0) == 3.0 and relu.function(2.0) == 2.0
    assert shifted.__code__ is relu.function.__code__


def test_literals_are_exchanged():
    """Binding exchanges floats, also in nested code and in tuples, no other constant, and not in the original."""

    def function(x):
        """1.0"""
        return tuple(0.5 * y for y in x[1:]) + (1.5, 2)

    found = Binding({}, literal=np.float32)(function)(np.ones(2, "float32"))
    assert [type(x) for x in found] == [np.float32, np.float32, int] and found == (0.5, 1.5, 2)
    assert [type(x) for x in function((1, 1.0))] == [float, float, int]


@pytest.mark.parametrize("row", [row for row in CATALOGUE if row.name in ("relu", "npn", "cos")])
def test_float32_stays_float32_on_numba(row):
    """A single float64 among constants and literals would make all that it meets float64, and results with it."""
    from numba import float32, types

    from fastmoments_kernels.cpu.compiled import formula_binding

    count = len(fields(row.activation))
    formula = formula_binding(row.formula, count, "float32").names["formula"]

    def type_of(function, *arguments):
        function.compile(arguments)
        return function.overloads[arguments].signature.return_type

    neuron = type_of(formula.neuron, float32, float32, types.UniTuple(float32, count) if count else types.Tuple(()))
    assert set(neuron) == {float32}
    assert {type_of(getattr(formula, name), neuron) for name in ("mean", "var", "gain")} == {float32}
