"""Activations without a closed form, on NumPy arrays: a user's own, tanh, sigmoid ..., to a checked tolerance.

Every neuron gets Hermite coefficients by quadrature (`hermite.neurons_of`): panels are halved until two results
agree. A covariance is the series of the two neurons' coefficients, with terms added until the remainder, which is
known, is within the tolerance. Derivatives come from the same coefficients.

    activation      Custom, the class that users make, and the ready-made ones by name
    evaluation      calling a user's function, and checks of what it returns
    hermite         coefficients of any f, with f', f'' and f''' where the variance is 0 from `slopes`
    series          elementwise functions
    matrices        covariance matrices, blocks of them, and their vjp
"""

from fastmoments_kernels.custom.activation import READY, Custom, Formula, ToleranceError
from fastmoments_kernels.custom.evaluation import check_elementwise, evaluate
from fastmoments_kernels.custom.matrices import block, block_vjp, moments, moments_vjp
from fastmoments_kernels.custom.series import SLOPES, elementwise

__all__ = [
    "READY",
    "SLOPES",
    "Custom",
    "Formula",
    "ToleranceError",
    "block",
    "block_vjp",
    "check_elementwise",
    "elementwise",
    "evaluate",
    "moments",
    "moments_vjp",
]
