"""Limits of the Gaussian approximation of a layer's output: errors by depth, and beside other methods."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import norm

import fastmoments as fm
from experiments.figures import COLORS, panels
from experiments.methods import METHODS, Layers
from experiments.points import errors, sobol, truth
from experiments.suites import OUTPUTS, Problem, plain, standard
from experiments.tables import percent, table
from experiments.ways import checked, closure, timed
from fastmoments.graph.propagate import LIMIT

SHOWN = {
    name: METHODS[f"{name} 1995" if name == "unscented" else name]
    for name in ("fastmoments", "mean-field", "linearised", "unscented")
}
DEPTHS = (1, 2, 3, 4)
INPUTS, WIDTH = 2, 32
TOL, FEWEST = 0.01, 16  # the tolerance that is asked for; the fewest Sobol points
FULL = {
    "activations": ["heaviside", "probit", "relu", "gelu"],
    "networks": 16,
    "samples": 2**17,
    "most": 2**16,
    "inputs": [1, 2, 8, 32, 128],
}
FAST = {"activations": ["heaviside", "relu"], "networks": 2, "samples": 2**10, "most": 2**11, "inputs": [1, 2]}
Errors = dict[str, float]


def measure(activation: str, depth: int, inputs: int, size: dict[str, Any]) -> Any:
    """Root mean square errors over networks and outputs, of the mean and of the sd, both relative to the sd.

    Beside them those of Sobol points in the closure's time, those of an answer that is asked for a tolerance, and
    the median milliseconds and points of either.
    """
    methods = tuple(SHOWN) if (depth, inputs) == (3, INPUTS) else ("fastmoments",)
    found: dict[str, list[Any]] = {name: [] for name in (*methods, "Sobol", "checked", "reference")}
    cost: dict[str, list[float]] = {name: [] for name in ("fastmoments", "checked", "points")}
    for seed in range(size["networks"]):
        problem = standard(plain(activation, depth, inputs, seed, WIDTH))
        true = truth(problem, size["samples"])
        found["reference"].append(true.own)
        for name in methods:
            found[name].append(errors(SHOWN[name](*problem), true))
        _, ms = timed(partial(closure, problem))
        points, sampled = in_time(problem, ms, seed)
        found["Sobol"].append(errors(sampled, true))
        answer, longer = timed(partial(checked, problem, TOL, size["most"]))
        found["checked"].append(errors(answer, true))
        for name, number in (("fastmoments", ms), ("checked", longer), ("points", points)):
            cost[name].append(number)
    rms = {name: np.sqrt(np.mean(np.square(each), axis=0)) for name, each in found.items()}
    return {
        **{name: {"mean": each[0], "sd": each[1]} for name, each in rms.items()},
        "cost": {name: float(np.median(each)) for name, each in cost.items()},
    }


def in_time(problem: Problem, ms: float, seed: int) -> tuple[int, Any]:
    """Return how many points of a scrambled Sobol sequence fit a time, at least a few, and their moments."""
    count, answer = FEWEST, sobol(problem, FEWEST, seed)
    while True:
        more, own = timed(partial(sobol, problem, 2 * count, seed))
        if own > ms:
            return count, answer
        count, answer = 2 * count, more


def cases(size: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    by_depth = {
        f"{name}, {depth} hidden": (name, depth, INPUTS) for name in size["activations"] for depth in DEPTHS
    }
    by_inputs = {f"{inputs} inputs": ("heaviside", 3, inputs) for inputs in size["inputs"]}
    return {case: partial(measure, *what, size) for case, what in (by_depth | by_inputs).items()}


TEXT = """# Honest limits

<!-- Written by `make experiments`; do not edit but in `experiments/limits.py`. -->

A layer's mean and covariance are exact for a Gaussian input, but the output of an activation is not Gaussian. The
next layer treats it as a Gaussian with its mean and covariance, as every method must that carries only these.
This page measures the error of that approximation, the closure.

## A failure to check by hand

X ~ N(0, 1) goes through a step, and the step's output less 0.1 through a second step. The second step changes
nothing: its input is 0.9 or -0.1, so its output is that of the first. A Gaussian with the mean and variance of
that input is positive with probability Phi(0.4 / 0.5) = 0.788 instead of 1/2.

```python
import numpy as np
import fastmoments as fm

one = np.ones((1, 1))
first, second = fm.compare.Residual("heaviside", one), fm.compare.Residual("heaviside", one, [-0.1])
layers = [first, second]
closed = fm.compare.analytic(layers, np.zeros(1), one)
sampled = fm.compare.monte_carlo(layers, np.zeros(1), one, samples=2**20, seed=0)
print(f"closed: mean {{closed.mean[0]:.3f}}, var {{closed.cov[0, 0]:.3f}}")
checked = fm.propagate(layers, np.zeros(1), one, tol=0.01)
print(f"sampled: mean {{sampled.mean[0]:.3f}}, var {{sampled.cov[0, 0]:.3f}}")
print(f"checked: mean {{checked.mean[0]:.3f}}, var {{checked.cov[0, 0]:.3f}}, within 1 %: {{checked.met}}")
```

