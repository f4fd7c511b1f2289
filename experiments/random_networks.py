"""Kuang and Lin's suite of random networks, and ReLU and GELU: KL divergence of five methods from sampling."""

from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

import fastmoments as fm
from experiments import networks
from experiments.figures import COLORS, panels
from experiments.methods import METHODS, UNSCENTED
from experiments.tables import factor, scientific, table

WEIGHTS = ("initialised", "trained")
VARIANCES = ("0.01", "1", "100")
OTHERS = tuple(name for name in METHODS if name != "fastmoments")
FULL = {
    "architectures": list(networks.ARCHITECTURES),
    "activations": list(networks.ACTIVATIONS),
    "repetitions": 20,
    "points": 2**16,
    "steps": 3000,
}
FAST = {"architectures": ["2x50"], "activations": ["sine", "relu"], "repetitions": 4, "points": 2**10, "steps": 20}
SEED = 1


def gaussian(mean: Any, var: Any) -> fm.Moments:
    return fm.Moments(np.array([float(mean)]), np.array([[float(var)]]))


def reference(network: networks.Network, x: torch.Tensor) -> tuple[fm.Moments, float]:
    """Moments over all repetitions (repetitions, points, 3), and the divergence that their own error causes."""
    y = torch.stack([networks.outputs(network, part) for part in x])
    means, variances = y.mean(1), y.var(1, correction=0)
    pooled = gaussian(means.mean(), variances.mean() + means.var(correction=0))
    single = [fm.compare.kl_divergence(gaussian(*part), pooled) for part in zip(means, variances, strict=True)]
    # one repetition is (R - 1) times as far from the mean of R as that mean is from the truth, on average
    return pooled, float(np.mean(single) / (len(x) - 1))


def rounding(network: networks.Network, x: torch.Tensor) -> float:
    """The divergence between float32 and float64 on the same points."""
    single, double = (networks.outputs(network, points) for points in (x, x.double()))
    found = (gaussian(y.mean(), y.var(correction=0)) for y in (double, single))
    return float(fm.compare.kl_divergence(*found))


@cache
def standard_normal(repetitions: int, points: int) -> torch.Tensor:
    return networks.sobol_normal(repetitions, points).float()


def measure(architecture: str, activation: str, is_residual: bool, weights: str, size: dict[str, Any]) -> Any:
    """KL(sampled Gaussian || method's) for the input variances."""
    torch.set_num_threads(1)
    network = networks.initialised(architecture, activation, is_residual, SEED)
    loss = 0.0
    if weights == "trained":
        network, loss = networks.trained(network, size["steps"], SEED)
    layers = network.layers()
    z = standard_normal(size["repetitions"], size["points"])
    found: dict[str, Any] = {"loss": loss} if weights == "trained" else {}
    for variance in VARIANCES:
        x = z * float(variance) ** 0.5
        truth, own_error = reference(network, x)
        mu, cov = np.zeros(networks.INPUTS), float(variance) * np.eye(networks.INPUTS)
        results = {name: method(layers, mu, cov) for name, method in METHODS.items()}
        divergences = {name: fm.compare.kl_divergence(truth, result) for name, result in results.items()}
        found[variance] = divergences | {"reference": own_error, "float32": rounding(network, x[0])}
    return found


