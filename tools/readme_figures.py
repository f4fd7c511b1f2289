"""Writes the README's measured numbers, between its comments, from the results in the repository.

usage: python tools/readme_figures.py
"""

import json
import textwrap
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "README.md"
BEGIN, END = "<!-- measured: tools/readme_figures.py -->", "<!-- end -->"
ERRORS = "<!-- errors: tools/readme_figures.py -->"
RESULTS = ROOT / "benchmarks" / "results"
ANSWERS = ROOT / "docs" / "experiments" / "answers.json"


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def table() -> str:
    """A table of speed, agreement and accuracy, each beside its comparison."""
    cpu, peers = read(RESULTS / "cpu.json"), read(RESULTS / "peers.json")
    ratios = {target["what"]: target["ratio"] for target in cpu["targets"]}
    sampled = next(target["ratio"] for target in cpu["targets"] if target["reference"] == "20 Monte Carlo passes")
    typical, strong = (
        next(row for row in cpu["rows"] if (row["activation"], row["data"], row["n"]) == ("relu", data, 1024))
        for data in ("typical", "strong")
    )
    relu = {name: row["0.9999"] for name, row in peers["relu"].items()}
    near = min(relu[name] for name in ("DVI", "series, 5 terms", "series, 3 terms", "gain map"))
    worst = {
        dtype: max(error for key, error in read(ROOT / "tests" / "accuracy.json").items() if dtype in key)
        for dtype in ("float64", "float32")
    }
    rows = [
        (
            "covariance of 1024 ReLUs, over the two matrix products of the linear layer before them",
            f"{ratios['relu_moments n=1024, typical']:.3g}; "
            f"{ratios['relu_moments n=1024, strong']:.3g} with strong correlations",
        ),
        (
            "the published 20-node quadrature in NumPy, over these products",
            f"{typical['quadrature_ratio']:.3g}; {strong['quadrature_ratio']:.3g}",
        ),
        ("gradient along means and covariances, over the covariance", f"{ratios['relu_moments_vjp n=1024']:.3g}"),
        ("a Bayesian network in one pass, over 20 sampled passes", f"{sampled:.2g}"),
        (
            "covariance of two ReLUs at correlations of 0.9999, largest error",
            f"{relu['fastmoments']:.0e}; the quadrature {relu['quadrature, 20 nodes']:.0e}, "
            f"published approximations from {near:.0e} on",
        ),
        (
            "all activations, functions and backends against reference tables, worst error in eps (1 + cond)",
            f"{worst['float64']:.1f} in float64, {worst['float32']:.1f} in float32; promised are 8",
        ),
    ]
    return "\n".join(["| measured | |", "|---|---|", *(f"| {what} | {value} |" for what, value in rows)])


def errors() -> str:
    """What a network's error is without a tolerance and with it."""
    found = read(ANSWERS)["results"]
    kinds = {
        "few inputs": "one or two inputs",
        "many inputs": "many",
        "trained": "trained on house prices, inputs noisy",
    }
    closed, asked = (
        [f"{100 * part['sd']:.2g}%" for part in parts]
        for parts in zip(
            *((found[kind]["single"]["closure"], found[kind]["checked"]["0.01"]) for kind in kinds), strict=True
        )
    )
    few, many, trained = (f"{error} ({name})" for error, name in zip(closed, kinds.values(), strict=True))
    return textwrap.fill(
        f"Every layer is exact, a network of several is not: its standard deviations are off by {few}, {many} or "
        f"{trained}. With `tol=0.01` points through the network check the answer, and it says how far off it is: "
        f"{asked[0]}, {asked[1]} and {asked[2]} there ([measured](docs/experiments/answers.md)).",
        115,
        break_long_words=False,
        break_on_hyphens=False,
    )


def text() -> str:
    """The README with the current numbers."""
    page = PAGE.read_text()
    for begin, section in ((ERRORS, errors()), (BEGIN, table())):
        before, rest = page.split(begin)
        page = f"{before}{begin}\n\n{section}\n\n{END}{rest.split(END, 1)[1]}"
    return page


if __name__ == "__main__":
    PAGE.write_text(text())
