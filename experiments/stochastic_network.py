"""Neurons that fire at random: moments of a network's output against a million of its runs."""

from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import norm

import fastmoments as fm
from experiments import networks
from experiments.figures import COLORS, panels
from experiments.methods import Layers
from experiments.tables import factor, percent, scientific, table
from fastmoments.compare import Affine, Residual

VARIANCES = (0.0, 1.0, 100.0)
FULL = {"architectures": list(networks.ARCHITECTURES), "replicates": 16, "samples": 2**16}
FAST = {"architectures": ["2x50"], "replicates": 4, "samples": 2**9}
SEED = 1
BINS = 80
COLUMNS = ("fastmoments", "mean-field", "neurons' noise ignored")


def layers_of(network: networks.Network, activation: Any) -> Layers:
    """The network of neurons 2 B - 1, B = 1 with probability Phi(x), as layers of B or of its mean."""
    *hidden, last = (A.numpy() for A in network.weights)
    biases = [np.zeros(len(hidden[0])), *(-A.sum(1) for A in hidden[1:])]
    found = [
        Residual(activation, A * (2.0 if i else 1.0), b.numpy() + shift)
        for i, (A, b, shift) in enumerate(zip(hidden, network.biases, biases, strict=True))
    ]
    return [*found, Affine(2.0 * last, -last.sum(1))]


def run_network(network: networks.Network, x: Any, generator: torch.Generator) -> Any:
    """Outputs of neurons that are 1 with probability Phi(x), else -1: the sign of x minus a standard normal."""
    single = network.to(torch.float32)
    *hidden, last = single.weights
    for A, b in zip(hidden, single.biases, strict=True):
        z = torch.addmm(b, x, A.T)
        x = (torch.randn(z.shape, generator=generator) < z).float() * 2 - 1
    return (x @ last.T)[:, 0].double()


def measure(architecture: str, var: float, size: dict[str, Any]) -> dict[str, Any]:
    """Moments and divergences, and a histogram of the output."""
    torch.set_num_threads(1)
    network = networks.initialised(architecture, "probit", False, SEED)
    generator = torch.Generator().manual_seed(0)
    y = [
        torch.cat([run_network(network, part, generator) for part in x.split(networks.CHUNK)])
        for x in var**0.5 * torch.randn((size["replicates"], size["samples"], networks.INPUTS), generator=generator)
    ]
    singles, pooled = [gaussian(part) for part in y], gaussian(torch.cat(y))
    own = np.mean([fm.compare.kl_divergence(single, pooled) for single in singles]) / (len(singles) - 1)
    mu, cov = np.zeros(networks.INPUTS), var * np.eye(networks.INPUTS)
    stochastic, mean = (layers_of(network, f) for f in (fm.BernoulliProbit(), fm.Probit()))
    found = dict(
        zip(
            COLUMNS,
            (fm.compare.analytic(stochastic, mu, cov), fm.compare.mean_field(stochastic, mu, cov))
            + (fm.compare.analytic(mean, mu, cov),),
            strict=True,
        )
    )
    counts, edges = np.histogram(torch.cat(y).numpy(), BINS, density=True)
    return {
        "sampled": numbers(pooled),
        "own": float(own),
        "histogram": {"density": list(counts), "edges": [edges[0], edges[-1]]},
        "methods": {
            name: numbers(moments) | {"divergence": fm.compare.kl_divergence(pooled, moments)}
            for name, moments in found.items()
        },
    }


def gaussian(y: Any) -> fm.Moments:
    return fm.Moments(np.array([float(y.mean())]), np.array([[float(y.var())]]))


def numbers(moments: fm.Moments) -> dict[str, float]:
    return {"mean": float(moments.mean[0]), "sd": float(np.sqrt(moments.cov[0, 0]))}


