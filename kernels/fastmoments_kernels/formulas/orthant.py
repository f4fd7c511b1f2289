"""The bivariate normal distribution function, relative to itself down to the smallest numbers, and its log.

P(X <= h, Y <= k) is a sum of two terms exp(exponent) * value. Positive correlation: Phi Phi + J_0, both
positive. Negative: the probability at correlation -1, max(0, Phi(k) - Phi(-h)), plus what is integrated from
there, because Phi Phi - J_0 loses everything where both are nearly equal.
"""

from fastmoments_kernels.formulas.bivariate import (
    complement,
    density,
    half_distances,
    is_near_one,
    near_one,
    scaled_integral,
)
from fastmoments_kernels.formulas.correlation import NAN, conditional
from fastmoments_kernels.formulas.normal import PDF_0, cdf, mills_0, pdf, scaled_cdf_difference
from fastmoments_kernels.vocabulary import (
    Real,
    Reals,
    absolute,
    either,
    exp,
    log,
    log1p,
    maximum,
    minimum,
    sqrt,
    where,
)

INF = float("inf")
FAR = 1e8  # stands for +-inf: the distribution function is 0 or 1 there


def bivariate_cdf(h: Real, k: Real, rho: Real) -> Real:
    """P(X <= h, Y <= k) for standard normal X, Y of correlation rho; nan where |rho| > 1."""
    return orthant(_pair(h, k, rho))


def log_bivariate_cdf(h: Real, k: Real, rho: Real) -> Real:
    """log P(X <= h, Y <= k), also where P underflows; from 1 - P where P is more than 1/2."""
    exponent, value = scaled_orthant(_pair(h, k, rho))
    possible = (value > 0.0) & (h > -INF) & (k > -INF)
    direct = exponent + log(where(possible, value, 1.0))
    union = cdf(-h) + cdf(-k) - bivariate_cdf(-h, -k, rho)
    likely = possible & (direct > -0.7)
    return where(likely, log1p(-where(likely, union, 0.0)), where(possible, direct, -INF + 0.0 * value))


def bivariate_cdf_partials(h: Real, k: Real, rho: Real) -> Reals:
    """(d/dh, d/dk, d/drho) of P(X <= h, Y <= k): phi(h) Phi((k - rho h) / t), mirrored, and phi_2, t^2 = 1 - rho^2.

    At |rho| = 1 the last is 0, and infinite where the two limits meet; 0 is returned for both.
    """
    sign, x, y, _, eta, rest = _pair(h, k, rho)
    kappa_k, _ = conditional(x, y, eta, rest)
    kappa_h, _ = conditional(y, x, eta, rest)
    return pdf(x) * cdf(kappa_k), pdf(y) * cdf(sign * kappa_h), density(x, y, eta)


def _pair(h: Real, k: Real, rho: Real) -> Reals:
    """(sign, h, k, |rho|, eta, 1 - eta) of `correlation.correlate` from the correlation itself."""
    size = where(absolute(rho) <= 1.0, absolute(rho), NAN)
    eta = sqrt((1.0 - size) / (1.0 + size))
    rest = 2.0 * size / ((1.0 + size) * (1.0 + eta))
    sign = where(rho < 0.0, -1.0, 1.0)
    return sign, sign * _finite(h), _finite(k), size, eta, rest


def _finite(x: Real) -> Real:
    return minimum(maximum(x, -FAR), FAR)


def orthant(pair: Reals) -> Real:
    """P(Z_1 < sign h, Z_2 < k) with correlation sign rho, for a pair as `correlate` returns it."""
    exponent, value = scaled_orthant(pair)
    return exp(exponent) * value


def scaled_orthant(pair: Reals) -> Reals:
    """(exponent, value) with P = exp(exponent) value, from the larger of the two terms' exponents."""
    sign, h, k, _, eta, _ = pair
    a, b = half_distances(h, k)
    tail = (sign < 0.0) & (a - b * eta * eta > eta)
    exponent_1, value_1, exponent_2, value_2 = either(tail, _tail, _bulk, (pair,))
    first = where(value_1 == 0.0, exponent_2, exponent_1)
    second = where(value_2 == 0.0, exponent_1, exponent_2)
    exponent = maximum(first, second)
    # a term that is 0 here has derivatives, of its own exponent
    scale_1, scale_2 = minimum(exponent_1 - exponent, 0.0), minimum(exponent_2 - exponent, 0.0)
    return exponent, value_1 * exp(scale_1) + value_2 * exp(scale_2)


def _bulk(pair: Reals) -> Reals:
    _, h, k, _, eta, _ = pair
    return either(is_near_one(h, k, eta), _near_one, _apart, (pair,))


def _apart(pair: Reals) -> Reals:
    """Phi Phi and +-J_0."""
    sign, h, k, _, eta, rest = pair
    exponent_h, value_h = _scaled_cdf(sign * h)
    exponent_k, value_k = _scaled_cdf(k)
    x, value = scaled_integral((h,), h, k, eta, rest)
    far = maximum(absolute(h), absolute(k))
    exponent = -0.5 * where(x < 0.0, h * h + k * k, far * far + x * x)
    return exponent_h + exponent_k, value_h * value_k, exponent, sign * PDF_0 * PDF_0 * value


def _near_one(pair: Reals) -> Reals:
    """The probability at correlation +-1, less or more what is left from there."""
    sign, h, k, _, eta, _ = pair
    exponent, p, _, _ = near_one(h, k, eta)
    exponent_gap, gap = _gap(h, k)
    exponent_low, low = _scaled_cdf(minimum(h, k))
    same = sign > 0.0
    return where(same, exponent_low, exponent_gap), where(same, low, gap), exponent, -sign * p


def _tail(pair: Reals) -> Reals:
    """The probability at correlation -1 and the integral from there by quadrature."""
    _, h, k, _, eta, rest = pair
    apart = eta > 0.0
    safe = where(apart, eta, 1.0)
    kappa, _ = conditional(h, k, safe, rest)
    exponent_gap, gap = _gap(h, k)
    integral = PDF_0 * PDF_0 * complement((), h, k, safe)
    return exponent_gap, gap, where(apart, -0.5 * (h * h + kappa * kappa), 0.0), where(apart, integral, 0.0)


def _gap(h: Real, k: Real) -> Reals:
    """max(0, Phi(k) - Phi(h))."""
    exponent, value = scaled_cdf_difference(k, h, k - h)
    return exponent, where(k > h, value, 0.0 * value)


def _scaled_cdf(x: Real) -> Reals:
    """Phi(x) = exp(exponent) value."""
    below = x < 0.0
    return where(below, -0.5 * x * x, 0.0 * x), where(below, PDF_0 * mills_0(absolute(x)), cdf(x))


NORMAL = {
    "bivariate_normal_cdf": bivariate_cdf,
    "log_bivariate_normal_cdf": log_bivariate_cdf,
    "bivariate_normal_cdf_partials": bivariate_cdf_partials,
}
