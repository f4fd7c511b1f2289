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
PAGES = "https://github.com/fastmoments/fastmoments/blob/main"


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def timed(target: dict[str, Any]) -> str:
    """A time beside what it is measured against."""
    return f"{ms(target['ms'])}, {target['ratio']:.2g} times {ms(target['reference_ms'])}"


def ms(value: float) -> str:
    return f"{float(f'{value:.2g}'):g} ms"


def table() -> str:
    """A table of speed, agreement and accuracy, each beside its comparison."""
    cpu, peers = read(RESULTS / "cpu.json"), read(RESULTS / "peers.json")
    targets = {target["what"]: target for target in cpu["targets"]}
    sampled = next(target for target in cpu["targets"] if target["reference"] == "20 Monte Carlo passes")
    quadrature = [
        ms(row["quadrature_ratio"] * row["two_products_ms"])
        for row in cpu["rows"]
        if (row["activation"], row["n"]) == ("relu", 1024)
    ]
    relu = {name: row["0.9999"] for name, row in peers["relu"].items()}
    near = min(relu[name] for name in ("DVI", "series, 5 terms", "series, 3 terms", "gain map"))
    worst = {
        dtype: max(error for key, error in read(ROOT / "tests" / "accuracy.json").items() if dtype in key)
        for dtype in ("float64", "float32")
    }
    rows = [
        (
            "covariance of 1024 ReLUs, beside the two matrix products of the linear layer before them",
            f"{timed(targets['relu_moments n=1024, typical'])}; "
            f"{timed(targets['relu_moments n=1024, strong'])} with strong correlations",
        ),
        ("the same by the published 20-node quadrature in NumPy", "; ".join(quadrature)),
        ("its gradient along means and covariances, beside it", timed(targets["relu_moments_vjp n=1024"])),
        ("a Bayesian network on 100,000 rows in one pass, beside 20 sampled passes", timed(sampled)),
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
    return "\n".join(
        ["| measured | |", "|---|---|", *(f"| {what} | {value} |" for what, value in rows), "", cards()]
    )


def cards() -> str:
    """Which cards have run the kernels."""
    runs = [read(path) for path in sorted(RESULTS.glob("*.json"))]
    names = sorted({run["card"] for run in runs if "card" in run})
    if names:
        return f"On CUDA: measured on {', '.join(names)} ([performance]({PAGES}/docs/performance.md#on-a-gpu))."
    return (
        "**No card has run the CUDA kernels yet** (PyTorch's CUDA tensors, CuPy). They are interpreted against\n"
        "the reference tables, and compiled for sm_80, sm_90 and sm_100. All the rest runs in the tests."
    )


def errors() -> str:
    """What a network's standard deviations are off by and the time, here and by others."""
    found = read(ANSWERS)["results"]
    kinds = {
        "few inputs": "three layers of 32, one or two inputs",
        "many inputs": "three layers, 32 or 128 inputs",
        "relu, 8 inputs, variance 0.01": "three layers of 32, eight inputs of sd 0.1",
        "trained": "trained on house prices, noisy inputs",
        "He, 256 x 8": "eight layers of 256",
    }
    ways = {
        "`propagate`": ("single", "closure"),
        "`cumulants=True`": ("single", "cumulants"),
        "`tol=0.01`": ("checked", "0.01"),
        "512 Sobol points": ("Sobol", "512"),
        "linearised": ("single", "linearised"),
    }
    rows = []
    for kind, name in kinds.items():
        cells = [found[kind][group][way] for group, way in ways.values()]
        shown = [f"{100 * cell['sd']:.2g}%, {ms(cell['ms'])}{_unmet(cell)}" for cell in cells]
        rows.append(f"| {name} | {' | '.join(shown)} |")
    head = [f"| error of the sd, time | {' | '.join(ways)} |", f"|---|{'--:|' * len(ways)}"]
    says = (
        f"Weights are random and inputs have sd 1, if nothing else is said "
        f"([measured]({PAGES}/docs/experiments/answers.md)). Points without `tol=` do not say how far off they are."
    )
    return "\n".join([*head, *rows, "", textwrap.fill(says, 115, break_long_words=False, break_on_hyphens=False)])


def _unmet(cell: dict[str, Any]) -> str:
    """What a checked answer says where it has not met its tolerance."""
    return " (says: not met)" if cell.get("met", 1.0) < 0.5 else ""


def text() -> str:
    """The README with the current numbers."""
    page = PAGE.read_text()
    for begin, section in ((ERRORS, errors()), (BEGIN, table())):
        before, rest = page.split(begin)
        page = f"{before}{begin}\n\n{section}\n\n{END}{rest.split(END, 1)[1]}"
    return page


if __name__ == "__main__":
    PAGE.write_text(text())
