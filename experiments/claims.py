"""Holds the claims of checked answers against the truth, and measures errors and costs of networks by seed."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from tqdm import tqdm

import fastmoments as fm
from experiments.answers import geometric
from experiments.claims_figure import draw
from experiments.claims_page import of_points, page
from experiments.points import claimed, errors, monte_carlo, sobol, truth
from experiments.suites import CLAIMED, FRESH, TUNED, Problem, he, kinds, random_networks, residual
from experiments.ways import REPLICATES, checked, claim, closure, cumulants, timed, weighed
from fastmoments.compare import Residual

__all__ = ["FAST", "FULL", "cases", "draw", "page"]

FULL: dict[str, Any] = {
    "random": 100,
    "coverage": 400,
    "points": [512, 4096],
    "few": 2,
    "truth": {"coverage": 2**16, "random": 2**18, "suites": 2**19},
    "tol": 0.02,
    "most": 2**16,
    # kind of network, its size, seeds of others' figures, fresh seeds
    "suites": [
        ["he", [128, 4], [0, 1], [110, 111]],
        ["he", [256, 4], [0, 1], [110]],
        ["he", [256, 8], [], [110]],
        ["he", [32, 8], [0, 1, 2, 3, 4, 5], [110, 111, 112, 113, 114, 115]],
        ["residual", [32, 4], [0, 1, 2], [110, 111, 112]],
    ],
    "times": [64, 256],
    "cost": {"tol": 0.01, "most": 2**20, "seeds": 4, "samples": 2**16, "kinds": 9},
}
FAST: dict[str, Any] = {
    "random": 4,
    "coverage": 4,
    "points": [64, 128],
    "few": 2,
    "truth": {"coverage": 2**11, "random": 2**11, "suites": 2**11},
    "tol": 0.1,
    "most": 2**12,
    "suites": [["he", [8, 2], [0], [110]], ["residual", [8, 2], [0], [110]]],
    "times": [8, 16],
    "cost": {"tol": 0.1, "most": 2**13, "seeds": 1, "samples": 2**10, "kinds": 2},
}
MAKE: dict[str, Callable[..., Problem]] = {"he": he, "residual": residual}


def of_random(seeds: dict[str, int], size: dict[str, Any]) -> dict[str, Any]:
    """Geometric mean errors over random networks, shares of claims that hold and of tolerances that are met."""
    ways: dict[str, Callable[[Problem], Any]] = {"closure": closure, "cumulants": cumulants}
    for count in size["points"]:
        ways[f"one sequence of {REPLICATES * count}"] = partial(sobol, count=REPLICATES * count, seed=0)
        ways[f"{REPLICATES} sequences of {count}"] = partial(
            truth, count=REPLICATES * count, seed=0, scrambles=REPLICATES
        )
        ways[of_points(count)] = partial(weighed, points=count)
    found: dict[str, Any] = {name: [] for name in ways}
    holds: dict[str, Any] = {of_points(count): [] for count in size["points"]}
    met, true = [], []
    for problem in tqdm(random_networks(size["random"], **seeds), total=size["random"], leave=False):
        right = truth(problem, size["truth"]["random"])
        for name, way in ways.items():
            answer = way(problem)
            found[name].append(errors(answer, right))
            if name in holds:
                holds[name].append(found[name][-1] <= claim(answer))
        answer = checked(problem, size["tol"], size["most"])
        met.append(bool(np.all(answer.met)))
        true.append(bool(np.max(errors(answer, right)) <= size["tol"]))
    return {
        "errors": {name: [geometric(part) for part in np.transpose(each)] for name, each in found.items()},
        "holds": {name: np.mean(each, axis=0).tolist() for name, each in holds.items()},
        "met": sum(met),
        "true where met": sum(m and t for m, t in zip(met, true, strict=True)),
    }


def coverage(size: dict[str, Any]) -> dict[str, Any]:
    """Errors and claims of fresh networks: those of their sds, and how many of means, sds, covariances hold."""
    few, many = size["points"]
    found: dict[str, Any] = {"error": [], "claim": [], "inputs": [], "all": [], "few inputs": []}
    for problem in tqdm(random_networks(size["coverage"], **CLAIMED), total=size["coverage"], leave=False):
        narrow = len(problem.mu) <= size["few"]
        right = truth(problem, size["truth"]["random" if narrow else "coverage"])
        if not np.any(np.diagonal(right.cov) > 0):
            continue  # a constant as far as points can see: it has no relative errors
        answer = weighed(problem, few)
        error, own = errors(answer, right), claim(answer)
        found["error"].append(error[1])
        found["claim"].append(own[1])
        found["inputs"].append(len(problem.mu))
        found["all"].append(error <= own)
        if narrow:
            answer = weighed(problem, many)
            found["few inputs"].append(errors(answer, right) <= claim(answer))
    for name in ("all", "few inputs"):
        held = np.array(found[name], dtype=bool).reshape(-1, 3)
        found[name] = {"networks": len(held), "held": held.sum(0).tolist(), "whole": int(held.all(1).sum())}
    return found


def of_suite(kind: str, shape: list[int], seeds: list[int], size: dict[str, Any]) -> dict[str, Any]:
    """Root mean square errors over networks, from which the truth's noise is subtracted, and times."""
    ways = {"closure": closure, "cumulants": cumulants}
    squares: dict[str, Any] = {name: [] for name in ways}
    times: dict[str, list[float]] = {name: [] for name in ways}
    absolute = []
    for seed in tqdm(seeds, leave=False):
        problem = MAKE[kind](*shape, seed)
        right = truth(problem, size["truth"]["suites"])
        for name, way in ways.items():
            answer, ms = timed(partial(way, problem))
            squares[name].append(np.square(errors(answer, right)) - np.square(right.own))
            times[name].append(ms)
        noise = right.own[0] ** 2 * np.mean(np.diagonal(right.cov))
        absolute.append(float(np.mean((answer.mean - right.mean) ** 2) - noise))
    return {
        "errors": {
            name: np.sqrt(np.maximum(np.mean(each, axis=0), 0.0)).tolist() for name, each in squares.items()
        },
        "ms": {name: geometric(each) for name, each in times.items()},
        "squared": float(np.mean(absolute)),
    }


