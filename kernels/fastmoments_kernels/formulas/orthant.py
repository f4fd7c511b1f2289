"""The probability of an orthant, relative to itself down to the smallest numbers.

P(Z_1 < sign h, Z_2 < k) at correlation sign rho is a sum of two terms exp(excess - low^2 / 2) value, where low is
the lower limit, or 0 if both are above: P is at most Phi(low). Positive correlation: Phi Phi + J_0, both positive.
Negative: the probability at correlation -1, max(0, Phi(k) - Phi(-h)), plus the integral from there, because
Phi Phi - J_0 loses everything where both are nearly equal. An excess is a sum of products that do not cancel, so
that quotients of such terms keep their digits however far out they are.
"""

from fastmoments_kernels.formulas.bivariate import MILD, REACHES, mild_integral, span, tail_integral
from fastmoments_kernels.formulas.bivariate_panels import LEAST, corner, scaled_integral
from fastmoments_kernels.formulas.near_one import NEAR, half_distances, is_near_one, near_one, steepness
from fastmoments_kernels.formulas.normal import PDF_0, cdf, mills_0, scaled_cdf_difference
from fastmoments_kernels.vocabulary import (
    Real,
    Reals,
    absolute,
    either,
    exp,
    maximum,
    minimum,
    shortcut,
    sqrt,
    where,
)

INF = float("inf")


def orthant(pair: Reals) -> Real:
    """P(Z_1 < sign h, Z_2 < k) with correlation sign rho, for a pair as `correlate` returns it."""
    return shortcut(_span_of(pair) <= REACHES[-1], _mild, _anywhere, (pair,))


def _is_tail(pair: Reals) -> Real:
    """Whether Phi Phi - J_0 may cancel: x > 1 at rho < 0."""
    sign, h, k, _, eta, _ = pair
    a, b = half_distances(h, k)
    return (sign < 0.0) & (a - b * eta * eta > eta)


def _span_of(pair: Reals) -> Real:
    """`span`, inf in the lower tail; in the upper tail P is not much less than Phi Phi at any rho."""
    _, h, k, _, eta, rest = pair
    return where(_is_tail(pair) & ~(k > h), INF, span(h, k, eta, rest))


def route(pair: Reals) -> Real:
    """The number of the route that `orthant` takes."""
    sign, h, k, rho, eta, _ = pair
    return sized_route(sign, h, k, rho, eta * (1.0 + rho))


def sized_route(sign: Real, h: Real, k: Real, rho: Real, root: Real) -> Real:
    """`route` by `_is_tail`, `is_near_one` and `span` without their divisions, root = sqrt(1 - rho^2).

    Rounding may give a pair the number of a neighbouring route: that costs time, not digits.
    """
    tail, near, size = sizes(sign, h, k, rho, root)
    size = where((k > h) | ~tail, size, INF)
    nodes = rules(size)
    beyond = where(k > h, 4.0, 5.0)
    other = where(tail, beyond, where(near, where(sign > 0.0, 1.0, beyond - 2.0), 0.0))
    return where(nodes > 0.0, 5.0 + nodes, other)


def sizes(sign: Real, h: Real, k: Real, rho: Real, root: Real) -> Reals:
    """`_is_tail`, `is_near_one` and `span` without their divisions, root = sqrt(1 - rho^2)."""
    a, b = half_distances(h, k)
    above, below = 1.0 + rho, 1.0 - rho
    tail = (sign < 0.0) & (a * above - b * below > root)
    near = root * maximum(1.0, b) <= NEAR * above
    load, safe = a * a * above + b * b * below, maximum(root, LEAST)
    size = rho * (4.0 * root + load) / (((1.0 + root) + sqrt(2.0 * root * (1.0 + root))) * safe)
    return tail, near, where(load <= MILD * root, size, INF)


def rules(size: Real) -> Real:
    """The number of rules of SYMMETRIC that reach this span."""
    nodes = where(size <= REACHES[0], 1.0, 0.0)
    for reach in REACHES[1:]:
        nodes = nodes + where(size <= reach, 1.0, 0.0)
    return nodes


def _mild(pair: Reals) -> Real:
    """Phi Phi +- J_0 by values, not exponents: both terms are positive, or P is not much less than either.

    phi(M) is phi(h) or phi(k); the rounding of their exponents is within the condition number.
    """
    sign, h, k, _, eta, rest = pair
    size_h, size_k = absolute(h), absolute(k)
    bell_h, bell_k = exp(-0.5 * (h * h)), exp(-0.5 * (k * k))
    tail_h, tail_k = PDF_0 * bell_h * mills_0(size_h), PDF_0 * bell_k * mills_0(size_k)
    product = where(sign * h < 0.0, tail_h, 1.0 - tail_h) * where(k < 0.0, tail_k, 1.0 - tail_k)
    front = sign * (PDF_0 * PDF_0) * where(size_h > size_k, bell_h, bell_k)
    return product + front * mild_integral((h,), h, k, eta, rest)


