"""Write docs/peers.md from benchmarks/results/peers.json."""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS, PAGE = ROOT / "benchmarks" / "results" / "peers.json", ROOT / "docs" / "peers.md"

TEXT = """# Beside others

<!-- Written by `make bench-peers`; do not edit. -->

The tables show the error and the time of every method on equal inputs, in one run: float64, one thread, processor
time, the minimum over many calls. The truth has 18 digits or more, by integrals of the definition. The
approximations are implemented from their papers, and timed as NumPy expressions over all pairs at once.

Machine: {machine}.

## The covariance of two ReLUs

Each column has {relu} pairs with variances 1. The columns by correlation show the largest absolute error for means
between -3 and 3. The tail column shows the largest relative error for means between -12 and -6 and correlations up
to 0.9.

{relu_table}

{relu_reading}

## A whole covariance matrix

The activation is ReLU and n = {n}; the [performance page](performance.md) explains typical and strong correlations.
The error is the largest of {checked} random pairs, over the product of their standard deviations.

{matrix_table}

{matrix_reading}

## The covariance of two GELUs

The columns are those of the first table, with {gelu} pairs each. SciPy is `scipy.integrate.quad` over one neuron.

{gelu_table}

## The bivariate normal distribution function

The function is P(X <= h, Y <= k), and the columns are those of the first table, with {cdf} points each. botorch's
`bvn` and SciPy's private ufunc have rows if they are installed.

{cdf_table}

## Networks, in equal time

Three hidden layers of ReLUs, random weights, {seeds} networks of each kind, geometric means. A cell is the error of
the means over the output's standard deviation, that of the standard deviations, and milliseconds. Sobol points and
samples are as many, a power of two, as take no longer than fastmoments in the same run; they do not say how far off
they are, and `tol=` does. Points are drawn in that time; a sequence is scrambled before it.

{network_table}

{network_reading}

## What the methods are

* **quadrature, 20 nodes**: Kuang and Lin's exact formula, with Gauss-Legendre nodes in the correlation r as in
  their code. It is exact for weak correlations; the integrand is singular at |rho| = 1.
* **SciPy**: `multivariate_normal.cdf` in the textbook's formula, one pair at a time. The formula subtracts the
  product of the means, so that a covariance that is small beside it loses its digits.
* **DVI** (Wu et al. 2019): the logarithm of the integral to second order in the means.
* **series** (Wright et al. 2024): 3 or 5 powers of the correlation.
* **gain map**: the covariance times both expected slopes, which is the first power of the correlation.
* **linearisation**: the covariance times both slopes at the mean.
* **zero-mean formula**: the formula of network_moments for neurons of mean 0, used at any mean.
* **Monte Carlo**: samples of the layer's or the network's input; the time includes drawing them.
* **Owen's T**: the distribution function as a sum of Phi(h), Phi(k) and two values of T (Owen 1956), which
  cancel in the tail.
* **Sobol**: one sequence, mapped by the quantile function of the normal distribution; plain points are the second
  half of a power of two, which 0 is not among.
* **SUQ** (Li et al. 2025): values at the mean and variances by slopes, neuron by neuron, for certain weights. Its
  package 0.1.0 lacks a module and cannot be imported; this is its formula in NumPy.

pytagi 0.2.1, dynamax 1.0.3 and gaussx have no rows: pytagi's wheel needs an OpenMPI that was not there, dynamax
has no moments of activations, and gaussx is not on the package index.
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
        network_table=_network_table(results["networks"]),
        network_reading=_network_reading(results["networks"]),
    )


def _table(found: dict[str, Any]) -> str:
    names = {"0.9": "up to 0.9", "0.99": "+-0.99", "0.9999": "+-0.9999", "1": "+-1", "tail": "tail, relative"}
    bands = {band: name for band, name in names.items() if band in found["fastmoments"]}
    lines = ["| method | " + " | ".join(bands.values()) + " | ns per pair |", "|---|" + "--:|" * (len(bands) + 1)]
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


def _network_table(found: dict[str, Any]) -> str:
    lines = ["| method | " + " | ".join(found) + " |", "|---|" + "--:|" * len(found)]
    for name in next(iter(found.values())):
        cells = [_network_cell(rows[name]) for rows in found.values()]
        shown = f"**{name}**" if name.startswith("fastmoments") else name
        lines.append(f"| {shown} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _network_cell(row: dict[str, Any]) -> str:
    points = f", {row['points']:,.0f} points" if "points" in row else ""
    ms = float(f"{row['ms']:.2g}")
    return f"{100 * row['mean']:.2g}% / {100 * row['sd']:.2g}%, {ms:g} ms{points}"


def _network_reading(found: dict[str, Any]) -> str:
    """Where the closure is nearer to the truth than the best Sobol points in its time."""

    def worst(kind: str, *names: str) -> float:
        return min(max(found[kind][name]["mean"], found[kind][name]["sd"]) for name in names)

    sobol = [f"{name} Sobol, in the time of fastmoments" for name in ("plain", "scrambled")]
    better = [kind for kind in found if worst(kind, "fastmoments") < worst(kind, *sobol)]
    worse = [kind for kind in found if kind not in better]
    return (
        f"One pass is nearer to the truth than the Sobol points of its time for {_listed(better)}; "
        f"the points are nearer for {_listed(worse)}."
    )


def _listed(kinds: list[str]) -> str:
    return " and ".join(kinds) or "none"


def text() -> str:
    return page(json.loads(RESULTS.read_text()))


def write() -> Path:
    PAGE.write_text(text())
    return PAGE
