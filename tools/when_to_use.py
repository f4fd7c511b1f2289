"""Writes the decision table of docs/when_to_use.md, between its comments, from the results of the experiments.

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
BEGIN, END = "<!-- decision: tools/when_to_use.py -->", "<!-- end -->"
WIDTH = 32  # of the networks of ANSWERS, or as many as inputs where those are more
INPUTS = ((1, 2), (8,), (32,), (128,))
ACTIVATIONS = (("relu", "gelu"), ("heaviside",))
# name in ANSWERS: inputs, width, variance, activation
OTHERS = {
    "residual": ("32", "32", "1", "relu, residual"),
    "trained": ("8", "64", "0.1 or 1", "relu, gelu, trained"),
    "He, 256 x 4": ("256", "256", "1", "relu, 4 layers"),
    "He, 256 x 8": ("256", "256", "1", "relu, 8 layers"),
}


def decision() -> str:
    """A row per kind of network: the largest error and time of every way, and the fastest that is close enough."""
    found = json.loads(ANSWERS.read_text())
    results, variances = found["results"], found["size"]["variances"]
    rows = [
        _row(
            (" or ".join(map(str, inputs)), str(max(WIDTH, *inputs)), f"{var:g}", ", ".join(activations)),
            [results[f"{name}, {n} inputs, variance {var:g}"] for name in activations for n in inputs],
        )
        for activations in ACTIVATIONS
        for inputs in INPUTS
        for var in variances
    ]
    rows += [_row(kind, [results[name]]) for name, kind in OTHERS.items()]
    tol = f"tol={ENOUGH:g}"
    return table(
        ["inputs", "width", "variance", "activation", "use", "closure", "cumulants", tol, "Sobol points"], rows
    )


def _row(kind: tuple[str, ...], networks: list[dict[str, Any]]) -> list[str]:
    ways = {name: [each["single"][name] for each in networks] for name in ("closure", "cumulants")}
    ways["tol"] = [each["checked"][f"{ENOUGH:g}"] for each in networks]
    use = next((name for name, parts in ways.items() if max(map(worst, parts)) <= ENOUGH), "tol")
    return [*kind, f"**{use}**", *map(_cell, ways.values()), _points(networks)]


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
    before, rest = PAGE.read_text().split(BEGIN)
    return f"{before}{BEGIN}\n\n{decision()}\n\n{END}{rest.split(END, 1)[1]}"


if __name__ == "__main__":
    PAGE.write_text(text())
