"""One layer, where the formulas are exact: every activation against integrals of its definition, and samples."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from mpmath import mp
from scipy import stats

import fastmoments as fm
from experiments.figures import COLORS, panels
from experiments.tables import factor, scientific, table
from fastmoments.compare.networks import evaluate
from fastmoments_kernels.catalogue import CATALOGUE, row_of
from fastmoments_kernels.custom import READY
from tests.definitions import DEFINITIONS
from tests.rows import EXAMPLES
from tests.truth import Activation, activation, cov_truth, neuron_truth

FULL = {"neurons": 5, "digits": 18, "samples": 2**22, "activations": [row.name for row in CATALOGUE] + list(READY)}
FAST = {"neurons": 2, "digits": 16, "samples": 2**12, "activations": ["relu", "sin", "tanh"]}
EPS = float(np.finfo(np.float64).eps)
CHUNK = 2**16


def layer(neurons: int) -> tuple[Any, Any]:
    """Means N(0, 1), and a covariance with correlations from weak to strong."""
    rng = np.random.default_rng(3)
    root = rng.normal(size=(neurons, 3))
    return rng.normal(size=neurons), root @ root.T / 2 + 0.1 * np.eye(neurons)


def moments(name: str, mu: Any, cov: Any) -> fm.Moments:
    found: fm.Moments = getattr(fm, f"{name}_moments")(mu, cov, **EXAMPLES.get(name, {}))
    return found


def definition(name: str) -> Activation:
    if name in READY:
        return Activation(DEFINITIONS[name], (), lambda x: mp.mpf(0))
    return activation(row_of(name))


def against_truth(name: str, size: dict[str, Any]) -> dict[str, float]:
    """The largest errors of means, divided by the sd, and of covariances, divided by the product of two sds."""
    mu, cov = layer(size["neurons"])
    f, found = definition(name), moments(name, mu, cov)
    alone = [neuron_truth(f, m, v, size["digits"]) for m, v in zip(mu, np.diagonal(cov), strict=True)]
    sd = [mp.sqrt(values["var"].value) for values in alone]
    mean = max(abs(found.mean[i] - values["mean"].value) / sd[i] for i, values in enumerate(alone))
    var = max(abs(found.cov[i, i] / values["var"].value - 1) for i, values in enumerate(alone))
    pairs = [(i, j) for i in range(len(mu)) for j in range(i)]
    truth = [cov_truth(f, f, mu[i], mu[j], cov[i, i], cov[j, j], cov[i, j], size["digits"]) for i, j in pairs]
    off = max(abs(found.cov[i, j] - t.value) / (sd[i] * sd[j]) for (i, j), t in zip(pairs, truth, strict=True))
    return {"mean": float(mean), "cov": float(max(var, off))}


def sampler(name: str) -> Callable[[Any, np.random.Generator], Any]:
    """f of an array, or a draw of the stochastic neuron."""
    if name == "bernoulli_probit":
        return lambda x, rng: (rng.normal(size=x.shape) < x).astype(float)
    activation = name if name in READY else row_of(name).activation(**EXAMPLES.get(name, {}))
    return lambda x, rng: evaluate(activation, x)


def against_samples(name: str, size: dict[str, Any]) -> list[float]:
    """Differences to Monte Carlo in standard errors: of every mean, and of the covariance's upper triangle."""
    mu, cov = layer(size["neurons"])
    # a stream of samples of its own, so that activations are off by chance independently
    found, f, rng = moments(name, mu, cov), sampler(name), np.random.default_rng([2, *name.encode()])
    root, (rows, columns) = np.linalg.cholesky(cov), np.triu_indices(len(mu))
    total, square = 0.0, 0.0
    for _ in range(max(size["samples"] // CHUNK, 1)):
        x = mu + rng.normal(size=(min(CHUNK, size["samples"]), len(mu))) @ root.T
        # centred on the closed form's means, the covariance is a mean as well
        y = f(x, rng) - found.mean
        terms = np.hstack([y, y[:, rows] * y[:, columns]])
        total, square = total + terms.sum(axis=0), square + np.square(terms).sum(axis=0)
    mean = total / size["samples"]
    error = np.sqrt((square / size["samples"] - mean**2) / size["samples"])
    expected = np.concatenate([np.zeros(len(mu)), found.cov[rows, columns]])
    return [float(z) for z in (mean - expected) / error]


def measure(name: str, size: dict[str, Any]) -> dict[str, Any]:
    return {"truth": against_truth(name, size), "samples": against_samples(name, size)}


def cases(size: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    return {name: partial(measure, name, size) for name in size["activations"]}


TEXT = """# Exact in one layer

<!-- Written by `make experiments`; do not edit but in `experiments/exactness.py`. -->

{neurons} neurons with correlated Gaussian inputs go through one activation. Every mean, variance and covariance
that fastmoments returns is compared twice: with the integral of the activation's definition to {digits} digits
(mpmath), and with {samples:,} Monte Carlo samples, which use no formula.

![Differences to Monte Carlo against a normal distribution, and errors against mpmath](../figures/exactness.png)

Left: differences to Monte Carlo in standard errors, sorted, against quantiles of the normal distribution: those of
an exact formula lie close to the line. The grey band is for independent numbers; the numbers of one activation
share its samples. Right: largest error against mpmath.

{table}

Columns 2 and 3 show the largest error of a mean, over its neuron's standard deviation, and of an entry of the
covariance, over the product of the two standard deviations, in units of eps = {eps}. Columns 4 and 5 show the root
mean square and the largest of {count} differences to Monte Carlo, in standard errors; the expected values are 1 and
{expected_max:.1f}. An activation's numbers share its samples, so their root mean square scatters more than that of
independent numbers.

The largest error of the activations with a closed form is {worst_closed} eps ({worst_closed_name}). {ready} Of
all {all_count} differences to Monte Carlo {beyond_two} lie beyond 2 standard errors, where {expected_two:.0f}
are expected; the largest is {largest:.2f}.{missing}

The [accuracy page](../accuracy.md) and [stress](stress.md) show the accuracy for extreme inputs.
"""


def page(size: dict[str, Any], results: dict[str, Any]) -> str:
    """The text of the page."""
    z = {name: np.array(found["samples"]) for name, found in results.items()}
    everything = np.abs(np.concatenate(list(z.values())))
    worst = {name: max(found["truth"].values()) / EPS for name, found in results.items()}
    closed = {name: value for name, value in worst.items() if name not in READY}
    worst_name = max(closed, key=lambda name: closed[name])
    count = len(next(iter(z.values())))
    rows = [
        [name, *(factor(results[name]["truth"][kind] / EPS) for kind in ("mean", "cov")), *_summary(z[name])]
        for name in results
    ]
    return TEXT.format(
        **{key: size[key] for key in ("neurons", "digits", "samples")},
        table=table(["activation", "mean, eps", "covariance, eps", "rms z", "largest z"], rows),
        eps=scientific(EPS),
        count=count,
        expected_max=stats.norm.isf((1 - 0.5 ** (1 / count)) / 2),
        worst_closed=factor(closed[worst_name]),
        worst_closed_name=worst_name,
        ready=_ready({name: value * EPS for name, value in worst.items() if name in READY}),
        missing=_missing([name for name in size["activations"] if name not in results]),
        all_count=len(everything),
        beyond_two=int(np.sum(everything > 2)),
        expected_two=2 * stats.norm.sf(2) * len(everything),
        largest=everything.max(),
    )


def _ready(worst: dict[str, float]) -> str:
    if not worst:
        return ""
    return (
        f"{', '.join(worst)} have none and are computed to a tolerance of {fm.Custom.tol:g}: "
        f"{scientific(max(worst.values()))} at most."
    )


def _missing(names: list[str]) -> str:
    return f" Not measured yet: {', '.join(names)}." if names else ""


def _summary(z: Any) -> list[str]:
    return [f"{np.sqrt(np.mean(z**2)):.2f}", f"{np.abs(z).max():.2f}"]


def draw(size: dict[str, Any], results: dict[str, Any], path: Path) -> None:
    """Draw quantiles of the differences, and errors by activation."""
    z = np.sort(np.concatenate([found["samples"] for found in results.values()]))
    ranks = np.arange(1, len(z) + 1)
    names = list(results)[::-1]
    with panels(path, 2, (12, 5)) as (left, right):
        expected = stats.norm.ppf((ranks - 0.5) / len(z))
        low, high = (stats.norm.ppf(stats.beta.ppf(q, ranks, len(z) + 1 - ranks)) for q in (0.025, 0.975))
        left.fill_between(expected, low, high, color="#dddddd", label="95% of independent normals")
        left.plot(expected, expected, color="#777777", lw=1)
        left.plot(expected, z, "o", ms=3.5, color=COLORS["fastmoments"], label=f"{len(z)} moments")
        left.set(xlabel="expected of a normal distribution", ylabel="difference to Monte Carlo, standard errors")
        left.set_title("fastmoments against samples")
        left.legend(loc="upper left")
        for kind, marker in (("mean", "o"), ("cov", "s")):
            errors = [max(results[name]["truth"][kind], 1e-18) for name in names]
            color = COLORS["fastmoments"] if kind == "cov" else "#30638e"
            label = "mean" if kind == "mean" else "covariance"
            right.plot(errors, range(len(names)), marker, color=color, ms=5, label=label)
        right.axvline(EPS, color="#777777", lw=1, ls="--")
        right.annotate(
            "eps", (EPS, 1.0), (4, -4), xycoords=("data", "axes fraction"), textcoords="offset points", va="top"
        )
        right.set_yticks(range(len(names)), names, fontsize=9)
        right.set(xscale="log", xlim=(1e-18, 1e-9), xlabel="largest relative error")
        right.set_title("fastmoments against mpmath")
        right.legend(loc="lower right")
