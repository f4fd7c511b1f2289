"""The ways to a network's mean and covariance that are compared, and their time on one thread."""

import importlib.util
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import fastmoments as fm
from experiments.points import monte_carlo, root, sobol, values
from experiments.suites import Problem

Way = Callable[[Problem], Any]
ROUNDS, ENOUGH = 3, 100.0  # rounds of a timing, and the milliseconds after which no further one begins
REPLICATES = 8  # of a checked answer
UNREACHABLE = 1e-9  # a tolerance that only the number of points ends


def closure(problem: Problem) -> Any:
    return fm.propagate(*problem)


def cumulants(problem: Problem) -> Any:
    return quietly(problem, cumulants=True)


def checked(problem: Problem, tol: float, most: int, seed: int = 0) -> Any:
    return quietly(problem, tol=tol, seed=seed, most=most)


def quietly(problem: Problem, **options: Any) -> Any:
    """`fm.propagate` without the warnings of what its result says too: `small` is False, or `met`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return fm.propagate(*problem, **options)


def weighed(problem: Problem, points: int, seed: int = 0) -> Any:
    """The checked answer of 8 sequences of so many points."""
    return checked(problem, UNREACHABLE, REPLICATES * points, seed)


def claim(answer: Any) -> Any:
    """The errors that a checked answer claims: of means, sds, the covariance."""
    return np.array([float(part) for part in answer.error])


def of_layers(method: Callable[..., Any]) -> Way:
    return lambda problem: method(problem.layers, problem.mu, problem.cov)


# Answers that have no size.
SINGLE: dict[str, Way] = {
    "closure": closure,
    "cumulants": cumulants,
    "mean-field": of_layers(fm.compare.mean_field),
    "linearised": of_layers(fm.compare.linearise),
    "unscented 1995": of_layers(partial(fm.compare.unscented, weights="1995")),
}


def has_qmcpy() -> bool:
    return importlib.util.find_spec("qmcpy") is not None


def qmcpy_means(problem: Problem, tol: float, sd: Any, seed: int) -> Any:
    """Means to within tol sds by qmcpy's replicated Sobol sequences; the sds, which it does not seek, are given."""
    import qmcpy

    half = root(problem.cov)

    def standardised(z: Any, **_: Any) -> Any:
        return np.moveaxis(values(problem.layers, problem.mu + z @ half.T) / sd, -1, 0)

    points = qmcpy.DigitalNetB2(len(problem.mu), seed=seed, replications=REPLICATES)
    measure = qmcpy.Gaussian(points, mean=0, covariance=1)
    integrand = qmcpy.CustomFun(measure, standardised, dimension_indv=(len(sd),))
    return sd * qmcpy.CubQMCRepStudentT(integrand, abs_tol=tol).integrate()[0]


SAMPLED: dict[str, Callable[[Problem, int, int], Any]] = {"Sobol": sobol, "Monte Carlo": monte_carlo}


def timed(run: Callable[[], Any], least: int = 2) -> tuple[Any, float]:
    """Return a call's result and its milliseconds of processor time, the shortest of some rounds.

    At least two, because the first may compile; `least=1` for what has nothing left to compile.
    """
    rounds: list[float] = []
    while len(rounds) < least or (len(rounds) < ROUNDS and sum(rounds) < ENOUGH):
        start = time.process_time()
        found = run()
        rounds.append(1e3 * (time.process_time() - start))
    return found, min(rounds)
