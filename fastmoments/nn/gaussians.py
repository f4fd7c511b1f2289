"""The values of a network that are alive at one time, as one Gaussian: a mean each and every covariance of two.

Values keep their own shape behind one batch dimension, (batch, ...); covariances are of what is flattened.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from fastmoments.frameworks.products import finite
from fastmoments.frameworks.torch import covariance, is_bare, symmetric_product
from fastmoments.moments import gain, marginals, moments
from fastmoments.nn.rules import Affine, Map


def flat(value: Tensor) -> Tensor:
    """(batch, features)."""
    return value.reshape(len(value), features_of(value))


def features_of(value: Tensor) -> int:
    """Elements of one row of the batch."""
    return math.prod(value.shape[1:])


def total(tensors: Iterable[Tensor]) -> Tensor:
    """Add at least one tensor."""
    return cast(Tensor, sum(tensors))


class Joint:
    """Full covariance: of every value, and between all of them."""

    def __init__(self) -> None:
        self.means: dict[str, Tensor] = {}
        self.covs: dict[tuple[str, str], Tensor] = {}
        self.kept: set[str] = set()  # what is read after the present step

    def start(self, name: str, mean: Tensor, cov: Tensor) -> None:
        """Bring in the network's input."""
        self.means[name], self.covs[name, name] = mean, cov

    def cov(self, one: str, two: str) -> Tensor:
        """Cov(one, two), (batch, n_one, n_two)."""
        return self.covs[one, two] if (one, two) in self.covs else self.covs[two, one].mT

    def affine(self, new: str, old: str, affine: Affine) -> None:
        """New = affine.module(old)."""
        mean = self.means[old]
        shape = mean.shape[1:]

        def across(cov: Tensor) -> Tensor:
            """Map the last axis of (batch, rows, n)."""
            if affine.unchanged:
                return cov
            mapped = affine.linear(cov.reshape(-1, *shape))
            return mapped.reshape(*cov.shape[:2], features_of(mapped))

        self.means[new], right = affine.module(mean), across(self.cov(old, old))
        self._link(new, {other: across(self.cov(other, old)).mT for other in self.kept if other != old})
        self.covs[new, old], self.covs[new, new] = right.mT, self._of_affine(new, old, affine, right)

    def _of_affine(self, new: str, old: str, affine: Affine, right: Tensor) -> Tensor:
        """Cov(new, new) by Cov(old, new)."""
        mean, var = self.means[old], torch.diagonal(self.cov(old, old), dim1=-2, dim2=-1)
        var = var.reshape(mean.shape)

        def rounding() -> Tensor:
            # by Cauchy-Schwarz n times the variance of independent inputs bounds (sum_j |A_ij| sd_j)^2
            reach = features_of(mean) * flat(affine.squared(var)).sum(-1)
            return features_of(self.means[new]) * torch.finfo(var.dtype).eps * reach

        if affine.unchanged:
            return right
        if affine.matrix is not None and mean.ndim == 2:
            full = symmetric_product(affine.matrix, right, rounding)
        else:
            mapped = affine.linear(right.mT.reshape(-1, *mean.shape[1:]))
            full = covariance(mapped.reshape(len(mean), features_of(mapped), right.shape[-1]), rounding)
        return full if affine.own is None else self._with_own(full, old, affine.own)

    def _with_own(self, full: Tensor, old: str, own: Map) -> Tensor:
        """Full and what random weights add: rows (batch, rows, n) of one value share them."""
        mean, (*lead, n) = self.means[old], self.means[old].shape
        batch, rows = lead[0], math.prod(lead[1:])
        x = mean.reshape(batch, rows, n)
        second = x[:, :, None] * x[:, None]
        second = second + self.cov(old, old).reshape(batch, rows, n, rows, n).diagonal(dim1=2, dim2=4)
        added = own(second)
        # products of matrices need not be symmetric in their rows
        added = 0.5 * (added + added.transpose(1, 2)) if rows > 1 else added
        if not is_bare(full, added):
            return full + torch.diag_embed(added, dim1=2, dim2=4).reshape(full.shape)
        m = added.shape[-1]
        full.view(batch, rows, m, rows, m).diagonal(dim1=2, dim2=4).add_(added)
        return full

    def activation(self, new: str, old: str, activation: Any) -> None:
        """New = f(old): covariances with other values by Stein's lemma, exact where those are Gaussian too."""
        mu, var = flat(self.means[old]), torch.diagonal(self.cov(old, old), dim1=-2, dim2=-1)
        gains = finite(torch, gain(activation, mu, var))[..., None]
        mean, self.covs[new, new] = moments(activation, mu, self.cov(old, old))
        self.means[new] = mean.reshape(self.means[old].shape)
        if old not in self.kept:
            del self.covs[old, old], var  # a matrix less while others are made
        self._link(new, {other: gains * self.cov(old, other) for other in self.kept})

    def join(self, new: str, names: Sequence[str], dim: int) -> None:
        """New = the values one behind the other, along the first dimension that matters."""
        linked = self.kept | set(names)
        self._link(new, {other: torch.cat([self.cov(name, other) for name in names], -2) for other in linked})
        self.covs[new, new] = torch.cat([self.cov(new, name) for name in names], -1)
        self.means[new] = torch.cat([self.means[name] for name in names], dim)

    def combine(self, new: str, terms: Sequence[tuple[float, str]], constant: Tensor | float = 0.0) -> None:
        """New = sum of factor * value, plus a constant."""
        shapes = {tuple(self.means[name].shape) for _, name in terms}
        if len(shapes) > 1:
            raise ValueError(f"{new}: expected values of one shape, got {sorted(shapes)}")
        self._link(new, {other: total(a * self.cov(name, other) for a, name in terms) for other in self.kept})
        self.covs[new, new] = self._of_sum(terms)
        self.means[new] = total(a * self.means[name] for a, name in terms) + constant

    def _of_sum(self, terms: Sequence[tuple[float, str]]) -> Tensor:
        """Cov of the sum of factor * value; pairs once, for `covariance` takes both triangles' mean."""
        pairs = [
            ((1.0 if i == j else 2.0) * a * b, self.cov(one, two))
            for i, (a, one) in enumerate(terms)
            for j, (b, two) in enumerate(terms[i:], i)
        ]
        add = torch.Tensor.add_ if is_bare(*(cov for _, cov in pairs)) else torch.add
        (factor, first), *others = pairs
        full = factor * first
        for factor, cov in others:
            full = add(full, cov, alpha=factor)

        def rounding() -> Tensor:
            traces = (a * a * torch.einsum("bii->b", self.cov(name, name)) for a, name in terms)
            return len(terms) * full.shape[-1] * torch.finfo(full.dtype).eps * total(traces)

        return covariance(full, rounding)

    def _link(self, new: str, covs: dict[str, Tensor]) -> None:
        for other, cov in covs.items():
            self.covs[new, other] = cov

    def drop(self, name: str) -> None:
        """Forget a value that nothing reads any more."""
        del self.means[name]
        self.covs = {pair: cov for pair, cov in self.covs.items() if name not in pair}


