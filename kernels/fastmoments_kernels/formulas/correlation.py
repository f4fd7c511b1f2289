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
TINY = 1e-30  # stands for eta = 0 in a quotient: whatever is not 0 becomes huge, 0 stays 0


def standardise(mu: Real, var: Real) -> Reals:
    """One neuron's features: (mu, var, sd, h, Phi(h), phi(h)) with h = mu / sd, from -POINT to POINT.

    At zero variance h is far enough out for Phi to be the step and phi to be 0, and 0 where mu is.
    """
    alive = var != 0.0
    sd = root(var)
    point = where(mu > 0.0, POINT, where(mu < 0.0, -POINT, mu))
    h = where(alive, within(mu / where(alive, sd, 1.0)), point)
    return mu, var, sd, h, cdf(h), pdf(h)


def within(h: Real) -> Real:
    """h, or POINT of its sign where it is farther out: mu / sd may be beyond the numbers, and its square is."""
    return minimum(maximum(h, -POINT), POINT)


def judged(var: Real) -> Real:
    """A variance or precision, nan where it is negative: for formulas that never take its root."""
    return where(var < 0.0, NAN, var)


def root(var: Real) -> Real:
    """sqrt(var), with derivative 0 at zero variance."""
    alive = var != 0.0
    return where(alive, sqrt(where(alive, var, 1.0)), 0.0 * var)


def over_sd(value: Real, sd: Real) -> Real:
    """value / sd, and 0 where a density vanished with the variance: 0 / 0 there is the limit 0."""
    vanished = (value == 0.0) & (sd == 0.0)
    return where(vanished, value, value / where(vanished, 1.0, sd))


def correlate(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Reals:
    """The pair's (sign, h, k, rho, eta, rest) with |rho| for rho, h given the sign of the correlation.

    eta = sqrt((1 - rho) / (1 + rho)) comes from the exact determinant, so it keeps its digits as rho -> 1;
    rest = 1 - eta as rho -> 0. A determinant below zero by `slack` of var_1 var_2 is rounding and means
    |rho| = 1; further below the pair is no covariance and becomes nan. A neuron without variance has rho = 0.
    Features may follow those of `standardise`.
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
    """cov_12 as smooth formulas take it, who need no rho: judged as by `correlate`.

    +-sd_1 sd_2 for a determinant below zero by rounding, nan further below, 0 without variance. On |rho| = 1 it is
    cov_12 itself, so that what is smooth there has its derivatives there.
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
    """(var_1 var_2 - cov_12^2, var_1 var_2, cov_12, unit_1, unit_2), each sd in units of 1 / unit: from 1 to 2.

    Units are powers of two, so that nothing is rounded and no product leaves the range of the numbers. The first is
    nan where it is below zero by more than rounding.
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
    # the second forms as rho -> 1: what is left of h - k there is not lost beside h
    shift = 0.5 * rest * where(weak, k * rest - h * (1.0 + eta), (k - h) - (k + h) * eta) / safe
    return where(weak, k + shift, 0.5 * ((k - h) / safe + (k + h) * eta)), shift