def times(width: int) -> dict[str, float]:
    """Milliseconds of closure and cumulants for four ReLU layers."""
    problem = he(width, 4, 0)
    return {name: timed(partial(way, problem))[1] for name, way in (("closure", closure), ("cumulants", cumulants))}


def cost(problem: Problem, size: dict[str, Any]) -> dict[str, Any]:
    """Milliseconds to a tolerance of the checked answer, and of samples whose two standard errors are as small.

    Of samples a run of some is timed; its claims, which fall with the root of the number, say how many it takes.
    """
    size = size["cost"]
    runs = [timed(partial(checked, problem, size["tol"], size["most"], seed), 1) for seed in range(size["seeds"])]
    _, ms = timed(partial(monte_carlo, problem, size["samples"], 0))
    needed = size["samples"] * float(np.max(claimed(problem, size["samples"], 0)) / size["tol"]) ** 2
    return {
        "checked": float(np.mean([each for _, each in runs])),
        "points": float(np.mean([float(answer.count) for answer, _ in runs])),
        "met": float(np.mean([np.all(answer.met) for answer, _ in runs])),
        "Monte Carlo": ms * needed / size["samples"],
        "samples": needed,
    }


def step_of_a_step(size: dict[str, Any]) -> dict[str, Any]:
    """A step of 0.1 less than a step: its mean is 1/2 and its variance 1/4, and all sequences agree."""
    one = np.ones((1, 1))
    layers = [Residual("heaviside", one), Residual("heaviside", one, np.array([-0.1]))]
    problem = Problem(layers, np.zeros(1), one)
    answer = checked(problem, 0.01, 2**14)
    mean, cov = fm.propagate(*problem)
    return {
        "closure": [mean[0], cov[0, 0]],
        "checked": [answer.mean[0], answer.cov[0, 0]],
        "claim": claim(answer).tolist(),
        "count": int(answer.count),
    }


def cases(size: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    found: dict[str, Callable[[], Any]] = {
        "random": partial(of_random, FRESH, size),
        "random, of tuning": partial(of_random, TUNED, size),
        "coverage": partial(coverage, size),
    }
    for kind, shape, known, fresh in size["suites"]:
        for seeds in (known, fresh):
            if seeds:
                found[suite(kind, shape, seeds)] = partial(of_suite, kind, shape, seeds, size)
    found |= {f"times, width {width}": partial(times, width) for width in size["times"]}
    chosen = list(kinds().items())[: size["cost"]["kinds"]]
    found |= {f"cost, {name}": partial(cost, problem, size) for name, problem in chosen}
    return found | {"step of a step": partial(step_of_a_step, size)}


def suite(kind: str, shape: list[int], seeds: list[int]) -> str:
    """The name of the case of a suite."""
    return f"{kind} {' x '.join(map(str, shape))}, seeds {', '.join(map(str, seeds))}"
