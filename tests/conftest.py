"""What tests share. `pytest --frameworks-page` writes docs/frameworks.md if every cell's tests passed."""

import pytest

from tests import features

RESULTS = pytest.StashKey[dict[str, set[str]]]()


@pytest.fixture
def synchronous():
    """Dask's tasks one after another."""
    dask = pytest.importorskip("dask")
    with dask.config.set(scheduler="synchronous"):
        yield


@pytest.fixture
def one_thread():
    """PyTorch's second one gains nothing on small matrices, and costs much on a busy machine."""
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def double_precision(one_thread):
    """PyTorch's numbers are float64 where nothing else is said."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def pytest_addoption(parser):
    parser.addoption("--frameworks-page", action="store_true", help="write docs/frameworks.md if every cell passes")


def pytest_configure(config):
    config.stash[RESULTS] = {}
    config.pluginmanager.register(_Results(config.stash[RESULTS]))


class _Results:
    """Outcomes by test function, whatever its parameters."""

    def __init__(self, found):
        self.found = found

    def pytest_runtest_logreport(self, report):
        if report.when == "call" or report.outcome != "passed":
            name = report.nodeid.rpartition("/")[2].partition("[")[0]
            self.found.setdefault(name, set()).add(report.outcome)


def pytest_sessionfinish(session):
    is_worker = hasattr(session.config, "workerinput")  # of pytest-xdist, whose controller has all the results
    if is_worker or not session.config.getoption("--frameworks-page"):
        return
    found = session.config.stash[RESULTS]
    # a parameter may need what is not installed; one at least has to run
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
