"""The interface of functions of several values of a network jointly, as a product of two is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from fastmoments.frameworks import Words

Array = Any  # of the library whose words are given
Covs = Callable[[int, int], Array]  # the covariance (batch, n_i, n_j) of two inputs
Slope = Callable[[Array], Array]  # E Df along one input, of rows (batch, count, n_i) to (batch, count, n)


class Bend(NamedTuple):
    """A part of E D^2 f: weight_i (e_a e_b^T + e_b e_a^T) for the element i of f.

    `weight` is (batch, n), and a and b are the elements `at_one[i]` of input `one` and `at_two[i]` of input `two`.
    """

    weight: Array
    one: int
    two: int
    at_one: Any = slice(None)
    at_two: Any = slice(None)

    @property
    def sides(self) -> tuple[tuple[int, Any], tuple[int, Any]]:
        """The inputs, and which of their elements are read."""
        return (self.one, self.at_one), (self.two, self.at_two)


class ValueMoments(NamedTuple):
    """Mean (batch, n) and covariance (batch, n, n) of f(X, Y, ...), and E Df along every input.

    `bends` are E D^2 f, if that is known and has few elements: see `second_order`.
    """

    mean: Array
    cov: Array
    slopes: tuple[Slope, ...]
    bends: tuple[Bend, ...] = ()


def second_order(bends: Sequence[Bend], others: Sequence[Bend], cov: Covs) -> Array | None:
    """Compute 1/2 <E D^2 f_i, C E D^2 g_j C^T>, (batch, n_f, n_g), the second order of Cov(f, g) (Mehler).

    `cov` is the covariance of an input of f and one of g. The result is None where one of both has no bends. All
    higher orders vanish if f or g is a product.
    """
    terms = [_second_order(a, b, cov) for a in bends for b in others]
    return sum(terms[1:], terms[0]) if terms else None


def _second_order(a: Bend, b: Bend, cov: Covs) -> Array:
    def across(side: int, other: int) -> Array:
        (i, rows), (j, columns) = a.sides[side], b.sides[other]
        return cov(i, j)[:, rows][:, :, columns]

    bent = across(0, 0) * across(1, 1) + across(0, 1) * across(1, 0)
    return a.weight[:, :, None] * b.weight[:, None] * bent


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
