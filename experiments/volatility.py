"""Volatility by a Bayesian network: the quality of its forecasts, and the cost of one pass beside drawn weights."""

import math
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from examples import volatility as example
from experiments import passes
from experiments.figures import COLORS, panels
from experiments.forecasts import KNOWN, LOG_SQUARE, NETWORKS, TARGETS, quality, series, target, trained
from experiments.tables import factor, table

FULL = {"series": 3, "rows": 20_000, "steps": 600, "timed": 5000, "compared": 1000, "reference": 1000}
FAST = {"series": 1, "rows": 3000, "steps": 40, "timed": 50, "compared": 50, "reference": 50}
PASSES = [20, 50]
COMPARED = ("NPN, moments", "NPN, drawn weights")
SHOWN = 300  # rows in the figure
MEANS = "weights' means"
STEP_ROWS = 16  # rows of a step on which SiLU is timed


def times(rows: int, size: dict[str, Any]) -> dict[str, float]:
    """Milliseconds of every way through a network, for `rows` rows."""
    model, _ = trained("NPN, moments", 0, size["rows"], size["steps"])
    return passes.milliseconds(model, series(0, size["rows"]).features[-rows:], PASSES)


def step_times(size: dict[str, Any]) -> dict[str, float]:
    """Milliseconds of a training step by moments on a few rows; SiLU's moments are by quadrature."""
    data, found = series(0, size["rows"]), {}
    x, y = data.features[:STEP_ROWS], torch.ones(STEP_ROWS, 1)
    for activation in ("npn", "silu"):
        model, best = example.network(activation), math.inf
        for _ in range(3):
            start = time.process_time()
            example.loss_by_moments(model, x, y).backward()
            best = min(best, time.process_time() - start)
        found[activation] = 1e3 * best
    return found


def uncertainties(network: str, size: dict[str, Any]) -> dict[str, Any]:
    """QLIKE of every way, correlations of the standard deviations, and the figure's data."""
    data = series(0, size["rows"])
    model, _ = trained(network, 0, size["rows"], size["steps"])
    torch.manual_seed(1)
    found = passes.forecasts(model, data.features[data.training :], PASSES)
    some = slice(-size["compared"], None)
    many = passes.reference(model, data.features[some], size["reference"])
    ways: dict[str, Any] = {}
    for name, (correction, sd) in found.items():
        variance = data.baseline.copy()
        variance[data.training :] *= correction
        ways[name] = {"qlike": example.qlike(data, variance)}
        if sd is not None:
            ways[name]["moments"] = correlation(sd, found["moments"][1])
            ways[name]["reference"] = correlation(sd[some], many)
            ways[name]["ratio"] = float(np.mean(sd[some] / many))
    shown = slice(-min(SHOWN, size["compared"]), None)
    correction, sd = (part[shown] for part in found["moments"])
    curves = {
        "return": np.sqrt(data.squares[shown]),
        "true": np.sqrt(data.variance[shown]),
        "forecast": np.sqrt(data.baseline[shown] * correction),
        "moments": sd,
        "reference": many[shown],
        "50 drawn": found["50 drawn"][1][shown],
    }
    return {"ways": ways, "curves": {name: list(curve) for name, curve in curves.items()}}


def correlation(one: Any, two: Any) -> float:
    return float(np.corrcoef(one, two)[0, 1])


