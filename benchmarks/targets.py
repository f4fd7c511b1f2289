"""The figures to reach: each a ratio of two timings taken in turn in one run, on random data, after warm-up."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from tqdm import tqdm

import fastmoments as fm
from benchmarks import calls, counts, few
from benchmarks.calls import BATCH, PERCEPTRON, SMALL, Call
from benchmarks.data import DATA
from fastmoments_kernels.cpu.series import BASE

SECONDS = 3.0  # seconds for each ratio


class Target(NamedTuple):
    """A ratio of two timings, the ratio to reach, its limit in words, and a function that makes the two calls.

    A time in seconds may stand for the second call. The limit names, in braces, numbers of `counts` and the shares
    of the time that the calls of `parts` take, which are timed with the two.
    """

    what: str
    reference: str
    goal: float
    limit: str
    make: Callable[[], tuple[Call, Call | float]]
    clock: Callable[[], float] = time.process_time
    counts: Callable[[], dict[str, float]] = dict
    parts: Callable[[], dict[str, Call]] = dict


def terms(name: str, data: str, n: int = 1024) -> Callable[[], dict[str, float]]:
    """The average number of terms of a pair's series in float64 and float32, and the share of pairs by formula."""

    def count() -> dict[str, float]:
        layer = DATA[data](n)
        single, _ = counts.series_terms(name, layer.mu.astype(np.float32), layer.cov.astype(np.float32))
        double, by_formula = counts.series_terms(name, layer.mu, layer.cov)
        return {"terms": double, "terms_32": single, "by_formula": by_formula}

    return count


CALL = "arguments looked at in Python, results allocated, the kernel's own microseconds"
SERIES = (
    "{terms:.0f} terms a pair, a multiply and a multiply-add each; one term takes {rest:.0%} of the time: reading, "
    "choosing, writing"
)
MATRICES = (
    f"{calls.needed(PERCEPTRON):.0%} of the products' multiplications, for what is symmetric is mirrored, and the "
    "activations"
)


FEW = "relu_moments of the 32 x 32 takes {activation:.0%} of the time, a copy of the result {copy:.0%}"


def typical(name: str, goal: float) -> Target:
    """An activation's moments at the correlations behind a wide random layer."""
    timed, rest = calls.against_products(name, "typical"), calls.with_one_term(name, 1024)
    what = f"{name}_moments n=1024, typical"
    return Target(what, "two products", goal, SERIES, timed, counts=terms(name, "typical"), parts=rest)


