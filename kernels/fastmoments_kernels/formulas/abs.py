"""abs(x) = |x|: the leaky relu of slope -1, whose formulas keep their digits where odd functions of mu vanish."""

from fastmoments_kernels.formulas import leaky_relu as family
from fastmoments_kernels.formulas.correlation import correlate
from fastmoments_kernels.formulas.identity import cov_dparameters, mean_dparameters, var_dparameters
from fastmoments_kernels.formulas.leaky_relu import product_by_steps, sloped
from fastmoments_kernels.vocabulary import Real, Reals, absolute

# unlike its family it has no parameter: the derivatives along parameters are identity's
__all__ = [
    "cov_dparameters",
    "family",
    "function",
    "lipschitz",
    "mean_dparameters",
    "neuron",
    "product_11",
    "var_dparameters",
]


def function(x: Real) -> Real:
    """|x|."""
    return absolute(x)


def lipschitz() -> Real:
    """sup |f'|."""
    return 1.0


def neuron(mu: Real, var: Real, parameters: Reals) -> Reals:
    """(mu, var, sd, h, Phi(h), phi(h), -1, gain)."""
    return sloped(mu, var, -1.0)


def product_11(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """E[sign(X_1) sign(X_2)] = d cov / d cov_12."""
    return product_by_steps(neuron_1, neuron_2, correlate(neuron_1, neuron_2, cov_12, slack))
