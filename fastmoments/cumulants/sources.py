"""Cumulants of values by their responses to the neurons of earlier steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from fastmoments.cumulants.own import Own

Array = Any  # of the library whose functions are given


class Vertices(NamedTuple):
    """The parts of a step's third cumulants, (batch, n): the neurons' bends q, and their own kappa(i, i, i)."""

    q: Array
    iii: Array


class Links(NamedTuple):
    """The ties of m values to n neurons of an earlier step, (batch, m, n) each.

    `response` is R, the values' derivative along the neurons f, `cov` G = Cov(value, z) with their standardised
    inputs, and `bent` H = R w^T for the neurons' own cumulants w = kappa(i, i, j).
    """

    response: Array
    cov: Array
    bent: Array


def third_cumulants(sources: Sequence[tuple[Vertices, Links]]) -> Array:
    """Compute kappa(i, i, j) of the values, (batch, m, m)."""
    terms = []
    for (q, iii), (r, g, h) in sources:
        bent, r2 = g * q[..., None, :], r * r
        single = g * bent + 2.0 * r * h + r2 * iii[..., None, :]
        terms.append((2.0 * r * bent) @ g.mT + r2 @ h.mT + single @ r.mT)
    return sum(terms[1:], terms[0])


def fourth_cumulants(own: Own, response: Array) -> tuple[Array, Array]:
    """Compute kappa(i, i, j, j) and kappa(i, i, i, j) by the neurons of the last step, (batch, m, m)."""
    r, r2 = response, response * response
    of_pairs, of_triples = r2 @ own.iijj, r @ own.iiij.mT
    iiii = own.iiii[..., None, :]
    cross = r2 @ (r * of_triples).mT
    iijj = (r2 * iiii + of_pairs) @ r2.mT + 2.0 * (cross + cross.mT)
    iiij = (r2 * r * iiii + 3.0 * of_pairs * r + 3.0 * r2 * of_triples) @ r.mT + (r2 * r) @ of_triples.mT
    return iijj, iiij
