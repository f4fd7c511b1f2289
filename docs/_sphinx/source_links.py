"""Sphinx: links from entries to the source, where one function of `moments.py` serves every activation."""

from typing import Any

from activation_pages import FUNCTIONS
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer

SOURCE = "fastmoments.moments"


def _module_of(app: Sphinx, module: str, attribute: str) -> str | None:
    """relu_mean and the others are made of the function `mean`, whose source they show."""
    return SOURCE if attribute in FUNCTIONS else None


def _source_of(app: Sphinx, module: str) -> tuple[str, dict[str, Any]] | None:
    if module != SOURCE:
        return None
    analyzer = ModuleAnalyzer.for_module(module)
    analyzer.find_tags()
    tags = dict(analyzer.tags)
    return analyzer.code, tags | {name: tags[kind] for name, (_, kind) in FUNCTIONS.items()}


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("viewcode-follow-imported", _module_of)
    app.connect("viewcode-find-source", _source_of)
    return {"parallel_read_safe": True}
