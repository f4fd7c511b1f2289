"""Checks of CONTRIBUTING's "Adding an activation": each lists, in plain words, the steps that are missing."""

import inspect
import json
import re
from dataclasses import MISSING, fields
from pathlib import Path

import numpy as np

import fastmoments as fm
from fastmoments.functions import Functions
from fastmoments_kernels.bind import Binding
from fastmoments_kernels.catalogue import CATALOGUE, row_of
from fastmoments_kernels.formulas import identity
from tests import conformance
from tests.rows import EXAMPLES, numbers

ROOT = Path(__file__).resolve().parents[1]
FORMULA = "kernels/fastmoments_kernels/formulas/{}.py"
ROWS = "kernels/fastmoments_kernels/catalogue.py"
# Beside the functions of identity.INTERFACE: f for whoever wants values, sup |f'| for the bounds of networks
ALSO = ("function", "lipschitz")
ALONG = ("mean_dparameters", "var_dparameters", "cov_dparameters")
# Pages that a person writes, and experiments that have a case for every activation
PAGES = ("README.md", "docs/mathematics/activations.md")
EXPERIMENTS = ("exactness", "stress")
X = np.linspace(-9.0, 9.0, 181)
# Over BESIDE f' changes by f'' BESIDE, and no f'' is near 100; where it breaks it changes by more than BEND
BESIDE, BEND = 1e-4, 1e-2


def without_which_nothing_runs(name):
    """Lines that say which file, row or function there has to be, or to be otherwise, before anything is judged."""
    file = FORMULA.format(name)
    lines = [] if (ROOT / file).exists() else [f"{file}: there is no such file"]
    if name not in [row.name for row in CATALOGUE]:
        return [*lines, f"{ROWS}: CATALOGUE has no row named {name!r}"]
    row = row_of(name)
    lines = [f"{file}: no function `{one}`: {_says(one)}" for one in _absent(row)]
    unset = [field.name for field in fields(row.activation) if field.default is MISSING]
    if unset and name not in EXAMPLES:
        lines.append(f"tests/rows.py: EXAMPLES has no values for {', '.join(unset)}, which have no defaults")
    return lines or [*_unbound(row), *_kinks(row)]


def _absent(row):
    """Functions that the formula has to supply, and does not."""
    needed = [*ALSO, *identity.INTERFACE, *(ALONG if fields(row.activation) else ())]
    needed += ["series_step"] if _is_own(row, "series") else []
    return [function for function in needed if not _is_own(row, function)]


def _is_own(row, function):
    """Whether the formula, or the family that it names, has a function of its own."""
    family = getattr(row.formula, "family", None)
    found = getattr(row.formula, function, getattr(family, function, None))
    return found is not None and found is not getattr(identity, function)


def _unbound(row):
    """List the errors of binding, which come before a compiler takes its time."""
    lines = set()
    for function in identity.interface_of(row.formula).values():
        try:
            Binding({})(function)
        except ValueError as error:
            lines.add(str(error))
    return sorted(lines)


def _kinks(row):
    """Truth is integrated between the kinks, and would not settle over one that is not named."""
    x = np.arange(-9.0, 9.0, BESIDE) + 0.1 * BESIDE
    with np.errstate(all="ignore"):
        below, at, above = (row.formula.function(x + side * BESIDE, *numbers(row.name)) for side in (-1, 0, 1))
    breaks = x[np.abs(above - 2.0 * at + below) > BEND * BESIDE]
    found = [point for point in breaks if not any(abs(point - kink) < 2 * BESIDE for kink in row.kinks)]
    return [f"{ROWS}: f or f' breaks near {found[0]:.3f}, which is not among the row's kinks"] if found else []


def left_out(name):
    """Lines about functions that an activation may leave out, and does: what then happens."""
    row = row_of(name)
    lines = [] if _is_own(row, "series") else ["`series` is left out: matrices go pair by pair, which takes longer"]
    return lines if _is_own(row, "route") else [*lines, "`route` is left out: all pairs are computed alike"]


def missing(name):
    """Lines that say what users would miss: names, modules, pages and figures."""
    row = row_of(name)
    return [*_names(row), *_modules(row), *_pages(row), *_figures(row)]


def _says(function):
    return inspect.getdoc(getattr(identity, function)).split("\n")[0]


def _names(row):
    file, kind = "fastmoments/__init__.py", row.activation.__name__
    absent = [] if getattr(fm, kind, None) is row.activation else [kind]
    absent += [f"{row.name}_{one}" for one in Functions._fields if not hasattr(fm, f"{row.name}_{one}")]
    return [f"{file}: no {', '.join(absent)}"] if absent else []


def _modules(row):
    """PyTorch's modules that compute the same numbers have to go by this activation."""
    import torch

    from tests.network_cases import ACTIVATIONS, activation_of

    with np.errstate(all="ignore"):
        want = row.formula.function(X, *numbers(row.name))
    lines = []
    for name, module in ACTIVATIONS.items():
        with torch.no_grad():
            same = np.allclose(module(torch.from_numpy(X)).numpy(), want, rtol=1e-9, atol=1e-9)
        found = activation_of(module)
        if same and type(found) is not row.activation:
            by = "quadrature" if isinstance(found, str | fm.Custom) else type(found).__name__
            file = "fastmoments/graph/frontends/torch_elementwise.py"
            lines.append(f"{file}: torch.nn.{name.partition('-')[0]} is the same function and goes by {by}")
    return lines


def _pages(row):
    named = re.compile(rf"\b{row.name}\b")
    return [f"{page}: does not name {row.name}" for page in PAGES if not named.search((ROOT / page).read_text())]


def _figures(row):
    known = {key.split("/")[1] for key in conformance.recorded() if key.startswith(f"{row.name}/")}
    absent = ", ".join(backend for backend in conformance.BACKENDS if backend not in known)
    lines = [f"tests/accuracy.json: no figures on {absent}: make accuracy names={row.name}"] if absent else []
    for name in EXPERIMENTS:
        measured = json.loads((ROOT / f"docs/experiments/{name}.json").read_text())
        if row.name not in measured["size"]["activations"]:
            lines.append(f"docs/experiments/{name}.md: no case of it: make experiments names={name}")
    return lines
