"""One function of many groups of a value's elements: windows of a maximum, rows of a softmax, tokens of a norm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastmoments.frameworks import Words
from fastmoments.joint.groups import GroupFunction, GroupMoments
from fastmoments.joint.values import Array, Covs, ValueMoments

HALF = 1e-4  # less than eps of float16 and bfloat16


@dataclass(frozen=True)
class _Moments:
    """A group function's moments as a function of mu and cov, equal for equal functions."""

    function: GroupFunction
    words: Any

    def __call__(self, mu: Array, cov: Array) -> GroupMoments:
        if float(self.words.xp.finfo(mu.dtype).eps) < HALF:
            return self.function.moments(self.words, mu, cov)
        # no library has eigenvectors in half precision
        found = self.function.moments(self.words, self.words.single(mu), self.words.single(cov))
        return GroupMoments(*(x if x is None else _of_dtype(x, mu.dtype) for x in found))


def _of_dtype(x: Array, dtype: Any) -> Array:
    return x.to(dtype) if hasattr(x, "to") else x.astype(dtype)


@dataclass(frozen=True)
class _Marginals:
    """The same of its marginals."""

    function: GroupFunction
    words: Any

    def __call__(self, mu: Array, var: Array) -> tuple[Array, Array]:
        return self.function.marginals(self.words, mu, var)


@dataclass(frozen=True, eq=False)
class Grouped:
    """f of the elements `read` (groups, n) of a value, whose results are the elements `written` (groups, k).

    Within a group moments are those of f. Covariances between groups v and w, of slopes J and curvatures H, are

        J_v C_vw J_w^T + 1/2 <H_v, C_vw H_w C_vw^T>

    (Mehler), to first order where f has no curvature. A group may read an element twice.
    """

    function: GroupFunction
    read: Any
    written: Any

    @property
    def name(self) -> str:
        """The kind."""
        return self.function.name

    @property
    def closure(self) -> str:
        """What is approximated for Gaussian values."""
        how = "to second order" if self.function.curved else "by slopes"
        between = f"covariances between {len(self.read)} groups {how}" if len(self.read) > 1 else ""
        return "; ".join(filter(None, [self.function.closure, between]))

    def moments(self, words: Words[Any], means: Sequence[Array], cov: Covs) -> ValueMoments:
        """Compute the moments."""
        (mu,), full, read = means, cov(0, 0), np.asarray(self.read)
        count = np.asarray(self.written).size  # which -1 is not, where a batch has no rows
        of_groups = words.compiled(_Moments(self.function, words))
        found = of_groups(mu[:, read], full[:, read[:, :, None], read[:, None]])

        def along(rows: Array) -> Array:
            by_group = words.xp.einsum("brgn,bgkn->brgk", rows[..., read], found.slope)
            return by_group.reshape(*rows.shape[:2], count)

        between = along(along(full).mT) if len(read) > 1 else None
        if between is not None and found.curvature is not None:
            between = between + self._bent(words.xp, full, found.curvature)
        order = self._order()
        mean = found.mean.reshape(len(mu), count)[:, order]
        return ValueMoments(
            mean,
            _with_own(words, between, found.cov)[:, order][..., order],
            (lambda rows: along(rows)[..., order],),
        )

    def marginals(
        self, words: Words[Any], means: Sequence[Array], variances: Sequence[Array]
    ) -> tuple[Array, Array]:
        """Compute mean and variance, for elements without correlations."""
        read, order = np.asarray(self.read), self._order()
        mean, var = words.compiled(_Marginals(self.function, words))(means[0][:, read], variances[0][:, read])
        shape = len(mean), np.asarray(self.written).size
        return mean.reshape(shape)[:, order], var.reshape(shape)[:, order]

    def _bent(self, xp: Any, full: Array, curvature: Array) -> Array:
        """Compute 1/2 <H_v, C_vw H_w C_vw^T> of all results, group by group."""
        read = np.asarray(self.read)
        shape, size = (len(full), *read.shape, *read.shape), curvature.shape[1] * curvature.shape[2]
        block = full[:, read.reshape(-1, 1), read.reshape(-1)].reshape(shape)
        carried = xp.einsum("bgihl,bhvkl->bgihvk", block, curvature)
        bent = xp.einsum("bguij,bgihvk,bgjhk->bguhv", curvature, carried, block)
        return 0.5 * bent.reshape(len(full), size, size)

    def _order(self) -> Any:
        """Return where every element of the result is among those of the groups."""
        order = np.argsort(np.asarray(self.written).ravel())
        return slice(None) if (order == np.arange(len(order))).all() else order


def _with_own(words: Words[Any], between: Array | None, own: Array) -> Array:
    """Put the groups' own covariances (batch, groups, k, k) in the place of what is between their elements.

    A variance is not less than its part of first and second order. An approximate one that is counts as that.
    """
    xp, (batch, groups, k, _) = words.xp, own.shape
    if between is None:
        return own.reshape(batch, k, k)
    least = xp.einsum("bii->bi", between).reshape(batch, groups, k)
    missing = least - xp.einsum("bgii->bgi", own)
    own = own + xp.where(missing > 0.0, missing, 0.0 * missing)[..., None] * words.eye(k, own)
    same = words.eye(groups, own)[:, None, :, None] > 0.0
    full = xp.where(same, own[:, :, :, None], between.reshape(batch, groups, k, groups, k))
    return full.reshape(batch, groups * k, groups * k)
