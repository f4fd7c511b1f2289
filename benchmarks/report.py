"""Turn a pytest-benchmark file into benchmarks/results/cpu.json, and the page with it."""

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

from benchmarks import page

Results = dict[tuple[str, str | None, str | None, int | None], dict[str, Any]]


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


def main(path: Path) -> None:
    entries = list(rows(read(path)))
    reached = json.loads((path.parent / "targets.json").read_text())
    page.RESULTS.mkdir(exist_ok=True)
    results = page.RESULTS / "cpu.json"
    results.write_text(json.dumps({"machine": machine(), "targets": reached, "rows": entries}, indent=1) + "\n")
    print(page.table(entries))
    print(f"Written to {results} and {page.write()}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
