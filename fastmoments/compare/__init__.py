"""Other methods for a network's output mean and covariance, to compare with fastmoments, and two distances.

A network is a list of `Affine` and `Residual` layers (`layer_lists.py`, which checks them). A call such as
`linearise(layers, mu, cov)` passes through these files:

1. `networks.py` checks the Gaussian, and converts it and the layers to float64 arrays: each layer becomes a Step,
   f(A x + b) + C x + d. Its `value` evaluates the network at points.
2. `methods.py` has the methods without samples: `analytic` (fastmoments itself), `linearise`, `unscented`,
   `mean_field`. `sampling.py` has `monte_carlo`, with standard errors. Both return `Moments`.
3. `gaussians.py` compares two results by `kl_divergence` or `wasserstein`, and has the square root of a covariance
   that `unscented` and `monte_carlo` need.
"""

import typing as _typing

from fastmoments.compare.gaussians import kl_divergence, wasserstein
from fastmoments.compare.methods import analytic, linearise, mean_field, unscented
from fastmoments.compare.sampling import MomentsWithError, monte_carlo
from fastmoments.layer_lists import Affine, Residual

__all__ = [
    "Affine",
    "MomentsWithError",
    "Residual",
    "analytic",
    "kl_divergence",
    "linearise",
    "mean_field",
    "monte_carlo",
    "unscented",
    "wasserstein",
]

# type checkers would take it for leave to name anything
if not _typing.TYPE_CHECKING:

    def __getattr__(name: str) -> _typing.Any:
        from fastmoments.hints import no_attribute

        raise no_attribute(__name__, name, __all__)
