"""Draws the error of relu's and gelu's covariance over (h, rho), beside SciPy and the published quadrature."""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from mpmath import mpf
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import fastmoments as fm  # noqa: E402
from benchmarks import baselines  # noqa: E402
from benchmarks.pair_truth import truth  # noqa: E402
from experiments.figures import sign  # noqa: E402

Array = Any

FIGURE = ROOT / "docs" / "figures" / "accuracy.png"
RESULTS = FIGURE.with_suffix(".json")

MEANS = np.linspace(-8.0, 8.0, 25)
# as dense towards |rho| = 1 as in the middle; without 0, where the covariance is 0
RHOS = np.tanh(np.linspace(-5.3, 5.3, 24))
FLOOR = 1e-17


def methods(name: str, h: Array, rho: Array) -> dict[str, Array]:
    """The covariances of the pairs by every method."""
    ones = np.ones_like(h)
    one_by_one = getattr(baselines, f"{name}_scipy")
    with np.errstate(all="ignore"):
        if name == "relu":
            gain = baselines.ndtr(h)
            published = rho * gain * gain + baselines.plackett(h, h, rho, power=1)
        else:
            published = baselines.gelu_quadrature(np.array([h, h]), np.array([ones, ones]), rho)
        scipy = np.array([one_by_one(a, a, 1.0, 1.0, r) for a, r in zip(h, rho, strict=True)])
    return {
        "fastmoments": getattr(fm, f"{name}_cov")(h, h, ones, ones, rho),
        "SciPy": scipy,
        "published quadrature": published,
    }


def measured(name: str) -> dict[str, list[list[float | None]]]:
    """Relative errors of every method, by mean and correlation; None where a method returns no number."""
    h, rho = (grid.ravel() for grid in np.meshgrid(MEANS, RHOS, indexing="ij"))
    points = list(zip(h, rho, strict=True))
    exact = [truth(name, h, h, rho) for h, rho in tqdm(points, desc=name, unit="pair")]
    found = {}
    for label, values in methods(name, h, rho).items():
        errors = [float(abs(mpf(float(v)) / t - 1)) for v, t in zip(values, exact, strict=True)]
        kept = [float(f"{error:.2g}") if np.isfinite(error) else None for error in errors]
        found[label] = [kept[i : i + len(RHOS)] for i in range(0, len(kept), len(RHOS))]
    return found


def draw(errors: dict[str, Any], path: Path) -> None:
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.colors import LogNorm

    figure, axes = plt.subplots(2, 3, figsize=(11, 6), sharex=True, sharey=True, layout="constrained")
    for (name, by_method), row in zip(errors.items(), axes, strict=True):
        for axis, (label, found) in zip(row, by_method.items(), strict=True):
            error = np.array(found, dtype=float)
            shown = np.clip(np.nan_to_num(error, nan=1.0), FLOOR, 1.0)
            image = axis.pcolormesh(
                np.arctanh(RHOS), MEANS, shown, norm=LogNorm(FLOOR, 1.0), cmap="magma_r", shading="nearest"
            )
            axis.set_title(f"{name}, {label}: worst {np.nanmax(error):.0e}", fontsize=10)
    ticks = (-0.9999, -0.99, -0.9, -0.5, 0, 0.5, 0.9, 0.99, 0.9999)
    for axis in axes[-1]:
        axis.set_xticks(np.arctanh(ticks), [f"{tick:g}" for tick in ticks], rotation=60, fontsize=8)
        axis.set_xlabel("rho")
    for axis in axes[:, 0]:
        axis.set_ylabel("h = mu / sd of both neurons")
    figure.colorbar(image, ax=axes, label="relative error", shrink=0.8)
    figure.savefig(path, dpi=130)


def write() -> None:
    """Compute the errors, which takes minutes, keep them and draw them."""
    errors = {name: measured(name) for name in ("relu", "gelu")}
    RESULTS.write_text(json.dumps(errors) + "\n")
    draw(errors, FIGURE)
    sign(FIGURE, RESULTS)
