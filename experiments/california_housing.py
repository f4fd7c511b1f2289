"""Kuang and Lin's housing prices: a sine network with noisy features, and each method's forecast of the price."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import norm
from tqdm import tqdm

import fastmoments as fm
from examples import house_network
from experiments.figures import COLORS, panels
from experiments.methods import METHODS, UNSCENTED, Layers, ignore, mean_field_behind_inputs
from experiments.tables import table
from fastmoments.compare import Affine, Residual

WIDTH = 7
EXACT = 2  # longitude and latitude have no noise
NOISE = 10.0  # the noise's covariance, in units of the features' covariance
LEVEL = 0.95
# Adam's rates, and the share of steps with each
RATES = ((0.1, 0.25), (0.01, 0.75))
FULL = {"train": 14447, "test": 4096, "steps": 8000, "seeds": 5, "samples": 1000}
FAST = {"train": 512, "test": 64, "steps": 20, "seeds": 1, "samples": 50}
JOINT = "mean-field, joint inputs"
ALL: dict[str, Callable[..., fm.Moments]] = {
    "noise ignored": ignore,
    "fastmoments": METHODS["fastmoments"],
    JOINT: mean_field_behind_inputs,
    **METHODS,
}
# The draft's table: average log density, coverage, width of the interval.
PAPER = {
    "noise ignored": (-4.452, 0.497, 1.67),
    "fastmoments": (-1.420, 0.960, 4.06),
    JOINT: (-1.647, 0.998, 6.87),
    "linearised": (-1.851, 0.973, 7.73),
    "unscented 1995": (-1.457, 0.936, 3.89),
    "unscented 2002": (-2.529, 0.997, 18.85),
}


def train(x: Any, y: Any, steps: int, seed: int) -> tuple[Layers, float]:
    """Fit C sin(A x + b) + C' x + d by least squares, as in the draft; return layers and mean squared error."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(seed)
    n = x.shape[1]
    start = [
        *(rng.normal(scale=n**-0.5, size=(WIDTH, n)), rng.uniform(-np.pi, np.pi, WIDTH)),
        *(np.zeros((1, WIDTH)), np.zeros((1, n)), np.zeros(1)),
    ]
    # float32 is faster, and any trained network serves
    A, b, C, skip, d = parameters = [torch.from_numpy(part).float().requires_grad_() for part in start]
    x, y = torch.from_numpy(x).float(), torch.from_numpy(y).float()
    optimiser = torch.optim.Adam(parameters)
    rates = [rate for rate, share in RATES for _ in range(round(share * steps))]
    for rate in tqdm(rates, desc=f"Training 8-{WIDTH}-1, seed {seed}", leave=False):
        optimiser.param_groups[0]["lr"] = rate
        optimiser.zero_grad()
        fit = torch.sin(x @ A.T + b) @ C.T + x @ skip.T + d
        loss = torch.mean((fit[:, 0] - y) ** 2)
        loss.backward()
        optimiser.step()
    A, b, C, skip, d = (part.detach().double().numpy() for part in parameters)
    # one layer of 7 sines and 8 features that pass through
    hidden = Residual(
        fm.Sin(),
        *(np.vstack([A, np.zeros((n, n))]), np.concatenate([b, np.zeros(n)])),
        np.vstack([np.zeros((WIDTH, n)), np.eye(n)]),
    )
    return [hidden, Affine(np.hstack([C, skip]), d)], float(loss.detach())


def sampled(layers: Layers, mu: Any, cov: Any, samples: int, rng: np.random.Generator) -> fm.Moments:
    """Moments of the output from samples of every input."""
    hidden, readout = layers
    # the output needs only the 7 sines and one sum: 8 numbers instead of 15 per sample
    C, skip = np.hsplit(readout.weight, [WIDTH])
    weight = np.vstack([hidden.A[:WIDTH], skip])
    root = np.linalg.cholesky(weight @ cov @ weight.T + 1e-12 * np.eye(WIDTH + 1))
    centre = mu @ weight.T + np.append(hidden.b[:WIDTH], readout.bias)
    total, square = np.zeros(len(mu)), np.zeros(len(mu))
    for _ in range(samples):
        z = centre + rng.normal(size=centre.shape) @ root.T
        y = np.sin(z[:, :WIDTH]) @ C[0] + z[:, WIDTH]
        total, square = total + y, square + y**2
    mean = total / samples
    return fm.Moments(mean[:, None], (square / samples - mean**2)[:, None, None])


