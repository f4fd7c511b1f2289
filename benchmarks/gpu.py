"""The figures to reach on a card: ratios of two timings of one run, and the accuracy of the timed functions.

usage: python -m benchmarks.gpu       writes benchmarks/results/<card>-<date>.json, and docs/performance.md from it
       python -m benchmarks.gpu --into FOLDER       writes FOLDER/<card>-<date>.json alone
"""

import argparse
import datetime
import json
import re
import sys
from collections.abc import Callable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import torch

import fastmoments as fm
from benchmarks import baselines
from benchmarks.gpu_parts import ROOT, attempted, in_process, write
from fastmoments_kernels.bind import bind
from fastmoments_kernels.eager import on_torch

Tensor = Any
Call = Callable[[], Any]

RESULTS = ROOT / "benchmarks" / "results"

ACCURATE = ("relu", "heaviside", "gelu", "npn")  # the activations whose errors stand beside the timings


class Sizes(NamedTuple):
    """Neurons of a matrix; batch and neurons of small ones; rows and neurons of a layer."""

    matrix: int = 8192
    batch: tuple[int, int] = (8192, 64)
    layer: tuple[int, int] = (8192, 4096)


SIZES = Sizes()


class Figure(NamedTuple):
    """A ratio of two timings, the ratio to reach, and a function that makes the two calls."""

    what: str
    reference: str
    goal: float
    make: Callable[[Sizes, str], tuple[Call, Call]]


def typical(n: int, dtype: torch.dtype, device: str) -> tuple[Tensor, Tensor]:
    """Mean and covariance after a wide random linear layer: |rho| is a few 1/sqrt(n)."""
    random = torch.Generator(device).manual_seed(n)
    weight = torch.randn(n, n, generator=random, dtype=dtype, device=device)
    cov = weight @ weight.mT / n
    return _means(cov, random), 0.5 * (cov + cov.mT)


def strong(n: int, dtype: torch.dtype, device: str) -> tuple[Tensor, Tensor]:
    """One common factor with random loadings and signs: |rho| spreads over 0 to .95."""
    random = torch.Generator(device).manual_seed(n)
    loading, sigma = torch.rand(2, n, generator=random, dtype=dtype, device=device)
    loading, sigma = 0.95**0.5 * (2.0 * loading - 1.0), 0.5 + 1.5 * sigma
    rho = torch.outer(loading, loading).fill_diagonal_(1.0)
    cov = rho * torch.outer(sigma, sigma)
    return _means(cov, random), cov


def _means(cov: Tensor, random: torch.Generator) -> Tensor:
    draws = torch.randn(len(cov), generator=random, dtype=cov.dtype, device=cov.device)
    return draws * cov.diagonal().sqrt()


def over_copy(data: Callable[..., Any], dtype: torch.dtype) -> Callable[[Sizes, str], tuple[Call, Call]]:
    """Relu's moments divided by reading and writing the matrix once."""

    def make(sizes: Sizes, device: str) -> tuple[Call, Call]:
        mu, cov = data(sizes.matrix, dtype, device)
        out = torch.empty_like(cov)
        return lambda: fm.relu_moments(mu, cov), lambda: out.copy_(cov)

    return make


def batched(sizes: Sizes, device: str) -> tuple[Call, Call]:
    batch, n = sizes.batch
    random = torch.Generator(device).manual_seed(n)
    root = torch.randn(batch, n, n, generator=random, device=device) / n**0.5
    mu, cov = torch.randn(batch, n, generator=random, device=device), root @ root.mT
    out = torch.empty_like(cov)
    return lambda: fm.relu_moments(mu, cov), lambda: out.copy_(cov)


def composed(mu: Tensor, cov: Tensor) -> tuple[Tensor, Tensor]:
    """Relu's moments by the same formula in torch operations."""
    formula = on_torch.functions("relu", mu.dtype).formula
    var = cov.diagonal()
    one, two = (formula.neuron(*x, ()) for x in ((mu[:, None], var[:, None]), (mu[None, :], var[None, :])))
    pairs = formula.cov(one, two, cov, 64 * len(mu) * torch.finfo(mu.dtype).eps)
    own = torch.eye(len(mu), dtype=torch.bool, device=mu.device)
    return formula.mean(one)[:, 0], torch.where(own, formula.var(one), pairs)


def over_compiled(sizes: Sizes, device: str) -> tuple[Call, Call]:
    mu, cov = typical(sizes.matrix, torch.float32, device)
    compiled = torch.compile(composed)
    return lambda: fm.relu_moments(mu, cov), lambda: compiled(mu, cov)


def quadrature(library: str) -> Callable[..., Any]:
    """The published quadrature of 20 nodes, compiled by a library."""
    numbers = {"NODES": baselines.NODES.tolist(), "WEIGHTS": baselines.WEIGHTS.tolist()}
    if library == "torch":
        by_torch = numbers | {"np": torch, "ndtr": torch.special.ndtr}
        return torch.compile(bind(baselines.relu_pairs, by_torch))
    import jax
    import jax.numpy as jnp

    return jax.jit(bind(baselines.relu_pairs, numbers | {"np": jnp, "ndtr": jax.scipy.special.ndtr}))


def compiler() -> str:
    """The library that compiles the quadrature: jax if it has the card, else torch."""
    try:
        import jax

        jax.devices("gpu")
    except (ImportError, RuntimeError):
        return "torch"
    return "jax"


