"""A network's answer by several ways: their errors over their time, by kind of network."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from tqdm import tqdm

from experiments.answers_page import draw, page
from experiments.points import Truth, errors, truth
from experiments.suites import RANDOM, SEED, Problem, he, plain, residual, standard
from experiments.trained import california
from experiments.ways import SAMPLED, SINGLE, checked, claim, has_qmcpy, qmcpy_means, timed

__all__ = ["FAST", "FULL", "cases", "draw", "page"]

POINTS = 1  # the seed of points
FULL: dict[str, Any] = {
    "activations": list(RANDOM),
    "seeds": 2,
    "few": [1, 2],
    "many": [32, 128],
    "residual": [32, 4],
    "steps": 3000,
    "houses": 4,
    "he": [[256, 4], [256, 8]],
    "truth": 2**18,
    "counts": [2**k for k in range(5, 17)],
    "tolerances": [0.1, 0.03, 0.01, 0.003],
    "most": 2**16,
    "qmcpy": [0.01],
    "inputs": [1, 2, 8, 32, 128],
    "variances": [0.01, 1.0],
}
FAST: dict[str, Any] = {
    "activations": ["relu"],
    "seeds": 1,
    "few": [2],
    "many": [8],
    "residual": [8, 2],
    "steps": 5,
    "houses": 1,
    "he": [[8, 2]],
    "truth": 2**12,
    "counts": [32, 64, 128],
    "tolerances": [0.1],
    "most": 2**12,
    "qmcpy": [],
    "inputs": [1, 2],
    "variances": [1.0],
}
NAMES = ("mean", "sd", "cov")


def measure(problems: Callable[[], list[Problem]], size: dict[str, Any]) -> dict[str, Any]:
    """Errors and milliseconds of every way, geometric means over networks."""
    found: dict[str, Any] = {}
    networks = problems()
    for problem in tqdm(networks, desc="networks", leave=False):
        true = truth(problem, size["truth"])
        _add(found, ("truth",), dict(zip(NAMES, true.own, strict=True)))
        for name, way in SINGLE.items():
            _add(found, ("single", name), _judged(*timed(partial(way, problem)), true))
        _of_points(found, problem, true, size)
    return {"networks": len(networks), **_averaged(found)}


def _of_points(found: dict[str, Any], problem: Problem, true: Truth, size: dict[str, Any]) -> None:
    for name, way in SAMPLED.items():
        for count in size["counts"]:
            answer = timed(partial(way, problem, count, POINTS), 1)
            _add(found, (name, str(count)), _judged(*answer, true))
    for tol in size["tolerances"]:
        answer, ms = timed(partial(checked, problem, tol, size["most"], POINTS), 1)
        judged = _judged(answer, ms, true) | {"count": int(answer.count)}
        holds = {"met": bool(np.all(answer.met)), "true": bool(np.max(errors(answer, true)) <= tol)}
        claims = {f"claimed {name}": part for name, part in zip(NAMES, claim(answer), strict=True)}
        _add(found, ("checked", f"{tol:g}"), judged | claims | holds)
    for tol in size["qmcpy"] if has_qmcpy() else []:
        sd = np.sqrt(np.diagonal(true.cov))
        mean, ms = timed(partial(qmcpy_means, problem, tol, sd, POINTS), 1)
        off = float(np.sqrt(np.mean(((mean - true.mean) / sd) ** 2)))
        _add(found, ("qmcpy", f"{tol:g}"), {"mean": off, "ms": ms, "true": off <= tol})


def _judged(answer: Any, ms: float, true: Truth) -> dict[str, float]:
    return {**dict(zip(NAMES, map(float, errors(answer, true)), strict=True)), "ms": ms}


def _add(found: dict[str, Any], path: tuple[str, ...], numbers: dict[str, Any]) -> None:
    """Append the numbers to the lists at a path."""
    for part in path:
        found = found.setdefault(part, {})
    for name, number in numbers.items():
        found.setdefault(name, []).append(number)


def _averaged(found: Any) -> Any:
    """Geometric means of the lists of numbers, shares of the lists of truths."""
    if isinstance(found, dict):
        return {name: _averaged(part) for name, part in found.items()}
    if isinstance(found[0], bool):
        return float(np.mean(found))
    return geometric(found)


def geometric(numbers: Any) -> float:
    # an error of 0 counts as one of rounding
    return float(np.exp(np.mean(np.log(np.maximum(numbers, 1e-16)))))


def groups(size: dict[str, Any]) -> dict[str, Callable[[], list[Problem]]]:
    """The kinds of networks that the figure shows."""
    seeds = range(SEED, SEED + size["seeds"])

    def several(inputs: list[int], wide: bool) -> list[Problem]:
        return [
            standard(plain(name, 3, n, seed, n if wide else 32))
            for name in size["activations"]
            for n in inputs
            for seed in seeds
        ]

    def houses() -> list[Problem]:
        chosen = [(name, scale) for name in ("relu", "gelu") for scale in (0.1, 1.0)]
        return [
            problem for name, scale in chosen for problem in california(name, scale, size["houses"], size["steps"])
        ]

    found: dict[str, Callable[[], list[Problem]]] = {
        "few inputs": lambda: several(size["few"], False),
        "many inputs": lambda: several(size["many"], True),
        "residual": lambda: [residual(*size["residual"], seed) for seed in seeds],
        "trained": houses,
    }
    for n, hidden in size["he"]:
        found[f"He, {n} x {hidden}"] = lambda n=n, hidden=hidden: [he(n, hidden, SEED)]  # type: ignore[misc]
    return found


def rows(size: dict[str, Any]) -> dict[str, tuple[str, int, float, int]]:
    """Activation, inputs, variance and width of the rows of the table of when to use which."""
    widths = {n: max(32, n) for n in size["inputs"]}
    return {
        f"{name}, {n} inputs, variance {var:g}": (name, n, var, widths[n])
        for n in size["inputs"]
        for var in size["variances"]
        for name in size["activations"]
        if name != "probit"
    }


def cases(size: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    found = {name: partial(measure, problems, size) for name, problems in groups(size).items()}

    def row(name: str, n: int, var: float, width: int) -> list[Problem]:
        seeds = range(SEED, SEED + size["seeds"])
        return [standard(plain(name, 3, n, seed, width), var) for seed in seeds]

    short = size | {"truth": size["truth"] // 2, "counts": size["counts"][::2], "tolerances": [0.01], "qmcpy": []}
    return found | {case: partial(measure, partial(row, *what), short) for case, what in rows(size).items()}
