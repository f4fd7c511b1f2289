"""Write docs/peers.md from benchmarks/results/peers.json."""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS, PAGE = ROOT / "benchmarks" / "results" / "peers.json", ROOT / "docs" / "peers.md"

TEXT = """# Beside others

Written by `make bench-peers`; do not edit. Error and time of every method on the same inputs, in one run: float64,
one thread, processor time, the shortest of many calls. Truth: 18 digits or more by integrals of the definition
(`tests/truth.py`, `benchmarks/pair_truth.py`). Approximations are implemented here from their papers
(`benchmarks/approximations.py`), and timed as NumPy expressions over all pairs at once.

Machine: {machine}.

## The covariance of two ReLUs

Variances 1, {relu} pairs a column. Largest absolute error for means between -3 and 3, by the
correlation; in the tail, means between -12 and -6 and correlations up to 0.9, the largest relative error.

{relu_table}

{relu_reading}

## A whole covariance matrix

ReLU, n = {n}; typical and strong correlations as on the [performance page](performance.md). Errors: the largest of
{checked} random pairs, over the product of their standard deviations.

{matrix_table}

{matrix_reading}

## The covariance of two GELUs

As the first table, {gelu} pairs a column. SciPy is `scipy.integrate.quad` over one neuron.

{gelu_table}

## The bivariate normal distribution function

P(X <= h, Y <= k), {cdf} points a column, as in the first table. botorch's `bvn` and SciPy's private
ufunc have rows where they are installed.

{cdf_table}

## What the methods are

* **quadrature, 20 nodes**: Kuang and Lin's exact formula, its integral over the correlation by Gauss-Legendre nodes
  in r, as their code has it. Exact for weak correlations; the integrand is singular at |rho| = 1.
* **SciPy**: one pair at a time, `multivariate_normal.cdf` in the textbook's formula. That subtracts the product of
  the means: what is small against it loses its digits.
* **DVI** (Wu et al. 2019): the logarithm of the integral to second order in the means.
* **series** (Wright et al. 2024): powers of the correlation, 3 or 5.
* **gain map**: covariance times both expected slopes, the first power alone.
* **linearisation**: covariance times both slopes at the mean.
* **zero-mean formula**: that of network_moments, for neurons of mean zero, at any mean.
* **Monte Carlo**: samples of the layer's input, drawing included.
"""


def page(results: dict[str, Any]) -> str:
    counts = results["counts"]
    return TEXT.format(
        machine=", ".join(f"{name} {value}" for name, value in results["machine"].items()),
        **counts,
        relu_table=_table(results["relu"]),
        relu_reading=_relu_reading(results["relu"]),
        matrix_table=_matrix_table(results["matrices"]),
        matrix_reading=_matrix_reading(results["matrices"]),
        gelu_table=_table(results["gelu"]),
        cdf_table=_table(results["cdf"]),
    )


def _table(found: dict[str, Any]) -> str:
    names = {"0.9": "up to 0.9", "0.99": "+-0.99", "0.9999": "+-0.9999", "1": "+-1", "tail": "tail, relative"}
    bands = {band: name for band, name in names.items() if band in found["fastmoments"]}
    lines = ["| method | " + " | ".join(bands.values()) + " | ns a pair |", "|---|" + "--:|" * (len(bands) + 1)]
    for name, row in found.items():
        shown = f"**{name}**" if name == "fastmoments" else name
        lines.append(f"| {shown} | " + " | ".join(_error(row[band]) for band in bands) + f" | {row['ns']:,.0f} |")
    return "\n".join(lines)


def _error(value: float | None) -> str:
    return "nan" if value is None else f"{value:.1e}" if value else "0"


def _relu_reading(found: dict[str, Any]) -> str:
    own, quadrature = found["fastmoments"], found["quadrature, 20 nodes"]
    approximate = {name: row for name, row in found.items() if row["0.9"] > 1e-6}
    best = min(approximate, key=lambda name: approximate[name]["0.9"])
    fastest = min(found, key=lambda name: found[name]["ns"])
    errors = {name: _error(quadrature[name]) for name in ("0.9", "0.9999")}
    ratio, cheapest = quadrature["ns"] / own["ns"], found[fastest]["ns"] / own["ns"]
    return f"""Up to 0.9 the quadrature is off by {errors["0.9"]} and takes {ratio:.2g} times as long; at 0.9999
it is off by {errors["0.9999"]}. The best approximation, {best}, is off by {_error(approximate[best]["0.9"])}.
The cheapest, the {fastest}, takes {cheapest:.2g} of fastmoments' time."""


def _matrix_table(found: dict[str, Any]) -> str:
    lines = ["| method | " + " | ".join(f"{data}: error | ms" for data in found) + " |", "|---|--:|--:|--:|--:|"]
    for name in next(iter(found.values())):
        cells = [f"{_error(rows[name]['error'])} | {rows[name]['ms']:.3g}" for rows in found.values()]
        shown = f"**{name}**" if name == "fastmoments" else name
        lines.append(f"| {shown} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _matrix_reading(found: dict[str, Any]) -> str:
    lines = []
    for data, rows in found.items():
        own = rows["fastmoments"]["ms"]
        ratios = {name: row["ms"] / own for name, row in rows.items() if name != "fastmoments"}
        faster = [name for name, ratio in ratios.items() if ratio < 1]
        least = min(ratios, key=lambda name: ratios[name])
        lines.append(
            f"* {data}: the others take {min(ratios.values()):.2g} ({least}) to {max(ratios.values()):,.0f} times "
            f"as long; {'faster: ' + ', '.join(faster) if faster else 'none is faster'}."
        )
    return "\n".join(lines)


def text() -> str:
    return page(json.loads(RESULTS.read_text()))


def write() -> Path:
    PAGE.write_text(text())
    return PAGE
