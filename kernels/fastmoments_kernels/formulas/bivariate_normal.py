"""The bivariate normal distribution function of X and Y of correlation rho, its logarithm, and their derivatives.

With t^2 = 1 - rho^2: dP/dh = phi(h) Phi((k - rho h) / t), dP/dk mirrored, dP/drho = phi_2(h, k; rho)
(Plackett 1954). Further derivatives are made of these, so that none of any order passes through |h - k|.
"""

from fastmoments_kernels.bind import bind
from fastmoments_kernels.formulas.bivariate import density
from fastmoments_kernels.formulas.bivariate_panels import at_eta, complement
from fastmoments_kernels.formulas.correlation import NAN, conditional
from fastmoments_kernels.formulas.normal import PDF_0, cdf, pdf
from fastmoments_kernels.formulas.orthant import INF, limits, orthant, scaled_cdf, scaled_orthant, sized_route
from fastmoments_kernels.vocabulary import Real, Reals, absolute, exp, log, log1p, maximum, minimum, sqrt, where

FAR = 1e8  # replaces inf: the distribution function is 0 or 1 there


def bivariate_cdf(h: Real, k: Real, rho: Real) -> Real:
    """P(X <= h, Y <= k) for standard normal X, Y of correlation rho; nan where |rho| > 1."""
    return orthant(_pair(h, k, rho))


def log_bivariate_cdf(h: Real, k: Real, rho: Real) -> Real:
    """log P(X <= h, Y <= k), also where P underflows; from 1 - P where P is more than 1/2.

    Below -FAR the logarithm is its exponent to rounding, a quadratic form: limits are scaled to -FAR, and the
    exponent is scaled back.
    """
    beyond = _beyond(h, k)
    pair = _pair(h / beyond, k / beyond, rho)
    excess, value = _precise_orthant(pair)
    low, _, _ = limits(pair)
    possible = _is_possible(h, k, value)
    direct = beyond * beyond * (excess - 0.5 * low * low) + log(where(possible, value, 1.0))
    union = cdf(_finite(-h)) + cdf(_finite(-k)) - bivariate_cdf(-h, -k, rho)
    likely = possible & (direct > -0.7)
    return where(likely, log1p(-where(likely, union, 0.0)), where(possible, direct, -INF + 0.0 * value))


def bivariate_cdf_partials(h: Real, k: Real, rho: Real) -> Reals:
    """(d/dh, d/dk, d/drho) of P(X <= h, Y <= k).

    At |rho| = 1 the last is 0, and infinite where the two limits meet; 0 is returned for both.
    """
    sign, x, y, _, eta, rest = _pair(h, k, rho)
    kappa_k, _ = conditional(x, y, eta, rest)
    kappa_h, _ = conditional(y, x, eta, rest)
    return pdf(x) * cdf(kappa_k), pdf(y) * cdf(sign * kappa_h), density(x, y, eta)


def log_bivariate_cdf_partials(h: Real, k: Real, rho: Real) -> Reals:
    """(d/dh, d/dk, d/drho) of log P(X <= h, Y <= k): those of P divided by P, one large exponent taken out of both.

    They are nan where P is 0: at an infinite lower limit, and at rho = -1 for h + k <= 0. At |rho| = 1 the last is
    0, as for P.
    """
    beyond = _beyond(h, k)
    pair = _pair(h / beyond, k / beyond, rho)
    sign, x, y, _, eta, rest = pair
    excess, value = _precise_orthant(pair)
    value = where(_is_possible(h, k, value), value, NAN)
    kappa_k, _ = conditional(x, y, eta, rest)
    kappa_h, _ = conditional(y, x, eta, rest)
    d_h = _over(_scaled_slope(pair, sign * x, kappa_k), excess, value)
    d_k = _over(_scaled_slope(pair, y, sign * kappa_h), excess, value)
    d_rho = _over(_scaled_density(pair), excess, value)
    return beyond * d_h, beyond * d_k, beyond * (beyond * d_rho)


def _precise_tail(h: Real, k: Real, eta: Real, rest: Real) -> Reals:
    """`tail_integral` without its error x^2 eps, which is within the condition number of P but not of log P."""
    return at_eta(h, k, eta, rest), complement((), h, k, eta)


_precise_orthant = bind(scaled_orthant, {"tail_integral": _precise_tail})


