"""What others do, on the same networks: the methods fastmoments is checked against, and two distances."""

from fastmoments.compare.gaussians import kl_divergence, wasserstein
from fastmoments.compare.methods import analytic, linearise, mean_field, unscented
from fastmoments.compare.networks import Affine, Residual
from fastmoments.compare.sampling import MomentsWithError, monte_carlo

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
