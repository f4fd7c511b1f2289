"""Writes the README's measured numbers, between its two comments, from the results in the repository.

usage: python tools/readme_figures.py
"""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "README.md"
BEGIN, END = "<!-- measured: tools/readme_figures.py -->", "<!-- end -->"
RESULTS = ROOT / "benchmarks" / "results"


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


def text() -> str:
    """The README with the current numbers."""
    before, rest = PAGE.read_text().split(BEGIN)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    PAGE.write_text(text())