def cases(size: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    every = product(size["architectures"], size["activations"], (False, True), WEIGHTS)
    return {_title(*case): partial(measure, *case, size) for case in every}


def _title(architecture: str, activation: str, is_residual: bool, weights: str) -> str:
    return f"{architecture} {activation}{' residual' if is_residual else ''} {weights}"


TEXT = """# Random networks

<!-- Written by `make experiments`; do not edit but in `experiments/random_networks.py`. -->

The suite of Kuang and Lin: networks with three inputs and one output, {architectures} (layers x neurons), X ~
N(0, v I) with v = 0.01, 1 and 100. Their paper reports Kullback-Leibler divergences up to a million times lower
than those of other methods. This page shows where that holds and where it does not.

![Divergence of each method against fastmoments', for three input variances](../figures/random_networks.png)

Each point is a network, with fastmoments' divergence on the horizontal axis and another method's on the vertical
one. Above the solid line fastmoments is closer; the dashed lines are a factor of a thousand and of a million.

## What comes out

{summary}

{by_variance}

The table: how many times larger the divergence is than fastmoments', as the median over the networks, with the
smallest and the largest; below 1 the other method is closer.

{by_activation}

This table shows the factors by activation, for the best of the other four methods in each case.

For small variances all methods but mean-field agree to leading order, and which is closest depends on the
network. Where fastmoments' divergence is large, in networks trained to pass through ten points above all, the input
of a layer is far from Gaussian, and the error is that of the closure, which exactness within a layer does not
reduce.

## How it was measured

Divergence: KL(P || Q) with P the Gaussian of the sampled mean and variance, Q the method's. Samples:
{repetitions} scramblings of {points:,} Sobol points, evaluated in float32; their scatter gives the divergence
that the sampling's own error amounts to (last column below), {own_largest} at most. Evaluating {points:,} of
the points in float64 instead moves the Gaussian by {rounding_median} (median) and {rounding_largest} at most.
Where fastmoments' divergence is below the sampling's own, a ratio is a lower bound.

Networks: one of each kind from a fixed seed. Weights N(0, 1 / fan-in), biases N(0, 1) for probit and uniform in
(-pi, pi) for sine, residual: identity around square layers, as in the paper's draft. "probit" in this table is
the draft's 2 Phi(x) - 1 = erf(x / sqrt(2)); `fm.Probit` elsewhere is Phi. ReLU and GELU are ours: weights N(0,
2 / fan-in), biases N(0, 1). "trained": AdamW at a rate of {rate}, at most {steps:,} steps, until ten standard
normal pairs (x, y) are learnt to a loss below {trained}; the draft takes a rate of 1e-5 for 30,000 steps and
more. {losses} {unscented} The draft sets kappa = 2 in both; for three inputs kappa = 0 is what the transform's
authors advise.

## Every case

{cases}
"""


def page(size: dict[str, Any], results: dict[str, Any]) -> str:
    """The text of the page."""
    rows = list(_rows(results))
    losses = [case["loss"] for case in results.values() if "loss" in case]
    float32 = [row["float32"] for _, _, row in rows]
    return TEXT.format(
        **{key: size[key] for key in ("repetitions", "points", "steps")},
        architectures=", ".join(size["architectures"]),
        summary=summary(rows),
        by_variance=table(
            ["KL, times fastmoments'", *OTHERS],
            (
                [f"v = {v}", *(_range([row for _, w, row in rows if w == v], name) for name in OTHERS)]
                for v in VARIANCES
            ),
        ),
        by_activation=table(
            ["best other, times fastmoments'", *(f"v = {v}" for v in VARIANCES)],
            (
                [f"{activation}{form}", *(_best(rows, activation, form, v) for v in VARIANCES)]
                for activation in size["activations"]
                for form in ("", " residual")
            ),
        ),
        own_largest=scientific(max(row["reference"] for _, _, row in rows)),
        rounding_median=scientific(np.median(float32)),
        rounding_largest=scientific(max(float32)),
        rate=scientific(networks.RATE),
        trained=scientific(networks.TRAINED),
        losses=f"The largest loss left is {scientific(max(losses))}.",
        unscented=UNSCENTED,
        cases=table(
            ["network", "v", *METHODS, "sampling's own"],
            ([title, v, *(scientific(row[name]) for name in (*METHODS, "reference"))] for title, v, row in rows),
        ),
    )


def _rows(results: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, float]]]:
    for title, case in results.items():
        for variance in VARIANCES:
            yield title, variance, case[variance]


def ratio(row: dict[str, float], name: str) -> float:
    """A method's divergence divided by fastmoments'."""
    return row[name] / max(row["fastmoments"], 1e-300)


