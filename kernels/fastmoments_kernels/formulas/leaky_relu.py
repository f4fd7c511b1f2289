"""leaky_relu(x) = max(x, 0) + slope min(x, 0). With h = mu / sd, A(h) = E max(h + Z, 0), bend = 1 - slope:

mean = sd (A(h) - slope A(-h)), gain = Phi(h) + slope Phi(-h),
cov = gain_1 gain_2 cov_12 + bend_1 bend_2 sd_1 sd_2 int_0^|rho| (|rho| - r) phi_2(h, k; r) dr   (Kuang & Lin 2026).

These hold for any slope without cancellation, -1 included: abs.
"""

from fastmoments_kernels.formulas.bivariate import step_cov
from fastmoments_kernels.formulas.correlation import correlate, over_sd, standardise
from fastmoments_kernels.formulas.normal import cdf
from fastmoments_kernels.formulas.orthant import orthant
from fastmoments_kernels.formulas.ramp import (
    conditional_shift,
    kink_cov,
    kinked_line,
    mean_slope,
    side_variances,
    step_kink_cov,
    tails,
)
from fastmoments_kernels.formulas.ramp import route as ramp_route
from fastmoments_kernels.formulas.relu import series_step as series_step
from fastmoments_kernels.vocabulary import Real, Reals, absolute, either, maximum, minimum, where

# product_11 has two forms. At slopes from 0 to 1 the orthant's terms are positive, while the steps' lose everything
# in the tails at slope 0; at slope -1 only the steps' serve. At this slope the orthant's lose a factor 3 at worst,
# at rho = 0, and the steps' too, at rho = -1.
LEAST_SLOPE = -0.15


def function(x: Real, negative_slope: Real) -> Real:
    """x above 0, negative_slope x below."""
    return kinked_line(x, negative_slope)


def lipschitz(negative_slope: Real) -> Real:
    """sup |f'|."""
    return maximum(1.0, absolute(negative_slope))


def neuron(mu: Real, var: Real, parameters: Reals) -> Reals:
    """(mu, var, sd, h, Phi(h), phi(h), slope, gain)."""
    return sloped(mu, var, parameters[0])


def sloped(mu: Real, var: Real, slope: Real) -> Reals:
    """The features of a neuron with this slope."""
    mu, var, sd, h, cdf_h, pdf_h = standardise(mu, var)
    return mu, var, sd, h, cdf_h, pdf_h, slope + 0.0 * cdf_h, mean_slope(h, slope)


def mean(neuron: Reals) -> Real:
    """E f(X) = sd (A(h) - slope A(-h))."""
    mu, _, sd, h, _, _, slope, _ = neuron
    _, mean_tail, _, _ = tails(absolute(h))
    # not by h: mu / sd may overflow
    return kinked_line(mu, slope) + (1.0 - slope) * sd * mean_tail


def _standard_mean(h: Real, slope: Real) -> Real:
    """A(h) - slope A(-h) = f(h) + bend A(-|h|)."""
    _, mean_tail, _, _ = tails(absolute(h))
    return kinked_line(h, slope) + (1.0 - slope) * mean_tail


def gain(neuron: Reals) -> Real:
    """E f'(X) = Phi(h) + slope Phi(-h); at zero variance the slope at mu, on the kink the mean of both slopes."""
    return neuron[7]


def var(neuron: Reals) -> Real:
    """Var f(X) from the variances of both sides and their covariance -sd^2 A(h) A(-h)."""
    _, var, _, h, _, _, slope, _ = neuron
    upper, lower, product = side_variances(absolute(h))
    above, below = where(h < 0.0, lower, upper), where(h < 0.0, upper, lower)
    return var * (above + slope * (slope * below + 2.0 * product))


def mean_dvar(neuron: Reals) -> Real:
    """d mean / d var = E f''(X) / 2 = bend phi(h) / (2 sd); at zero variance 0, inf on the kink."""
    _, _, sd, _, _, pdf_h, slope, _ = neuron
    return 0.5 * (1.0 - slope) * over_sd(pdf_h, sd)


def var_partials(neuron: Reals) -> Reals:
    """(dVar/dmu, dVar/dvar) = (2 bend sd (A(h) Phi(-h) + slope A(-h) Phi(h)), E f'^2 - bend phi(h) mean / sd).

    The first is made of the lesser tail Phi(-|h|) and 1 - 2 Phi(-|h|), which vanishes with h as the whole does for
    abs.
    """
    _, var, sd, h, _, pdf_h, slope, gain = neuron
    tail, mean_tail, _, within = tails(absolute(h))
    near, far = where(h < 0.0, slope, 1.0), where(h < 0.0, 1.0, slope)  # the slopes at mu and across the kink
    slant = near * (absolute(h) * tail) + far * (mean_tail * within) + (1.0 + slope) * (mean_tail * tail)
    square = near * near * (within + tail) + far * far * tail
    d_var = square - (1.0 - slope) * pdf_h * _standard_mean(h, slope)
    return 2.0 * (1.0 - slope) * sd * slant, where(var == 0.0, gain * gain, d_var)