def over_published(sizes: Sizes, device: str) -> tuple[Call, Call]:
    mu, cov = typical(sizes.matrix, torch.float32, device)

    # in the call's first run, which is not timed: where it fails, ours is still measured
    @cache
    def prepared() -> Call:
        library = compiler()
        jitted = quadrature(library)
        if library == "torch":
            return lambda: jitted(mu, cov)
        import jax

        arrays = [jax.numpy.from_dlpack(x) for x in (mu, cov)]
        # events are torch's: the host waits for jax
        return lambda: jax.block_until_ready(jitted(*arrays))

    return lambda: fm.relu_moments(mu, cov), lambda: prepared()()


def over_product(dtype: torch.dtype) -> Callable[[Sizes, str], tuple[Call, Call]]:
    """A layer of Gaussian weights with NPN behind it, divided by one product of its size."""

    def make(sizes: Sizes, device: str) -> tuple[Call, Call]:
        rows, n = sizes.layer
        random = torch.Generator(device).manual_seed(n)
        mu, weight = (torch.randn(k, n, generator=random, device=device) for k in (rows, n))
        var, spread = (torch.rand(k, n, generator=random, device=device) for k in (rows, n))
        arguments = [x.to(dtype) for x in (mu, var, weight / n**0.5, spread / n)]
        return lambda: fm.bayes_linear_marginals(
            *arguments, activation="npn"
        ), lambda: arguments[0] @ arguments[2].mT

    return make


COPY = "copy of the matrix"
FIGURES = [
    Figure("relu_moments float32, typical", COPY, 1.3, over_copy(typical, torch.float32)),
    Figure("relu_moments float64, typical", COPY, 1.6, over_copy(typical, torch.float64)),
    Figure("relu_moments float32, |rho| over 0-.95", COPY, 3.0, over_copy(strong, torch.float32)),
    Figure("relu_moments float32", "torch.compile of the same formula", 0.2, over_compiled),
    Figure("relu_moments float32", "20-node quadrature, jitted", 0.1, over_published),
    Figure("relu_moments float32, 8192 of n=64", "copy of the matrices", 1.5, batched),
    Figure("npn layer of Gaussian weights, bfloat16", "one torch product", 3.2, over_product(torch.bfloat16)),
    Figure("npn layer of Gaussian weights, float32", "one torch product", 3.2, over_product(torch.float32)),
]


def median(call: Call) -> float:
    """Milliseconds of a call, with a cold second-level cache."""
    from triton.testing import do_bench

    found: float = do_bench(call, return_mode="median")
    return found


def measure(
    figure: Figure, sizes: Sizes = SIZES, device: str = "cuda", time: Callable[[Call], float] = median
) -> dict[str, Any]:
    """The times of both calls; `failed` has the errors of those that have none."""
    row: dict[str, Any] = {key: getattr(figure, key) for key in ("what", "reference", "goal")}
    errors: list[str] = []
    calls = attempted(lambda: figure.make(sizes, device), errors, "data") or ()
    names = ("ms", "fastmoments"), ("reference_ms", figure.reference)
    for (key, who), call in zip(names, calls, strict=False):
        row[key] = attempted(lambda call=call: time(call), errors, who)
    if not errors:
        return row | {"ratio": row["ms"] / row["reference_ms"]}
    return row | {"failed": "; ".join(errors)}


def accuracy(name: str) -> dict[str, float]:
    """The worst error over the tables by dtype, in eps (1 + cond), of the elementwise functions."""
    from fastmoments_kernels.catalogue import row_of
    from tests import conformance

    errors = conformance.errors(row_of(name), "gpu")
    return {
        dtype: max(worst.error for key, worst in errors.items() if f"/{dtype}/" in key)
        for dtype in conformance.DTYPES
    }


def versions() -> dict[str, str]:
    """Return the versions that the run depends on; call it in a process of its own: JAX stays on the card."""
    found = {"quadrature by": compiler(), "cuda": str(torch.version.cuda), "python": sys.version.split()[0]}
    for name in ("torch", "triton", "jax", "numba", "numpy", "fastmoments"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def compute(part: str) -> dict[str, Any]:
    """One part of a run: "versions", the number of a figure, or the activation of whose errors it is."""
    if part == "versions":
        return versions()
    return measure(FIGURES[int(part)]) if part.isdigit() else accuracy(part)


def run(path: Path, found: dict[str, Any]) -> dict[str, Any]:
    """Complete the results part by part, and write them after each."""
    found |= {"versions": in_process("benchmarks.gpu", "versions"), "rows": [], "accuracy": {}}
    write(path, found)
    for number, figure in enumerate(FIGURES):
        kept = {key: getattr(figure, key) for key in ("what", "reference", "goal")}
        found["rows"].append(kept | in_process("benchmarks.gpu", str(number)))
        write(path, found)
        print(found["rows"][-1], flush=True)
    for name in ACCURATE:
        found["accuracy"][name] = in_process("benchmarks.gpu", name)
        write(path, found)
        print(name, found["accuracy"][name], flush=True)
    return found


def main(given: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", type=Path, default=RESULTS, help="the folder of the results")
    parser.add_argument("--part", help="compute one part and print it")
    options = parser.parse_args(given)
    if not torch.cuda.is_available():
        sys.exit(
            "make gpu-bench: no CUDA device, and figures are measured or not given. make gpu-check needs none."
        )
    if options.part:
        print(json.dumps(compute(options.part)))
        return
    card, date = torch.cuda.get_device_name(), datetime.date.today().isoformat()
    major, minor = torch.cuda.get_device_capability()
    path = options.into / f"{re.sub(r'[^a-z0-9]+', '-', card.lower())}-{date}.json"
    run(path, {"card": card, "architecture": f"sm_{major}{minor}", "date": date})
    print(f"Written to {path}")
    if options.into == RESULTS:
        from benchmarks import page  # needs what timing on the CPU needs

        print(f"Written to {page.write()}")


if __name__ == "__main__":
    main()