def best_ratio(row: dict[str, float]) -> float:
    return min(ratio(row, name) for name in OTHERS)


def summary(rows: list[Any]) -> str:
    """The conclusions from the numbers."""
    best = np.array([best_ratio(row) for _, _, row in rows])
    each = [(ratio(row, name), name, title, v) for title, v, row in rows for name in OTHERS]
    finite = [found for found in each if np.isfinite(found[0])]
    largest, method, title, v = max(finite)
    counts = {power: (sum(found[0] >= power for found in each), int(np.sum(best >= power))) for power in (1e2, 1e6)}
    behind = [(v, row["fastmoments"]) for _, v, row in rows if best_ratio(row) < 1]
    where = ", ".join(f"{sum(w == v for w, _ in behind)} at v = {v}" for v in VARIANCES)
    unresolved = sum(row["fastmoments"] < 3 * row["reference"] for _, _, row in rows)
    return "\n".join(
        [
            f"* fastmoments is closest in {int(np.sum(best > 1))} of {len(rows)} cases; against the best of the "
            "other "
            f"four, chosen for every case, the median factor is {factor(np.median(best))}.",
            f"* Of {len(each)} comparisons with one method {counts[1e6][0]} have a factor of a million and more, "
            f"{counts[1e2][0]} of a hundred and more. The largest finite one is {factor(largest)}: {method}, "
            f"{title}, v = {v}. Against the best of the other four there are {counts[1e6][1]} and "
            f"{counts[1e2][1]} of "
            f"{len(rows)}.",
            f"* Another method is closer in {len(behind)} cases ({where}), whose divergences by fastmoments have "
            f"the median {scientific(np.median([d for _, d in behind] or [0.0]))} and reach "
            f"{scientific(max([d for _, d in behind] or [0.0]))} nats.",
            f"* In {unresolved} cases fastmoments' divergence is within three times the sampling's own error.",
        ]
    )


def _range(rows: list[dict[str, float]], name: str) -> str:
    ratios = [ratio(row, name) for row in rows]
    return f"{factor(np.median(ratios))} ({factor(min(ratios))} to {factor(max(ratios))})"


def _best(rows: list[Any], activation: str, form: str, variance: str) -> str:
    chosen = [best_ratio(row) for title, v, row in rows if _is_of(title, activation, form) and v == variance]
    return f"{factor(np.median(chosen))} ({factor(min(chosen))} to {factor(max(chosen))})"


def _is_of(title: str, activation: str, form: str) -> bool:
    return title.split(" ", 1)[1].rpartition(" ")[0] == f"{activation}{form}"


def draw(size: dict[str, Any], results: dict[str, Any], path: Path) -> None:
    """Draw every method against fastmoments, in a panel per input variance."""
    rows = list(_rows(results))
    ours, others = (_ends(rows, names) for names in (["fastmoments"], OTHERS))
    with panels(path, len(VARIANCES), (14, 5.4), sharex=True, sharey=True) as axes:
        for axis, variance in zip(axes, VARIANCES, strict=True):
            chosen = [row for _, v, row in rows if v == variance]
            for power, style in ((0, "-"), (3, "--"), (6, "--")):
                axis.plot(ours, ours * 10**power, style, color="#999999", lw=1)
            for name in OTHERS:
                x, y = ([row[key] for row in chosen] for key in ("fastmoments", name))
                axis.plot(x, y, "o", ms=5, alpha=0.75, mew=0, color=COLORS[name], label=name)
            axis.set(xscale="log", yscale="log", xlim=ours, ylim=others, xlabel="KL of fastmoments, nats")
            axis.set_title(f"input variance {variance}")
        axes[0].set_ylabel("KL of another method, nats")
        axes[1].legend(loc="lower right")


def _ends(rows: list[Any], names: Sequence[str]) -> Any:
    values = [row[name] for _, _, row in rows for name in names if 0 < row[name] < np.inf]
    return np.array([min(values) / 3, max(values) * 3])
