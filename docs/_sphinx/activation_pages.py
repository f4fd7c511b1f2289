"""Sphinx: a page for every activation and an entry for each of its functions, from what the package exports.

A page is written into docs/api/activations before Sphinx looks for pages; git ignores it. The entries are the
functions' docstrings, to which an example with its output and the measured error are added.
"""

import inspect
import json
import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

import fastmoments as fm
from fastmoments.functions import Functions
from fastmoments_kernels.catalogue import CATALOGUE

DOCS = Path(__file__).resolve().parents[1]
PAGES = DOCS / "api" / "activations"
MATHEMATICS = DOCS / "mathematics" / "activations.md"
RECORD = json.loads((DOCS.parent / "tests" / "accuracy.json").read_text())
PROMISED = 8

NAMES = [name.removesuffix("_moments_vjp") for name in vars(fm) if name.endswith("_moments_vjp")]
CLASSES = {row.name: row.activation for row in CATALOGUE}
CLASSES |= {name: found for name in NAMES for found in vars(fm).values() if getattr(found, "name", None) == name}
RECORDED_NAMES = {key.split("/")[0] for key in RECORD}
FUNCTIONS = {f"{name}_{kind}": (name, kind) for name in NAMES for kind in Functions._fields}
# what tests/accuracy.json judges of each kind of function
RECORDED = {
    "marginals": ("marginals.mean", "marginals.var"),
    "mean": ("mean",),
    "var": ("var",),
    "gain": ("gain",),
    "cov": ("cov",),
    "cov_partials": fm.CovPartials._fields,
}
NORMAL = {
    "bivariate_normal_cdf": ("cdf",),
    "log_bivariate_normal_cdf": ("log_cdf",),
    "bivariate_normal_cdf_partials": fm.CdfPartials._fields,
}
FORMULAS = {
    "moments": (r"$\mathbb E f(X_i)$, $\operatorname{Cov}(f(X_i), f(X_j))$", "(..., n), (..., n, n)"),
    "marginals": (r"$\mathbb E f(X)$, $\operatorname{Var} f(X)$", "two that broadcast"),
    "mean": (r"$\mathbb E f(X)$", "that of mu and var"),
    "var": (r"$\operatorname{Var} f(X)$", "that of mu and var"),
    "gain": (r"$\mathbb E f'(X)$", "that of mu and var"),
    "cov": (r"$\operatorname{Cov}(f(X_1), f(X_2))$", "that of the five arguments"),
    "cov_partials": ("its derivatives along the five arguments", "five of that shape"),
    "moments_vjp": (
        r"gradient of $\bar m \cdot m + \bar K \cdot K$ along $\mu$, $\Sigma$",
        "(..., n), (..., n, n)",
    ),
}
VECTOR, NEURONS = ([0.0, 1.0], [[1.0, 0.5], [0.5, 2.0]]), ([0.0, 1.0], [1.0, 2.0])
PAIR = (0.0, 1.0, 1.0, 2.0, 0.5)
# of the examples
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "moments": VECTOR,
    "marginals": NEURONS,
    "mean": NEURONS,
    "var": NEURONS,
    "gain": NEURONS,
    "cov": PAIR,
    "cov_partials": PAIR,
    "moments_vjp": (*VECTOR, [1.0, 1.0], [[1.0, 0.0], [0.0, 1.0]]),
}
VALUES = {"weights": [1.0, -0.5], "taus": [1.0, 4.0]}  # of parameters without a default

TEXT = """# {name}

{definition}.

{table}

X ~ N(mu, cov); a pair or one neuron has its means, variances and covariance. {errors}
[](../../accuracy.md) says how. The closed forms: [{section}]({target}).

As an argument of `fm.moments` and all functions of any activation it is {argument}.

## Functions

```{{eval-rst}}
.. currentmodule:: fastmoments
{functions}
```
"""
MEASURED = f"""The last columns are the largest errors against tables of 50 digits, in eps of the dtype times
(1 + cond), where cond is the condition number of the value. Promised are {PROMISED}; where `< {PROMISED}` stands,
tests hold the function to that and record nothing smaller."""
TO_TOLERANCE = """Means are within {tol:g} sqrt(E (f(X) - f(mu))^2) and covariances within {tol:g} of the product of
the standard deviations of f(X), plus the dtype's rounding."""


def table() -> str:
    """All activations with a link to their page."""
    lines = ["| name | f(x) | object |", "|---|---|---|"]
    for name in NAMES:
        given = f"`{_object(name)}`" if name in CLASSES else ""
        definition = _definition(name).replace("|", r"\|")
        lines.append(f"| [{name}](activations/{name}.md) | {definition} | {given} |")
    return "\n".join(lines)


