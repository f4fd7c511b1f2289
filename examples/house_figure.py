"""The figure of california_housing.py: predictive intervals, spreads and calibration."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from house_network import Houses
from matplotlib.axes import Axes
from scipy.stats import norm

Price = tuple[np.ndarray, np.ndarray]  # mean and standard deviation of the log price, one per house

STYLES = {
    "noise ignored": {"color": "#9a8c98"},
    "mean-field": {"color": "#4a9d7c"},
    "linearised": {"color": "#edae49"},
    "unscented 2002": {"color": "#b5651d", "ls": ":"},
    "unscented 1995": {"color": "#6fa8dc"},
    "fastmoments": {"color": "#d1495b", "lw": 2.5},
    "Monte Carlo": {"color": "#222222", "ls": "--"},
}


def save(path: Path, houses: Houses, prices: dict[str, Price]) -> None:
    settings = {"axes.spines.top": False, "axes.spines.right": False, "axes.titlelocation": "left"}
    with plt.rc_context({**settings, "legend.frameon": False, "axes.titlesize": 12}):
        figure, axes = plt.subplots(1, 3, figsize=(17, 5.2), width_ratios=[1.6, 1, 1], layout="constrained")
        _intervals(axes[0], houses, prices["fastmoments"])
        _spreads(axes[1], prices)
        _calibration(axes[2], houses.test_y, prices)
        figure.savefig(path, dpi=150)
        plt.close(figure)


def _intervals(axes: Axes, houses: Houses, price: Price) -> None:
    shown = np.argsort(price[0][:90])
    mean, std, y = price[0][shown], price[1][shown], houses.test_y[shown]
    rank = np.arange(len(mean))
    for level, alpha in ((0.95, 0.25), (0.5, 0.5)):
        half = norm.ppf((1 + level) / 2) * std
        low, high = houses.dollars(mean - half) / 1e3, houses.dollars(mean + half) / 1e3
        axes.vlines(rank, low, high, colors="#30638e", alpha=alpha, lw=4, label=f"{level:.0%} interval")
    outside = np.abs(y - mean) > norm.ppf(0.975) * std
    truth = houses.dollars(y) / 1e3
    axes.plot(rank[~outside], truth[~outside], "o", color="#222222", ms=4, label="true price inside 95%")
    axes.plot(rank[outside], truth[outside], "o", color="#d1495b", ms=6, label="outside")
    axes.set_title("What fastmoments says of 90 test houses with noisy features")
    axes.set(yscale="log", xlabel="houses, by predicted price", ylabel="median house value, thousand dollars")
    ticks = [25, 50, 100, 200, 400, 800]
    axes.set_yticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.legend(loc="upper left")


def _spreads(axes: Axes, prices: dict[str, Price]) -> None:
    std = {name: price[1][:300] for name, price in prices.items()}
    reference = std["Monte Carlo"]
    for name in ("linearised", "unscented 1995", "fastmoments"):
        axes.plot(reference, std[name], "o", ms=3, alpha=0.7, color=STYLES[name]["color"], label=name)
    ends = [reference.min(), reference.max()]
    axes.plot(ends, ends, **STYLES["Monte Carlo"], label="equal")
    low, high = std["mean-field"].min(), std["mean-field"].max()
    axes.plot([], [], " ", label=f"(mean-field: {low:.1f} to {high:.1f}, far above)")
    axes.set_title("Predicted spread of 300 houses' log prices")
    axes.set(xlabel="standard deviation by Monte Carlo", ylabel="standard deviation by each method")
    axes.legend(markerscale=2, loc="upper left")


def _calibration(axes: Axes, y: np.ndarray, prices: dict[str, Price]) -> None:
    nominal = np.linspace(0, 1, 101)
    axes.plot([0, 1], [0, 1], color="#bbbbbb", lw=1)
    for name, style in STYLES.items():
        mean, std = prices[name]
        within = 2 * norm.cdf(np.abs(y - mean) / std) - 1  # smallest central interval with the true price
        axes.plot(nominal, np.mean(within[:, None] <= nominal, axis=0), label=name, **style)
    axes.set_title("Calibration on all test houses")
    axes.set(xlabel="probability an interval claims", ylabel="share of true prices inside")
    axes.legend()
