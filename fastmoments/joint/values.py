"""What is asked of a function of several values of a network jointly, as a product of two is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from fastmoments.frameworks import Words

Array = Any  # of the library whose words are given
Covs = Callable[[int, int], Array]  # the covariance (batch, n_i, n_j) of two inputs
Slope = Callable[[Array], Array]  # E Df along one input, of rows (batch, count, n_i) to (batch, count, n)


class ValueMoments(NamedTuple):
    """Mean (batch, n) and covariance (batch, n, n) of f(X, Y, ...), and E Df along every input."""

    mean: Array
    cov: Array
    slopes: tuple[Slope, ...]


class ValueFunction(Protocol):
    """A function of values, whose elements are flattened.

    `name` is the kind that `describe` shows. `closure` says what is approximated for Gaussian values, and by how
    much; it is empty if nothing is.
    """

    @property
    def name(self) -> str:
        """The kind."""

    @property
    def closure(self) -> str:
        """What is approximated."""

    def moments(self, words: Words[Any], means: Sequence[Array], cov: Covs) -> ValueMoments:
        """Compute the moments for means (batch, n_i) and covariances (batch, n_i, n_j)."""

    def marginals(
        self, words: Words[Any], means: Sequence[Array], variances: Sequence[Array]
    ) -> tuple[Array, Array]:
        """Compute mean and variance, (batch, n), for elements without correlations."""
