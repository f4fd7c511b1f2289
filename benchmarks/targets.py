"""The figures to reach: each a ratio of two timings taken in turn in one run, on random data, after warm-up."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.special import owens_t
from threadpoolctl import threadpool_limits
from tqdm import tqdm

import fastmoments as fm
from benchmarks.data import DATA

Call = Callable[[], Any]

SECONDS = 3.0  # for each ratio


class Target(NamedTuple):
    """What is timed over what, the ratio to reach, what limits it, and a function that makes the two calls.

    Instead of the second call there may be a time, in seconds.
    """

    what: str
    reference: str
    goal: float
    limit: str
    make: Callable[[], tuple[Call, Call | float]]
    clock: Callable[[], float] = time.process_time


def against_products(name: str, data: str) -> Callable[[], tuple[Call, Call]]:
    """An activation's moments over the two products of the linear layer before it."""

    def make() -> tuple[Call, Call]:
        layer, moments = DATA[data](1024), getattr(fm, f"{name}_moments")
        out = np.empty_like(layer.mu), np.empty_like(layer.cov)
        return (
            lambda: moments(layer.mu, layer.cov, out=out),
            lambda: layer.weight @ layer.cov_in @ layer.weight.T,
        )

    return make


def against_copy() -> tuple[Call, Call]:
    layer = DATA["typical"](4096)
    out = np.empty_like(layer.mu), np.empty_like(layer.cov)
    return lambda: fm.relu_moments(layer.mu, layer.cov, out=out), lambda: np.copyto(out[1], layer.cov)


def backward() -> tuple[Call, Call]:
    layer, rng = DATA["typical"](1024), np.random.default_rng(0)
    bars = rng.normal(size=1024), rng.normal(size=(1024, 1024))
    return (
        lambda: fm.relu_moments_vjp(layer.mu, layer.cov, *bars),
        lambda: fm.relu_moments(layer.mu, layer.cov),
    )


def single() -> tuple[Call, Call]:
    layer = DATA["typical"](1024)
    mu, cov = layer.mu.astype(np.float32), layer.cov.astype(np.float32)
    return lambda: fm.relu_moments(mu, cov), lambda: fm.relu_moments(layer.mu, layer.cov)


def two_threads() -> tuple[Call, Call]:
    layer = DATA["typical"](4096)
    out = np.empty_like(layer.mu), np.empty_like(layer.cov)

    def on(threads: int) -> None:
        fm.set_num_threads(threads)
        fm.relu_moments(layer.mu, layer.cov, out=out)
        fm.set_num_threads(1)

    return lambda: on(2), lambda: on(1)


def bivariate() -> tuple[Call, Call]:
    rng = np.random.default_rng(0)
    h, k, rho = *rng.normal(size=(2, 10**6)), rng.uniform(-1, 1, 10**6)
    return lambda: fm.bivariate_normal_cdf(h, k, rho), lambda: owens_t(h, k)


def batch() -> tuple[Call, Call]:
    rng = np.random.default_rng(0)
    root = rng.normal(size=(4096, 16, 16)) / 4
    mu, cov = rng.normal(size=(4096, 16)), root @ np.swapaxes(root, -1, -2)
    return lambda: fm.relu_moments(mu, cov), lambda: [fm.relu_moments(m, c) for m, c in zip(mu, cov, strict=True)]


def network(passes: int) -> Callable[[], tuple[Call, Call]]:
    """Mean and variance of a three-layer NPN network with Gaussian weights, over deterministic torch passes."""

    def make() -> tuple[Call, Call]:
        rng, sizes = np.random.default_rng(0), (16, 64, 32, 1)
        x = rng.normal(size=(100_000, 16)).astype(np.float32)
        means = [rng.normal(size=(m, n)).astype(np.float32) / np.sqrt(np.float32(n)) for n, m in layers(sizes)]
        variances = [np.full_like(mean, 0.01) for mean in means]
        tensors, rows = [torch.from_numpy(mean) for mean in means], torch.from_numpy(x)

        def analytic() -> None:
            mu, var = x, np.zeros_like(x)
            for i, (mean, spread) in enumerate(zip(means, variances, strict=True)):
                mu, var = fm.bayes_linear_marginals(mu, var, mean, spread, activation="npn" if i < 2 else None)

        def deterministic() -> None:
            y = rows
            for i, weight in enumerate(tensors):
                y = y @ weight.T
                y = 1 - 2 * torch.exp(-0.5 * y * y) if i < 2 else y

        def sampled() -> None:
            for _ in range(passes):
                deterministic()

        return analytic, sampled

    return make


def layers(sizes: tuple[int, ...]) -> list[tuple[int, int]]:
    """Inputs and outputs of each layer."""
    return list(zip(sizes[:-1], sizes[1:], strict=True))


