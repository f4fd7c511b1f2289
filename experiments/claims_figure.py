"""The figure of what checked answers claim."""

from pathlib import Path
from typing import Any

import numpy as np

from experiments.claims_page import PUBLISHED, of_suites, ratios
from experiments.figures import COLORS, panels


def draw(size: dict[str, Any], results: dict[str, Any], path: Path) -> None:
    """Draw claimed over true errors, errors without points beside published ones, and costs."""
    with panels(path, 3, (15, 4.6), width_ratios=[1, 1, 1.2]) as axes:
        _claims(axes[0], results["coverage"])
        _errors(axes[1], results)
        _cost_bars(axes[2], results)


def _claims(axis: Any, found: dict[str, Any]) -> None:
    error, claim, inputs = (np.array(found[name]) for name in ("error", "claim", "inputs"))
    for few, color, label in ((True, "#edae49", "1 or 2 inputs"), (False, COLORS["fastmoments"], "more inputs")):
        chosen = (inputs <= 2) == few
        axis.plot(100 * error[chosen], 100 * claim[chosen], "o", ms=3.5, color=color, mec="none", label=label)
    ends = 100 * np.array([min(error.min(), claim.min()), max(error.max(), claim.max())])
    axis.plot(ends, ends, color="#999999", lw=1)
    axis.set(xscale="log", yscale="log", xlabel="true error of the sd, %", ylabel="claimed, %")
    for side in (axis.xaxis, axis.yaxis):
        side.set_major_formatter("{x:g}")
    axis.set_title("above the line the claim holds")
    axis.legend(loc="upper left", fontsize=9)


def _errors(axis: Any, results: dict[str, Any]) -> None:
    suites = of_suites(results)
    # the seeds with published figures, and of others what has none
    shown = [name for name in suites if name in PUBLISHED] or list(suites)
    bars = {way: [100 * suites[name]["errors"][way][1] for name in shown] for way in ("closure", "cumulants")}
    bars["published"] = [PUBLISHED[name][0][1] if name in PUBLISHED else 0.0 for name in shown]
    colors = ("#9a8c98", COLORS["fastmoments"], "#6fa8dc")
    for k, ((way, heights), color) in enumerate(zip(bars.items(), colors, strict=True)):
        axis.bar(np.arange(len(shown)) + 0.27 * (k - 1), heights, 0.25, color=color, label=way)
    kinds = [name.split(",")[0].replace("he ", "He\n").replace("residual ", "residual\n") for name in shown]
    axis.set_xticks(range(len(shown)), kinds)
    axis.set(yscale="log", ylabel="error of the sd, %")
    axis.yaxis.set_major_formatter("{x:g}")
    axis.set_title("without points")
    axis.legend(fontsize=9)


def _cost_bars(axis: Any, results: dict[str, Any]) -> None:
    names = list(ratios(results))[::-1]
    for k, (way, color) in enumerate((("Monte Carlo", COLORS["Monte Carlo"]), ("checked", COLORS["fastmoments"]))):
        heights = [results[f"cost, {name}"][way] for name in names]
        axis.barh(np.arange(len(names)) + 0.2 - 0.4 * k, heights, 0.38, color=color, label=way)
    axis.set_yticks(range(len(names)), [name.replace(" of variance ", ", ") for name in names], fontsize=9)
    axis.set(xscale="log", xlabel="milliseconds, one thread")
    axis.set_title("time to a claim")
    axis.legend(fontsize=9)
