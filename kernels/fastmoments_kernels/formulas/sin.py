"""sin(omega x + phase): its value and slope at the mean; everything else is `wave`'s."""

from fastmoments_kernels.formulas.wave import angle, features
from fastmoments_kernels.formulas.wave import cov as cov
from fastmoments_kernels.formulas.wave import cov_10 as cov_10
from fastmoments_kernels.formulas.wave import cov_20 as cov_20
from fastmoments_kernels.formulas.wave import cov_dparameters as cov_dparameters
from fastmoments_kernels.formulas.wave import gain as gain
from fastmoments_kernels.formulas.wave import mean as mean
from fastmoments_kernels.formulas.wave import mean_dparameters as mean_dparameters
from fastmoments_kernels.formulas.wave import mean_dvar as mean_dvar
from fastmoments_kernels.formulas.wave import product_11 as product_11
from fastmoments_kernels.formulas.wave import series as series
from fastmoments_kernels.formulas.wave import series_step as series_step
from fastmoments_kernels.formulas.wave import var as var
from fastmoments_kernels.formulas.wave import var_dparameters as var_dparameters
from fastmoments_kernels.formulas.wave import var_partials as var_partials
from fastmoments_kernels.vocabulary import Real, Reals, cos, sin


def function(x: Real, omega: Real, phase: Real) -> Real:
    """sin(omega x + phase)."""
    return sin(omega * x + phase)


def neuron(mu: Real, var: Real, parameters: Reals) -> Reals:
    """`wave.features` with f(t) = sin(t), f'(t) = cos(t), t = omega mu + phase."""
    omega, _ = parameters
    t = angle(mu, parameters)
    return features(mu, var, omega, sin(t), cos(t))
