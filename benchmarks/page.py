"""Write docs/performance.md from benchmarks/results, the measurements of the CPU's and the cards' runs."""

import json
from pathlib import Path
from typing import Any

from benchmarks.gpu_section import cards, section
from benchmarks.targets import table as target_table

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"

PAGE = ROOT / "docs" / "performance.md"

TEXT = """# Performance

<!-- Written by `make bench` and `make gpu-bench`; do not edit. -->

On one thread of a CPU, the mean and covariance of 8 ReLUs in PyTorch take {small:.2g} us, those of 1024 ReLUs take
{large:.2g} ms, and those of a network 784-1024-1024-10 in float32 take {network:.2g} ms; [](when_to_use.md) has
small networks. {cards} [On a GPU](#on-a-gpu), at the end of this page, says what is known of them.

Times are processor times, which exclude other processes: the minimum over many calls, all in one run, on random
data, in float64 if nothing else is said. The first call in a process [may take longer](howto/first_call.md).

Machine: {machine}.

## Against the goals

A row has a time, the time it is compared with ("over"), and their ratio. "Goal" is the ratio that the project set
itself; a larger one fell short of it. n is the number of neurons. The covariance of a pair of neurons is a series
in their correlation: "13 terms a pair" says how many terms it took on average. "Two products" are those of the
linear layer before the activation: their time changes by a factor of up to two with the kernels that OpenBLAS
chooses for a processor, that of a copy, in the second table, does not. "9 us each" is a time that was set, on a
processor that takes .4 (vectors of float64) to .7 (products, SciPy) of the time of the one named here.

{targets}

The data "typical" and "strong" are explained below. The network has Gaussian weights and NPN activations. The notes
say what limits each time, and what fell short:

* **relu, typical**: a patch of pairs stays in registers from the reading of rho to the writing of K and its
  transpose. It takes the number of terms that its largest |rho| needs. "One term" is the time for a matrix with
  correlations so weak that one term is enough: the time to read, to choose the terms, to transpose and to write.
* **strong correlations, low ranks**: eight pairs take a multiply and a multiply-add for a term, which is what a
  core with two such units does in one cycle. For n = 64, strong, two fifths of the time are spent so, a sixth on
  coefficients of up to 341 orders; choosing terms, copying, the neurons and the call take a tenth each or less.
  A patch of 64 pairs takes the terms that all but its few strongest need. These take the formula: in batches and
  large matrices listed, sorted by route and computed as vectors, 25 to 55 ns each; in a small matrix one by one,
  150 ns and more. For 16 neurons of rank 4 a quarter of the time is spent on the series, a sixth on coefficients
  (half of each vector is empty), a tenth on neurons, the rest on the formula, lists and the choice of terms.
* **relu_cov**: a third of the time is spent on the pair's features and on sorting pairs by their number of nodes.
* **n = 4096 over a copy**: the kernel reads the upper triangle, and writes it and its transpose, the latter by
  columns of tiles. Results of 64 MiB and more are written past the caches, so that their lines are not read first,
  where every row begins at a cache line: in arrays that fastmoments allocates, such as an earlier result given as
  `out`, and not in NumPy's own, where vectors are stored across two lines.
* **backward over forward**: both stay in registers. The backward pass sums five series, one per derivative, by
  six operations a term where the forward pass takes two, and more terms, because the derivatives' series
  converge later: half of its time for n = 1024. The other half is reading and writing: it adds both triangles
  of the gradient.
* **float32**: some costs do not depend on the width of numbers: the choice of terms and the transposes, patch by
  patch, the neurons (in float64), and the call.
* **two threads** share the memory and, on virtual machines, the core.
* **bivariate_normal_cdf** is accurate relative to the result in every tail; owens_t is accurate absolutely. Points
  of one route and one number of nodes are computed together, as vectors. The time is spent on finding routes,
  sorting and moving, on Phi(h) and Phi(k), and on an exponential and half a division per node.
* **calls on 8 neurons**: moments are one call of a ufunc, in which NumPy broadcasts and allocates three results in
  1 us. About 4 us are Python code that looks at dtypes, devices and shapes, and PyTorch takes .6 us for each tensor
  that becomes an array and each array that becomes a tensor. The kernel itself takes 2.5 us for one neuron: the
  coefficients and limits of 48 orders, and memory.
* **layers of few neurons**: a product, the mean of both triangles and the limits of rounding are computed matrix by
  matrix in registers and the first cache level, and the result is written once. What is left is memory for results,
  whose pages the system hands out anew for every call, and in residual layers the activation.
* **the network**: the three products of a layer stay in registers, and the activation is computed on vectors of
  float32. "Without activations" is the time of the network with linear layers alone.

### Tried for what fell short

* **Strong correlations.** Pairs beyond the series computed as vectors in the order in which they are found: 145
  ns a pair, as one by one, because a vector takes the routes of all its pairs. Sorted by route, which serves: 25
  to 55. Other prices of the formula, from 1,000 to 8,000 terms of a pair: at most 10 % either way. Choosing the
  terms by looking at one correlation after the other: a tenth of the time of 16 x 16. The series in w = rho / (1 +
  sqrt(1 - rho^2)) would need 79 terms where rho = .9 takes 350, but its coefficients come from those in rho with a
  loss of .38 digits a term. Not built, because the count of instructions says that they gain little: small terms in
  float32 (6 cycles for 8, in half of the terms), and a series for a single pair (its coefficients would have to be
  transposed, which takes as long as computing them).
* **Calls.** Memory passed by addresses through ctypes instead of Numba's dispatcher: 1.25 us for .60. A ufunc
  takes less than both with the allocation of results, and serves.
* **Memory.** Past the caches for one of both triangles only: slower. Rows that begin between two lines, by masks:
  as slow as without. Prefetching the next tile: no change.
* **Backward.** Horner's rule for all five sums: ten operations a term for six. Flushing small numbers to zero
  by the processor's mode: not portable; powers of weak correlations, which became subnormal after some hundred
  terms at ten times the price, are dropped instead. For one matrix of 8 neurons half of the time are NumPy's
  calls, and a fifth one vector of pairs of several routes.

## Beside other ways

{table}

* **two products**: `A @ cov @ A.T`, n x n each, of the linear layer before the activation. The ratios are over this
  time.
* **20-node quadrature**: the published formula, Gauss-Legendre in r, vectorised in NumPy over all pairs.
* **SciPy**: `multivariate_normal.cdf` for one pair at a time, timed on {pairs} pairs and scaled to
  all n (n - 1) / 2.
* **typical**: a wide random linear layer, correlations of a few 1/sqrt(n). **strong**: one common factor,
  |rho| spread over 0 to .95.
* **limited by**, for the column of fastmoments: "the call" if the function takes more than half of the time on one
  neuron, "memory" if a copy of the n x n matrix does, else "arithmetic". The shares are in brackets. The quadrature
  is limited by 20 exponentials per pair and 20 passes over n x n temporaries, SciPy by a Python call per pair.

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
    ms = {target["what"]: target["ms"] for target in cpu["targets"]}
    return TEXT.format(
        small=ms["relu_moments, 8 neurons in PyTorch, no gradient, 1000 calls"],  # ms for 1000 calls: us for one
        large=ms["relu_moments n=1024, typical"],
        network=ms["propagate, MLP 784-1024-1024-10, float32"],
        cards=cards(RESULTS),
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
