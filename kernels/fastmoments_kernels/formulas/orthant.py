"""The bivariate normal distribution function, relative to itself down to the smallest numbers, and its log.

P(X <= h, Y <= k) is a sum of two terms exp(exponent) * value. Positive correlation: Phi Phi + J_0, both
positive. Negative: the probability at correlation -1, max(0, Phi(k) - Phi(-h)), plus what is integrated from
there, because Phi Phi - J_0 loses everything where both are nearly equal.
"""

from fastmoments_kernels.formulas.bivariate import (
    LEAST,
    MILD,
    NEAR,
    REACHES,
    density,
    half_distances,
    is_near_one,
    mild_integral,
    near_one,
    scaled_integral,
    span,
    tail_integral,
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
    shortcut,
    sqrt,
    where,
)

INF = float("inf")
FAR = 1e8  # stands for +-inf: the distribution function is 0 or 1 there


def bivariate_cdf(h: Real, k: Real, rho: Real) -> Real:
    """P(X <= h, Y <= k) for standard normal X, Y of correlation rho; nan where |rho| > 1."""
    return orthant(_pair(h, k, rho))


def log_bivariate_cdf(h: Real, k: Real, rho: Real) -> Real:
    """log P(X <= h, Y <= k), also where P underflows; from 1 - P where P is more than 1/2.

    Below -FAR the exponent, a quadratic form, is all of it to rounding, and taken from nearer to 0.
    """
    low = minimum(h, k)
    beyond = maximum(1.0, where(low > -INF, low, 0.0) / -FAR)
    exponent, value = scaled_orthant(_pair(h / beyond, k / beyond, rho))
    possible = (value > 0.0) & (low > -INF)
    direct = beyond * beyond * exponent + log(where(possible, value, 1.0))
    union = cdf(_finite(-h)) + cdf(_finite(-k)) - bivariate_cdf(-h, -k, rho)
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
    return shortcut(_span_of(pair) <= REACHES[-1], _mild, _anywhere, (pair,))


def _is_tail(pair: Reals) -> Real:
    """Whether Phi Phi - J_0 may cancel: x > 1 at rho < 0."""
    sign, h, k, _, eta, _ = pair
    a, b = half_distances(h, k)
    return (sign < 0.0) & (a - b * eta * eta > eta)


def _span_of(pair: Reals) -> Real:
    """`span`, inf in the lower tail; in the upper one P is not much less than Phi Phi, whatever rho."""
    _, h, k, _, eta, rest = pair
    return where(_is_tail(pair) & ~(k > h), INF, span(h, k, eta, rest))


def route(pair: Reals) -> Real:
    """Which of its routes `orthant` takes, by number."""
    sign, h, k, rho, eta, _ = pair
    return _route(sign, h, k, rho, eta * (1.0 + rho))


def bivariate_route(h: Real, k: Real, rho: Real) -> Real:
    """`route` of the distribution function's arguments."""
    size = minimum(absolute(rho), 1.0)
    sign = where(rho < 0.0, -1.0, 1.0)
    return _route(sign, sign * _finite(h), _finite(k), size, sqrt((1.0 - size) * (1.0 + size)))


def _route(sign: Real, h: Real, k: Real, rho: Real, root: Real) -> Real:
    """By `_is_tail`, `is_near_one` and `span` without their divisions, root = sqrt(1 - rho^2).

    A pair that rounding puts beside another route costs time and nothing else.
    """
    a, b = half_distances(h, k)
    above, below = 1.0 + rho, 1.0 - rho
    tail = (sign < 0.0) & (a * above - b * below > root)
    near = root * maximum(1.0, b) <= NEAR * above
    load, safe = a * a * above + b * b * below, maximum(root, LEAST)
    size = rho * (4.0 * root + load) / (((1.0 + root) + sqrt(2.0 * root * (1.0 + root))) * safe)
    size = where((load <= MILD * root) & ((k > h) | ~tail), size, INF)
    nodes = 0.0 * rho
    for reach in REACHES:
        nodes = nodes + where(size <= reach, 1.0, 0.0)
    beyond = where(k > h, 4.0, 5.0)
    other = where(tail, beyond, where(near, where(sign > 0.0, 1.0, beyond - 2.0), 0.0))
    return where(nodes > 0.0, 5.0 + nodes, other)


def _mild(pair: Reals) -> Real:
    """Phi Phi +- J_0, not from their exponents; both are positive, or P is not much less than either.

    phi(M) is one of phi(h) and phi(k), whose squares' rounding is within the condition number.
    """
    sign, h, k, _, eta, rest = pair
    size_h, size_k = absolute(h), absolute(k)
    bell_h, bell_k = exp(-0.5 * (h * h)), exp(-0.5 * (k * k))
    tail_h, tail_k = PDF_0 * bell_h * mills_0(size_h), PDF_0 * bell_k * mills_0(size_k)
    product = where(sign * h < 0.0, tail_h, 1.0 - tail_h) * where(k < 0.0, tail_k, 1.0 - tail_k)
    front = sign * (PDF_0 * PDF_0) * where(size_h > size_k, bell_h, bell_k)
    return product + front * mild_integral((h,), h, k, eta, rest)


def _anywhere(pair: Reals) -> Real:
    """The sum of both terms whatever they are."""
    exponent, value = scaled_orthant(pair)
    return exp(exponent) * value


def scaled_orthant(pair: Reals) -> Reals:
    """(exponent, value) with P = exp(exponent) value, from the larger of the two terms' exponents."""
    exponent_1, value_1, exponent_2, value_2 = either(_is_tail(pair), _tail, _bulk, (pair,))
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
    exponent_1, value_1 = either(sign > 0.0, _low, _gap, (h, k))
    return exponent_1, value_1, exponent, -sign * p


def _low(h: Real, k: Real) -> Reals:
    """Phi of the lower."""
    return _scaled_cdf(minimum(h, k))


def _tail(pair: Reals) -> Reals:
    """The probability at correlation -1 and the integral from there by quadrature."""
    _, h, k, _, eta, _ = pair
    apart = eta > 0.0
    x, integral = tail_integral(h, k, where(apart, eta, 1.0))
    exponent_gap, gap = _gap(h, k)
    far = maximum(absolute(h), absolute(k))
    exponent = -0.5 * (far * far + x * x)
    return exponent_gap, gap, where(apart, exponent, 0.0), where(apart, PDF_0 * PDF_0 * integral, 0.0)


def _gap(h: Real, k: Real) -> Reals:
    """max(0, Phi(k) - Phi(h))."""
    return either(k > h, _difference, _nothing, (h, k))


def _difference(h: Real, k: Real) -> Reals:
    """Phi(k) - Phi(h)."""
    return scaled_cdf_difference(k, h, k - h)


def _nothing(h: Real, k: Real) -> Reals:
    """0."""
    return 0.0 * h, 0.0 * k


def _scaled_cdf(x: Real) -> Reals:
    """Phi(x) = exp(exponent) value."""
    below = x < 0.0
    return where(below, -0.5 * x * x, 0.0 * x), where(below, PDF_0 * mills_0(absolute(x)), cdf(x))


NORMAL = {
    "bivariate_normal_cdf": bivariate_cdf,
    "log_bivariate_normal_cdf": log_bivariate_cdf,
    "bivariate_normal_cdf_partials": bivariate_cdf_partials,
}
