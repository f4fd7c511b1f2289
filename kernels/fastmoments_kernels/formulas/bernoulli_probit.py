"""bernoulli_probit: a neuron that is 1 with probability Phi(x) and else 0, independently of others given x.

It is the step of its noisy input, where probit is that step averaged over the noise: covariances of two neurons are
those of probit, a neuron's own variance is m (1 - m), m = Phi(g) (Kuang & Lin 2026).
"""

from fastmoments_kernels.formulas import smooth_step as family
from fastmoments_kernels.formulas.normal import cdf, cdf_excess
from fastmoments_kernels.formulas.smooth_step import features
from fastmoments_kernels.vocabulary import Real, Reals

__all__ = ["conditional_var", "family", "function", "lipschitz", "neuron", "var", "var_partials"]


def function(x: Real) -> Real:
    """Phi(x), the probability of 1 and the mean given x."""
    return cdf(x)


def lipschitz() -> Real:
    """Infinite: the root mean square difference of two draws grows like the root of their inputs' difference."""
    return float("inf")


def conditional_var(x: Real) -> Real:
    """The variance Phi(x) Phi(-x) given x."""
    return cdf(x) * cdf(-x)


def neuron(mu: Real, var: Real, parameters: Reals) -> Reals:
    """The features of Phi(x / sqrt(1))."""
    return features(mu, var, 1.0, 1.0)


def var(neuron: Reals) -> Real:
    """m (1 - m) = Phi(g) Phi(-g)."""
    _, _, _, g, cdf_g, _, _, _, _ = neuron
    return cdf_g * cdf(-g)


def var_partials(neuron: Reals) -> Reals:
    """(dVar/dmu, dVar/dvar): d_mu = phi(g) (Phi(-g) - Phi(g)) / S, and -g / (2 S) d_mu."""
    _, _, spread, g, _, pdf_g, _, _, _ = neuron
    d_mu = pdf_g / spread * cdf_excess(-g)
    return d_mu, -0.5 * (g / spread) * d_mu
