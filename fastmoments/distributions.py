"""Normal distributions of PyTorch, SciPy and NumPyro in the place of mean and covariance."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from fastmoments.dispatch import plan_of
from fastmoments.frameworks import framework_of

LIBRARIES = ("torch", "scipy", "numpyro")
JOINT = ("MultivariateNormal", "LowRankMultivariateNormal")  # classes of PyTorch and NumPyro
EXPECTED = "a normal distribution of torch.distributions, scipy.stats or numpyro.distributions"


class Given(NamedTuple):
    """The mean (..., *event) of a distribution, its variance of that shape, and its covariance (..., n, n), if any.

    Without a covariance the elements are independent. `event` is the number of dimensions of one random vector,
    None where the distribution does not tell.
    """

    mean: Any
    variance: Any
    cov: Any
    event: int | None


def is_distribution(value: Any) -> bool:
    """Whether an argument is a distribution, of any kind, of a library above."""
    return any(
        kind.__module__.partition(".")[0] in LIBRARIES and ("distribution" in kind.__module__ or _is_frozen(kind))
        for kind in type(value).__mro__
    )


def given_by(value: Any) -> Given:
    """Return the moments of a normal distribution in the place of mu; raise TypeError for anything else."""
    if not is_distribution(value):
        raise TypeError(f"cov: expected the covariance of mu, or {EXPECTED} as mu alone")
    kinds = {kind.__name__ for kind in type(value).__mro__}
    base = {kind.__name__ for kind in type(getattr(value, "base_dist", None)).__mro__}
    if _is_frozen(type(value)):
        found = _of_scipy(value)
    elif kinds.intersection(JOINT):
        # a matrix of numbers, as gpytorch's tasks, has an order of its own in the covariance
        found = (
            Given(value.mean, value.variance, value.covariance_matrix, 1) if len(value.event_shape) == 1 else None
        )
    elif "Independent" in kinds and "Normal" in base:
        found = Given(value.mean, value.variance, None, len(value.event_shape))
    else:
        found = _independent(value.mean, value.variance) if "Normal" in kinds else None
    if found is None:
        got = getattr(getattr(value, "dist", None), "name", type(value).__name__)
        raise TypeError(f"mu: expected an array, or {EXPECTED}; {got} is none")
    return found


def mean_and_cov(value: Any) -> tuple[Any, Any]:
    """Return mean (..., n) and covariance (..., n, n) of a normal distribution."""
    given = given_by(value)
    return given.mean, diagonal(given.variance) if given.cov is None else given.cov


def flattened(value: Any) -> tuple[Any, Any]:
    """Return the mean (..., *event) and the covariance (..., n, n) of all elements, flattened in order.

    Where a distribution does not tell what its event is, the first of several dimensions is a batch.
    """
    given, var = given_by(value), given_by(value).variance
    if given.cov is not None:
        return given.mean, given.cov
    event = given.event or max(var.ndim - 1, 1)
    lead = var.shape[: var.ndim - event]
    return given.mean, diagonal(var.reshape(*lead, math.prod(var.shape[len(lead) :])))


def diagonal(var: Any) -> Any:
    """Return the matrices (..., n, n) with variances (..., n) on their diagonals."""
    library = framework_of(plan_of({"var": var}))
    shape = (*var.shape, var.shape[-1])
    return library.plus_diagonal(library.xp.zeros_like(library.xp.broadcast_to(var[..., None], shape)), var)


def _is_frozen(kind: type) -> bool:
    return kind.__module__.startswith("scipy.stats") and kind.__name__.endswith("_frozen")


def _of_scipy(value: Any) -> Given | None:
    if type(value).__name__ == "multivariate_normal_frozen":
        return Given(value.mean, value.cov.diagonal(), value.cov, 1)
    if getattr(getattr(value, "dist", None), "name", "") == "norm":
        return _independent(np.asarray(value.mean()), np.asarray(value.var()))
    return None


def _independent(mean: Any, variance: Any) -> Given:
    """Return the moments of numbers; a single one is a vector of one."""
    # methods of SciPy's random variables, else properties
    mean, variance = (np.asarray(x()) if callable(x) else x for x in (mean, variance))
    mean, variance = (x if x.ndim else x.reshape(1) for x in (mean, variance))
    return Given(mean, variance, None, None)
