"""Sphinx: the pages beside this file and the docstrings, as a site that needs no network."""

import re
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx

import fastmoments as fm

sys.path.insert(0, str(Path(__file__).parent / "_sphinx"))
import activation_pages  # noqa: E402 (it is beside this file)

FULL = re.compile(r"^(\S.{80,}\S)\n +(?=\S)", re.M)  # a docstring's line that the next, indented one continues
OWN = re.compile(r"(?<!`)`(mean|var|cov)`(?!`)")  # arguments and results, not the functions of these names

project = "fastmoments"
version = release = fm.__version__
author = copyright = "fastmoments maintainers"
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "numpydoc",
    "sphinx_copybutton",
    "activation_pages",
    "source_links",
]
exclude_patterns = ["_build", "jupyter_execute"]  # the latter is what myst-nb leaves beside the site
nb_execution_mode = "off"  # the notebooks bring their outputs, which the tests compare
myst_enable_extensions = ["dollarmath", "substitution"]
myst_heading_anchors = 3
numpydoc_show_class_members = False
copybutton_prompt_text = ">>> "
default_role = "py:obj"
autodoc_typehints = "none"  # the docstrings say more: shapes, units
toc_object_entries_show_parents = "hide"
html_theme = "furo"
html_math_renderer = "mathml"
html_title = f"fastmoments {version}"
html_favicon = "_static/favicon.svg"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = html_show_sphinx = False


myst_substitutions = {"activations": activation_pages.table()}


def _as_plain_text(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Docstrings are plain text with code in backquotes: |rho| is an absolute value there.

    A line that is full goes on in the next, where numpydoc would begin a description of the parameter.
    """
    text = OWN.sub(r"``\1``", "\n".join(lines).replace("|", r"\|"))
    joined = 1
    while joined:
        text, joined = FULL.subn(r"\1 ", text)
    lines[:] = text.split("\n")


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