```text
closed: mean 0.788, var 0.167
sampled: mean 0.500, var 0.250
checked: mean 0.500, var 0.250, within 1 %: True
```

A layer of one neuron is the worst case: a wide layer adds many such values, and their sum is closer to Gaussian.

## Random networks

![Densities of a heaviside network's output, and errors over the depth](../figures/limits.png)

Left: samples of an output of a heaviside network with one, two and three hidden layers, and the Gaussian that
fastmoments returns. With two inputs, {width} steps cut the plane into at most {pieces} pieces, and the output has
one value on each: after one layer mean and variance are exact, but the distribution is not bell-shaped.
Right: the table's errors of the standard deviation.

The networks have {inputs} inputs N(0, I), {width} neurons per layer, {outputs} outputs, weights N(0, 2 / fan-in)
and biases N(0, 1/4). The table shows the root mean square error over {networks} networks and their outputs,
against {samples:,} Sobol points: that of the mean in units of the output's standard deviation (sd), that of the
sd relative to it.

{by_depth}

With one hidden layer the difference is the points' error: {reference_mean} of the mean, {reference_sd} of the sd.
From the second layer on it is the error of the closure. All neurons depend on two inputs, so that the output of a
layer is far from Gaussian; later layers add less to the error.

## Other methods

The table compares methods on these networks with three hidden layers. {closest} The slope of a step is 0, so
first order returns a variance of 0.

{by_method}

## In the same time

Three hidden layers, and milliseconds of one thread. The closure is fast, but so are points: one scrambled Sobol
sequence runs through the network as long as the closure takes. `tol={tol:g}` asks `fm.propagate` for an error of
{tol_percent}: points then check the closure and what cumulants make of it, and take over where neither is close.
{equal_reading}

{equal_time}

## More inputs

The same networks with heaviside activations. With one input the network's output is a curve of steps; with many,
the sums at every neuron are closer to Gaussian, and points need more of them.

{by_inputs}

[Answers with a checked error](answers.md) compares more ways on more networks.

## Without samples

`fm.propagate(model, mu, cov, bound=True)` returns a bound on the distance of the output from the Gaussian. It
always holds, but is loose for deep networks or large variances ([Networks](../networks.md)).

## What else is not exact

* A layer of Gaussian weights has exact mean and covariance of W X + b, but W X + b is not Gaussian, even for a
  Gaussian X. An activation after it treats it as Gaussian.
* `fm.nn.class_probabilities` is exact for two classes, and a quasi-Monte Carlo mean for more.
* tanh, sigmoid, SiLU and softplus are computed to {tolerance}. So is every `fm.Custom`, by default, which has
  first derivatives, its gain too.
* `covariance="diagonal"` leaves out every correlation, as in the mean-field column above.
* The maximum of more than four elements, the softmax of more than two and covariances between rows, windows and
  groups of norms are approximate even for a Gaussian input ([Networks](../networks.md#layers)). Quotients of two
  values, sorting and positions of largest elements have no rules. They raise an error that names them.
* A covariance is n x n: memory and time grow with the square of a layer's width. Values stop at {features}
  features, unless `limit=` allows more.

The [accuracy page](../accuracy.md) has the rounding errors within a layer, and known shortcomings.
"""


def page(size: dict[str, Any], results: dict[str, Any]) -> str:
    """The text of the page."""
    first = [results[f"{name}, 1 hidden"]["reference"] for name in size["activations"]]
    by_depth = {
        name: {f"{depth} hidden": results[f"{name}, {depth} hidden"]["fastmoments"] for depth in DEPTHS}
        for name in size["activations"]
    }
    by_method = {name: {m: results[f"{name}, 3 hidden"][m] for m in SHOWN} for name in size["activations"]}
    alike = {name: results[f"{name}, 3 hidden"] for name in size["activations"]}
    by_inputs = {str(n): results[f"{n} inputs"] for n in size["inputs"]}
    return TEXT.format(
        inputs=INPUTS,
        width=WIDTH,
        outputs=OUTPUTS,
        networks=size["networks"],
        samples=size["samples"],
        # of as many lines in the plane
        pieces=1 + WIDTH + WIDTH * (WIDTH - 1) // 2,
        by_depth=_pairs("activation", by_depth),
        reference_mean=percent(max(errors["mean"] for errors in first)),
        reference_sd=percent(max(errors["sd"] for errors in first)),
        by_method=_pairs("activation", by_method),
        closest=_closest(by_method),
        tolerance=f"{fm.Custom.tol:g}",
        features=LIMIT,
        tol=TOL,
        tol_percent=percent(TOL),
        equal_time=_equal_time("activation", alike),
        equal_reading=_equal_reading(alike | by_inputs),
        by_inputs=_equal_time("inputs", by_inputs),
    )


def _equal_time(head: str, rows: dict[str, dict[str, Errors]]) -> str:
    """Rows of errors of the closure, of points in its time and of the checked answer, with times."""
    ways = {"fastmoments": "closure", "Sobol": "Sobol points in its time", "checked": f"tol={TOL:g}"}
    lines = []
    for name, row in rows.items():
        cost = row["cost"]
        ends = (f"{cost['fastmoments']:.2g}", f"{cost['points']:,.0f}", f"{cost['checked']:.2g}")
        cells = [
            [percent(row[way]["mean"]), percent(row[way]["sd"]), end] for way, end in zip(ways, ends, strict=True)
        ]
        lines.append([name, *sum(cells, [])])
    ends = ("ms", "number", "ms")
    heads = [part for way, end in zip(ways.values(), ends, strict=True) for part in (f"{way}: mean", "sd", end)]
    return table([head, *heads], lines)


def _equal_reading(rows: dict[str, dict[str, Errors]]) -> str:
    points = [name for name, row in rows.items() if row["Sobol"]["sd"] < row["fastmoments"]["sd"]]
    within = sum(max(row["checked"].values()) <= TOL for row in rows.values())
    return (
        f"In the closure's time points are closer in {len(points)} of the {len(rows)} rows of this table and the "
        f"next; with the tolerance the error is within it in {within}."
    )


def _closest(by_method: dict[str, dict[str, Errors]]) -> str:
    """The number of the table's comparisons in which fastmoments is closest."""
    least = [min(row, key=lambda m: row[m][kind]) for row in by_method.values() for kind in ("mean", "sd")]
    return f"fastmoments' error is the smallest in {least.count('fastmoments')} of {len(least)} comparisons."


def _pairs(head: str, rows: dict[str, dict[str, Errors]]) -> str:
    """Rows with two columns, mean and sd, for each entry."""
    columns = [part for name in next(iter(rows.values())) for part in (f"{name}: mean", "sd")]
    return table(
        [head, *columns],
        (
            [name, *(percent(errors[kind]) for errors in row.values() for kind in ("mean", "sd"))]
            for name, row in rows.items()
        ),
    )


def draw(size: dict[str, Any], results: dict[str, Any], path: Path) -> None:
    """Draw three densities, and the errors by depth."""
    x = np.random.default_rng(0).normal(size=(2 * size["samples"], INPUTS))
    with panels(path, 4, (13, 3.6), width_ratios=[1, 1, 1, 1.3]) as axes:
        for axis, depth in zip(axes, (1, 2, 3), strict=False):
            _density(axis, plain("heaviside", depth, INPUTS, 1, WIDTH), x)
            axis.set_title(f"heaviside, {depth} hidden")
        axes[0].legend(loc="upper right")
        for name in size["activations"]:
            errors = [100 * results[f"{name}, {depth} hidden"]["fastmoments"]["sd"] for depth in DEPTHS]
            axes[3].plot(DEPTHS, errors, "o-", label=name)
        axes[3].set(xlabel="hidden layers", ylabel="error of the sd, %", xticks=DEPTHS, yscale="log")
        axes[3].yaxis.set_major_formatter("{x:g}")
        axes[3].set_title("error against sampling")
        axes[3].legend(ncols=2, loc="lower right", fontsize=9)


def _density(axis: Any, layers: Layers, x: Any) -> None:
    """Draw the sampled density of the first output, and the closed form's Gaussian."""
    y = x
    for layer in layers[:-1]:
        y = (y @ np.asarray(layer.A).T + layer.b > 0).astype(float)
    y = (y @ layers[-1].weight.T + layers[-1].bias)[:, 0]
    mean, cov = fm.compare.analytic(layers, np.zeros(INPUTS), np.eye(INPUTS))
    sd = np.sqrt(cov[0, 0])
    grid = np.linspace(min(y.min(), mean[0] - 3.5 * sd), max(y.max(), mean[0] + 3.5 * sd), 120)
    axis.hist(y, grid, density=True, color="#8ecae6", label="sampled")
    axis.plot(grid, norm.pdf(grid, mean[0], sd), color=COLORS["fastmoments"], lw=2.5, label="fastmoments")
    axis.set(yticks=[], xlabel="output")
    axis.spines.left.set_visible(False)
