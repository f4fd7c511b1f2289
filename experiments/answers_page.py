"""The page and the figure of the answers' errors over their time."""

from pathlib import Path
from typing import Any

import numpy as np

from experiments.figures import COLORS, panels
from experiments.suites import SEED
from experiments.tables import percent, table

SINGLE = ("closure", "cumulants", "mean-field", "linearised", "unscented 1995")
ENOUGH = 0.01  # the error of the table of when to use which
PANELS = ("few inputs", "many inputs", "residual", "trained")
STYLES = {
    "closure": {"color": COLORS["fastmoments"], "marker": "o", "ms": 9},
    "cumulants": {"color": COLORS["fastmoments"], "marker": "D", "ms": 8},
    "mean-field": {"color": COLORS["mean-field"], "marker": "s", "ms": 7},
    "linearised": {"color": COLORS["linearised"], "marker": "^", "ms": 8},
    "unscented 1995": {"color": COLORS["unscented 1995"], "marker": "v", "ms": 8},
}
LINES = {
    "checked": {"color": COLORS["fastmoments"], "marker": "*", "ms": 11, "lw": 2.5},
    "Sobol": {"color": "#3d5a80", "lw": 1.5},
    "Monte Carlo": {"color": COLORS["Monte Carlo"], "lw": 1.5, "ls": "--"},
    "qmcpy": {"color": "#8d6a9f", "marker": "x", "ms": 8},
}

TEXT = """# Answers with a checked error

<!-- Written by `make experiments`; do not edit but in `experiments/answers_page.py`. -->

A network's mean and covariance by every way that this package and others have, and how far each is from the truth
after how many milliseconds of one thread.

![Error of the standard deviation over time, by kind of network](../figures/answers.png)

Further down is more accurate, further left is faster. A marker is a way that has one answer. A line is a way that
gets closer the longer it runs: the stars are `fm.propagate(..., tol=...)` for tolerances of {tolerances}, with at
most {most:,} points; it is the one way on this figure that says how far off it is.

* **closure** is `fm.propagate(model, mu, cov)`: every layer exact for a Gaussian input, and taken as Gaussian by
  the next.
* **cumulants** is the same with `cumulants=True`: skewness and kurtosis are carried too.
* **checked** is `tol=...`: both, and eight scrambled Sobol sequences through the network, which say how far
  either is off and share the answer with them.
* **Sobol** is one scrambled sequence, the best of samples: it has no error estimate.
* **Monte Carlo**, unscented (1995), linearised, mean-field: as in [Honest limits](limits.md).{qmcpy}

## Errors and times

mean / sd / covariance in %, then milliseconds. Errors of means are in units of the output's standard deviation,
those of standard deviations relative, root mean squares over outputs; those of covariances are in Frobenius norm.
Numbers are geometric means over networks. The truth's own error is in the last row.

{by_method}

{groups}

## In the time of the closure

Errors of the standard deviation, and those that samples have in the same time.

{equal_time}

{reading}

## When to use which

Networks of three hidden layers, 8 outputs, {width} neurons a layer or as many as inputs where those are more. A
cell is the larger of the errors of mean and standard deviation, and milliseconds. Sobol points: how many of one
sequence have an error of {enough}, and their time, which nobody knows who has no truth. Use: the fastest of
closure, cumulants and `tol={enough_number:g}` with an error of at most {enough}.

{which}

{advice}
"""
QMCPY = """
* **qmcpy** is its `CubQMCRepStudentT`, which replicates Sobol sequences until the means, not the covariance, are
  to within its tolerance, {qmcpy} here."""
NO_QMCPY = " qmcpy, whose Sobol sequences stop at a tolerance, was not installed and is left out."
GROUPS = """* Few inputs: {few} inputs N(0, I), three layers of 32, {activations}; many inputs: {many}, layers as
  wide.
* Residual: blocks x + relu(W x + b) of {residual[0]} neurons, {residual[1]} of them.
* Trained: three layers of 64 fitted to California's house prices, ReLU and GELU, around single houses; the
  input's covariance is 0.1 and 1 times that of the features.
* He: ReLU layers without biases, as many inputs and outputs as neurons: the shapes of WhestBench's networks.

Networks have seeds from {seed} on; no rule was tuned on them."""


