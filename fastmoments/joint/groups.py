"""The interface of functions of one group of elements: a norm's features, a window, a softmax' row."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from fastmoments.frameworks import Words

Array = Any  # of the library whose words are given


class GroupMoments(NamedTuple):
    """Moments of f(X), f: R^n -> R^k, of groups (...).

    `mean` is (..., k), `cov` (..., k, k) and `slope` E Df(X) (..., k, n). `curvature`, if it is known, is
    E D^2 f(X), (..., k, n, n): by it covariances of two groups are right to second order.
    """

    mean: Array
    cov: Array
    slope: Array
    curvature: Array | None = None


class GroupFunction(Protocol):
    """A function of one group of elements, the same for all groups.

    Equal functions have equal hashes. `name` is the kind that `describe` shows. `exact` says whether the moments
    are those of a Gaussian group, else `closure` what is approximated and by how much.
    """

    @property
    def name(self) -> str:
        """The kind."""

    @property
    def exact(self) -> bool:
        """Whether nothing is approximated."""

    @property
    def closure(self) -> str:
        """What is approximated, and by how much."""

    @property
    def curved(self) -> bool:
        """Whether the curvature is known."""

    def moments(self, words: Words[Any], mu: Array, cov: Array) -> GroupMoments:
        """Compute the moments for mu (..., n) and cov (..., n, n)."""

    def marginals(self, words: Words[Any], mu: Array, var: Array) -> tuple[Array, Array]:
        """Compute mean and variance, (..., k), for independent elements of mean mu and variance var, (..., n)."""
