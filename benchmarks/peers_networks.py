"""A network's mean and standard deviations beside what points, samples and linearisation find in the same time."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
from scipy.special import ndtri
from scipy.stats import qmc
from tqdm import tqdm

import fastmoments as fm
from experiments import points
from experiments.suites import SEED, Problem, plain, standard
from experiments.ways import checked, closure, cumulants, timed

Way = Callable[[Problem], Any]

NETWORKS = {  # inputs, variance, width of three hidden layers of ReLUs
    "2 inputs": (2, 1.0, 32),
    "2 inputs, variance 0.01": (2, 0.01, 32),
    "32 inputs": (32, 1.0, 32),
    "128 inputs": (128, 1.0, 128),
}
SEEDS = 2  # networks of a kind; numbers are geometric means over them
TRUTH = 2**17  # points
MOST = 2**16
OWN: dict[str, Way] = {
    "fastmoments": closure,
    "fastmoments, cumulants": cumulants,
    "fastmoments, tol = 0.01": partial(checked, tol=0.01, most=MOST),
}


def unscrambled(problem: Problem, count: int, seed: int) -> fm.Moments:
    """Moments of the second `count` points of the plain Sobol sequence: balanced, and without 0."""
    del seed
    engine = qmc.Sobol(len(problem.mu), scramble=False).fast_forward(count)
    return points.moments(problem, (ndtri(engine.random(count)) for _ in range(1)))


@cache
def _engine(n: int, seed: int) -> qmc.Sobol:
    return qmc.Sobol(n, rng=np.random.default_rng(seed))


def scrambled(problem: Problem, count: int, seed: int) -> fm.Moments:
    """Moments of a scrambled Sobol sequence, which is scrambled once for all calls."""
    engine = _engine(len(problem.mu), seed).reset()
    return points.moments(problem, (ndtri(np.maximum(engine.random(count), points.OPEN)) for _ in range(1)))


POINTS: dict[str, Callable[[Problem, int, int], Any]] = {
    "plain Sobol": unscrambled,
    "scrambled Sobol": scrambled,
    "Monte Carlo": points.monte_carlo,
}


def suq(problem: Problem) -> fm.Moments:
    """SUQ (Li et al. 2025) with certain weights: values at the mean, variances by slopes, no correlations."""
    mean, var = problem.mu, np.diagonal(problem.cov)
    for layer in problem.layers:
        is_last = isinstance(layer, fm.compare.Affine)
        weight, bias = (layer.weight, layer.bias) if is_last else (layer.A, layer.b)
        mean, var = weight @ mean + bias, weight**2 @ var
        if not is_last:
            mean, var = np.maximum(mean, 0.0), var * (mean > 0)
    return fm.Moments(mean, np.diag(var))


def in_the_time(way: Callable[[Problem, int, int], Any], problem: Problem, ms: float, seed: int) -> dict[str, Any]:
    """The answer of as many points, a power of two, as take no more than a time, or of 2 if these take more."""
    count, kept = 2, timed(partial(way, problem, 2, seed))
    while count < MOST:
        answer, took = timed(partial(way, problem, 2 * count, seed))
        if took > ms:
            break
        count, kept = 2 * count, (answer, took)
    return {"answer": kept[0], "ms": kept[1], "points": count}


def of_one(problem: Problem, seed: int) -> dict[str, dict[str, float]]:
    """Errors, milliseconds and points of every way through one network."""
    true = points.truth(problem, TRUTH)
    found: dict[str, dict[str, Any]] = {}
    for name, way in OWN.items():
        answer, ms = timed(partial(way, problem))
        found[name] = {"answer": answer, "ms": ms}
        for other, sampled in POINTS.items() if name != "fastmoments, cumulants" else ():
            found[f"{other}, in the time of {name}"] = in_the_time(sampled, problem, ms, seed)
    answer, ms = timed(partial(suq, problem))
    found["SUQ"] = {"answer": answer, "ms": ms}
    for row in found.values():
        row["mean"], row["sd"], _ = map(float, points.errors(row.pop("answer"), true))
    return found


def networks() -> dict[str, Any]:
    """Average the results of `of_one` for every kind of network."""
    found = {}
    for kind, (inputs, var, width) in tqdm(NETWORKS.items(), desc="networks"):
        seeds = range(SEED, SEED + SEEDS)
        rows = [of_one(standard(plain("relu", 3, inputs, seed, width), var), seed) for seed in seeds]
        found[kind] = {
            name: {number: _mean([row[name][number] for row in rows]) for number in numbers}
            for name, numbers in rows[0].items()
        }
    return found


def _mean(numbers: list[float]) -> float:
    return float(f"{np.exp(np.mean(np.log(np.maximum(numbers, 1e-16)))):.4g}")