def page(size: dict[str, Any], results: dict[str, Any]) -> str:
    """The text of the page."""
    found = {name: results[name] for name in results if "variance" not in name}
    rows = {name: results[name] for name in results if "variance" in name}
    with_qmcpy = any("qmcpy" in each for each in found.values())
    return TEXT.format(
        tolerances=", ".join(f"{tol:g}" for tol in size["tolerances"]),
        most=size["most"],
        qmcpy=QMCPY.format(qmcpy=", ".join(f"{tol:g}" for tol in size["qmcpy"])) if with_qmcpy else NO_QMCPY,
        by_method=_by_method(size, found),
        groups=GROUPS.format(
            few=_several(size["few"]),
            many=_several(size["many"]),
            activations=_several(size["activations"]),
            residual=size["residual"],
            seed=SEED,
        ),
        equal_time=_equal_time(found),
        reading=_reading(found),
        width=32,
        enough=percent(ENOUGH),
        enough_number=ENOUGH,
        which=_which(size, rows),
        advice=_advice(size, rows),
    )


def _several(parts: list[Any]) -> str:
    *first, last = map(str, parts)
    return f"{', '.join(first)} or {last}" if first else last


def _digits(value: float) -> str:
    return f"{float(f'{value:.2g}'):g}"


def _cell(part: dict[str, float]) -> str:
    known = [_digits(100 * part[name]) if name in part else "-" for name in ("mean", "sd", "cov")]
    return f"{' / '.join(known)}{', ' + _digits(part['ms']) if 'ms' in part else ''}"


