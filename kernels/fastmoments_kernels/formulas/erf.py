"""erf(x) = 2 Phi(sqrt(2) x) - 1: twice the step under noise of variance 1/2, less 1."""

from fastmoments_kernels.formulas import smooth_step as family
from fastmoments_kernels.formulas.normal import cdf_excess, erf
from fastmoments_kernels.formulas.smooth_step import features
from fastmoments_kernels.vocabulary import Real, Reals

__all__ = ["family", "function", "lipschitz", "mean", "neuron"]


def function(x: Real) -> Real:
    """erf(x)."""
    return erf(x)


def lipschitz() -> Real:
    """sup |f'| = 2 / sqrt(pi), at 0."""
    return 1.1283791670955126


def neuron(mu: Real, var: Real, parameters: Reals) -> Reals:
    """The features of 2 Phi(x / sqrt(1/2))."""
    return features(mu, var, 0.5, 2.0)


def mean(neuron: Reals) -> Real:
    """E erf(X) = Phi(g) - Phi(-g), with a small relative error where 2 Phi(g) - 1 has none."""
    return cdf_excess(neuron[3])