def measure(seed: int, size: dict[str, Any]) -> dict[str, Any]:
    """Scores of all methods for one split, one network and one draw of the noise."""
    houses = house_network.load(size["train"], size["test"], seed)
    layers, loss = train(houses.train_x, houses.train_y, size["steps"], seed)
    fitted = ignore(layers, houses.train_x, np.eye(house_network.FEATURES)).mean[:, 0]
    residual = houses.train_y - fitted
    noise = NOISE * np.cov(houses.train_x.T)
    noise[:EXACT], noise[:, :EXACT] = 0, 0
    rng = np.random.default_rng(seed)
    mu = houses.test_x + rng.multivariate_normal(np.zeros(len(noise)), noise, len(houses.test_x))
    outputs = {name: method(layers, mu, noise) for name, method in ALL.items()}
    outputs["Monte Carlo"] = sampled(layers, mu, noise, size["samples"], rng)
    scores = {name: score(output, residual, houses.test_y) for name, output in outputs.items()}
    return {"loss": loss, "scores": scores}


def score(output: fm.Moments, residual: Any, y: Any) -> dict[str, float]:
    """Scores of a forecast, to whose variance the network's training error is added."""
    mean, sd = output.mean[:, 0] + residual.mean(), np.sqrt(output.cov[:, 0, 0] + residual.var())
    half = norm.isf((1 - LEVEL) / 2) * sd
    return {
        "density": float(np.mean(norm.logpdf(y, mean, sd))),
        "coverage": float(np.mean(np.abs(y - mean) < half)),
        "width": float(np.mean(2 * half)),
    }