def _by_method(size: dict[str, Any], found: dict[str, Any]) -> str:
    def row(name: str, *path: str) -> list[str]:
        cells = []
        for each in found.values():
            for part in path:
                each = each.get(part, {})
            cells.append(_cell(each) if each else "")
        return [name, *cells]

    counts = [str(count) for count in size["counts"][:: max(1, len(size["counts"]) // 4)]]
    lines = [row(name, "single", name) for name in SINGLE]
    lines += [row(f"checked, tol = {tol:g}", "checked", f"{tol:g}") for tol in size["tolerances"]]
    lines += [row(f"{n} Sobol points", "Sobol", n) for n in counts]
    lines += [row(f"{n} samples", "Monte Carlo", n) for n in counts]
    lines += [row(f"qmcpy, {tol:g}", "qmcpy", f"{tol:g}") for tol in size["qmcpy"]]
    lines += [row("the truth's own", "truth")]
    return table(["", *found], [line for line in lines if any(line[1:])])


def at(line: dict[str, Any], ms: float, kind: str = "sd") -> float:
    """The error after some milliseconds, between the numbers of points that were run; at the ends theirs."""
    times, errors = (np.array([each[name] for each in line.values()]) for name in ("ms", kind))
    order = np.argsort(times)
    return float(np.exp(np.interp(np.log(ms), np.log(times[order]), np.log(errors[order]))))


def _equal_time(found: dict[str, Any]) -> str:
    rows = []
    for name, each in found.items():
        middle = each["checked"][_middle(each)]
        ways = [each["single"]["closure"], each["single"]["cumulants"], middle]
        rows.append(
            [name]
            + [
                cell
                for way in ways
                for cell in (
                    f"{percent(way['sd'])}, {_digits(way['ms'])} ms",
                    *(percent(at(each[line], way["ms"])) for line in ("Sobol", "Monte Carlo")),
                )
            ]
        )
    first = next(iter(found.values()))
    heads = ("closure", "cumulants", f"tol = {_middle(first)}")
    return table(["", *(part for head in heads for part in (head, "Sobol", "samples"))], rows)


def _middle(each: dict[str, Any]) -> str:
    """The tolerance of the table of equal times."""
    return f"{ENOUGH:g}" if f"{ENOUGH:g}" in each["checked"] else next(iter(each["checked"]))


def _reading(found: dict[str, Any]) -> str:
    """The conclusions from the numbers."""
    beats = [
        name
        for name, each in found.items()
        if at(each["Sobol"], each["single"]["closure"]["ms"]) < each["single"]["closure"]["sd"]
    ]
    better = [
        name for name, each in found.items() if each["single"]["cumulants"]["sd"] < each["single"]["closure"]["sd"]
    ]
    true = [part["true"] for each in found.values() for part in each["checked"].values() if part["met"] == 1]
    return (
        f"In the closure's time one Sobol sequence is closer to the truth on {len(beats)} of {len(found)} kinds"
        f"{': ' + ', '.join(beats) if beats else ''}. Cumulants are closer than the closure on {len(better)}. "
        f"Where a tolerance was met on every network of a kind, {percent(float(np.mean(true)) if true else 0.0)} "
        "of the answers were within it."
    )


def worst(part: dict[str, float]) -> float:
    return max(part["mean"], part["sd"])


def _points(line: dict[str, Any]) -> tuple[int, float] | None:
    """The least number of points with an error that is small enough, and the milliseconds."""
    for count, part in line.items():
        if worst(part) <= ENOUGH:
            return int(count), part["ms"]
    return None


def choice(row: dict[str, Any]) -> str:
    """The fastest way of this package that is close enough."""
    for name in ("closure", "cumulants"):
        if worst(row["single"][name]) <= ENOUGH:
            return name
    return "tol"


def _which(size: dict[str, Any], rows: dict[str, Any]) -> str:
    lines = []
    for case, row in rows.items():
        activation, inputs, var = (part.split(" ")[-1 if k == 2 else 0] for k, part in enumerate(case.split(", ")))
        points, tol = _points(row["Sobol"]), row["checked"][f"{ENOUGH:g}"]
        lines.append(
            [activation, inputs, var]
            + [
                f"{percent(worst(row['single'][name]))}, {_digits(row['single'][name]['ms'])}"
                for name in SINGLE[:2]
            ]
            + [f"{percent(worst(tol))}, {_digits(tol['ms'])}{'' if tol['met'] else ', not met'}"]
            + [f"{points[0]:,}, {_digits(points[1])}" if points else f"more than {size['counts'][-1]:,}"]
            + [choice(row)]
        )
    head = ["activation", "inputs", "variance", "closure", "cumulants", f"tol = {ENOUGH:g}", "Sobol points", "use"]
    return table(head, lines)


def _advice(size: dict[str, Any], rows: dict[str, Any]) -> str:
    chosen = {name: [case for case, row in rows.items() if choice(row) == name] for name in SINGLE[:2] + ("tol",)}
    small = min(size["variances"])
    of_small = sum(case.endswith(f"variance {small:g}") for case in chosen["closure"] + chosen["cumulants"])
    unchecked = len(chosen["closure"]) + len(chosen["cumulants"])
    return (
        f"The closure is enough in {len(chosen['closure'])} of {len(rows)} rows and cumulants in "
        f"{len(chosen['cumulants'])} more, {of_small} of these {unchecked} at a variance of {small:g}; elsewhere "
        "only points get there. Whoever does not know in which row a network is asks for a tolerance: what the "
        "closure or the cumulants already know, it does not sample. For training, where gradients of many inputs "
        "count and an error of the closure is one of the loss alone, the closure is the cheapest."
    )


def draw(size: dict[str, Any], results: dict[str, Any], path: Path) -> None:
    """Draw the error of the standard deviation over the milliseconds, a panel for each kind."""
    with panels(path, len(PANELS), (15, 4.6), sharey=True) as axes:
        for axis, name in zip(axes, PANELS, strict=True):
            _panel(axis, results[name])
            axis.set_title(name)
        axes[0].set(ylabel="error of the standard deviation, %")
        axes[0].yaxis.set_major_formatter("{x:g}")
        handles, labels = axes[0].get_legend_handles_labels()
        axes[0].figure.legend(handles, labels, loc="outside right center", fontsize=10)


def _panel(axis: Any, results: dict[str, Any]) -> None:
    for name, style in LINES.items():
        parts = [part for part in results.get(name, {}).values() if "sd" in part]
        if parts:
            axis.plot([p["ms"] for p in parts], [100 * p["sd"] for p in parts], label=name, **style)
    for name, style in STYLES.items():
        part = results["single"][name]
        axis.plot(part["ms"], 100 * part["sd"], ls="", mec="white", label=name, **style)
    axis.axhline(100 * results["truth"]["sd"], color="#999999", lw=1, ls=":", label="the truth's own error")
    axis.set(xscale="log", yscale="log", xlabel="milliseconds, one thread")
    axis.xaxis.set_major_formatter("{x:g}")
