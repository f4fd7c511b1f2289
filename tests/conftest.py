"""Fixtures and hooks for all tests. `pytest --frameworks-page` writes docs/frameworks.md if its tests passed."""

import os
import sys

import numpy as np
import pytest

import fastmoments as fm
from fastmoments_kernels import threads as kernel_threads
from tests import features

RESULTS = pytest.StashKey[dict[str, set[str]]]()

# tests of compiled kernels, and of bits: not by NumPy until they are compiled. Before the first call reads it
os.environ.setdefault("FASTMOMENTS_COMPILE", "wait")
# variables that a shell sets for other programs and that frameworks read when they are imported
os.environ.pop("JAX_ENABLE_X64", None)


def shared_state():
    """State of imported libraries that one test could leave to the next."""
    found = {f"${name}": value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    found |= {
        "folder": os.getcwd(),
        "kernels' threads": kernel_threads._threads,
        "compilation": fm.compilation(),
        "NumPy's errors": np.geterr(),
        "NumPy's printing": np.get_printoptions(),
    }
    if torch := sys.modules.get("torch"):
        found["PyTorch's dtype"] = torch.get_default_dtype()
        found["PyTorch's threads"] = torch.get_num_threads()
        found["PyTorch's gradients"] = torch.is_grad_enabled()
    if jax := sys.modules.get("jax"):
        found["JAX's float64"] = jax.config.jax_enable_x64
    return found


@pytest.fixture(autouse=True)
def nothing_stays():
    """Fail a test that leaves shared state changed: other tests would depend on whether it ran before them."""
    before = shared_state()
    yield
    assert not changed_since(before)


def changed_since(before):
    """The state that changed; new entries come with a library that was imported."""
    after = shared_state()
    return {name: (value, after.get(name)) for name, value in before.items() if after.get(name) != value}


@pytest.fixture
def synchronous():
    """Run Dask's tasks one after another."""
    dask = pytest.importorskip("dask")
    with dask.config.set(scheduler="synchronous"):
        yield


@pytest.fixture
def threads(monkeypatch):
    """Return a function that sets the kernels' number of threads for this test."""
    monkeypatch.setattr("fastmoments_kernels.threads._threads", None)
    return fm.set_num_threads


@pytest.fixture
def one_thread():
    """Run PyTorch on one thread: a second one gains nothing on small matrices and costs much on a busy machine."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def double_precision(one_thread):
    """Make float64 PyTorch's default dtype."""
    torch = pytest.importorskip("torch")
    before = torch.get_default_dtype()
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.fixture
def jax_double_precision():
    """Let JAX have float64."""
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        yield


def pytest_addoption(parser):
    parser.addoption("--frameworks-page", action="store_true", help="write docs/frameworks.md if every cell passes")


def pytest_configure(config):
    config.stash[RESULTS] = {}
    config.pluginmanager.register(_Results(config.stash[RESULTS]))


class _Results:
    """Outcomes by test function, over all its parameters."""

    def __init__(self, found):
        self.found = found

    def pytest_runtest_logreport(self, report):
        if report.when == "call" or report.outcome != "passed":
            name = report.nodeid.rpartition("/")[2].partition("[")[0]
            self.found.setdefault(name, set()).add(report.outcome)


def pytest_sessionfinish(session):
    is_worker = hasattr(session.config, "workerinput")  # a worker of pytest-xdist; the controller has all results
    if is_worker or not session.config.getoption("--frameworks-page"):
        return
    found = session.config.stash[RESULTS]
    # a parameter may need a package that is not installed; at least one has to run
    failed = [
        f"{framework}, {feature}: {name}"
        for (feature, framework), (_, names) in features.cells().items()
        for name in names
        if "passed" not in found.get(name, ()) or "failed" in found[name]
    ]
    if failed:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        reporter.write_line("docs/frameworks.md is not written; these did not pass:\n" + "\n".join(failed))
    else:
        features.PAGE.write_text(features.page())


@pytest.fixture
def new_memory_is_nan(monkeypatch):
    """What a kernel forgets to write into torch's memory, or reads too early, is nan."""
    import torch

    new_empty = torch.Tensor.new_empty

    def filled(tensor, *shape, **options):
        found = new_empty(tensor, *shape, **options)
        return found.fill_(torch.nan) if found.is_floating_point() else found.fill_(-1)

    monkeypatch.setattr(torch.Tensor, "new_empty", filled)
