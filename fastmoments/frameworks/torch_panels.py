"""Second derivatives of matrices' moments, and forward mode, on torch operations, in panels of rows.

Memory: a panel has as many rows as make about ELEMENTS pairs of all matrices of a batch, and at least one row. The
formulas' intermediate results, hundreds of arrays, are those of one panel; of the size of cov there are only the
arguments, the gradients along cov and cov_bar, and a few sums of them. If what comes out is differentiated again
(`create_graph=True`), autograd keeps every panel's.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from fastmoments.frameworks.torch_formulas import pull, push, with_formula
from fastmoments_kernels.eager import on_torch
from fastmoments_kernels.kinds import slack_of

ELEMENTS = 1 << 18  # pairs of a panel

# torch annotates two results or three; here there are two
_vjp: Callable[..., Any] = torch.func.vjp


class _Panel(NamedTuple):
    """Rows first, first + 1, ..., end - 1 of the upper triangle of a matrix, from the diagonal on."""

    first: int
    end: int
    n: int

    def vectors(self, vectors: list[Tensor]) -> list[Tensor]:
        """Return for every vector (..., n) those of the rows' and of the columns' neurons, which broadcast."""
        return [part for x in vectors for part in (x[..., self.first : self.end, None], x[..., None, self.first :])]

    def above(self, matrix: Tensor) -> Tensor:
        """Return the panel of a matrix (..., n, n), 0 on and below the diagonal."""
        return self.masked(matrix[..., self.first : self.end, self.first :])

    def folded(self, matrix: Tensor) -> Tensor:
        """Return the panel of a matrix plus its mirror image."""
        return self.above(matrix) + self.masked(matrix[..., self.first :, self.first : self.end].mT)

    def masked(self, rows: Tensor) -> Tensor:
        """Return the panel with 0 on and below the diagonal; infinite numbers there are no numbers of the panel."""
        return torch.where(torch.ones_like(rows, dtype=torch.bool).triu(1), rows, 0.0)

    def added(self, totals: list[Any], parts: tuple[Tensor, ...]) -> list[Any]:
        """Add to vectors (..., n) what belongs to the rows' and to the columns' neurons."""
        pairs = zip(totals, parts[::2], parts[1::2], strict=True)
        of_rows, of_columns = (self.first, self.n - self.end), (self.first, 0)
        return [x + pad(a[..., 0], of_rows) + pad(b[..., 0, :], of_columns) for x, a, b in pairs]

    def whole(self, rows: Tensor) -> Tensor:
        """Return the panel as rows of the matrix."""
        return pad(self.masked(rows), (self.first, 0))


def _panels(like: Tensor) -> Iterator[_Panel]:
    """Divide a matrix whose vectors are `like`, (..., n)."""
    n = like.shape[-1]
    rows = max(ELEMENTS // max(like.numel(), 1), 1)
    return (_Panel(first, min(first + rows, n), n) for first in range(0, max(n, 1), rows))


class _Functions(NamedTuple):
    """An activation's functions of neurons and pairs, and their vjp: (*bars, *arguments) -> gradients."""

    marginals: Callable[..., Any]
    cov: Callable[..., Any]

    def marginals_vjp(self, mean_bar: Tensor, var_bar: Tensor, *vectors: Tensor) -> tuple[Tensor, ...]:
        gradients: tuple[Tensor, ...] = _vjp(self.marginals, *vectors)[1]((mean_bar, var_bar))
        return gradients

    def cov_vjp(self, weight: Tensor, cov_12: Tensor, *vectors: Tensor) -> tuple[Tensor, ...]:
        gradients: tuple[Tensor, ...] = _vjp(self.cov, cov_12, *vectors)[1](weight)
        return gradients


def _functions(activation: str, like: Tensor) -> _Functions:
    functions = on_torch.functions(with_formula(activation), like.dtype)
    slack = slack_of(like.shape[-1], torch.finfo(like.dtype).eps)

    def cov(cov_12: Tensor, *vectors: Tensor) -> Any:
        return functions.cov(*vectors[:4], cov_12, *vectors[4:], slack)

    return _Functions(functions.marginals, cov)


def _parts(inputs: tuple[Tensor, ...]) -> tuple[list[Tensor], Tensor, Tensor, Tensor]:
    """Return the vectors mu, var and parameters, and cov, mean_bar and cov_bar."""
    mu, cov, mean_bar, cov_bar, *parameters = inputs
    return [mu, _diagonal(cov), *parameters], cov, mean_bar, cov_bar


