"""Object code that comes with a wheel, and what happens where there is none."""

import sys

import numpy as np
import pytest

import fastmoments as fm
from fastmoments_kernels import ahead
from fastmoments_kernels.ahead import levels
from tests.processes import python
from tests.settings import chosen

of_a_wheel = pytest.mark.skipif(ahead.level() is None, reason="a checkout has no object code: make wheel-test")
of_a_checkout = pytest.mark.skipif(ahead.level() is not None, reason="object code serves")

# the answers of the first call, and how long it takes; then whether anything needed a compiler
FIRST = """
import sys, time
import numpy as np
import fastmoments as fm
mu, cov = np.zeros(8), np.eye(8) + 0.5
start = time.process_time()
fm.relu_moments(mu, cov)
print(time.process_time() - start)
assert not {"numba", "llvmlite", "scipy"} & set(sys.modules)
"""
WITHOUT_NUMBA = """
import sys
sys.modules["numba"] = None
import fastmoments as fm
try:
    fm.{call}
except ModuleNotFoundError as error:
    print(error)
"""
V3 = {"AVX2": True, "FMA3": True}
V4 = V3 | dict.fromkeys(("AVX512F", "AVX512CD", "AVX512BW", "AVX512DQ", "AVX512VL"), True)


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Return a function that makes a machine of some features, with libraries of some levels."""
    monkeypatch.setattr(levels, "FOLDER", str(tmp_path))
    monkeypatch.setattr(levels, "_machine", lambda: "x86_64")

    def make(features, libraries, asked=None):
        for name in libraries:
            (tmp_path / f"{name}.so").touch()
        monkeypatch.setattr(levels, "_features", lambda: features)
        monkeypatch.setenv(levels.VARIABLE, asked) if asked else monkeypatch.delenv(levels.VARIABLE, raising=False)
        return levels.level.__wrapped__()

    return make


@pytest.mark.parametrize(
    "features, libraries, level",
    [
        (V4, ("x86-64-v3", "x86-64-v4"), "x86-64-v4"),
        (V4, ("x86-64-v3",), "x86-64-v3"),
        (V3, ("x86-64-v3", "x86-64-v4"), "x86-64-v3"),
        (V4 | {"AVX512VL": False}, ("x86-64-v3", "x86-64-v4"), "x86-64-v3"),
        (V3 | {"FMA3": False}, ("x86-64-v3", "x86-64-v4"), None),
        (V4, (), None),
        (V4, ("armv8-a",), None),
    ],
)
def test_the_highest_level_that_the_processor_runs_serves(machine, features, libraries, level):
    assert machine(features, libraries) == level


def test_no_level_serves_another_python(monkeypatch):
    """PyPy's objects have no memory that a library could read; the wheel's tag admits it."""
    assert levels._machine() or sys.platform == "win32"
    monkeypatch.setattr(sys.implementation, "name", "pypy")
    assert levels._machine() == ""


def test_a_lower_level_may_be_asked_for(machine):
    both = ("x86-64-v3", "x86-64-v4")
    assert machine(V4, both, "x86-64-v3") == "x86-64-v3"
    assert machine(V4, both, "none") is None
    with pytest.raises(ValueError, match=r"FASTMOMENTS_LEVEL: expected \"none\" or one of \['x86-64-v3'\]"):
        machine(V3, both, "x86-64-v4")


@of_a_checkout
@pytest.mark.parametrize("call", ["relu_mean(0.0, 1.0)", "njit.relu_mean"])
def test_without_numba_and_object_code_an_error_says_what_to_install(call):
    assert 'pip install "fastmoments[numba]"' in python("-c", WITHOUT_NUMBA.format(call=call))


@pytest.mark.parametrize("when, installed", [("background", True), ("never", True), ("background", False)])
def test_the_plan_says_what_a_wheel_brings_and_what_it_lacks(monkeypatch, when, installed):
    def check():
        if not installed:
            raise ModuleNotFoundError

    monkeypatch.setattr("fastmoments.dispatch.check_installed", check)
    monkeypatch.setattr(ahead, "level", lambda: "x86-64-v3")
    with chosen(when):
        told, lacking = str(fm.plan(0.0)).splitlines()[3:5]
    assert told == "  x86-64-v3: compiled before it was installed, all but mixtures (FASTMOMENTS_LEVEL)"
    assert lacking.startswith(
        f"  mixtures, {when}: NumPy answers" if installed else "  mixtures, which Numba has to"
    )
    assert installed or 'pip install "fastmoments[numba]"' in lacking


def test_what_needs_no_kernels_needs_no_numba():
    for call in ("Custom(lambda x: x)", "affine_moments([0.0], [[1.0]], [[1.0]])"):
        assert not python("-c", WITHOUT_NUMBA.format(call=call))


@of_a_wheel
def test_a_library_has_all_loops_of_an_activation_or_none():
    assert ahead.holds(None) and ahead.holds("relu") and not ahead.holds("gaussian_mixture")


@of_a_checkout
def test_a_checkout_has_no_loops():
    assert not ahead.holds(None) and not ahead.holds("relu")


@of_a_wheel
def test_the_first_call_takes_milliseconds():
    """5 ms on a quiet machine; other processes take the caches from it."""
    assert min(float(python("-c", FIRST)) for _ in range(3)) < 0.02


@of_a_wheel
@pytest.mark.parametrize("call", ["njit.relu_mean", "mean(fm.GaussianMixture([1.0, 1.0], [1.0, 2.0]), 0.0, 1.0)"])
def test_what_has_no_object_code_says_what_to_install(call):
    assert 'pip install "fastmoments[numba]"' in python("-c", WITHOUT_NUMBA.format(call=call))


@of_a_wheel
@pytest.mark.parametrize(
    "spoil",
    [
        lambda mu, cov: (mu.astype(np.float32), cov),
        lambda mu, cov: (mu[0], cov),
        lambda mu, cov: (mu, cov.swapaxes(1, 2)),
        lambda mu, cov: (mu, cov[:, ::2]),
        lambda mu, cov: (mu, cov.astype(">f8")),
        lambda mu, cov: (mu.tolist(), cov),
        lambda mu, cov: (0, cov),
        lambda mu, cov: (mu, np.ma.array(cov)),
    ],
    ids=["dtype", "dimensions", "order", "steps", "bytes", "list", "number", "subclass"],
)
def test_other_arrays_than_it_was_compiled_for_are_refused(spoil):
    """Never read as something else: the addresses behind them are NumPy's."""
    whole, (mu, cov) = ahead.entry("relu_whole_0_float64"), spoil(np.zeros((1, 4)), np.eye(4)[None])
    outputs = np.empty((1, 4)), np.empty((1, 4, 4))
    with pytest.raises(TypeError, match="relu_whole_0_float64: argument [01] is not the array"):
        whole(mu, cov, np.empty((0, 1, 4)), *outputs, 1e-12, -36.0)


@of_a_wheel
def test_an_output_that_may_not_be_written_is_refused():
    whole, mean = ahead.entry("relu_whole_0_float64"), np.empty((1, 4))
    mean.flags.writeable = False
    with pytest.raises(TypeError, match="argument 3"):
        whole(np.zeros((1, 4)), np.eye(4)[None], np.empty((0, 1, 4)), mean, np.empty((1, 4, 4)), 1e-12, -36.0)


@of_a_wheel
def test_loops_give_their_memory_back():
    resource = pytest.importorskip("resource")
    mu, cov = np.zeros((64, 64)), np.broadcast_to(np.eye(64), (64, 64, 64))

    def peak():
        for _ in range(30):
            fm.relu_moments_vjp(mu, cov, mu, cov)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    before = peak()
    assert peak() < before + 10_000  # kilobytes; a call allocates some thousand
