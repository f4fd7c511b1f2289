"""Classification with missing measurements: probabilities by every method against sampling, and their log loss."""

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import expit
from scipy.stats import qmc

import fastmoments as fm
from examples import missing_features as example
from experiments.figures import COLORS, panels
from experiments.methods import METHODS, UNSCENTED, Layers, ignore
from experiments.tables import percent, table
from fastmoments.compare import Affine, Residual

SHARES = ("30%", "60%", "90%", "97%")
TRAIN, FEATURES = 400, 30
FULL = {"patients": 169, "masks": 5, "steps": 400, "samples": 2**13}
FAST = {"patients": 10, "masks": 1, "steps": 30, "samples": 2**8}
ALL: dict[str, Callable[..., fm.Moments]] = {"noise ignored": ignore, **METHODS}
# E 1 / (1 + exp(-y)) of a Gaussian y has no closed form and is computed to a tolerance; a smaller one is slower.
SMALLEST = 1e-12


@cache
def network(steps: int) -> tuple[Layers, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """The example's network as layers with one output, the difference of its two; and the split data."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    x, y = example.data()
    model = example.train(x[:TRAIN], y[:TRAIN], steps)
    *hidden, last = ((m.weight.numpy(), m.bias.numpy()) for m in model if isinstance(m, torch.nn.Linear))
    readout = Affine(np.diff(last[0], axis=0), np.diff(last[1]))
    return (
        [*(Residual(fm.GELU(), *layer) for layer in hidden), readout],
        x[:TRAIN],
        *(x[TRAIN:], y[TRAIN:], y[:TRAIN]),
    )


def known(share: float, size: dict[str, Any], seed: int) -> fm.Moments:
    """The test patients given their measurements: mean (patients, 30) and cov (patients, 30, 30)."""
    _, train, x, _, _ = network(size["steps"])
    mean, cov = train.mean(0), torch.cov(train.T) + 1e-6 * torch.eye(FEATURES)
    torch.manual_seed(seed)
    rows = [example.given(row, torch.rand(FEATURES) >= share, mean, cov) for row in x[: size["patients"]]]
    return fm.Moments(*(torch.stack(part).numpy() for part in zip(*rows, strict=True)))


def probability(output: fm.Moments) -> Any:
    """The probability of class 1: the mean of 1 / (1 + exp(-y)), y Gaussian with these moments."""
    mean, var = output.mean[:, 0], np.maximum(output.cov[:, 0, 0], 0)
    certain = var < SMALLEST
    spread = fm.sigmoid_mean(mean, np.where(certain, 1.0, var))
    return np.where(certain, expit(mean), spread)


def sampled(layers: Layers, about: fm.Moments, samples: int, seed: int) -> Any:
    """The probability as a mean over samples of the missing measurements."""
    engine = qmc.Sobol(FEATURES, seed=seed)
    z = qmc.MultivariateNormalQMC(np.zeros(FEATURES), engine=engine).random(samples)
    result = []
    for mean, cov in zip(*about, strict=True):
        x = mean + z @ fm.compare.gaussians.square_root(cov).T
        result.append(expit(fm.compare.networks.value(fm.compare.networks.steps(layers, FEATURES), x)).mean())
    return np.array(result)


def measure(share: str, size: dict[str, Any]) -> dict[str, Any]:
    """Scores over patients and masks: log loss, accuracy, and how far probabilities are from the sampled ones."""
    layers, _, _, y, _ = network(size["steps"])
    labels = y[: size["patients"]].numpy()
    found: dict[str, list[Any]] = {name: [] for name in (*ALL, "Monte Carlo")}
    for seed in range(size["masks"]):
        about = known(float(share.rstrip("%")) / 100, size, seed)
        truth = sampled(layers, about, size["samples"], seed)
        found["Monte Carlo"].append(score(truth, truth, labels))
        for name, method in ALL.items():
            found[name].append(score(probability(method(layers, *about)), truth, labels))
    return {
        name: {key: float(np.mean([s[key] for s in scores])) for key in scores[0]} for name, scores in found.items()
    }


def score(p: Any, truth: Any, labels: Any) -> dict[str, float]:
    right = np.where(labels == 1, p, 1 - p)
    return {
        "loss": float(-np.mean(np.log(np.maximum(right, 1e-300)))),
        "accuracy": float(np.mean(right > 0.5)),
        "error": float(np.sqrt(np.mean((p - truth) ** 2))),
    }


def cases(size: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    return {share: partial(measure, share, size) for share in SHARES}


TEXT = """# Missing measurements

<!-- Written by `make experiments`; do not edit but in `experiments/missing_features.py`. -->

Breast-cancer diagnoses (scikit-learn's {features} measurements) by a network that was trained on {train}
complete patients: 30-32-32 with GELU. At test time measurements are missing at random. Given the others they are
taken as Gaussian, conditioned by the mean and covariance of the training data. Every method carries that Gaussian
to the output, and the probability is the mean of 1 / (1 + exp(-y)) for the Gaussian y it finds (`fm.sigmoid_mean`).
The example behind it: `examples/missing_features.py`. Kuang and Lin do this with data on companies' bankruptcies,
which are not available here.

![Log loss, and errors of probabilities, over the share of missing measurements](../figures/missing_features.png)

{loss}

Log loss in nats (lower is better), {patients} patients, {masks} draws of what is missing.

{error}

Root mean square difference of the probability to Monte Carlo's ({samples:,} Sobol points a patient), which treats
only the input as Gaussian.

{accuracy}

Accuracy is the share of patients whose diagnosis gets the larger probability.

{reading}

{unscented}
"""


def page(size: dict[str, Any], results: dict[str, Any]) -> str:
    """The text of the page."""
    return TEXT.format(
        **{key: size[key] for key in ("patients", "masks", "samples")},
        features=FEATURES,
        train=TRAIN,
        loss=_table(results, "loss", lambda value: f"{value:.3f}"),
        error=_table(results, "error", percent),
        accuracy=_table(results, "accuracy", percent),
        reading=reading(results),
        unscented=UNSCENTED,
    )


def _table(results: dict[str, Any], kind: str, form: Callable[[float], str]) -> str:
    names = [name for name in results[SHARES[0]] if (kind, name) != ("error", "Monte Carlo")]
    rows = ([name, *(form(results[share][name][kind]) for share in SHARES)] for name in names)
    return table(["missing", *SHARES], rows)


def reading(results: dict[str, Any]) -> str:
    """The conclusions from the numbers."""
    worst = results[SHARES[-1]]
    closest = [min(ALL, key=lambda name: results[share][name]["error"]) for share in SHARES]
    best = [min(ALL, key=lambda name: results[share][name]["loss"]) for share in SHARES]
    first = ", ".join(f"{name} at {share}" for share, name in zip(SHARES, closest, strict=True))
    lowest = ", ".join(f"{name} at {share}" for share, name in zip(SHARES, best, strict=True))
    return (
        f"Closest to sampling: {first}. Behind one hidden layer fastmoments is exact, behind two it is not, and "
        "with most measurements missing the unscented points do as well or better. Lowest log loss of the "
        f"methods: {lowest}. Filling in expected values costs "
        f"{worst['noise ignored']['loss'] - worst['fastmoments']['loss']:.3f} nats where {SHARES[-1]} is "
        f"missing. Closer to sampling is not better at the diagnosis: where {SHARES[-1]} is missing Monte Carlo "
        f"has a log loss of {worst['Monte Carlo']['loss']:.3f} and an accuracy of "
        f"{percent(worst['Monte Carlo']['accuracy'])}, fastmoments {worst['fastmoments']['loss']:.3f} and "
        f"{percent(worst['fastmoments']['accuracy'])}. The measurements are only roughly Gaussian, and the "
        "network was never trained on what it gets."
    )


def draw(size: dict[str, Any], results: dict[str, Any], path: Path) -> None:
    """Draw log loss and errors of probabilities."""
    with panels(path, 2, (12, 4.4)) as axes:
        for axis, kind in zip(axes, ("loss", "error"), strict=True):
            for name in results[SHARES[0]]:
                if (kind, name) == ("error", "Monte Carlo"):
                    continue
                heights = [results[share][name][kind] for share in SHARES]
                style = {"ls": "--", "marker": ""} if name == "Monte Carlo" else {"marker": "o"}
                width = 2.5 if name == "fastmoments" else 1.5
                axis.plot(SHARES, heights, color=COLORS[name], lw=width, label=name, **style)
            axis.set(xlabel="measurements missing")
        axes[0].set(ylabel="log loss, nats", title="log loss")
        axes[1].set(ylabel="rms difference", yscale="log", title="probability against Monte Carlo")
        axes[0].legend(loc="upper left", fontsize=9)