def _diagonal(matrix: Tensor) -> Tensor:
    return matrix.diagonal(0, -2, -1)


def _with_diagonal(matrix: Tensor, diagonal: Tensor) -> Tensor:
    return matrix + torch.diag_embed(diagonal)


def pull_vjp(
    activation: str, inputs: tuple[Tensor, ...], mu_bar: Tensor, cov_bar_2: Tensor, own_bars: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """Return the gradients, along its inputs, of the vjp's results times `mu_bar`, `cov_bar_2` and `own_bars`.

    `inputs` are those of `moments_vjp_of`, and the bars are of its results: the gradients along mu and the
    parameters, (..., n), and that along cov, symmetric (..., n, n).
    """
    functions, (vectors, cov, mean_bar, cov_bar) = _functions(activation, inputs[0]), _parts(inputs)
    bars = [mu_bar, _diagonal(cov_bar_2), *own_bars]
    along_mean_bar, along_var_bar, *totals = pull(
        functions.marginals_vjp, (mean_bar, _diagonal(cov_bar), *vectors), tuple(bars)
    )
    weights, covariances = [], []
    for panel in _panels(inputs[0]):
        arguments = (panel.folded(cov_bar), panel.above(cov), *panel.vectors(vectors))
        of_results = (0.5 * panel.folded(cov_bar_2), *panel.vectors(bars))
        weight, covariance, *parts = pull(functions.cov_vjp, arguments, of_results)
        totals = panel.added(totals, tuple(parts))
        weights.append(panel.whole(weight))
        covariances.append(panel.whole(covariance))
    along_mu, along_var, *others = totals
    both = torch.cat(weights, -2)
    along_cov = _with_diagonal(torch.cat(covariances, -2), along_var)
    return along_mu, along_cov, along_mean_bar, _with_diagonal(both + both.mT, along_var_bar), *others


def push_vjp(activation: str, inputs: tuple[Tensor, ...], tangents: tuple[Any, ...]) -> tuple[Tensor, ...]:
    """Return the derivatives of the vjp's results along tangents of its inputs, of which None stands for 0."""
    functions, (vectors, cov, mean_bar, cov_bar) = _functions(activation, inputs[0]), _parts(inputs)
    along, along_cov, along_mean, along_bar = _parts(_filled(inputs, tangents))
    given = (mean_bar, _diagonal(cov_bar), *vectors)
    totals = list(push(functions.marginals_vjp, given, (along_mean, _diagonal(along_bar), *along)))
    covariances = []
    for panel in _panels(inputs[0]):
        arguments = (panel.folded(cov_bar), panel.above(cov), *panel.vectors(vectors))
        changes = (panel.folded(along_bar), panel.above(along_cov), *panel.vectors(along))
        covariance, *parts = push(functions.cov_vjp, arguments, changes)
        totals = panel.added(totals, tuple(parts))
        covariances.append(panel.whole(covariance))
    of_mu, of_var, *others = totals
    upper = torch.cat(covariances, -2)
    return of_mu, _with_diagonal(0.5 * (upper + upper.mT), of_var), *others


def push_moments(activation: str, inputs: tuple[Tensor, ...], tangents: tuple[Any, ...]) -> tuple[Tensor, Tensor]:
    """Return the derivatives of mean and covariance along tangents of mu, cov and the parameters."""
    functions, (mu, cov, *parameters) = _functions(activation, inputs[0]), inputs
    along_mu, along_cov, *along_others = _filled(inputs, tangents)
    vectors, along = [mu, _diagonal(cov), *parameters], [along_mu, _diagonal(along_cov), *along_others]
    mean, var = push(functions.marginals, tuple(vectors), tuple(along))
    rows = []
    for panel in _panels(mu):
        arguments = (panel.above(cov), *panel.vectors(vectors))
        rows.append(panel.whole(push(functions.cov, arguments, (panel.above(along_cov), *panel.vectors(along)))))
    upper = torch.cat(rows, -2)
    return mean, _with_diagonal(upper + upper.mT, var)


def _filled(inputs: tuple[Tensor, ...], tangents: tuple[Any, ...]) -> tuple[Tensor, ...]:
    """Return the tangents with zeros, which take no memory, for None."""
    return tuple(x.new_zeros(()).expand(x.shape) if t is None else t for x, t in zip(inputs, tangents, strict=True))