def _anywhere(pair: Reals) -> Real:
    """The sum of both terms, for any pair."""
    excess, value = scaled_orthant(pair)
    low, _, _ = limits(pair)
    return exp(excess - 0.5 * (low * low)) * value


def limits(pair: Reals) -> Reals:
    """(low, high, beyond): lower and higher limit, 0 where above 0, and the excess of the farther one.

    The excess is (low^2 - max(h^2, k^2)) / 2 without the subtraction. Where the limits are equal or opposite every
    part takes the side of the kink that `corner` takes.
    """
    sign, h, k, _, _, _ = pair
    a, b = half_distances(h, k)
    far, _ = corner(h, k)
    lower = where(sign < 0.0, minimum(k, -h), minimum(h, k))
    higher = where(sign < 0.0, maximum(k, -h), maximum(h, k))
    lower_is_farther = (sign < 0.0) & (h >= k) | (sign > 0.0) & (h + k < 0.0)
    above = where(lower_is_farther, 0.0 * a, -2.0 * a * b)
    return minimum(lower, 0.0), minimum(higher, 0.0), where(lower < 0.0, above, -0.5 * far * far)


def scaled_orthant(pair: Reals) -> Reals:
    """(excess, value) with P = exp(excess - low^2 / 2) value, from the larger of the two terms' excesses."""
    excess_1, value_1, excess_2, value_2 = either(_is_tail(pair), _tail, _bulk, (pair,))
    first = where(value_1 == 0.0, excess_2, excess_1)
    second = where(value_2 == 0.0, excess_1, excess_2)
    excess = maximum(first, second)
    # derivatives pass through both excesses, of a term that is 0 too
    scale_1, scale_2 = minimum(0.0, excess_1 - excess), minimum(0.0, excess_2 - excess)
    return excess, value_1 * exp(scale_1) + value_2 * exp(scale_2)


def _bulk(pair: Reals) -> Reals:
    _, h, k, _, eta, _ = pair
    return either(is_near_one(h, k, eta), _near_one, _apart, (pair,))


def _apart(pair: Reals) -> Reals:
    """Phi Phi and +-J_0."""
    sign, h, k, _, eta, rest = pair
    _, high, beyond = limits(pair)
    x, value = scaled_integral((h,), h, k, eta, rest)
    product = scaled_cdf(sign * h) * scaled_cdf(k)
    return -0.5 * high * high, product, beyond - 0.5 * x * x, sign * PDF_0 * PDF_0 * value


def _near_one(pair: Reals) -> Reals:
    """The probability at correlation +-1, and the integral from there to rho."""
    sign, h, k, _, eta, _ = pair
    _, p, _, _ = near_one(h, k, eta)
    excess_1, value_1 = either(sign > 0.0, _lower, _gap, (pair,))
    a, b = half_distances(h, k)
    _, _, beyond = limits(pair)
    u = steepness(a, eta)
    return excess_1, value_1, beyond - u * (0.5 * u - b * eta), -sign * p


def _lower(pair: Reals) -> Reals:
    """Phi of the lower limit, at correlation 1."""
    _, h, k, _, _, _ = pair
    return 0.0 * h, scaled_cdf(minimum(h, k))


def _tail(pair: Reals) -> Reals:
    """The probability at correlation -1 and the integral from there by quadrature."""
    _, h, k, _, eta, rest = pair
    apart = eta > 0.0
    x, integral = tail_integral(h, k, where(apart, eta, 1.0), where(apart, rest, 0.0))
    excess_gap, gap = _gap(pair)
    _, _, beyond = limits(pair)
    return excess_gap, gap, where(apart, beyond - 0.5 * x * x, 0.0), where(apart, PDF_0 * PDF_0 * integral, 0.0)


def _gap(pair: Reals) -> Reals:
    """max(0, Phi(k) - Phi(h))."""
    _, h, k, _, _, _ = pair
    return either(k > h, _difference, _nothing, (pair,))


def _difference(pair: Reals) -> Reals:
    """Phi(k) - Phi(h)."""
    _, h, k, _, _, _ = pair
    low, _, _ = limits(pair)
    nearest, value = scaled_cdf_difference(k, h, k - h)
    near, size = absolute(nearest), -low
    return 0.5 * (size - near) * (size + near), value


def _nothing(pair: Reals) -> Reals:
    """0."""
    _, h, k, _, _, _ = pair
    return 0.0 * h, 0.0 * k


def scaled_cdf(x: Real) -> Real:
    """Phi(x), for x < 0 divided by exp(-x^2 / 2)."""
    return where(x < 0.0, PDF_0 * mills_0(absolute(x)), cdf(x))
