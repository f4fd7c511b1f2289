"""probit(x) = Phi(x): the step under noise of variance 1 (Kuang & Lin 2026)."""

from fastmoments_kernels.formulas import smooth_step as family
from fastmoments_kernels.formulas.normal import PDF_0, cdf
from fastmoments_kernels.formulas.smooth_step import features
from fastmoments_kernels.vocabulary import Real, Reals

__all__ = ["family", "function", "lipschitz", "neuron"]


def function(x: Real) -> Real:
    """Phi(x)."""
    return cdf(x)


def lipschitz() -> Real:
    """sup |f'|, at 0."""
    return PDF_0


def neuron(mu: Real, var: Real, parameters: Reals) -> Reals:
    """The features of Phi(x / sqrt(1))."""
    return features(mu, var, 1.0, 1.0)