def perceptron(threads: int) -> Callable[[], tuple[Call, Call]]:
    """A Gaussian through a torch network, full covariance, over the products A cov A^T of its linear layers."""

    def make() -> tuple[Call, Call]:
        rng, sizes = np.random.default_rng(0), (784, 1024, 1024, 10)
        relu, linear = torch.nn.ReLU, [torch.nn.Linear(n, m) for n, m in layers(sizes)]
        model = torch.nn.Sequential(linear[0], relu(), linear[1], relu(), linear[2]).requires_grad_(False)
        factors = [rng.normal(size=(n, 2 * n)) / np.sqrt(2 * n) for n in sizes[:-1]]
        covs = [torch.tensor(factor @ factor.T, dtype=torch.float32) for factor in factors]
        mu = torch.tensor(rng.normal(size=sizes[0]), dtype=torch.float32)

        def on_threads(call: Call) -> None:
            torch.set_num_threads(threads)
            fm.set_num_threads(threads)
            call()
            fm.set_num_threads(1)
            torch.set_num_threads(1)

        def products() -> None:
            for layer, cov in zip(linear, covs, strict=True):
                layer.weight @ cov @ layer.weight.T

        return (
            lambda: on_threads(lambda: fm.nn.propagate(model, mu, covs[0])),
            lambda: on_threads(products),
        )

    return make


def calls(name: str, microseconds: float, with_gradient: bool) -> Callable[[], tuple[Call, float]]:
    """A thousand calls on eight neurons in PyTorch, forward, over what they may take."""

    def make() -> tuple[Call, float]:
        layer, function = DATA["typical"](8), getattr(fm, f"relu_{name}")
        mu, cov = (torch.from_numpy(x).requires_grad_(with_gradient) for x in (layer.mu, layer.cov))
        second = cov if name == "moments" else cov.diagonal().detach().clone()

        def thousand() -> None:
            for _ in range(1000):
                function(mu, second)

        return thousand, 1e-3 * microseconds

    return make


CALL = "arguments looked at in Python, results allocated, the kernel's own microseconds"
SERIES = "a multiply and a multiply-add a term and pair; two thirds are reading, choosing terms and writing"
MATRICES = "three quarters of the products, whose second halves are mirrored, and the activations"
TARGETS = [
    Target("relu_moments n=1024, typical", "two products", 0.03, SERIES, against_products("relu", "typical")),
    Target(
        "relu_moments n=1024, strong",
        "two products",
        0.15,
        "terms of the series, about 100 a pair; pairs beyond by quadrature",
        against_products("relu", "strong"),
    ),
    Target(
        "relu_moments n=4096, typical",
        "copy of n x n",
        1.5,
        "reading one triangle, writing two: each line written is read first, which a copy spares",
        against_copy,
    ),
    *(
        Target(f"{name}_moments n=1024, typical", "two products", 0.06, SERIES, against_products(name, "typical"))
        for name in ("probit", "gelu", "heaviside", "npn", "sin", "cos")
    ),
    Target(
        "relu_moments_vjp n=1024",
        "forward",
        2.5,
        "eight operations a term where the forward has two, more terms, twice the bytes",
        backward,
    ),
    Target(
        "relu_moments n=1024, float32",
        "float64",
        0.6,
        "half the terms and bytes; as many steps to choose terms and to transpose, the same call",
        single,
    ),
    Target("relu_moments n=4096, two threads", "one", 0.6, "memory shared by both", two_threads, time.perf_counter),
    Target(
        "bivariate_normal_cdf, 10^6 points",
        "owens_t",
        0.3,
        "6 to 24 exponentials a point, nine on average; sorting by their number",
        bivariate,
    ),
    Target(
        "relu_moments, 4096 of n=16", "Python loop", 0.2, "coefficients of each neuron, 48 for 15 partners", batch
    ),
    Target(
        "NPN network [64, 32], 100k rows, float32",
        "one torch pass",
        1.0,
        "three products; three exponentials, four quotients and two roots a neuron",
        network(1),
    ),
    Target("the same", "20 Monte Carlo passes", 0.06, "the same", network(20)),
    Target("propagate, MLP 784-1024-1024-10, float32", "its products A cov A^T", 1.0, MATRICES, perceptron(1)),
    Target("the same, two threads", "the same, two threads", 1.0, MATRICES, perceptron(2), time.perf_counter),
    *(
        Target(f"relu_{name}, 8 neurons in PyTorch, {how}, 1000 calls", f"{limit} us each", 1.0, CALL, make)
        for name in ("mean", "moments")
        for how, limit, make in (
            ("no gradient", 6, calls(name, 6, False)),
            ("with gradient", 40, calls(name, 40, True)),
        )
    ),
]


def measure(target: Target) -> dict[str, Any]:
    """Minima of both, in turn: other processes only ever add time."""
    timed = target.make()
    best = [given if isinstance(given, float) else np.inf for given in timed]
    pending = [(i, call) for i, call in enumerate(timed) if not isinstance(call, float)]
    for _, call in pending:
        call()
    end, rounds = time.monotonic() + SECONDS, 0
    while time.monotonic() < end or rounds < 3:
        for i, call in pending:
            start = target.clock()
            call()
            best[i] = min(best[i], target.clock() - start)
        rounds += 1
    ratio = best[0] / best[1]
    kept = {key: getattr(target, key) for key in ("what", "reference", "goal", "limit")}
    return kept | {"ms": 1e3 * best[0], "reference_ms": 1e3 * best[1], "ratio": ratio}


def table(entries: list[dict[str, Any]]) -> str:
    lines = [
        "| what | ms | over | ms | **ratio** | to reach | limited by |",
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
