"""Writes the tables of docs/when_to_use.md, between their comments, from the results of the experiments.

usage: python tools/when_to_use.py
"""

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from experiments.answers_page import ENOUGH, worst  # noqa: E402 (the root is not installed)
from experiments.tables import percent, table  # noqa: E402

PAGE = ROOT / "docs" / "when_to_use.md"
ANSWERS = ROOT / "docs" / "experiments" / "answers.json"
CHOICE, DECISION, END = (f"<!-- {each} -->" for each in ("choice", "decision: tools/when_to_use.py", "end"))
WIDTH = 32  # of the networks of ANSWERS, or as many as inputs where those are more
INPUTS = ((1, 2), (8,), (32,), (128,))
ACTIVATIONS = (("relu", "gelu"), ("heaviside",))
# name in ANSWERS: inputs, width, variances, activation
OTHERS = {
    "residual": ("32", "32", (1.0,), "relu, residual"),
    "trained": ("8", "64", (0.1, 1.0), "relu, gelu, trained"),
    "He, 256 x 4": ("256", "256", (1.0,), "relu, 4 layers"),
    "He, 256 x 8": ("256", "256", (1.0,), "relu, 8 layers"),
}
CALLS = {"closure": "closure", "cumulants": "cumulants=True", "tol": f"tol={ENOUGH:g}"}


def choice() -> str:
    """Say what to use for random networks: a row per number of inputs, a column per activation and sd."""
    found = json.loads(ANSWERS.read_text())
    results, variances = found["results"], found["size"]["variances"]
    columns = [(activations, var) for activations in ACTIVATIONS for var in variances]
    rows = [
        [_names(inputs), *(f"`{CALLS[_use(_networks(results, kind, inputs, var))]}`" for kind, var in columns)]
        for inputs in INPUTS
    ]
    return table(["inputs", *(f"{', '.join(kind)}, sd {var**0.5:g}" for kind, var in columns)], rows)


def decision() -> str:
    """A row per kind of network: the largest error and time of every way, and the fastest that is close enough."""
    found = json.loads(ANSWERS.read_text())
    results, variances = found["results"], found["size"]["variances"]
    rows = [
        _row(
            (_names(inputs), str(max(WIDTH, *inputs)), (var,), ", ".join(activations)),
            _networks(results, activations, inputs, var),
        )
        for activations in ACTIVATIONS
        for inputs in INPUTS
        for var in variances
    ]
    rows += [_row(kind, [results[name]]) for name, kind in OTHERS.items()]
    ways = ["closure", "cumulants", CALLS["tol"], "Sobol points"]
    return table(["use", "inputs", "width", "variance (sd)", "activation", *ways], rows)


def _names(inputs: tuple[int, ...]) -> str:
    return " or ".join(map(str, inputs))


def _networks(
    results: dict[str, Any], activations: tuple[str, ...], inputs: tuple[int, ...], var: float
) -> list[dict[str, Any]]:
    return [results[f"{name}, {n} inputs, variance {var:g}"] for name in activations for n in inputs]


def _row(kind: tuple[str, str, tuple[float, ...], str], networks: list[dict[str, Any]]) -> list[str]:
    inputs, width, variances, activation = kind
    spread = " or ".join(f"{var:g} ({var**0.5:.2g})" for var in variances)
    cells = map(_cell, _ways(networks).values())
    return [f"**{_use(networks)}**", inputs, width, spread, activation, *cells, _points(networks)]


def _use(networks: list[dict[str, Any]]) -> str:
    """The fastest way with an error that is small enough on all networks."""
    return next((name for name, parts in _ways(networks).items() if max(map(worst, parts)) <= ENOUGH), "tol")


def _ways(networks: list[dict[str, Any]]) -> dict[str, list[dict[str, float]]]:
    """Results by way, the fastest first."""
    ways = {name: [each["single"][name] for each in networks] for name in ("closure", "cumulants")}
    return {**ways, "tol": [each["checked"][f"{ENOUGH:g}"] for each in networks]}


def _cell(parts: list[dict[str, float]]) -> str:
    unmet = "" if all(part.get("met", 1) == 1 for part in parts) else r" \*"
    return f"{percent(max(map(worst, parts)))}, {_ms(parts)}{unmet}"


def _ms(parts: list[dict[str, float]]) -> str:
    largest = max(part["ms"] for part in parts)
    return f"{float(f'{largest:.2g}'):,g}"


def _points(networks: list[dict[str, Any]]) -> str:
    """How many points of one sequence have a small enough error on all networks, and how long they take."""
    for count in networks[0]["Sobol"]:
        parts = [each["Sobol"][count] for each in networks if count in each["Sobol"]]
        if parts and max(map(worst, parts)) <= ENOUGH:
            return f"{int(count):,}, {_ms(parts)}"
    return "more"


def text() -> str:
    """The page with the current numbers."""
    page = PAGE.read_text()
    for begin, written in ((CHOICE, choice()), (DECISION, decision())):
        before, rest = page.split(begin)
        page = f"{before}{begin}\n\n{written}\n\n{END}{rest.split(END, 1)[1]}"
    return page


if __name__ == "__main__":
    PAGE.write_text(text())
