"""House prices from noisy features: a Gaussian carried through ReLU networks, exactly and as others do it.

    python examples/california_housing.py           a minute or two on two cores
    python examples/california_housing.py --fast    seconds, with fewer houses, iterations and samples

Every feature of a test house but its location is read with noise as large as the feature's own spread. What
is then known of the true features is a Gaussian: the training houses' distribution, given the reading. It is
carried through networks trained on clean features; their error on the training houses is added at the end.
"""

import argparse
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

# The matrices are small: a second BLAS thread gains nothing, and on a busy machine costs forty times the time.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import house_figure
import house_network
import numpy as np
from house_figure import Price
from house_network import Houses
from scipy.stats import norm

import fastmoments as fm

FIGURE = Path(__file__).resolve().parent / "figures" / "california_housing.png"
SEED = 0
NOISE = 1.0  # covariance of the noise, in units of the features' own covariance
EXACT = slice(0, 2)  # longitude and latitude

METHODS: dict[str, Callable[..., fm.Moments]] = {
    "fastmoments": fm.compare.analytic,
    "unscented 1995": partial(fm.compare.unscented, weights="1995"),
    "unscented 2002": partial(fm.compare.unscented, weights="2002"),
    "linearised": fm.compare.linearise,
    "mean-field": fm.compare.mean_field,
    "noise ignored": lambda layers, mu, cov: fm.compare.linearise(layers, mu, np.zeros_like(cov)),
}

NETWORKS = {
    1: "8-32-1, one hidden layer with a skip connection: fastmoments is exact",
    2: "8-32-32-1, two of them: each is exact, but what enters the second is only nearly Gaussian",
}


class Size(NamedTuple):
    """How much to compute; reference_samples are for the first few houses, samples for all of them."""

    train: int
    test: int
    iterations: int
    references: int
    reference_samples: int
    samples: int


FULL = Size(train=14448, test=2048, iterations=300, references=16, reference_samples=2**20, samples=1000)
FAST = Size(train=1024, test=64, iterations=30, references=2, reference_samples=2**14, samples=100)


class Score(NamedTuple):
    """A row of the table: three errors against Monte Carlo, two scores against the true prices, the cost."""

    mean_error: float
    std_error: float
    divergence: float
    log_density: float
    coverage: float
    seconds: float


def known_features(houses: Houses) -> fm.Moments:
    """Read the test features with noise; what is known of the true ones: mean (houses, 8), cov (8, 8)."""
    prior = np.cov(houses.train_x.T)
    noise = NOISE * prior
    noise[EXACT], noise[:, EXACT] = 0, 0
    rng = np.random.default_rng(SEED)
    reading = houses.test_x + rng.multivariate_normal(np.zeros(len(noise)), noise, len(houses.test_x))
    # x ~ N(0, prior), as the training features are standardised, and reading = x + N(0, noise).
    gain = np.linalg.solve(prior + noise, prior).T
    rest = np.eye(len(gain)) - gain
    return fm.Moments(reading @ gain.T, rest @ prior @ rest.T + gain @ noise @ gain.T)


def with_residual(output: fm.Moments, residual: np.ndarray) -> Price:
    """Mean and standard deviation of the log price: the network's output plus its error in training."""
    return output.mean[:, 0] + residual.mean(), np.sqrt(output.cov[:, 0, 0] + residual.var())


def errors(output: fm.Moments, reference: fm.compare.MomentsWithError) -> tuple[float, float, float]:
    """Root mean square errors of mean and standard deviation, by the latter, and mean KL divergence."""
    count = len(reference.mean)
    output = fm.Moments(output.mean[:count], output.cov[:count])
    mean_error = (output.mean - reference.mean) / np.sqrt(reference.cov[:, 0])
    std_error = np.sqrt(output.cov / reference.cov) - 1
    truth = fm.Moments(reference.mean, reference.cov)
    return _rms(mean_error), _rms(std_error), float(np.mean(fm.compare.kl_divergence(truth, output)))