def page(name: str) -> str:
    """The page of an activation."""
    section, target = _closed_forms(name)
    dtypes = ("float64", "float32") if name in RECORDED_NAMES else ()
    rows = [
        [
            f"[`{name}_{kind}`](#fastmoments.{name}_{kind})",
            *FORMULAS[kind],
            *(_error(name, RECORDED.get(kind, ()), x) for x in dtypes),
        ]
        for kind in Functions._fields
    ]
    lines = [["function", "value", "shape", *dtypes], ["---", "---", "---", *("--:" for _ in dtypes)], *rows]
    given = [f".. autoclass:: {CLASSES[name].__name__}"] if name in CLASSES else []
    return TEXT.format(
        name=name,
        definition=_definition(name).replace("|", r"\|"),
        table="\n".join(f"| {' | '.join(line)} |" for line in lines),
        errors=MEASURED if dtypes else TO_TOLERANCE.format(tol=fm.Custom.tol),
        section=section,
        target=target,
        argument=f'`{_object(name)}`, its class, or its name, `"{name}"`' if name in CLASSES else f'`"{name}"`',
        functions="\n".join([*given, *(f".. autofunction:: {name}_{kind}" for kind in Functions._fields)]),
    )


def example(name: str) -> list[str]:
    """A call of a function such as relu_mean and what it prints, as in a Python session."""
    activation, kind = FUNCTIONS[name]
    own = {key: VALUES.get(key, parameter.default) for key, parameter in _parameters(activation).items()}
    given = [*map(repr, ARGUMENTS[kind]), *(f"{key}={value!r}" for key, value in own.items())]
    call, found = f"fm.{name}({', '.join(given)})", getattr(fm, name)(*ARGUMENTS[kind], **own)
    if not isinstance(found, tuple):
        return [f">>> print({call}.round(4))", str(found.round(4))]
    fields = {field: x.round(4).tolist() for field, x in found._asdict().items()}
    printed = "print({field: x.round(4).tolist() for field, x in found._asdict().items()})"
    return [f">>> found = {call}", f">>> {printed}", str(fields)]


def completed(docstring: str, name: str) -> str:
    """The docstring of a function of an activation with its measured error and its example."""
    activation, kind = FUNCTIONS[name]
    text = with_error(docstring, activation, RECORDED.get(kind, ()))
    return "\n".join([text, "", "Examples", "--------", *example(name)])


def with_error(docstring: str, judged: str, parts: tuple[str, ...]) -> str:
    """A docstring whose notes begin with the measured error of these parts, if there is a record of it."""
    text, title = inspect.cleandoc(docstring), "Notes\n-----\n"
    if judged not in RECORDED_NAMES or not parts:
        return text
    errors = " and ".join(f"{_error(judged, parts, dtype)} in {dtype}" for dtype in ("float64", "float32"))
    measured = f"Measured: at most {errors}, in eps (1 + cond)."
    return text.replace(title, f"{title}{measured}\n\n") if title in text else f"{text}\n\n{title}{measured}"


def _error(judged: str, parts: tuple[str, ...], dtype: str) -> str:
    """The largest error of all backends; what the tests hold the function to where none is recorded."""
    found = [
        error
        for key, error in RECORD.items()
        if key.startswith(f"{judged}/") and f"/{dtype}/" in key and key.split("/")[3] in parts
    ]
    return f"{max(found):.2g}" if found else f"< {PROMISED}"


def _parameters(activation: str) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(CLASSES[activation]).parameters) if activation in CLASSES else {}


def _object(name: str) -> str:
    parameters = (str(each.replace(annotation=each.empty)) for each in _parameters(name).values())
    return f"fm.{CLASSES[name].__name__}({', '.join(parameters)})"


def _definition(name: str) -> str:
    found = re.search(
        rf"^\s*{name}\(x\) = (?:{name}\(x\) = )?(.*?)\.\n\n", getattr(fm, f"{name}_mean").__doc__, re.S | re.M
    )
    assert found
    return found[1]


def _closed_forms(name: str) -> tuple[str, str]:
    """The section of the mathematics that speaks most of an activation, and its address."""
    counts = {
        section.split("\n")[0]: len(re.findall(rf"\b{name}\b", section, re.I))
        for section in MATHEMATICS.read_text().split("\n## ")[1:]
    }
    title = max(counts, key=lambda section: counts[section])
    if not counts[title]:
        return "Without a closed form", "../../mathematics.md#without-a-closed-form"
    anchor = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
    return title, f"../../mathematics/activations.md#{anchor}"


def _write(_: Sphinx) -> None:
    """Write the pages that are not there or have changed, and remove those of activations that are gone."""
    PAGES.mkdir(exist_ok=True)
    for path in set(PAGES.glob("*.md")) - {PAGES / f"{name}.md" for name in NAMES}:
        path.unlink()
    for name in NAMES:
        path, text = PAGES / f"{name}.md", page(name)
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def _complete(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    short = name.removeprefix("fastmoments.")
    if short in FUNCTIONS:
        lines[:] = completed("\n".join(lines), short).split("\n")
    if short in NORMAL:
        lines[:] = with_error("\n".join(lines), "bivariate_normal", NORMAL[short]).split("\n")


def setup(app: Sphinx) -> dict[str, Any]:
    """Pages before Sphinx reads, examples before numpydoc does; nothing is compiled for either."""
    fm.set_compilation("never")
    app.connect("builder-inited", _write)
    app.connect("autodoc-process-docstring", _complete, priority=300)
    return {"parallel_read_safe": True}
