"""Writes docs/accuracy.md from tests/accuracy.json, and its figure.

usage: python tools/accuracy_page.py [--no-figure]
"""

import csv
import json
import sys
from pathlib import Path

from fastmoments_kernels.catalogue import CATALOGUE

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "tests" / "accuracy.json"
POINTS = ROOT / "tests" / "data" / "bivariate_normal.csv"
PAGE = ROOT / "docs" / "accuracy.md"
NORMAL = "bivariate_normal/"
BACKENDS = {
    "cpu": "cpu (Numba)",
    "eager": "eager, NumPy",
    "eager.on_torch": "eager, PyTorch",
    "xla": "xla (JAX)",
    "gpu": "gpu (Triton, interpreted)",
}
TEXT = """# Accuracy

<!-- Written by `make accuracy`; do not edit. -->

The tables show the largest errors over reference tables that were computed in 50 to 60 digits. They are in eps
of the dtype times (1 + cond), where cond is the condition number of the value; the contract is 8. The reference
tables have every activation and function, |rho| = 1, tails down to the smallest numbers, duplicates and mixed
scales. The tests recompute each number and fail if it is more than twice as large.

![Error of the covariance over h and rho](figures/accuracy.png)

The figure shows the relative error of Cov(f(X_1), f(X_2)) for two neurons of variance 1 and mean h, against 24
digits: for fastmoments, for SciPy (relu: its bivariate distribution function in the textbook's formula; gelu: its
adaptive quadrature over one neuron), and for the published 20-node quadrature in r. The red line of gelu lies along
a zero of its covariance.

## Largest error of each backend

{summary}

## Rows drawn after the formulas

Largest errors over more rows, whose pairs were drawn from another seed, in every regime, after the
formulas were written. Parameters have their defaults, and the truth is the integral of the activation's definition.
`-` stands for a backend that is not judged on these rows.

{unseen}

## Bivariate normal distribution

Largest errors of `fm.bivariate_normal_cdf`, its logarithm and its derivatives over
{rows} points with probabilities from {most:.3g} down to {least:.0e} and
correlations to within {nearest:.0e} of +-1. Separate tests judge |rho| = 1 and infinite limits.

{bivariate}

## What is not judged

Derivatives are not judged by a reference row without a condition number. There are two kinds of such rows, both at
exactly |rho| = 1: along cov_12 with equal standardised means, where a jump's derivative is infinite (0 is
returned); and where both neurons pass a kink within rounding of each other, so that the derivative has two values.
True zeros (the mean of gelu, the covariance of waves and bumps) have an infinite relative condition number; rows
near them count with it.

A mixture is a sum, and its condition number includes sum |terms| / |sum|.

## Where it falls short

* gelu, d_var_1, far out in the tail of neuron 2's noisy input and near the derivative's true zeros: the three terms
  of the closed form cancel there, while their condition number along the inputs stays small. Rare pairs, whose
  derivatives are nearly 0, exceed the bound.
* tau = 0 exactly: the second derivative of a gain along tau, and in float32 every second derivative along tau, is
  finite but wrong, because the formulas are written in sqrt(tau).

{tables}"""


def text() -> str:
    every = json.loads(RECORD.read_text())
    normal, unseen = (
        {key: error for key, error in every.items() if is_one(key)}
        for is_one in (lambda key: key.startswith(NORMAL), lambda key: key.endswith("/unseen"))
    )
    record = {key: error for key, error in every.items() if key not in normal and key not in unseen}
    functions = list(dict.fromkeys(key.split("/")[3] for key in record))
    names = [row.name for row in CATALOGUE]
    return TEXT.format(
        summary=_summary(record, names),
        unseen=_summary(unseen, names),
        bivariate=_by_function(normal),
        **_points(),
        tables=_tables(record, functions),
    )


def main() -> None:
    PAGE.write_text(text())
    if "--no-figure" not in sys.argv:
        import accuracy_figure

        accuracy_figure.write()


def _points() -> dict[str, float]:
    """The points on which the bivariate normal distribution is judged."""
    with POINTS.open() as file:
        rows = [(float(row["cdf"]), abs(float(row["rho"]))) for row in csv.DictReader(file)]
    values = [value for value, _ in rows]
    nearest = min(1 - rho for _, rho in rows if rho < 1)
    return {"rows": len(rows), "most": max(values), "least": min(v for v in values if v > 0), "nearest": nearest}


def _summary(record: dict[str, float], names: list[str]) -> str:
    """A table of activations by backends: the worst of all functions in either dtype."""
    return _by_backend(
        "activation", {name: {k: e for k, e in record.items() if k.startswith(f"{name}/")} for name in names}
    )


def _by_function(record: dict[str, float]) -> str:
    """A table of the bivariate normal's functions by backends."""
    functions = list(dict.fromkeys(key.split("/")[3] for key in record))
    return _by_backend(
        "function", {name: {k: e for k, e in record.items() if k.endswith(f"/{name}")} for name in functions}
    )


def _by_backend(title: str, records: dict[str, dict[str, float]]) -> str:
    """A line per record, with the worst of each backend and dtype."""
    lines = [f"| {title} | " + " | ".join(f"{name}, f64 | f32" for name in BACKENDS.values()) + " |"]
    lines.append("|---|" + "--:|" * 2 * len(BACKENDS))
    for name, record in records.items():
        cells = [_worst(record, f"/{backend}/{dtype}/") for backend in BACKENDS for dtype in ("float64", "float32")]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _worst(record: dict[str, float], part: str) -> str:
    found = [error for key, error in record.items() if part in key]
    return f"{max(found):.2f}" if found else "-"


def _tables(record: dict[str, float], functions: list[str]) -> str:
    """A table per dtype, of activations by functions: the worst of all backends."""
    parts = []
    for dtype in ("float64", "float32"):
        parts += [f"## Every function, {dtype}, largest error of all backends\n"]
        parts += ["| activation | " + " | ".join(functions) + " |", "|---|" + "--:|" * len(functions)]
        for row in CATALOGUE:
            errors = [
                [record.get(f"{row.name}/{backend}/{dtype}/{function}", 0.0) for backend in BACKENDS]
                for function in functions
            ]
            parts.append(f"| {row.name} | " + " | ".join(f"{max(found):.2f}" for found in errors) + " |")
        parts.append("")
    return "\n".join(parts)


if __name__ == "__main__":
    main()