def own_errors(reference: fm.compare.MomentsWithError) -> tuple[float, float, float]:
    """Standard errors in the same units, and the divergence they amount to."""
    mean_error = _rms(reference.mean_error / np.sqrt(reference.cov[:, 0]))
    std_error = _rms(reference.cov_error / reference.cov) / 2
    return mean_error, std_error, mean_error**2 / 2 + std_error**2


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def accuracy(price: Price, y: np.ndarray) -> tuple[float, float]:
    """Average log density of the true log prices, and the share of them within the central 95 % interval."""
    mean, std = price
    inside = np.abs(y - mean) < norm.ppf(0.975) * std
    return float(np.mean(norm.logpdf(y, mean, std))), float(np.mean(inside))


def timed(method: Callable[..., Any], layers: list, mu: np.ndarray, cov: np.ndarray) -> tuple[Any, float]:
    """Output, and seconds per input."""
    start = time.perf_counter()
    output = method(layers, mu, cov)
    return output, (time.perf_counter() - start) / len(mu)


def compare(houses: Houses, layers: list, size: Size) -> tuple[dict[str, Score], dict[str, Price]]:
    """Run every method on the test houses."""
    mu, cov = known_features(houses)
    fitted = METHODS["noise ignored"](layers, houses.train_x, cov)
    residual = houses.train_y - fitted.mean[:, 0]
    sample = partial(fm.compare.monte_carlo, seed=SEED)
    sobol = partial(sample, samples=size.reference_samples, method="sobol", return_error=True)
    reference, seconds = timed(sobol, layers, mu[: size.references], cov)
    prices = {"Monte Carlo": with_residual(sample(layers, mu, cov, samples=size.samples), residual)}
    sampled = Score(*own_errors(reference), *accuracy(prices["Monte Carlo"], houses.test_y), seconds)
    scores = {}
    for name, method in METHODS.items():
        method(layers, mu[:1], cov)  # the first call compiles
        output, seconds = timed(method, layers, mu, cov)
        prices[name] = with_residual(output, residual)
        scores[name] = Score(*errors(output, reference), *accuracy(prices[name], houses.test_y), seconds)
    return {**scores, "Monte Carlo": sampled}, prices


def print_table(tables: dict[str, dict[str, Score]], size: Size) -> None:
    print(f"\n{'':15}{'error of':>10}{'error of':>10}{'KL from':>10}{'log':>9}{'95 %':>10}{'time per':>11}")
    print(f"{'':15}{'mean':>10}{'std':>10}{'MC, nats':>10}{'density':>9}{'coverage':>10}{'input':>11}")
    for title, scores in tables.items():
        print(f"\n{title}")
        for name, score in scores.items():
            print(
                f"{name:15}{score.mean_error:10.3%}{score.std_error:10.3%}{score.divergence:10.1e}"
                f"{score.log_density:9.3f}{score.coverage:10.1%}{_duration(score.seconds):>11}"
            )
    print(f"""
Errors: root mean square over {size.references} houses, by the standard deviation, against Monte Carlo with
{size.reference_samples:,} Sobol points, whose own row shows its standard errors. Log density and coverage:
of the true prices of {size.test:,} houses, the network's error in training added (Monte Carlo with
{size.samples:,} samples). Times: warm, all {size.test:,} houses in one call.""")


def _duration(seconds: float) -> str:
    return f"{seconds * 1e6:.1f} us" if seconds < 1e-2 else f"{seconds:.2f} s"


def main(size: Size, figure: Path) -> None:
    houses = house_network.load(size.train, size.test, SEED)
    print("California houses, every feature but the location read with noise as large as its own spread.")
    tables, prices = {}, {}
    for depth, title in NETWORKS.items():
        layers = house_network.train(houses.train_x, houses.train_y, depth, size.iterations, SEED)
        tables[title], prices[depth] = compare(houses, layers, size)
    print_table(tables, size)
    figure.parent.mkdir(exist_ok=True)
    house_figure.save(figure, houses, prices[1])
    print(f"\nFigure: {figure}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="House prices from noisy features.")
    parser.add_argument("--fast", action="store_true", help="seconds instead of minutes")
    parser.add_argument("--figure", type=Path, default=FIGURE, help="where the figure goes")
    arguments = parser.parse_args()
    main(FAST if arguments.fast else FULL, arguments.figure)
