"""Draws docs/figures/landing.png: a Gaussian before and behind a small network, samples and closed form.

usage: python tools/landing_figure.py
"""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import fastmoments as fm
from fastmoments.compare import Affine, Residual

FIGURE = Path(__file__).resolve().parents[1] / "docs" / "figures" / "landing.png"
ELLIPSES = {
    "fastmoments": {"color": "#d1495b", "lw": 2.5},
    "of the samples": {"color": "black", "ls": ":", "lw": 1.5},
    "linearised": {"color": "#edae49", "ls": "--", "lw": 2},
}
CLOUD = {"s": 2, "alpha": 0.25, "color": "#30638e", "linewidths": 0}
TEXT = 13  # points of a figure that is 6.4 inches wide: still 10 pixels on a phone of 390
LEGEND = {"fontsize": TEXT, "frameon": False, "columnspacing": 1.2, "handlelength": 1.6}
SAMPLES = 6000
SIGMAS = (1, 2)


def network() -> list[Any]:
    """2-16-2 with relu."""
    rng = np.random.default_rng(4)
    return [
        Residual("relu", rng.normal(size=(16, 2)), rng.normal(size=16)),
        Affine(rng.normal(size=(2, 16)) / 2),
    ]


def ellipse(mean: Any, cov: Any, sigmas: float) -> Any:
    """Points of the ellipse at `radius` standard deviations."""
    angle = np.linspace(0, 2 * np.pi, 200)
    circle = np.stack([np.cos(angle), np.sin(angle)])
    return mean[:, None] + sigmas * fm.compare.gaussians.square_root(cov) @ circle


def panel(axis: Any, points: Any, moments: dict[str, fm.Moments], title: str) -> None:
    """A cloud and the ellipses of each Gaussian."""
    axis.scatter(*points.T, rasterized=True, **CLOUD)
    for name, (mean, cov) in moments.items():
        for sigmas in SIGMAS:
            axis.plot(*ellipse(mean, cov, sigmas), **ELLIPSES[name], label=name if sigmas == 1 else None)
    axis.set_title(title, fontsize=TEXT)
    axis.set_aspect("equal")
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)


def drawn() -> Figure:
    """Both clouds, each with its ellipses, and one legend below."""
    mu, cov = np.array([0.2, 0.0]), np.array([[1.0, 0.6], [0.6, 0.8]])
    layers = network()
    x = np.random.default_rng(0).multivariate_normal(mu, cov, SAMPLES)
    y = np.maximum(x @ layers[0].A.T + layers[0].b, 0) @ layers[1].weight.T
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots(1, 2)
    panel(axes[0], x, {"fastmoments": fm.Moments(mu, cov)}, "X ~ N(mu, cov)")
    found = {
        "fastmoments": fm.compare.analytic(layers, mu, cov),
        "of the samples": fm.Moments(y.mean(0), np.cov(y.T)),
        "linearised": fm.compare.linearise(layers, mu, cov),
    }
    panel(axes[1], y, found, "network(X)")
    figure.legend(*axes[1].get_legend_handles_labels(), loc="outside lower center", ncols=len(found), **LEGEND)
    return figure


if __name__ == "__main__":
    drawn().savefig(FIGURE, dpi=200)
