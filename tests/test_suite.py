"""Tests must not skip for missing modules of the project, nor leave shared state changed."""

import ast
from pathlib import Path

import numpy as np

from tests.conftest import changed_since, shared_state

OWN = ("fastmoments", "fastmoments_kernels", "benchmarks", "experiments", "examples", "tests", "tools")


def skipped_modules(source):
    """The names with which `pytest.importorskip` is called."""
    for call in ast.walk(ast.parse(source)):
        if isinstance(call, ast.Call) and ast.unparse(call.func).endswith("importorskip"):
            yield from (x.value for x in call.args if isinstance(x, ast.Constant))


def test_a_module_of_our_own_that_is_missing_fails():
    """A renamed module would otherwise skip its tests unnoticed."""
    sources = {path.name: path.read_text() for path in Path(__file__).parent.glob("*.py")}
    found = {(name, module) for name, source in sources.items() for module in skipped_modules(source)}
    assert {module for _, module in found} >= {"torch", "jax"}
    assert not {(name, module) for name, module in found if module.split(".")[0] in OWN}


def test_what_a_test_leaves_changed_is_seen(monkeypatch, tmp_path):
    before = shared_state()
    with monkeypatch.context() as patch, np.errstate(over="raise"):
        patch.chdir(tmp_path)
        patch.delenv("PATH")
        assert changed_since(before).keys() == {"folder", "$PATH", "NumPy's errors"}
    assert not changed_since(before)
