"""How far a network's output can be from the Gaussian that `propagate` says: an a-priori bound, layer by layer.

Every value Y of the network and its Gaussian G are drawn together, so that |Y - G|_2, the root of E|Y - G|^2, has a
bound e, which is one for the 2-Wasserstein distance. An affine map A multiplies e by its spectral norm, a sum adds
its terms', and an activation gives

    |f(Y) - G'|_2 <= sup|f'| e + sqrt(2 tr R),    R = K - D cov D,    D = diag(gain)

where G' = E f(G) + D (G - mu) + independent noise of covariance R: jointly Gaussian with all values before it, and
by Stein's lemma of the covariances that f(G) has. R, what no line through f explains, is 0 where f(G) is Gaussian.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fastmoments.moments import gain
from fastmoments.nn.gaussians import Joint, features_of, flat, total
from fastmoments.nn.rules import Affine
from fastmoments.parameters import of_neurons
from fastmoments_kernels.catalogue import row_of
from fastmoments_kernels.custom import Custom


class BoundedJoint(Joint):
    """Full covariance, and of every value the bound e, one number an input."""

    def __init__(self) -> None:
        super().__init__()
        self.bounds: dict[str, Tensor] = {}

    def start(self, name: str, mean: Tensor, cov: Tensor) -> None:
        """Bring in the network's input, which is Gaussian."""
        super().start(name, mean, cov)
        self.bounds[name] = mean.new_zeros(len(mean))

    def affine(self, new: str, old: str, affine: Affine) -> None:
        """New = affine.module(old); random weights are the same for both, and Gaussian times a certain input."""
        super().affine(new, old, affine)
        with torch.no_grad():
            var, local = self._var(old), self.bounds[old].new_zeros(())
            if affine.own is not None:
                mean = self.means[old]
                own = flat(affine.own(var.reshape(mean.shape) + mean * mean)).sum(-1)
                local = torch.where(var.sum(-1) > 0.0, torch.sqrt(2.0 * own), 0.0)
            self.bounds[new] = _scaled(self.bounds[old], _norm(affine, self.means[old])) + local

    def activation(self, new: str, old: str, activation: Any) -> None:
        """New = f(old)."""
        var = self._var(old)
        super().activation(new, old, activation)
        with torch.no_grad():
            gains = gain(activation, flat(self.means[old]), var)
            # rounding may put it below 0, and at a kink without variance a gain may be infinite
            rest = torch.where(var > 0.0, self._var(new) - gains * gains * var, 0.0).clamp(min=0.0)
            local = torch.sqrt(2.0 * rest.sum(-1))
            self.bounds[new] = _scaled(self.bounds[old], lipschitz(activation)) + local

    def join(self, new: str, names: Sequence[str], dim: int) -> None:
        """New = the values one behind the other."""
        super().join(new, names, dim)
        self.bounds[new] = torch.linalg.vector_norm(torch.stack([self.bounds[name] for name in names]), dim=0)

    def combine(self, new: str, terms: Sequence[tuple[float, str]], constant: Tensor | float = 0.0) -> None:
        """New = sum of factor * value, plus a constant."""
        super().combine(new, terms, constant)
        self.bounds[new] = total(_scaled(self.bounds[name], abs(a)) for a, name in terms)

    def _var(self, name: str) -> Tensor:
        return torch.diagonal(self.cov(name, name), dim1=-2, dim2=-1)


def _scaled(bound: Tensor, factor: Tensor | float) -> Tensor:
    """Factor * bound, 0 where that is 0 and the factor infinite."""
    return torch.where(bound == 0.0, 0.0, bound * factor)


def _norm(affine: Affine, value: Tensor) -> Tensor | float:
    """Sup |A x|_2 / |x|_2, of random weights sup of the root mean square."""
    if affine.unchanged:
        return 1.0
    n = features_of(value)
    basis = torch.eye(n, dtype=value.dtype, device=value.device).reshape(n, *value.shape[1:])
    matrix = affine.linear(basis).reshape(n, -1)
    norm: Tensor = torch.linalg.matrix_norm(matrix, 2)
    if affine.own is None:
        return norm
    spread = flat(affine.own(basis) - affine.own(torch.zeros_like(basis))).sum(-1)
    return torch.sqrt(norm * norm + spread.max())


def lipschitz(activation: Any) -> float:
    """Sup |f'| of an activation, the largest of all its neurons'."""
    activation, parameters = of_neurons(activation)
    if isinstance(activation, Custom):
        if activation.lipschitz is None:
            raise TypeError(
                "bound: sup |f'| of a Custom activation is not known; give it as Custom(..., lipschitz=)"
            )
        return activation.lipschitz
    values = [x.numpy(force=True) if isinstance(x, torch.Tensor) else x for x in parameters.values()]
    return float(np.max(row_of(activation).formula.lipschitz(*values)))
