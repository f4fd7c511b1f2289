"""Sphinx: the pages beside this file and the docstrings, as a site that needs no network."""

import inspect
import re
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx

import fastmoments as fm
from fastmoments_kernels.catalogue import CATALOGUE
from fastmoments_kernels.custom import READY

FULL = re.compile(r"^(\S.{80,}\S)\n +(?=\S)", re.M)  # a docstring's line that the next, indented one continues

project = "fastmoments"
version = release = fm.__version__
author = copyright = "fastmoments maintainers"
extensions = ["myst_parser", "sphinx.ext.autodoc", "numpydoc", "sphinx_copybutton"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["dollarmath", "substitution"]
myst_heading_anchors = 3
numpydoc_show_class_members = False
default_role = "py:obj"
autodoc_typehints = "none"  # the docstrings say more: shapes, units
toc_object_entries_show_parents = "hide"
html_theme = "furo"
html_math_renderer = "mathml"
html_title = "fastmoments"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = html_show_sphinx = False


def _activations() -> str:
    """The catalogue as a table."""
    lines = ["| name | object | f(x) |", "|---|---|---|"]
    for row in CATALOGUE:
        parameters = ", ".join(str(p.replace(annotation=p.empty)) for p in _parameters(row.activation))
        definition = inspect.cleandoc(row.activation.__doc__ or "").rstrip(".").replace("|", r"\|")
        lines.append(f"| `{row.name}` | `fm.{row.activation.__name__}({parameters})` | {definition} |")
    for name in READY:
        definition = (getattr(fm, f"{name}_mean").__doc__ or "").split(f"{name}(x) = ")[1].split(".\n")[0]
        lines.append(f"| `{name}` |  | {definition} |")
    return "\n".join(lines)


def _parameters(activation: type) -> list[inspect.Parameter]:
    return list(inspect.signature(activation).parameters.values())


myst_substitutions = {"activations": _activations()}


def _as_plain_text(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Docstrings are plain text with code in backquotes: |rho| is an absolute value there.

    A line that is full goes on in the next, where numpydoc would begin a description of the parameter.
    """
    text = "\n".join(lines).replace("|", r"\|")
    lines[:] = FULL.sub(r"\1 ", text).split("\n")


def _mathml(tex: str, as_block: bool = False) -> str:
    # \left and \right make one row of what the bars enclose, without which browsers space them as operators
    return tex2mathml(tex.replace(r"\lvert", r"\left|").replace(r"\rvert", r"\right|"), as_block)


def _inline_math(translator: Any, node: nodes.math) -> None:
    translator.body.append(_mathml(node.astext()))
    raise nodes.SkipNode


def _display_math(translator: Any, node: nodes.math_block) -> None:
    translator.body.append(f'<div class="math">{_mathml(node.astext(), as_block=True)}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    """Formulas as MathML, which browsers draw themselves; docstrings as they are meant."""
    app.add_html_math_renderer("mathml", (_inline_math, None), (_display_math, None))
    app.connect("autodoc-process-docstring", _as_plain_text, priority=400)  # before numpydoc