def mean_dparameters(neuron: Reals) -> Reals:
    """E min(X, 0)."""
    mu, _, sd, h, _, _, _, _ = neuron
    _, mean_tail, _, _ = tails(absolute(h))
    return (minimum(mu, 0.0) - sd * mean_tail,)


def var_dparameters(neuron: Reals) -> Reals:
    """2 Cov(f(X), min(X, 0))."""
    _, var, _, h, _, _, slope, _ = neuron
    upper, lower, product = side_variances(absolute(h))
    return (2.0 * var * (slope * where(h < 0.0, upper, lower) + product),)


def series(neuron: Reals) -> Reals:
    """(0, b_1, b_2) of the Hermite coefficients; from b_2 on they are those of relu times bend."""
    _, _, sd, _, _, pdf_h, slope, gain = neuron
    return 0.0 * sd, sd * gain, (1.0 - slope) * sd * pdf_h * 0.7071067811865476


def cov(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """Cov(f(X_1), f(X_2))."""
    sign, h, k, rho, eta, rest = correlate(neuron_1, neuron_2, cov_12, slack)
    bends = (1.0 - neuron_1[6]) * (1.0 - neuron_2[6])
    line = sign * rho * (neuron_1[7] * neuron_2[7])
    return neuron_1[2] * neuron_2[2] * (line + bends * kink_cov(h, k, rho, eta, rest))


def route(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """The route of the integral over the correlation."""
    return ramp_route(correlate(neuron_1, neuron_2, cov_12, slack))


def cov_10(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """Cov(f'(X_1), f(X_2)) = d cov / d mu_1."""
    sign, h, k, rho, eta, rest = correlate(neuron_1, neuron_2, cov_12, slack)
    kink = (1.0 - neuron_2[6]) * step_kink_cov(h, k, rho, eta, rest)
    return (1.0 - neuron_1[6]) * neuron_2[2] * sign * (rho * neuron_1[5] * neuron_2[7] + kink)


def cov_20(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """Cov(f''(X_1), f(X_2)) = 2 d cov / d var_1: f'' is bend_1 times a delta at 0."""
    pair = correlate(neuron_1, neuron_2, cov_12, slack)
    front = (1.0 - neuron_1[6]) * neuron_2[2] * over_sd(neuron_1[5], neuron_1[2])
    return front * conditional_shift(pair, neuron_2[6])


def product_11(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """E[f'(X_1) f'(X_2)] = d cov / d cov_12, for slopes near relu's by the probability that both are positive."""
    low, high = minimum(neuron_1[6], neuron_2[6]), maximum(neuron_1[6], neuron_2[6])
    pair = correlate(neuron_1, neuron_2, cov_12, slack)
    like_relu = (low > LEAST_SLOPE) & (high <= 1.0)
    return either(like_relu, _product_by_orthant, product_by_steps, (neuron_1, neuron_2, pair))


def _product_by_orthant(neuron_1: Reals, neuron_2: Reals, pair: Reals) -> Real:
    slope_1, slope_2 = neuron_1[6], neuron_2[6]
    bend_1, bend_2 = 1.0 - slope_1, 1.0 - slope_2
    single = slope_1 * bend_2 * neuron_2[4] + slope_2 * bend_1 * neuron_1[4]
    return (slope_1 * slope_2 + bend_1 * bend_2 * orthant(pair)) + single


def product_by_steps(neuron_1: Reals, neuron_2: Reals, pair: Reals) -> Real:
    """gain_1 gain_2 + bend_1 bend_2 Cov(step, step)."""
    sign, h, k, rho, eta, rest = pair
    bends = (1.0 - neuron_1[6]) * (1.0 - neuron_2[6])
    return neuron_1[7] * neuron_2[7] + bends * (sign * step_cov(h, k, rho, eta, rest))


def cov_dparameters(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Reals:
    """Cov(min(X_1, 0), f(X_2))."""
    sign, h, k, rho, eta, rest = correlate(neuron_1, neuron_2, cov_12, slack)
    line = sign * rho * cdf(-neuron_1[3]) * neuron_2[7]
    kink = (1.0 - neuron_2[6]) * kink_cov(h, k, rho, eta, rest)
    return (neuron_1[2] * neuron_2[2] * (line - kink),)