def cases(size: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    every = product(size["architectures"], VARIANCES)
    return {_title(*case): partial(measure, *case, size) for case in every}


def _title(architecture: str, var: float) -> str:
    return f"{architecture}, input variance {var:g}"


TEXT = """# Neurons that fire at random

<!-- Written by `make experiments`; do not edit but in `experiments/stochastic_network.py`. -->

A neuron is 1 with probability Phi(x) and -1 otherwise, independently of the others: 2 B - 1 with B what
`fm.BernoulliProbit` describes. The covariance between two neurons is the probit's, and a neuron's variance that of
a coin. The networks are those of [Random networks](random_networks.md) with random weights, three inputs N(0, v I)
and one output; v = 0 is Kuang and Lin's constant input.

![Sampled outputs, and the Gaussians of the methods](../figures/stochastic_network.png)

Without its neurons' noise the network's output is nearly certain: the dashed line, or a bell too narrow and high
for the picture.

{table}

KL(sampled || method) of the output's Gaussian in nats, against {samples:,} runs of the network; the last column
shows the divergence that their sampling error causes. "Neurons' noise ignored": the deterministic network of the
probabilities.

{errors}

fastmoments' mean, by the sampled standard deviation, and its standard deviation, relative, as errors against
sampling.

{reading}
"""


def page(size: dict[str, Any], results: dict[str, Any]) -> str:
    """The text of the page."""
    rows = [
        [title, *(scientific(case["methods"][name]["divergence"]) for name in COLUMNS), scientific(case["own"])]
        for title, case in results.items()
    ]
    return TEXT.format(
        samples=size["samples"] * size["replicates"],
        table=table(["network", *COLUMNS, "sampling's own"], rows),
        errors=table(
            ["network", "sampled mean", "sampled sd", "error of the mean", "of the sd"],
            ([title, *_errors(case)] for title, case in results.items()),
        ),
        reading=reading(results),
    )


def _errors(case: dict[str, Any]) -> list[str]:
    sampled, ours = case["sampled"], case["methods"]["fastmoments"]
    mean, sd = (ours["mean"] - sampled["mean"]) / sampled["sd"], ours["sd"] / sampled["sd"] - 1
    return [f"{sampled['mean']:.4f}", f"{sampled['sd']:.4f}", percent(mean), percent(sd)]


def reading(results: dict[str, Any]) -> str:
    """The conclusions from the numbers."""
    divergence = {name: [case["methods"][name]["divergence"] for case in results.values()] for name in COLUMNS}
    ours = np.array(divergence["fastmoments"])
    resolved = sum(case["methods"]["fastmoments"]["divergence"] > 3 * case["own"] for case in results.values())
    against = factor(np.median(np.array(divergence["mean-field"]) / ours))
    certain = scientific(min(divergence[COLUMNS[-1]]))
    closest = sum(ours[i] <= min(divergence[name][i] for name in COLUMNS) for i in range(len(ours)))
    return (
        f"fastmoments' divergence is {scientific(ours.max())} nats at most and beyond three times the sampling's "
        f"own error in {resolved} of {len(ours)} cases; it is the lowest of the three in {closest}. In the "
        f"median mean-field's is {against} times as large; without the neurons' noise it is {certain} at least. "
        "The coins are independent of each other: they make sums more nearly Gaussian, and the closure better, "
        "than it is for the deterministic networks."
    )


def draw(size: dict[str, Any], results: dict[str, Any], path: Path) -> None:
    """Draw the last architecture at every input variance."""
    styles = {"fastmoments": ("#d1495b", "-"), "mean-field": (COLORS["mean-field"], "-")}
    with panels(path, len(VARIANCES), (13, 3.8)) as axes:
        for axis, var in zip(axes, VARIANCES, strict=True):
            title = _title(size["architectures"][-1], var)
            case = results[title]
            edges = np.linspace(*case["histogram"]["edges"], BINS + 1)
            axis.stairs(case["histogram"]["density"], edges, fill=True, color="#8ecae6", label="sampled")
            grid = np.linspace(edges[0], edges[-1], 300)
            for name in COLUMNS:
                color, dashes = styles.get(name, (COLORS["noise ignored"], "--"))
                mean, sd = case["methods"][name]["mean"], case["methods"][name]["sd"]
                if sd:
                    axis.plot(grid, norm.pdf(grid, mean, sd), dashes, color=color, lw=2, label=name)
                else:
                    axis.axvline(mean, ls=dashes, color=color, lw=2, label=name)
            axis.set(yticks=[], xlabel="output", ylim=(0, 1.6 * max(case["histogram"]["density"])), title=title)
            axis.spines.left.set_visible(False)
        axes[0].legend(loc="upper left", fontsize=9)