TARGETS = [
    typical("relu", 0.03),
    Target(
        "relu_moments n=1024, strong",
        "two products",
        0.15,
        "{terms:.0f} terms a pair; {by_formula:.1%} of the pairs by quadrature",
        calls.against_products("relu", "strong"),
        counts=terms("relu", "strong"),
    ),
    *(
        Target(
            f"relu_moments n={n}, strong",
            "two products",
            goal,
            "{terms:.0f} terms a pair; {by_formula:.1%} of the pairs by quadrature",
            calls.against_products("relu", "strong", n),
            counts=terms("relu", "strong", n),
        )
        for n, goal in ((64, 1.0), (256, 0.2))
    ),
    *(
        Target(
            f"relu_moments, {BATCH} of n={n}, rank {rank}",
            f"{limit} ns a pair",
            1.0,
            "a patch of 64 pairs takes the terms that all but its few strongest need",
            calls.low_rank(n, rank, limit),
        )
        for n, rank, limit in ((32, 8, 8), (16, 4, 15))
    ),
    *(
        Target(
            f"relu_cov, 10^6 pairs, abs(rho) {least:g} to {most:g}",
            "30 ns each",
            1.0,
            "features of two neurons, sorting by the number of nodes, 6 to 24 exponentials",
            calls.covariances(least, most, 30),
        )
        for least, most in ((0, 0.3), (0.3, 0.8), (0.8, 0.95), (0.95, 1))
    ),
    Target(
        "relu_moments n=4096, typical",
        "copy of n x n",
        1.5,
        "reading one triangle and writing two, into the arrays of an earlier result: one term takes {rest:.0%} of "
        "the time; {terms:.0f} terms a pair of n=1024",
        calls.against_copy,
        counts=terms("relu", "typical"),
        parts=calls.with_one_term("relu", 4096),
    ),
    *(typical(name, 0.06) for name in ("probit", "gelu", "heaviside", "npn", "sin", "cos")),
    Target(
        "relu_moments_vjp n=1024",
        "forward",
        2.5,
        "five sums over the series where the forward has one, more terms, more bytes",
        calls.backward,
    ),
    Target(
        "relu_moments n=1024, float32",
        "float64",
        0.6,
        "{terms_32:.1f} terms a pair for {terms:.1f}, half the bytes; as many steps to choose terms and to "
        "transpose, the same call",
        calls.single,
        counts=terms("relu", "typical"),
    ),
    Target(
        "relu_moments n=4096, two threads",
        "one",
        0.6,
        "memory shared by both",
        calls.two_threads,
        time.perf_counter,
    ),
    Target(
        "bivariate_normal_cdf, 10^6 points",
        "owens_t",
        0.3,
        "{nodes:.1f} nodes a point, an exponential each; sorting by their number",
        calls.bivariate,
        counts=lambda: {"nodes": counts.quadrature_nodes(*calls.points())},
    ),
    Target(
        f"relu_moments, {BATCH} of n={SMALL}",
        "Python loop",
        0.2,
        f"coefficients of each neuron, {BASE} for {SMALL - 1} partners",
        calls.batch,
    ),
    Target(
        f"affine_moments, {few.BATCH} of {few.INPUTS} -> {few.NEURONS}",
        "A @ cov @ A.T",
        2.0,
        "both products, the mean of both triangles, the limits in one pass; a copy of the result takes {copy:.0%}",
        few.affine,
        parts=few.copied,
    ),
    *(
        Target(what, f"{limit} us each", 1.0, FEW, make, parts=few.residual_of_activation)
        for what, limit, make in (
            (f"residual_moments with C, {few.BATCH} of {few.INPUTS} -> {few.NEURONS}", 9, few.residual),
            (f"propagate, network 8-32-1 with a skip connection, {few.BATCH} inputs", 12, few.house),
        )
    ),
    Target(
        "NPN network [64, 32], 100k rows, float32",
        "one torch pass",
        1.0,
        "three products a layer, {products:.0%} of the time without activations; exponentials, quotients and roots "
        "of these",
        calls.network(1),
        parts=lambda: {"products": calls.moments_of_network(None)},
    ),
    Target("the same", "20 Monte Carlo passes", 0.06, "the same", calls.network(20)),
    Target(
        "propagate, MLP 784-1024-1024-10, float32", "its products A cov A^T", 1.0, MATRICES, calls.perceptron(1)
    ),
    Target("the same, two threads", "the same, two threads", 1.0, MATRICES, calls.perceptron(2), time.perf_counter),
    *(
        Target(
            f"relu_{name}, 8 neurons in {how}, 1000 calls",
            f"{us} us each",
            1.0,
            CALL,
            calls.thousand(name, us, how),
        )
        for name, limits in (("mean", (3, 5, 40)), ("moments", (4, 8, 40)))
        for us, how in zip(limits, calls.HOW, strict=True)
    ),
]


def measure(target: Target) -> dict[str, Any]:
    """The minima of both, timed in turn: other processes only add time. Parts run with the caches of the whole."""
    ours, reference = target.make()
    parts = target.parts()
    timed: list[tuple[str, Call]] = []
    for name, call in ({"ours": ours} | parts).items():
        timed += [(name, call)] if isinstance(reference, float) else [(name, call), ("reference", reference)]
    best = dict.fromkeys((name for name, _ in timed), np.inf)
    for _, call in timed:
        call()
    end, rounds = time.monotonic() + SECONDS, 0
    while time.monotonic() < end or rounds < 3:
        for name, call in timed:
            start = target.clock()
            call()
            best[name] = min(best[name], target.clock() - start)
        rounds += 1
    shares = {name: best[name] / best["ours"] for name in parts}
    over = reference if isinstance(reference, float) else best["reference"]
    kept = {"what": target.what, "reference": target.reference, "goal": target.goal}
    kept["limit"] = target.limit.format(**target.counts(), **shares)
    return kept | {"ms": 1e3 * best["ours"], "reference_ms": 1e3 * over, "ratio": best["ours"] / over}


def table(entries: list[dict[str, Any]]) -> str:
    lines = [
        "| what | ms | over | ms | **ratio** | goal | limited by |",
        "|---|--:|---|--:|--:|--:|---|",
    ]
    for e in entries:
        lines.append(
            f"| {e['what']} | {e['ms']:.3g} | {e['reference']} | {e['reference_ms']:.3g} "
            f"| **{e['ratio']:.3g}** | {e['goal']:g} | {e['limit']} |"
        )
    return "\n".join(lines)


def main() -> None:
    fm.set_num_threads(1)
    torch.set_num_threads(1)
    with threadpool_limits(1):
        entries = [measure(target) for target in tqdm(TARGETS, unit="ratio")]
    print(table(entries))
    Path(".benchmarks/targets.json").write_text(json.dumps(entries, indent=1))


if __name__ == "__main__":
    main()
