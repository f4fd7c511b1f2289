"""Around the kernels: threads, forks, the disk cache, imports, functions as objects."""

import inspect
import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import fastmoments as fm
import fastmoments_kernels
from tests.test_inputs import gaussian

HANGS = 600  # seconds, far more than a child takes that compiles on a busy machine


def test_the_number_of_threads_changes_no_bit(threads):
    mu, cov = gaussian(200)
    bars = gaussian(200, seed=1)
    results = []
    for n in (1, 2, 3):
        threads(n)
        results.append((*fm.relu_moments(mu, cov), *fm.relu_moments_vjp(mu, cov, *bars)))
    for other in results[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_networks_are_read_without_pytorchs_compiler():
    """It takes longer to import than everything else of a first call."""
    pytest.importorskip("torch")
    program = """
import sys, torch, fastmoments as fm
model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.GELU())
fm.set_compilation("never")
fm.nn.propagate(model, torch.zeros(2), torch.eye(2))
print([m for m in ("torch._dynamo", "numba", "scipy.stats") if m in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_at_least_one_thread():
    with pytest.raises(ValueError, match="n: expected at least one thread"):
        fm.set_num_threads(0)
    before = fm.num_threads()
    for bad in (1.5, 2.0, "2", None):
        with pytest.raises(TypeError, match="n: expected a whole number of threads"):
            fm.set_num_threads(bad)
    assert fm.num_threads() == before


@pytest.mark.feature("NumPy", "threads, fork, spawn")
def test_calls_from_many_threads_at_once():
    mu, cov = gaussian(150)
    expected = fm.relu_moments(mu, cov).cov
    with ThreadPoolExecutor(8) as pool:
        for result in pool.map(lambda _: fm.relu_moments(mu, cov).cov, range(32)):
            assert np.array_equal(result, expected)


def _in_child(queue):
    mu, cov = gaussian(200)
    queue.put(fm.relu_moments(mu, cov).cov.sum())


@pytest.mark.feature("NumPy", "threads, fork, spawn")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
# JAX, if a test before this one used it, and Python from 3.12 on warn of every fork beside threads
@pytest.mark.filterwarnings("ignore:os.fork.. was called:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_computes_after_its_parent_did(threads):
    threads(2)
    mu, cov = gaussian(200)
    expected = fm.relu_moments(mu, cov).cov.sum()
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_in_child, args=(queue,))
    child.start()
    assert queue.get(timeout=HANGS) == expected
    child.join(HANGS)
    assert child.exitcode == 0


@pytest.mark.feature("NumPy", "threads, fork, spawn")
def test_a_spawned_child_computes():
    mu, cov = gaussian(200)
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    child = context.Process(target=_in_child, args=(queue,))
    child.start()
    assert queue.get(timeout=HANGS) == fm.relu_moments(mu, cov).cov.sum()
    child.join(HANGS)
    assert child.exitcode == 0


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory in use is read from Linux's /proc")
@pytest.mark.parametrize("framework", ["numpy", "torch", "jax"])
def test_calls_leave_no_memory_behind(framework):
    """10^5 calls keep less than the smallest Python object, 16 bytes, each.

    Memory for caches and of allocators is taken once and not in every round; a leak is in every round.
    """
    library = pytest.importorskip(framework)
    convert = {"numpy": np.asarray, "torch": getattr(library, "from_numpy", None)}.get(framework)
    mu, cov = map(convert or library.numpy.asarray, gaussian(2, np.float32))

    def growth():
        before = _resident()
        for _ in range(10**5):
            fm.relu_moments(mu, cov)
        return _resident() - before

    assert any(growth() < 16 * 10**5 for _ in range(5))


def _resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_an_edited_formula_runs_at_once(tmp_path):
    """Numba's own cache would run the old machine code, because it looks at the loops' file only."""
    package = tmp_path / "fastmoments_kernels"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(fastmoments_kernels.__file__).parent, package, ignore=ignored)
    assert _mean_at_zero(tmp_path) == pytest.approx(0.3989422804014327, rel=1e-15, abs=0)
    formula = package / "formulas" / "relu.py"
    source = formula.read_text()
    formula.write_text(source.replace("sd * pdf_h * mills_1", "2.0 * sd * pdf_h * mills_1"))
    assert formula.read_text() != source
    assert _mean_at_zero(tmp_path) == pytest.approx(2 * 0.3989422804014327, rel=1e-15, abs=0)


def _mean_at_zero(folder):
    program = "from fastmoments_kernels.cpu import elementwise; print(elementwise('relu', 'mean')(0.0, 1.0))"
    environment = os.environ | {"PYTHONPATH": str(folder), "NUMBA_CACHE_DIR": str(folder / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    return float(done.stdout)


@pytest.mark.slow
def test_warm_up_compiles_what_calls_use(tmp_path):
    """A process that starts afterwards finds everything on disk: its first call writes nothing."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    call = "import numpy as np, fastmoments as fm; fm.relu_moments(np.zeros(2), np.eye(2))"
    for statement in ("import fastmoments as fm; fm.warm_up('relu_moments', dtypes='float64')", call):
        before = {path: path.stat().st_mtime for path in tmp_path.rglob("*.nb*")}
        subprocess.run([sys.executable, "-c", statement], env=environment, check=True, capture_output=True)
    assert before and {path: path.stat().st_mtime for path in tmp_path.rglob("*.nb*")} == before


def test_importing_brings_no_compiler_and_no_framework():
    heavy = "numba", "torch", "jax", "triton", "scipy", "matplotlib"
    program = f"import sys, fastmoments; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_call_brings_no_framework_but_its_arrays():
    calls = "fm.relu_moments(np.zeros(2), np.eye(2)); fm.plan(np.zeros(2)); fm.njit.relu_mean"
    others = {"torch", "jax", "triton", "dask", "cupy"}
    program = f"import sys, numpy as np, fastmoments as fm; {calls}; print({others} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_public_functions_are_plain_functions():
    for name in ("relu_moments", "heaviside_cov_partials"):
        function = getattr(fm, name)
        assert inspect.isfunction(function) and function.__name__ == name
        assert pickle.loads(pickle.dumps(function)) is function
        assert "activation" not in inspect.signature(function).parameters
        assert "f(X" not in function.__doc__ and "activation :" not in function.__doc__


def test_activations_compare_and_pickle():
    assert fm.ReLU() == fm.ReLU() != fm.Heaviside()
    assert pickle.loads(pickle.dumps(fm.ReLU())) == fm.ReLU()


def test_ufuncs_do_not_warn_of_what_they_leave_out():
    """No warning of 0 / 0 without variance or of an overflow that is not chosen; the caller's flags stay."""
    for real in (np.float32, np.float64):
        with np.errstate(all="raise"):
            assert fm.ufuncs.relu_mean(real([-1.0, 0.0, 2.0]), real(0.0)).tolist() == [0.0, 0.0, 2.0]
            assert fm.ufuncs.relu_cov(*map(real, (0.0, 0.0, 0.0, 1.0, 0.0))) == 0.0
            assert np.isnan(fm.ufuncs.relu_mean(real(0.0), real(-1.0)))
            with pytest.raises(FloatingPointError):
                np.divide(real(0.0), real(0.0))


def test_docstrings_promise_what_holds():
    assert "8 eps" in fm.relu_cov.__doc__ and "one number per neuron" in fm.npn_moments.__doc__
    for name in ("moments", "marginals", "cov", "moments_vjp"):
        text = getattr(fm, f"tanh_{name}").__doc__
        assert "8 eps" not in text and "as for NumPy's ufuncs" not in text
    assert "|error| <= 1e-10 sqrt(E (tanh(X) - tanh(mu))^2)" in fm.tanh_marginals.__doc__
    assert "(K,), or arrays (n, K) with each neuron's" in fm.gaussian_mixture_mean.__doc__
    assert "(K,), or tuples (first neuron's, second neuron's)" in fm.gaussian_mixture_cov.__doc__


def test_ufuncs():
    assert isinstance(fm.ufuncs.relu_mean, np.ufunc) and fm.ufuncs.relu_mean.__name__ == "relu_mean"
    assert fm.ufuncs.relu_cov_partials.nout == 5
    assert "relu_cov" in dir(fm.ufuncs)
    with pytest.raises(AttributeError, match="no function 'relu_moment'"):
        _ = fm.ufuncs.relu_moment