def cases(size: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    found: dict[str, Callable[[], Any]] = {
        f"series {seed}": partial(quality, seed, size) for seed in range(size["series"])
    }
    found |= {name: partial(target, name, size) for name in TARGETS}
    found |= {f"{rows} rows": partial(times, rows, size) for rows in (1, size["timed"])}
    found |= {"step": partial(step_times, size)}
    return found | {f"uncertainty, {name}": partial(uncertainties, name, size) for name in COMPARED}


TEXT = """# Volatility

<!-- Written by `make experiments`; do not edit but in `experiments/volatility.py`. -->

Returns of a simulated GARCH(1, 1), alpha {alpha}, beta {beta}, {rows:,} a series, of which the first {training:.0%}
are trained on. A network 4-64-32-1 with Gaussian weights takes the logarithms of four averages of past squared
returns, with half-lives of {lives}, and returns the log of the factor by which the next variance differs from
their geometric mean. `examples/volatility.py` is this experiment in one file, and takes real bars by `--bars FILE`.

![Forecasts, uncertainties by moments and drawn, time](../figures/volatility.png)

## What the forecasts are worth

{quality}

QLIKE: the mean of log v + r^2 / v over the rows not trained on, less for better; no forecast beats the true
variance but by luck. Bound: the negative evidence lower bound in nats a row, of the first series.

{quality_reading}

## What one pass costs

The NPN network trained by moments, milliseconds of processor time on one thread, the shortest of {rounds}.

{times}

{times_reading}

## How sure it is

Standard deviations of the output on the first series: their correlation over the rows not trained on with those
by moments, and over {compared:,} of these rows with those of {reference:,} drawn networks, whose own error is
{own:.1%}.

{uncertainty}

{uncertainty_reading}

## NPN beside SiLU

{silu}

## What the target has to be

NPN networks with drawn weights, the first series, by what they were trained to do:

{targets}

{targets_reading}
"""


def page(size: dict[str, Any], results: dict[str, Any]) -> str:
    """The text of the page."""
    found = [results[f"series {seed}"] for seed in range(size["series"])]
    return TEXT.format(
        alpha=example.ALPHA,
        beta=example.BETA,
        rows=size["rows"],
        training=example.TRAINING,
        lives=", ".join(str(life) for life in example.HALF_LIVES[:-1]) + f" and {example.HALF_LIVES[-1]}",
        quality=_quality(found),
        quality_reading=_quality_reading(found),
        rounds=passes.ROUNDS,
        times=_times(size, results),
        times_reading=_times_reading(size, results),
        compared=size["compared"],
        reference=size["reference"],
        own=1 / math.sqrt(2 * size["reference"]),
        uncertainty=_uncertainty(results),
        uncertainty_reading=_uncertainty_reading(results),
        silu=_silu(found, results["step"]),
        targets=table(["trained on", "QLIKE"], [[name, f"{results[name]:.4f}"] for name in TARGETS]),
        targets_reading=_targets_reading(results, found[0]["qlike"]),
    )


def _quality(found: list[Any]) -> str:
    head = ["forecast", *(f"QLIKE, series {seed}" for seed in range(len(found))), "bound", "ms a training step"]
    rows = []
    for name in (*KNOWN, *NETWORKS):
        own = [f"{found[0]['bound'][name]:.4f}", f"{found[0]['step'][name]:.3g}"] if name in NETWORKS else ["", ""]
        rows.append([name, *(f"{one['qlike'][name]:.4f}" for one in found), *own])
    return table(head, rows)


def _gained(found: list[Any], name: str) -> float:
    """The share of the gain of the true variance over a constant one."""
    qlike = {key: np.mean([one["qlike"][key] for one in found]) for key in (*KNOWN, name)}
    return float((qlike["constant"] - qlike[name]) / (qlike["constant"] - qlike["true variance"]))


def _quality_reading(found: list[Any]) -> str:
    shares = ", ".join(f"{name} {_gained(found, name):.0%}" for name in NETWORKS)
    return f"Of what the true variance gains over a constant one the networks reach, on average: {shares}."


def _times(size: dict[str, Any], results: dict[str, Any]) -> str:
    columns = [results[f"{rows} rows"] for rows in (1, size["timed"])]
    rows = [
        [name, *(cell for one in columns for cell in (f"{one[name]:.3g}", factor(one[name] / one["moments"])))]
        for name in columns[0]
    ]
    return table(["way", "1 row, ms", "over moments", f"{size['timed']:,} rows, ms", "over moments"], rows)


def _times_reading(size: dict[str, Any], results: dict[str, Any]) -> str:
    one, many = (results[f"{rows} rows"] for rows in (1, size["timed"]))
    return (
        f"For {size['timed']:,} rows a pass of moments takes as long as "
        f"{factor(many['moments'] / many[MEANS])} passes with the weights' means, and 20 drawn networks take "
        f"{factor(many['20 drawn'] / many['moments'])} times as long one by one and "
        f"{factor(many['20 drawn at once'] / many['moments'])} times in batched products; for one row, where "
        f"calls count and not arithmetic, {factor(one['20 drawn'] / one['moments'])} and "
        f"{factor(one['20 drawn at once'] / one['moments'])} times."
    )


def _uncertainty(results: dict[str, Any]) -> str:
    head = ["trained by", "way", "QLIKE", "with moments", "with many", "sd over many's"]
    rows = []
    for network in COMPARED:
        for name, way in results[f"uncertainty, {network}"]["ways"].items():
            cells = (
                [f"{way[key]:.3f}" for key in ("moments", "reference", "ratio")] if "moments" in way else [""] * 3
            )
            rows.append([network.removeprefix("NPN, "), name, f"{way['qlike']:.4f}", *cells])
    return table(head, rows)


def _uncertainty_reading(results: dict[str, Any]) -> str:
    ways = results[f"uncertainty, {COMPARED[0]}"]["ways"]
    own, drawn = ways["moments"]["reference"], [ways[f"{n} drawn"]["reference"] for n in PASSES]
    errors = [1 / math.sqrt(2 * n) for n in PASSES]
    return (
        f"A standard deviation estimated from n networks is off by 1 / sqrt(2 n), {errors[0]:.0%} or "
        f"{errors[1]:.0%} here, which is more than it differs between rows: their correlation with those of many "
        f"networks is {drawn[0]:.2f} and "
        f"{drawn[1]:.2f} (trained by moments), that of the moments {own:.2f}: less than 1 also for the "
        "error of the many's own."
    )


def _silu(found: list[Any], step: dict[str, float]) -> str:
    npn, silu = (np.mean([one["qlike"][f"{name}, drawn weights"] for one in found]) for name in ("NPN", "SiLU"))
    ms = [found[0]["step"][f"{name}, drawn weights"] for name in ("NPN", "SiLU")]
    return (
        f"Trained with sampled weights they are similar: QLIKE {npn:.4f} and {silu:.4f} on average, "
        f"{factor(ms[0])} and {factor(ms[1])} ms per step. By moments NPN has a closed form and SiLU is a "
        f"quadrature for every row and neuron: a step on {STEP_ROWS} rows takes "
        f"{factor(step['npn'])} and {factor(step['silu'])} ms."
    )


def _targets_reading(results: dict[str, Any], known: dict[str, float]) -> str:
    worse = [name for name in TARGETS if results[name] > known["constant"]]
    say = f"Worse than a constant variance ({known['constant']:.4f}): {'; '.join(worse) or 'none'}. "
    return say + (
        f"The mean of log r^2 is {-LOG_SQUARE:.2f} below the log of the variance: a network fitted to it by "
        f"squared error forecasts {math.exp(LOG_SQUARE):.0%} of the variance, and QLIKE punishes that most. The "
        "likelihood of the returns needs no correction. An average that the network corrects holds where "
        "volatility leaves the range trained on."
    )


def draw(size: dict[str, Any], results: dict[str, Any], path: Path) -> None:
    """Draw forecasts along the last rows, standard deviations beside those of many networks, and times."""
    found = results[f"uncertainty, {COMPARED[1]}"]["curves"]
    curves = {name: np.array(curve) for name, curve in found.items()}
    with panels(path, 3, (15, 4.2), width_ratios=[1.6, 1, 1.1]) as axes:
        x = np.arange(len(curves["true"]))
        axes[0].bar(x, curves["return"], color="#d8d8d8", width=1, label="|return|")
        axes[0].plot(x, curves["true"], color="black", lw=1.5, label="true sd")
        # the output is log variance: half of it is the log standard deviation
        low, high = (curves["forecast"] * np.exp(s * curves["moments"]) for s in (-1, 1))
        axes[0].fill_between(x, low, high, color=COLORS["fastmoments"], alpha=0.3, lw=0)
        axes[0].plot(
            x, curves["forecast"], color=COLORS["fastmoments"], lw=1.5, label="forecast, 2 sd of the weights"
        )
        axes[0].set(title="The last rows", xlabel="row", ylabel="standard deviation")
        axes[0].legend(loc="upper left", fontsize=9)
        for name, color in (("50 drawn", "#bbbbbb"), ("moments", COLORS["fastmoments"])):
            axes[1].scatter(curves["reference"], curves[name], s=8, color=color, label=name)
        ends = [curves["reference"].min(), curves["reference"].max()]
        axes[1].plot(ends, ends, color="black", lw=1)
        axes[1].set(
            title="sd of the output",
            xlabel=f"of {size['reference']:,} drawn networks",
            ylabel="by moments, and by 50",
        )
        axes[1].legend(loc="upper left", fontsize=9)
        times = results[f"{size['timed']} rows"]
        colors = [COLORS["fastmoments"] if "moments" in name else "#bbbbbb" for name in times]
        axes[2].barh(list(times), list(times.values()), color=colors)
        axes[2].invert_yaxis()
        axes[2].set(title=f"{size['timed']:,} rows, ms", xscale="log")
