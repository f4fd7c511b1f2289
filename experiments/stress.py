"""Covariances that break numerics: results are finite, symmetric, semidefinite, and agree in float32."""

from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

import fastmoments as fm
from experiments.figures import COLORS, panels
from experiments.tables import table
from fastmoments_kernels.catalogue import CATALOGUE
from tests.rows import EXAMPLES

FULL = {"neurons": 128, "activations": [row.name for row in CATALOGUE]}
FAST = {"neurons": 24, "activations": ["relu", "sin"]}
FLOOR = 1e-6  # limits of the figure's axes
Gaussian = tuple[Any, Any]


def _integers(n: int, rng: np.random.Generator) -> Any:
    """Small integers of either sign, whose products are exact in float32."""
    return rng.integers(1, 16, n) * rng.choice([-1.0, 1.0], n)


def _mixed_scales(n: int, rng: np.random.Generator) -> Gaussian:
    root = rng.normal(size=(n, n)) / np.sqrt(n)
    sd = 10.0 ** rng.uniform(-6, 6, n)
    return sd * rng.normal(size=n), sd[:, None] * (root @ root.T) * sd


def _nearly_one(n: int, rng: np.random.Generator) -> Gaussian:
    v = _integers(n, rng)
    cov = np.outer(v, v) * (1 - 2.0**-15)
    np.fill_diagonal(cov, v * v)
    return v * np.round(rng.normal(size=n), 1), cov


def _rank_one(n: int, rng: np.random.Generator) -> Gaussian:
    v = _integers(n, rng)
    return v * np.round(rng.normal(size=n), 1), np.outer(v, v)


