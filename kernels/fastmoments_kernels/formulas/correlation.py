"""Two neurons and their covariance, standardised so that nothing is lost near |rho| = 1 or rho = 0."""

from fastmoments_kernels.formulas.normal import cdf, pdf
from fastmoments_kernels.vocabulary import (
    Real,
    Reals,
    absolute,
    difference_of_products,
    maximum,
    minimum,
    sqrt,
    unit,
    where,
)

NAN = float("nan")
POINT = 100.0  # phi and 1 - Phi are 0 there in every dtype
TINY = 1e-30  # replaces a divisor eta = 0: a quotient of 0 stays 0, any other becomes huge


def standardise(mu: Real, var: Real) -> Reals:
    """One neuron's features: (mu, var, sd, h, Phi(h), phi(h)) with h = mu / sd, from -POINT to POINT.

    At zero variance h is +-POINT, where Phi is the step and phi is 0; it is 0 where mu is 0.
    """
    alive = var != 0.0
    sd = root(var)
    point = where(mu > 0.0, POINT, where(mu < 0.0, -POINT, mu))
    h = where(alive, within(mu / where(alive, sd, 1.0)), point)
    return mu, var, sd, h, cdf(h), pdf(h)


def within(h: Real) -> Real:
    """h cut to [-POINT, POINT]: mu / sd may overflow, and so may its square."""
    return minimum(maximum(h, -POINT), POINT)


def judged(var: Real) -> Real:
    """A variance or precision, nan where it is negative: for formulas that take no root of it."""
    return where(var < 0.0, NAN, var)


def root(var: Real) -> Real:
    """sqrt(var), with derivative 0 at zero variance."""
    alive = var != 0.0
    return where(alive, sqrt(where(alive, var, 1.0)), 0.0 * var)


def over_sd(value: Real, sd: Real) -> Real:
    """value / sd, and the limit 0 for 0 / 0, where a density vanishes with the variance."""
    vanished = (value == 0.0) & (sd == 0.0)
    return where(vanished, value, value / where(vanished, 1.0, sd))


def correlate(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Reals:
    """(sign, h, k, rho, eta, rest) of a pair: the correlation's sign, h times that sign, |correlation| as rho.

    eta = sqrt((1 - rho) / (1 + rho)) comes from the exact determinant and keeps its digits as rho -> 1; rest = 1 -
    eta keeps them as rho -> 0. A determinant down to -slack var_1 var_2 is rounding and means |rho| = 1; a lower
    one is no covariance's and makes the pair nan. A neuron without variance has rho = 0. The features may be more
    than those of `standardise`.
    """
    var_1, sd_1, h = neuron_1[1], neuron_1[2], neuron_1[3]
    var_2, sd_2, k = neuron_2[1], neuron_2[2], neuron_2[3]
    det, product, scaled_12, unit_1, unit_2 = determinant(var_1, var_2, cov_12, slack)
    alive, det = product > 0.0, maximum(det, 0.0)
    scale = where(alive, (sd_1 * unit_1) * (sd_2 * unit_2), 1.0)
    size = where(alive, minimum(absolute(scaled_12), scale), 0.0 * product)
    apart = alive & (det != 0.0)
    eta = where(apart, sqrt(where(apart, det, 1.0)) / (scale + size), where(alive, 0.0 * det, 1.0))
    rest = 2.0 * size / ((scale + size) * (1.0 + eta))
    sign = where(cov_12 < 0.0, -1.0, 1.0)
    return sign, sign * h, k, size / scale, eta, rest


def clip(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """cov_12 for smooth formulas, which need no rho, by the rules of `correlate`.

    It becomes +-sd_1 sd_2 where the determinant is negative by rounding, nan where it is lower, and 0 without
    variance. At |rho| = 1 it stays cov_12, so that smooth formulas have derivatives there.
    """
    return link(neuron_1, neuron_2, cov_12, slack)[1]


def link(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Reals:
    """(sign of cov_12, `clip`'s cov_12, 1 - rho^2); (1, 0, 1) without variance."""
    det, product, _, _, _ = determinant(neuron_1[1], neuron_2[1], cov_12, slack)
    alive = product > 0.0
    sign = where(alive & (cov_12 < 0.0), -1.0, 1.0)
    edge = sign * (neuron_1[2] * neuron_2[2])
    cov = where(alive, where(det >= 0.0, cov_12, where(det < 0.0, edge, det)), 0.0 * product)
    return sign, cov, where(alive, maximum(det, 0.0) / where(alive, product, 1.0), 1.0 + 0.0 * product)


def self_link(neuron: Reals) -> Reals:
    """The link of a neuron with itself."""
    var = neuron[1]
    return 1.0 + 0.0 * var, var, 0.0 * var


def determinant(var_1: Real, var_2: Real, cov_12: Real, slack: Real) -> Reals:
    """(var_1 var_2 - cov_12^2, var_1 var_2, cov_12, unit_1, unit_2), each sd scaled by its unit to 1 ... 2.

    Units are powers of two: scaling rounds nothing, and no product overflows or underflows. The determinant is nan
    where it is negative by more than rounding.
    """
    unit_1, unit_2 = unit(where(var_1 > 0.0, var_1, 1.0)), unit(where(var_2 > 0.0, var_2, 1.0))
    scaled_1, scaled_2, scaled_12 = var_1 * unit_1 * unit_1, var_2 * unit_2 * unit_2, cov_12 * unit_1 * unit_2
    product = scaled_1 * scaled_2
    det = difference_of_products(scaled_1, scaled_2, scaled_12, scaled_12)
    return where(det >= -slack * product, det, NAN), product, scaled_12, unit_1, unit_2


def conditional(h: Real, k: Real, eta: Real, rest: Real) -> Reals:
    """kappa = (k - rho h) / sqrt(1 - rho^2) and kappa - k, which is exact as rho -> 0."""
    safe = where(eta > 0.0, eta, TINY)
    weak = eta > 0.5
    # the second forms keep the digits of h - k as rho -> 1
    shift = 0.5 * rest * where(weak, k * rest - h * (1.0 + eta), (k - h) - (k + h) * eta) / safe
    return where(weak, k + shift, 0.5 * ((k - h) / safe + (k + h) * eta)), shift
