"""The results of `propagate` with `cumulants` and with `tol`."""

from __future__ import annotations

from typing import Any, Generic

import numpy as np

from fastmoments.checked.arrays import on_host
from fastmoments.dispatch import plan_of
from fastmoments.frameworks import words_of
from fastmoments.results import Marginals, Moments, NamedTuple, T, hinted

LISTED = 8  # inputs of a batch whose numbers a repr lists


class AccuracyWarning(UserWarning):
    """An answer may be further off than was asked for, or than it would be if a correction had worked."""


@hinted
class Corrected(NamedTuple, Generic[T]):
    """A network's mean and covariance, corrected by third and fourth cumulants; their error is unchecked.

    `closure` are the moments without the correction, and `small` says whether the correction is small, () or
    (batch,): where it is not, the closure stands.
    """

    mean: T
    cov: T
    closure: Moments[T]
    small: T

    def __repr__(self) -> str:
        return f"Corrected(unchecked, small={_short(self.small)},\n mean={self.mean!r},\n cov={self.cov!r})"


@hinted
class Checked(NamedTuple, Generic[T]):
    """A network's mean and covariance with a checked error.

    Attributes
    ----------
    mean : array or the model's own structure of arrays.
    cov : array (..., m, m), of all outputs flattened in order.
    error : array (..., 3), claims, each about two standard errors: of the mean, the root mean square over outputs
        in units of their standard deviations (sd); of the sds, the same relative to each; of the covariance, the
        Frobenius norm of its error relative to its own.
    met : bool, or array (batch,): whether all three are within `tol`.
    count : int, or array (batch,): points through the model.
    weight : array (..., 2), the start's weight, that of the moments without points, in the mean and the covariance.
    closure : moments of the plain pass, None where there is none.
    points : array (count, m), for a batch a tuple of them: equally likely outputs, flattened in order.
    """

    mean: T
    cov: T
    error: T
    met: Any
    count: Any
    weight: T
    closure: Moments[T] | None
    points: Any

    def quantile(self, q: Any) -> T:
        """Return quantiles of each output among the points at a level q, or several, which come before outputs."""
        return quantiles(self.points, q)  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"Checked({_summary(self)},\n mean={self.mean!r},\n cov={self.cov!r})"


@hinted
class CheckedMarginals(NamedTuple, Generic[T]):
    """Mean and variance of every output of a network, with a checked error.

    The fields are those of `Checked`, but for `var`, structured as the mean, and `error` (..., 2), which claims
    nothing of the covariance.
    """

    mean: T
    var: T
    error: T
    met: Any
    count: Any
    weight: T
    closure: Marginals[T] | None
    points: Any

    def quantile(self, q: Any) -> T:
        """Return quantiles of each output among the points at a level q, or several, which come before outputs."""
        return quantiles(self.points, q)  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"CheckedMarginals({_summary(self)},\n mean={self.mean!r},\n var={self.var!r})"


def quantiles(points: Any, q: Any) -> Any:
    """Return quantiles of the columns of arrays (count, m), one or a tuple of them."""
    if isinstance(points, tuple):
        found = [quantiles(x, q) for x in points]
        return words_of(plan_of({"points": points[0]})).xp.stack(found) if points else found
    levels = np.asarray(q.tolist() if hasattr(q, "tolist") else q, np.float64)
    if not ((levels >= 0.0) & (levels <= 1.0)).all():
        raise ValueError(f"q: expected levels from 0 to 1, got {q!r}")
    plan = plan_of({"points": points})
    words = words_of(plan)
    # PyTorch has no quantiles of float16
    wide = words.single(points) if points.dtype.itemsize < 4 else points
    at = words.constant(levels.ravel(), wide)
    # column by column, for PyTorch takes 2^24 numbers at most
    columns = [words.xp.quantile(wide[:, k], at) for k in range(wide.shape[1])]
    found = words.xp.stack(columns, -1).reshape(*levels.shape, len(columns))
    return words.result(plan._replace(compute="float32"), found) if wide is not points else found


def _summary(found: Checked[Any] | CheckedMarginals[Any]) -> str:
    error = on_host(words_of(plan_of({"error": found.error})), found.error)
    worst = error.reshape(-1, error.shape[-1]).max(0, initial=0.0)
    names = ("mean", "sd", "covariance")
    claims = ", ".join(f"{name} {100.0 * x:.2g} %" for name, x in zip(names, worst, strict=False))
    return f"met={_short(found.met)}, count={_short(found.count)}, error of {claims}"


def _short(value: Any) -> str:
    """A number, or those of a batch, of a large one their range."""
    numbers = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(numbers, list) and len(numbers) > LISTED:
        return f"{min(numbers)} to {max(numbers)}" if min(numbers) != max(numbers) else f"all {numbers[0]}"
    return str(numbers)