def _duplicates(n: int, rng: np.random.Generator) -> Gaussian:
    root = rng.normal(size=(n // 4, n // 4)).astype(np.float32).astype(float)
    which = np.arange(n) % (n // 4)
    return rng.normal(size=n // 4)[which], (root @ root.T)[np.ix_(which, which)]


def _no_variance(n: int, rng: np.random.Generator) -> Gaussian:
    mu, cov = _ordinary(n, rng)
    certain = rng.random(n) < 0.5
    return mu, np.where(certain[:, None] | certain, 0.0, cov)


def _far_out(n: int, rng: np.random.Generator) -> Gaussian:
    mu, cov = _ordinary(n, rng)
    return mu * 10.0 ** rng.uniform(0, 6, n), cov


def _ordinary(n: int, rng: np.random.Generator) -> Gaussian:
    root = rng.normal(size=(n, n)) / np.sqrt(n)
    return rng.normal(size=n), root @ root.T


INPUTS: dict[str, tuple[Callable[[int, np.random.Generator], Gaussian], str]] = {
    "ordinary": (_ordinary, "a Wishart matrix, n degrees of freedom: the smallest eigenvalue is near zero"),
    "mixed scales": (_mixed_scales, "variances from 1e-12 to 1e12"),
    "correlation near 1": (_nearly_one, "every correlation is +-(1 - 2^-15)"),
    "correlation 1": (_rank_one, "rank one: every correlation is +-1"),
    "duplicates": (_duplicates, "every neuron four times"),
    "no variance": (_no_variance, "half of the neurons are certain"),
    "far from zero": (_far_out, "means up to a million standard deviations"),
}


def given(kind: str, n: int) -> Gaussian:
    """The inputs, representable in float32."""
    mu, cov = (part.astype(np.float32) for part in INPUTS[kind][0](n, np.random.default_rng(0)))
    return mu, np.triu(cov) + np.triu(cov, 1).T


def measure(name: str, kind: str, size: dict[str, Any]) -> dict[str, Any]:
    """Checks of a matrix that need no truth."""
    moments = partial(getattr(fm, f"{name}_moments"), **EXAMPLES.get(name, {}))
    mu, cov = given(kind, size["neurons"])
    double, single = moments(mu.astype(float), cov.astype(float)), moments(mu, cov)
    order = np.random.default_rng(1).permutation(len(mu))
    moved = moments(mu[order].astype(float), cov[np.ix_(order, order)].astype(float))
    var = np.diagonal(double.cov)
    return {
        "finite": bool(all(np.isfinite(part).all() for part in (*double, *single))),
        "symmetric": bool(all(np.array_equal(found.cov, found.cov.T) for found in (double, single))),
        "eigenvalue": [smallest_eigenvalue(found.cov) for found in (double, single)],
        "permuted": difference(moved.cov, double.cov[np.ix_(order, order)], var[order], np.float64),
        "float32": difference(single.cov.astype(float), double.cov, var, np.float32),
    }


def smallest_eigenvalue(cov: Any) -> float:
    """The smallest eigenvalue, in units of n eps times the trace."""
    values = np.linalg.eigvalsh(cov.astype(float))
    unit = len(cov) * float(np.finfo(cov.dtype).eps) * float(np.trace(cov.astype(float)))
    return float(values[0] / unit) if unit else 0.0


def difference(one: Any, two: Any, var: Any, dtype: Any) -> float:
    """The largest difference, in eps times the product of the two standard deviations."""
    tiny, eps = float(np.finfo(dtype).tiny), float(np.finfo(dtype).eps)
    # a variance may underflow where covariances do not, and an error as large as the smallest number
    sd = np.sqrt(np.maximum(var, tiny))
    return float(np.max(np.abs(one - two) / np.maximum(eps * np.outer(sd, sd), tiny)))


def cases(size: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    every = product(INPUTS, size["activations"])
    return {f"{kind}, {name}": partial(measure, name, kind, size) for kind, name in every}


TEXT = """# Numerical stress

<!-- Written by `make experiments`; do not edit but in `experiments/stress.py`. -->

{neurons} neurons, {count} activations, inputs that break careless numerics. Whatever its values, a covariance has
to be finite, exactly symmetric, without a negative eigenvalue beyond rounding, equal for neurons in another order,
and equal in float32 and float64 up to rounding. The [accuracy page](../accuracy.md) checks its values, entry by
entry.

{table}

Each cell shows the worst activation's number, and its name. The smallest eigenvalue is in units of n eps trace,
which bounds the effect of rounding; the contract is -1. "Another order" is the largest difference of an entry after
permuting the neurons, in units of eps (float64) times the product of the standard deviations. "float32" is the
largest difference between the results in float32 and in float64 for the same inputs, in units of float32's eps
times that product; the rounding of the result alone takes half a unit. A variance or a difference below the
smallest normal number of the dtype counts as that number.

{kinds}

![Smallest eigenvalues and float32 errors by input](../figures/stress.png)

Each dot is an activation; the dashed line is the contract. Numbers that are not negative, or 0, are at the left
edge.

{reading}
"""


def page(size: dict[str, Any], results: dict[str, Any]) -> str:
    """The text of the page."""
    head = ["input", "finite", "symmetric", "smallest eigenvalue", "in float32", "another order", "float32"]
    return TEXT.format(
        neurons=size["neurons"],
        count=len(size["activations"]),
        table=table(head, (_row(size, results, kind) for kind in INPUTS)),
        kinds="\n".join(f"* {kind}: {what}." for kind, (_, what) in INPUTS.items()),
        reading=reading(size, results),
    )


def of_kind(size: dict[str, Any], results: dict[str, Any], kind: str) -> dict[str, Any]:
    return {name: results[f"{kind}, {name}"] for name in size["activations"]}


def _row(size: dict[str, Any], results: dict[str, Any], kind: str) -> list[str]:
    found = of_kind(size, results, kind)
    everywhere = ["yes" if all(case[key] for case in found.values()) else "NO" for key in ("finite", "symmetric")]
    eigenvalues = [{name: case["eigenvalue"][i] for name, case in found.items()} for i in (0, 1)]
    largest = [{name: case[key] for name, case in found.items()} for key in ("permuted", "float32")]
    cells = [_named(values, min) if min(values.values()) < 0 else "positive" for values in eigenvalues]
    return [kind, *everywhere, *cells, *(_named(values, max) for values in largest)]


def _named(values: dict[str, float], worst: Callable[..., str]) -> str:
    name = worst(values, key=lambda each: values[each])
    return f"{values[name]:.2g} ({name})"


def reading(size: dict[str, Any], results: dict[str, Any]) -> str:
    """The conclusions from the numbers."""
    bad = [case for case, found in results.items() if not (found["finite"] and found["symmetric"])]
    eigenvalue = min(min(found["eigenvalue"]) for found in results.values())
    beyond = [case for case, found in results.items() if found["float32"] > 8]
    shown = f"{len(bad)} ({'; '.join(bad)})" if bad else "none"
    return (
        f"Of {len(results)} matrices in either precision {shown} had an entry that is not finite or not "
        f"symmetric; the smallest eigenvalue of all is {eigenvalue:.2g} n eps trace. In float32 {len(beyond)} "
        f"differ by more than 8 eps {'(' + '; '.join(beyond) + ')' if beyond else ''} from float64."
    )


def draw(size: dict[str, Any], results: dict[str, Any], path: Path) -> None:
    """Draw a dot per activation, by input, and the contracts as lines."""
    kinds = list(INPUTS)[::-1]
    sides = (
        ("below zero, float64", -1, lambda case: -case["eigenvalue"][0]),
        ("below zero, float32", -1, lambda case: -case["eigenvalue"][1]),
        ("float32 against float64", 8, lambda case: case["float32"]),
    )
    with panels(path, 3, (14, 4), sharey=True) as axes:
        for axis, (title, contract, number) in zip(axes, sides, strict=True):
            for rank, kind in enumerate(kinds):
                found = [max(number(case), FLOOR) for case in of_kind(size, results, kind).values()]
                axis.plot(
                    found, np.full(len(found), rank), "o", ms=6, alpha=0.5, mew=0, color=COLORS["fastmoments"]
                )
            axis.axvline(abs(contract), color="#777777", lw=1, ls="--")
            axis.set(xscale="log", title=title, xlim=(FLOOR / 2, 30))
        for axis in axes[:2]:
            axis.set_xlabel("minus the smallest eigenvalue, n eps trace")
        axes[2].set_xlabel("largest difference, eps of float32")
        axes[0].set_yticks(range(len(kinds)), kinds)
