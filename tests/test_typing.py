"""Type checkers accept right calls and refuse wrong ones; the stub is the public functions'."""

import ast
import importlib
import inspect
from pathlib import Path

import pytest

import fastmoments as fm
from tests.processes import ROOT, python

STUB = Path(fm.__file__).with_suffix(".pyi")
MODULES = {"compare", "nn", "njit", "triton", "ufuncs"}
ON_FIRST_USE = {"describe", "propagate"}


@pytest.mark.feature("NumPy", "types, mypy --strict")
@pytest.mark.feature("PyTorch", "types, mypy --strict")
@pytest.mark.feature("JAX", "types, mypy --strict")
def test_users_code_passes_mypy_strict():
    """mypy --strict passes users' code, with the repository's cache, which `make lint` fills."""
    for library in ("torch", "jax"):
        pytest.importorskip(library)
    python("-m", "mypy", "--strict", "tests/typed_user.py", "tests/typed_frameworks.py")


def stub():
    """The stub's imports, and the first definition of each function."""
    nodes = ast.parse(STUB.read_text()).body
    imported = {alias.asname for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names}
    functions = {node.name: node for node in reversed(nodes) if isinstance(node, ast.FunctionDef)}
    return imported - {None}, functions


def test_the_stub_is_what_the_tool_writes(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tools")
    assert importlib.import_module("public_types").text() == STUB.read_text(), "run python tools/public_types.py"


def test_the_stub_has_every_public_name_and_no_other():
    imported, functions = stub()
    public = {name for name, value in vars(fm).items() if not (name.startswith("_") or inspect.ismodule(value))}
    assert imported | set(functions) == public | MODULES | ON_FIRST_USE


def test_the_stub_has_the_parameters_that_functions_take():
    _, functions = stub()
    for name, definition in functions.items():
        for argument in definition.args.args + definition.args.kwonlyargs:
            argument.annotation = None
        assert f"({ast.unparse(definition.args)})" == str(inspect.signature(getattr(fm, name))), name
