"""Write docs/performance.md from benchmarks/results: what the CPU's and the cards' runs measured."""

import json
from pathlib import Path
from typing import Any

from benchmarks.gpu_section import section
from benchmarks.targets import table as target_table

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"

PAGE = ROOT / "docs" / "performance.md"

TEXT = """# Performance

Written by `make bench` and `make gpu-bench`; do not edit. On the CPU: one thread, float64, random data, minimum of
many calls, everything in the same run; processor time, in which other processes on the machine do not count.

Machine: {machine}.

## Figures to reach

{targets}

Typical and strong are explained below; the network has Gaussian weights and NPN activations. What limits them, and
what fell short:

* **relu, typical**: squares of pairs stay in registers from reading rho to writing K and its mirror image, with as
  many terms as the square's largest |rho| asks for. "One term" is the same matrix with correlations so weak that
  one serves: its share of the time is what reading, choosing the terms, transposing and writing take.
* **n = 4096 over a copy**: the upper triangle is read, it and its mirror image are written, the latter by columns
  of tiles. Lines to be written are asked for ahead. Stores that pass the caches by would spare reading them: they
  need rows that begin with a line of the caches, which NumPy's arrays do not have.
* **backward over forward**: both stay in registers. The backward pass sums five series, one a derivative, where the
  forward sums one; it reads and writes more and, since the series of derivatives converge later, takes more terms.
* **float32**: what does not depend on the width of numbers stays: choosing the terms and transposing, square by
  square, the neurons (in float64) and the call.
* **two threads** share the memory and, on virtual machines, the core.
* **bivariate_normal_cdf** keeps full relative accuracy in every tail; owens_t is absolute. Points of one route and
  of one number of nodes are computed together, as vectors. Beside finding the route, sorting and moving, the time
  goes to Phi(h), Phi(k), and an exponential and half a division a node.
* **calls from PyTorch**: beside the kernel's own time the call is Python: dtypes, devices, shapes and variances are
  looked at, memory is handed over and results are allocated.
* **the network**: its three products a layer stay in registers, and the activation takes a vector of float32 at a
  time. "Without activations" is the same network with linear layers alone.

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

{gpu}"""


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


def text() -> str:
    cpu = json.loads((RESULTS / "cpu.json").read_text())
    return TEXT.format(
        machine=", ".join(f"{name} {value}" for name, value in cpu["machine"].items()),
        targets=target_table(cpu["targets"]),
        table=table(cpu["rows"]),
        pairs=cpu["rows"][0]["scipy_pairs_timed"],
        gpu=section(RESULTS),
    )


def write() -> Path:
    PAGE.write_text(text())
    return PAGE


if __name__ == "__main__":
    print(write())