def cases(size: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    return {f"seed {seed}": partial(measure, seed, size) for seed in range(size["seeds"])}


TEXT = """# California housing

<!-- Written by `make experiments`; do not edit but in `experiments/california_housing.py`. -->

Kuang and Lin's regression with noisy features. A network C sin(A x + b) + C' x + d with {width} sines learns
the log median house value of {train:,} census block groups from eight features; then it predicts {test:,}
others. All their features but longitude and latitude are read with Gaussian noise of {noise:g} times the features'
covariance, so the network's input is a Gaussian. A method's prediction is its mean and variance of the output, plus
the error in training.

![Log density and coverage by method, here and in the paper](../figures/california_housing.png)

{table}

Average log density of the true values (standardised, higher is better), share of them within the central
{level:.0%} interval, and that interval's average width: means over {seeds} seeds, +- their standard deviation.
A seed is a split of the data, a network trained from scratch, and a draw of the noise. Right: what the paper's
draft reports of its network, which is not used here.

{reading}

"{joint}" is the draft's mean-field, which keeps the input's correlations and drops those after every layer;
`fm.compare.mean_field` drops the input's too. The network is the draft's: Adam on all training rows for {steps:,}
steps, {fast_share:.0%} of them at a rate of {fast_rate}, the rest at {slow_rate}; mean squared errors between
{loss_low:.3f} and {loss_high:.3f}. Monte Carlo: {samples:,} samples for every house. {unscented} The data are those
of `make demo`, which has larger networks, and noise whose posterior is used instead of its likelihood.
"""


def page(size: dict[str, Any], results: dict[str, Any]) -> str:
    """The text of the page."""
    rows = [[name, *(_cell(results, name, kind) for kind in FORMATS), *_paper(name)] for name in _names()]
    losses = [found["loss"] for found in results.values()]
    head = ["method", "log density", "coverage", "width"]
    return TEXT.format(
        **{key: size[key] for key in ("train", "test", "seeds", "steps", "samples")},
        width=WIDTH,
        joint=JOINT,
        noise=NOISE,
        level=LEVEL,
        table=table([*head, *(f"paper: {kind}" for kind in head[1:])], rows),
        reading=reading(results),
        fast_rate=RATES[0][0],
        fast_share=RATES[0][1],
        slow_rate=RATES[1][0],
        loss_low=min(losses),
        loss_high=max(losses),
        unscented=UNSCENTED,
    )


FORMATS: dict[str, Callable[[float], str]] = {
    "density": lambda value: f"{value:.3f}",
    "coverage": lambda value: f"{100 * value:.1f}%",
    "width": lambda value: f"{value:.2f}",
}


def _names() -> list[str]:
    return [*ALL, "Monte Carlo"]


def values(results: dict[str, Any], name: str, kind: str) -> Any:
    return np.array([found["scores"][name][kind] for found in results.values()])


def _cell(results: dict[str, Any], name: str, kind: str) -> str:
    found = values(results, name, kind)
    return f"{FORMATS[kind](found.mean())} +- {FORMATS[kind](found.std())}"


def _paper(name: str) -> list[str]:
    if name not in PAPER:
        return ["", "", ""]
    return [form(value) for form, value in zip(FORMATS.values(), PAPER[name], strict=True)]


def reading(results: dict[str, Any]) -> str:
    """The conclusions from the numbers."""
    density = {name: values(results, name, "density") for name in _names()}
    others = [name for name in ALL if name != "fastmoments"]
    best = max(others, key=lambda name: density[name].mean())
    first = sum(all(density["fastmoments"][i] > density[o][i] for o in others) for i in range(len(results)))
    gap = np.abs(density["fastmoments"] - density["Monte Carlo"]).max()
    coverage = {name: abs(values(results, name, "coverage").mean() - LEVEL) for name in ALL}
    closest = min(coverage, key=lambda name: coverage[name])
    order = sorted(PAPER, key=lambda name: -density[name].mean())
    is_the_papers = order == sorted(PAPER, key=lambda name: -PAPER[name][0])
    return (
        f"With one hidden layer fastmoments' mean and variance are exact: it is within {gap:.3f} of sampling for "
        f"every seed. It has the highest log density of all methods for {first} of {len(results)} seeds; next is "
        f"{best}, {(density['fastmoments'] - density[best]).mean():.3f} behind. {closest.capitalize()} comes "
        f"closest to the nominal coverage. The order of the methods is {'' if is_the_papers else 'not '}the "
        "paper's; the level differs: its network fits its training data better (the width of 'noise ignored' is "
        "that error alone), and from one seed to the next the log density of fastmoments moves by "
        f"{density['fastmoments'].std():.2f}. Only the moments are exact: the distribution is not "
        "Gaussian, and a method with wrong moments may have the right coverage by luck."
    )


def draw(size: dict[str, Any], results: dict[str, Any], path: Path) -> None:
    """Draw log density and coverage, ours filled and the paper's hollow."""
    names = _names()[::-1]
    with panels(path, 2, (12, 4), sharey=True) as axes:
        for axis, kind, column, scale in zip(axes, ("density", "coverage"), (0, 1), (1, 100), strict=True):
            for rank, name in enumerate(names):
                found = scale * values(results, name, kind)
                style = {"color": COLORS[name], "ms": 9, "capsize": 4}
                label = "this page" if name == "fastmoments" else None
                axis.errorbar(found.mean(), rank, xerr=found.std(), fmt="o", label=label, **style)
                if name in PAPER:
                    label = "paper" if name == "fastmoments" else None
                    axis.plot(
                        scale * PAPER[name][column], rank, "D", color=COLORS[name], mfc="white", ms=7, label=label
                    )
        axes[1].axvline(100 * LEVEL, color="#999999", lw=1, ls="--")
        axes[0].set_yticks(range(len(names)), names)
        axes[0].set(xlabel="average log density", title="higher is better")
        axes[1].set(xlabel=f"true values within the {LEVEL:.0%} interval, %", title=f"{LEVEL:.0%} is right")
        axes[0].legend(loc="lower left")
