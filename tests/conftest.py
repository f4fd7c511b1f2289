"""`pytest --frameworks-page` writes docs/frameworks.md after a run in which every cell's tests passed."""

import pytest

from tests import features

RESULTS = pytest.StashKey[dict[str, set[str]]]()


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
    if not session.config.getoption("--frameworks-page"):
        return
    found = session.config.stash[RESULTS]
    for (feature, framework), (_, names) in features.cells().items():
        for name in names:
            # a parameter may need what is not installed; one at least has to run
            if "passed" not in found.get(name, ()) or "failed" in found[name]:
                raise pytest.UsageError(f"{framework}, {feature}: {name} did not pass; the page is not written")
    features.PAGE.write_text(features.page())
