"""Write fastmoments/__init__.pyi: the package as type checkers read it.

The functions of one activation are made when the package is imported, so a checker cannot find their parameters.
It reads them here: a function of fastmoments/moments.py without `activation`, with the activation's own parameters.
"""

import ast
import inspect
from copy import deepcopy
from itertools import chain
from pathlib import Path

import fastmoments as fm
from fastmoments.functions import Functions

PACKAGE = Path(__file__).resolve().parents[1] / "fastmoments"
STUB = PACKAGE / "__init__.pyi"
HEADER = '''\
"""The package as type checkers read it. Written by tools/public_types.py; do not edit."""

# ruff: noqa
# fmt: off
from typing import Any, Literal, overload

from fastmoments import compare as compare
from fastmoments import nn as nn
from fastmoments.graph.describe import describe as describe
from fastmoments.graph.propagate import propagate as propagate
from fastmoments.results import T
from fastmoments.signatures import Distribution, Operand

__version__: str
'''


def text() -> str:
    """The stub: the names that __init__.py imports, and a signature for every function that it makes."""
    generic = _generic()
    lines = [HEADER]
    for node in ast.parse((PACKAGE / "__init__.py").read_text()).body:
        if isinstance(node, ast.ImportFrom) and all(alias.asname == alias.name for alias in node.names):
            lines.append(ast.unparse(node))
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple):
            for kind, name in zip(Functions._fields, node.targets[0].elts, strict=True):
                lines += [_signature(ast.unparse(name), function) for function in generic[kind]]
    return "\n".join([*lines, ""])


def _generic() -> dict[str, list[ast.FunctionDef]]:
    """The functions of any activation by name: the overloads of one that has them."""
    found: dict[str, list[ast.FunctionDef]] = {}
    nodes = (ast.parse((PACKAGE / name).read_text()).body for name in ("moments.py", "elementwise.py"))
    for node in chain.from_iterable(nodes):
        if not isinstance(node, ast.FunctionDef):
            continue
        node.decorator_list = [use for use in node.decorator_list if ast.unparse(use) == "overload"]
        if node.decorator_list or node.name not in found:
            found.setdefault(node.name, []).append(node)
    return found


def _signature(name: str, generic: ast.FunctionDef) -> str:
    """One line: the generic signature under another name, and what the function takes beside."""
    node = deepcopy(generic)
    node.name, node.body, arguments = name, [ast.Expr(ast.Constant(...))], node.args
    del arguments.args[0]
    known = {argument.arg for argument in arguments.args + arguments.kwonlyargs}
    for parameter in inspect.signature(getattr(fm, name)).parameters.values():
        if parameter.name not in known:
            arguments.kwonlyargs.append(ast.arg(parameter.name, ast.parse("Operand[T]", mode="eval").body))
            required = parameter.default is parameter.empty
            arguments.kw_defaults.append(None if required else ast.Constant(parameter.default))
    *decorator, head, body = ast.unparse(node).splitlines()
    return "\n".join([*decorator, f"{head} {body.strip()}"])


if __name__ == "__main__":
    STUB.write_text(text())
