"""Sphinx: links from entries to the source, where one function serves every activation."""

from typing import Any

from activation_pages import FUNCTIONS
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer

import fastmoments as fm

# relu_mean and the others are made of the function `mean`, whose source they show
SOURCES: dict[str, str] = {name: getattr(fm, kind).__module__ for name, (_, kind) in FUNCTIONS.items()}


def _module_of(app: Sphinx, module: str, attribute: str) -> str | None:
    return SOURCES.get(attribute)


def _source_of(app: Sphinx, module: str) -> tuple[str, dict[str, Any]] | None:
    if module not in SOURCES.values():
        return None
    analyzer = ModuleAnalyzer.for_module(module)
    analyzer.find_tags()
    made = {name: analyzer.tags[kind] for name, (_, kind) in FUNCTIONS.items() if SOURCES[name] == module}
    return analyzer.code, dict(analyzer.tags) | made


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("viewcode-follow-imported", _module_of)
    app.connect("viewcode-find-source", _source_of)
    return {"parallel_read_safe": True}