def _scaled_slope(pair: Reals, limit: Real, kappa: Real) -> Reals:
    """(excess, value) of phi(limit) Phi(kappa), in the form that `scaled_orthant` has for P.

    limit^2 + kappa^2 is the quadratic form at the corner (h, k), far^2 + x^2 for either limit.
    """
    _, h, k, _, eta, rest = pair
    low, _, beyond = limits(pair)
    x = at_eta(h, k, eta, rest)
    excess = where(kappa < 0.0, beyond - 0.5 * x * x, 0.5 * (low - limit) * (low + limit))
    return excess, PDF_0 * scaled_cdf(kappa)


def _scaled_density(pair: Reals) -> Reals:
    """(excess, value) of phi_2(h, k; rho), in the form that `scaled_orthant` has for P; 0 at |rho| = 1."""
    _, h, k, _, eta, rest = pair
    _, _, beyond = limits(pair)
    x = at_eta(h, k, eta, rest)
    t = 2.0 * where(eta > 0.0, eta, 1.0) / (1.0 + eta * eta)
    return beyond - 0.5 * x * x, where(eta > 0.0, PDF_0 * PDF_0 / t, 0.0 * x)


def _over(slope: Reals, excess: Real, value: Real) -> Real:
    """A slope divided by the probability, both in the form (excess, value)."""
    slope_excess, size = slope
    return where(size == 0.0, 0.0 * value, size * exp(slope_excess - excess) / value)


def cdf_curvatures(h: Real, k: Real, rho: Real, slopes: Reals) -> tuple[Reals, Reals, Reals]:
    """The second derivatives of P from its first: rows d slope / d(h, k, rho)."""
    d_h, d_k, d_rho = slopes
    x, y = _finite(h), _finite(k)
    square = (1.0 - rho) * (1.0 + rho)
    safe = where(square > 0.0, square, 1.0)
    lean_h = where(square > 0.0, (x - rho * y) / safe, 0.0)
    lean_k = where(square > 0.0, (y - rho * x) / safe, 0.0)
    turn = where(square > 0.0, rho / safe, 0.0) + lean_h * lean_k
    return (
        (-(x * d_h + rho * d_rho), d_rho, -lean_h * d_rho),
        (d_rho, -(y * d_k + rho * d_rho), -lean_k * d_rho),
        (-lean_h * d_rho, -lean_k * d_rho, turn * d_rho),
    )


def log_cdf_curvatures(h: Real, k: Real, rho: Real, slopes: Reals) -> tuple[Reals, Reals, Reals]:
    """The second derivatives of log P from its first: those of P divided by P, less products of two.

    In tails the two cancel, and the result has an error of h^2 eps.
    """
    first, second, third = cdf_curvatures(h, k, rho, slopes)
    d_h, d_k, d_rho = slopes
    return (
        (first[0] - d_h * d_h, first[1] - d_h * d_k, first[2] - d_h * d_rho),
        (second[0] - d_k * d_h, second[1] - d_k * d_k, second[2] - d_k * d_rho),
        (third[0] - d_rho * d_h, third[1] - d_rho * d_k, third[2] - d_rho * d_rho),
    )


def bivariate_route(h: Real, k: Real, rho: Real) -> Real:
    """`orthant.route` for the distribution function's arguments."""
    size = minimum(absolute(rho), 1.0)
    sign = where(rho < 0.0, -1.0, 1.0)
    return sized_route(sign, sign * _finite(h), _finite(k), size, sqrt((1.0 - size) * (1.0 + size)))


def _pair(h: Real, k: Real, rho: Real) -> Reals:
    """(sign, h, k, |rho|, eta, 1 - eta) as `correlation.correlate` returns them, from the correlation."""
    size = where(absolute(rho) <= 1.0, absolute(rho), NAN)
    eta = sqrt((1.0 - size) / (1.0 + size))
    rest = 2.0 * size / ((1.0 + size) * (1.0 + eta))
    sign = where(rho < 0.0, -1.0, 1.0)
    return sign, sign * _finite(h), _finite(k), size, eta, rest


def _finite(x: Real) -> Real:
    return minimum(maximum(x, -FAR), FAR)


def _beyond(h: Real, k: Real) -> Real:
    """The lower limit divided by -FAR, at least 1."""
    low = minimum(h, k)
    return maximum(1.0, where(low > -INF, low, 0.0) / -FAR)


def _is_possible(h: Real, k: Real, value: Real) -> Real:
    return (value > 0.0) & (minimum(h, k) > -INF)


NORMAL = {
    "bivariate_normal_cdf": bivariate_cdf,
    "log_bivariate_normal_cdf": log_bivariate_cdf,
    "bivariate_normal_cdf_partials": bivariate_cdf_partials,
    "log_bivariate_normal_cdf_partials": log_bivariate_cdf_partials,
}
