"""sin(omega x + phase): its value and slope at the mean; the other functions are those of `wave`."""

from fastmoments_kernels.formulas import wave as family
from fastmoments_kernels.formulas.wave import angle, features
from fastmoments_kernels.vocabulary import Real, Reals, absolute, cos, sin

__all__ = ["family", "function", "lipschitz", "neuron"]


def function(x: Real, omega: Real, phase: Real) -> Real:
    """sin(omega x + phase)."""
    return sin(omega * x + phase)


def lipschitz(omega: Real, phase: Real) -> Real:
    """sup |f'|."""
    return absolute(omega)


def neuron(mu: Real, var: Real, parameters: Reals) -> Reals:
    """`wave.features` with f(t) = sin(t), f'(t) = cos(t), t = omega mu + phase."""
    omega, _ = parameters
    t = angle(mu, parameters)
    return features(mu, var, omega, sin(t), cos(t))
