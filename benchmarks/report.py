"""Turn a pytest-benchmark file into benchmarks/results/cpu.json and docs/performance.md."""

import datetime
import json
import os
import platform
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np  # noqa: F401  (loads the BLAS, which threadpoolctl then finds)
from threadpoolctl import threadpool_info

from benchmarks.targets import table as target_table

ROOT = Path(__file__).resolve().parents[1]
Results = dict[tuple[str, str | None, str | None, int | None], dict[str, Any]]

PAGE = """# Performance

Written by `make bench`; do not edit. One thread, float64, random data, minimum of many calls, everything in the
same run; processor time, in which other processes on the machine do not count.

Machine: {machine}.

## Figures to reach

{targets}

Typical and strong are explained below; the network has Gaussian weights and NPN activations. What fell short:

* **relu, typical**: about a third is the series (15.5 terms a pair, a multiply and a multiply-add each: at the
  limit of two four-wide units a cycle), a third reading, standardising and writing both triangles, the rest the
  features of 1024 neurons and the call. Eight-wide units would halve the first.
* **n = 4096 over a copy**: not bound by memory here: 8.4 million pairs take 28 ms of arithmetic and transposition
  at the rates measured at n = 1024. Asking for cache lines ahead of reading and writing changed nothing.
* **float32**: the matrices' terms and bytes are halved, the features (in float64) and the call are not.
* **two threads** share the memory and, on virtual machines, the core.
* **bivariate_normal_cdf** keeps full relative accuracy in every tail, with 24 nodes in one or two panels and both
  terms' exponents; owens_t is absolute. Fewer nodes for weak correlations would serve the CPU and cost array
  libraries, which evaluate every route, the sum of all.
* **the network**: its elementary functions are float64 whatever the arrays'. The products take a tenth of the time.

## Beside other ways

{table}

* **two products**: `A @ cov @ A.T`, n x n each, of the linear layer before the activation; the ratios are to
  this.
* **20-node quadrature**: the published formula, Gauss-Legendre in r, vectorised in NumPy over all pairs.
* **SciPy**: `multivariate_normal.cdf` for one pair at a time, timed on {pairs} pairs and scaled to
  all n (n - 1) / 2.
* **typical**: a wide random linear layer, correlations of a few 1/sqrt(n). **strong**: one common factor,
  |rho| spread over 0 to .95.
* **limited by**, of the fastmoments column: "the call" if the same function on one neuron takes more than
  half as long, "memory" if copying the n x n matrix does, otherwise "arithmetic". The shares are in brackets.
  The quadrature is limited by its 20 exponentials a pair and as many passes over n x n temporaries, SciPy by
  a Python call a pair.
"""


def machine() -> dict[str, str]:
    cpuinfo = Path("/proc/cpuinfo")
    names = [
        line.split(":", 1)[1].strip()
        for line in (cpuinfo.read_text().splitlines() if cpuinfo.exists() else [])
        if line.startswith("model name")
    ]
    blas = [lib for lib in threadpool_info() if lib["user_api"] == "blas"]
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": str(os.cpu_count()),
        "python": platform.python_version(),
        "numpy": version("numpy"),
        "scipy": version("scipy"),
        "numba": version("numba"),
        "blas": f"{blas[0]['internal_api']} {blas[0]['version']}" if blas else "unknown",
        "date": datetime.date.today().isoformat(),
    }


def read(path: Path) -> Results:
    results: Results = {}
    for entry in json.loads(path.read_text())["benchmarks"]:
        name = entry["name"].split("[")[0].removeprefix("test_")
        params = entry["params"] or {}
        key = (name, params.get("activation"), params.get("data"), params.get("n"))
        results[key] = {"ms": 1e3 * entry["stats"]["min"], **entry["extra_info"]}
    return results


def rows(results: Results) -> Iterator[dict[str, Any]]:
    for (name, activation, data, n), result in results.items():
        if name != "fastmoments" or n is None:
            continue
        products = results["two_products", None, None, n]["ms"]
        call = results["call", activation, None, None]["ms"] / result["ms"]
        copy = results["copy", None, None, n]["ms"] / result["ms"]
        scipy = results["scipy_sample", activation, data, None]
        scipy_pair = scipy["ms"] / scipy["pairs"]
        yield {
            "activation": activation,
            "data": data,
            "n": n,
            "plan": result["plan"],
            "two_products_ms": products,
            "fastmoments_ms": result["ms"],
            "fastmoments_ratio": result["ms"] / products,
            "quadrature_ratio": results["quadrature", activation, data, n]["ms"] / products,
            "scipy_pairs_timed": scipy["pairs"],
            "scipy_us_per_pair": 1e3 * scipy_pair,
            "scipy_ratio_scaled": scipy_pair * n * (n - 1) / 2 / products,
            "call_share": call,
            "copy_share": copy,
            "limited_by": "the call" if call > 0.5 else "memory" if copy > 0.5 else "arithmetic",
        }


def table(entries: list[dict[str, Any]]) -> str:
    lines = [
        "| activation | data | n | two products, ms | fastmoments, ms | **fastmoments, ratio** "
        "| 20-node quadrature, ratio | SciPy, us a pair | SciPy, ratio (scaled) | limited by |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    for e in entries:
        limit = f"{e['limited_by']} (call {e['call_share']:.0%}, copy {e['copy_share']:.0%})"
        lines.append(
            f"| {e['activation']} | {e['data']} | {e['n']} | {e['two_products_ms']:.3g} "
            f"| {e['fastmoments_ms']:.3g} | **{e['fastmoments_ratio']:.3g}** | {e['quadrature_ratio']:.3g} "
            f"| {e['scipy_us_per_pair']:.0f} | {e['scipy_ratio_scaled']:,.0f} | {limit} |"
        )
    return "\n".join(lines)


def main(path: Path) -> None:
    host, entries = machine(), list(rows(read(path)))
    text = table(entries)
    described = ", ".join(f"{name} {value}" for name, value in host.items())
    results = ROOT / "benchmarks" / "results" / "cpu.json"
    results.parent.mkdir(exist_ok=True)
    reached = json.loads((path.parent / "targets.json").read_text())
    results.write_text(json.dumps({"machine": host, "targets": reached, "rows": entries}, indent=1) + "\n")
    page = ROOT / "docs" / "performance.md"
    page.parent.mkdir(exist_ok=True)
    page.write_text(
        PAGE.format(
            machine=described, targets=target_table(reached), table=text, pairs=entries[0]["scipy_pairs_timed"]
        )
    )
    print(text)
    print(f"Written to {results.relative_to(ROOT)} and {page.relative_to(ROOT)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