class Diagonal:
    """Variances alone: what correlates neurons, or two values that meet again, is left out."""

    def __init__(self) -> None:
        self.means: dict[str, Tensor] = {}
        self.vars: dict[str, Tensor] = {}
        self.kept: set[str] = set()

    def start(self, name: str, mean: Tensor, var: Tensor) -> None:
        """Bring in the network's input."""
        self.means[name], self.vars[name] = mean, var

    def affine(self, new: str, old: str, affine: Affine) -> None:
        """New = affine.module(old)."""
        mean, var = self.means[old], self.vars[old]
        self.means[new], spread = affine.module(mean), affine.squared(var)
        self.vars[new] = spread if affine.own is None else spread + affine.own(var + mean * mean)

    def activation(self, new: str, old: str, activation: Any) -> None:
        """New = f(old)."""
        shape = self.means[old].shape
        mean, var = marginals(activation, flat(self.means[old]), flat(self.vars[old]))
        self.means[new], self.vars[new] = mean.reshape(shape), var.reshape(shape)

    def join(self, new: str, names: Sequence[str], dim: int) -> None:
        """New = the values one behind the other, along the first dimension that matters."""
        self.means[new], self.vars[new] = (
            torch.cat([known[name] for name in names], dim) for known in (self.means, self.vars)
        )

    def combine(self, new: str, terms: Sequence[tuple[float, str]], constant: Tensor | float = 0.0) -> None:
        """New = sum of factor * value, plus a constant; different values count as uncorrelated."""
        factors: dict[str, float] = {}
        for factor, name in terms:
            factors[name] = factors.get(name, 0.0) + factor
        self.means[new] = total(a * self.means[name] for name, a in factors.items()) + constant
        self.vars[new] = total(a * a * self.vars[name] for name, a in factors.items())

    def drop(self, name: str) -> None:
        """Forget a value that nothing reads any more."""
        del self.means[name], self.vars[name]
