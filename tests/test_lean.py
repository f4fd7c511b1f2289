"""Compiling without what only separate functions need: the same values, and Numba as it was for everybody else."""

import sys

import numba
import numpy as np
import pytest
from numba.core.runtime import _nrt_python, rtsys

from fastmoments_kernels.cpu import compiled
from tests.processes import python

MEANS = """
import sys, numpy as np
from fastmoments_kernels.cpu import compiled, elementwise
if sys.argv[1] == "another":
    compiled.TESTED = ()
x, v = np.random.default_rng(0).normal(size=(2, 1001))
print("fastmoments_kernels.cpu.lean" in sys.modules)
with np.errstate(all="ignore"):
    print(elementwise("relu", "mean", dtype="float64")(x, v * v).tobytes().hex())
print("fastmoments_kernels.cpu.lean" in sys.modules)
"""


def test_other_versions_of_numba_compile_as_usual(tmp_path):
    """Of a version that it was not tested with nothing is exchanged; the values have the same bits."""
    tested, another = (
        python("-c", MEANS, which, NUMBA_CACHE_DIR=str(tmp_path / which)).split() for which in ("tested", "another")
    )
    is_tested = numba.__version__ in compiled.TESTED
    assert (tested[0], tested[2]) == ("False", str(is_tested))
    assert (another[0], another[2]) == ("False", "False")
    assert tested[1] == another[1]


if numba.__version__ in compiled.TESTED:
    from fastmoments_kernels.cpu import lean
only_tested = pytest.mark.skipif(numba.__version__ not in compiled.TESTED, reason="not tested with this Numba")


def _square(x):
    return x * x


def _sum_of_squares(x):
    total = 0.0
    for i in range(len(x)):
        total += square(x[i])
    return total


square = numba.njit(_square)
ARRAY = numba.types.Array(numba.float64, 1, "C")


def entry(function):
    """The function, compiled for arrays as an entry."""
    made = numba.njit(function)
    with numba.core.compiler_lock.global_compiler_lock, lean.lean(function.__qualname__):
        made.compile((ARRAY,))
    return made


@only_tested
def test_functions_compiled_for_an_entry_serve_everybody():
    """Python calls them, and other code of Numba's links them, after they were compiled for an entry alone."""
    x = np.arange(4.0)
    assert entry(_sum_of_squares)(x) == 14.0
    (inner,) = (result.entry_point for result in square.overloads.values())
    assert isinstance(inner, lean.Inner)
    assert square(3.0) == 9.0
    assert numba.njit(lambda y: square(y) + 1.0)(3.0) == 10.0
    assert numba.njit(_sum_of_squares)(x) == 14.0


def _sum_of_copy(x):
    y = np.empty(len(x))
    for i in range(len(x)):
        y[i] = x[i]
    z = y[1:]
    return z.sum() + y[0]


@only_tested
def test_entries_count_without_locks():
    """Arrays are freed all the same: the argument and what is allocated."""
    made, x = entry(_sum_of_copy), np.arange(1000.0)
    (code,) = made.inspect_llvm().values()
    assert "@NRT_decref" in code and "atomic" not in code
    users = sys.getrefcount(x)
    _nrt_python.memsys_enable_stats()
    try:
        before = rtsys.get_allocation_stats()
        assert {made(x) for _ in range(10)} == {499500.0}
        after = rtsys.get_allocation_stats()
    finally:
        _nrt_python.memsys_disable_stats()
    assert sys.getrefcount(x) == users
    assert after.mi_alloc - before.mi_alloc == after.mi_free - before.mi_free > 0


@only_tested
def test_numba_is_as_it_was_afterwards_and_after_an_error():
    before = {name: getattr(owner, name) for name, (owner, _) in lean._LEAN.items()}

    def wrong(x):
        return x.nothing

    with pytest.raises(numba.TypingError):
        entry(wrong)
    assert {name: getattr(owner, name) for name, (owner, _) in lean._LEAN.items()} == before
