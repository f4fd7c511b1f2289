"""Integrals over the correlation r of Y_1 and Y_2 of E_r[f'' f''] and its derivatives, f = gelu as in gelu.py.

f'' = E[delta(Y) - delta''(Y)], so these are derivatives of the bivariate density: phi_2(h, k; r) times polynomials.
The integrals start at r = 0, or where the two neurons are apart at |r| = 1, where phi_2 vanishes.
"""

from fastmoments_kernels.bind import bind
from fastmoments_kernels.formulas.bivariate import density
from fastmoments_kernels.formulas.bivariate_panels import complement, integral, remaining
from fastmoments_kernels.formulas.near_one import FAR, half_distances
from fastmoments_kernels.vocabulary import Real, Reals, either, maximum, where


def is_apart(pair: Reals, limit: Real) -> Real:
    """Whether phi_2 has fallen to exp(-limit) of its largest value between 0 and r: integrals begin at |r| = 1."""
    return _fall(pair)[1] >= limit


def _fall(pair: Reals) -> Reals:
    """(x of bivariate.py at |r|, the excess of x^2 / 2 over its least value between 0 and |r|)."""
    _, h, k, _, eta, _ = pair
    a, b = half_distances(h, k)
    x, least = (a - b * eta * eta) / eta, maximum(a - b, 0.0)
    return x, where(x > 0.0, 0.5 * (x - least) * (x + least), 0.0)


def weight_integral(u_1: Real, u_2: Real, pair: Reals, limit: Real) -> Real:
    """The integral of weight * phi_2 over |r| from 0, or from 1 where `is_apart`; u = 1 / S^2.

    A route that is not taken gets an uncorrelated pair, so that it does not overflow.
    """
    _, h, k, rho, eta, rest = pair
    x, fall = _fall(pair)
    apart = fall >= limit
    seen = apart & (x < FAR)  # phi_2 is 0 beyond
    eta_0, rest_0, eta_1 = where(apart, 1.0, eta), where(apart, 0.0, rest), where(seen, eta, 1.0)
    return either(seen, _from_one, _from_zero, ((h, k, u_1, u_2), h, k, eta_0, rest_0, eta_1))


def _from_zero(context: Reals, h: Real, k: Real, eta_0: Real, rest_0: Real, eta_1: Real) -> Real:
    return integral(context, h, k, eta_0, rest_0)


def _from_one(context: Reals, h: Real, k: Real, eta_0: Real, rest_0: Real, eta_1: Real) -> Real:
    t = 2.0 * eta_1 / (1.0 + eta_1 * eta_1)
    return -density(h, k, eta_1) * t * complement(context, h, k, eta_1)


def _product(node: Reals, eta: Real, context: Reals) -> Real:
    """E_r[f''(X_1) f''(X_2)] S_1 S_2 / phi_2."""
    h, k, u_1, u_2 = context
    slope_1, slope_2, bend, mixed = _log_derivatives(node, h, k)
    straight = (1.0 + u_1 * (bend - slope_1 * slope_1)) * (1.0 + u_2 * (bend - slope_2 * slope_2))
    return straight + u_1 * u_2 * (2.0 * mixed * (2.0 * slope_1 * slope_2 + mixed))


def _remaining_product(node: Reals, eta: Real, context: Reals) -> Real:
    """(|rho| - |r|) times `_product`."""
    return remaining(node, eta, context) * _product(node, eta, context)


def _remaining_product_10(node: Reals, eta: Real, context: Reals) -> Real:
    """`_remaining_product` with f'''(X_1) for f''(X_1), times S_1, by Leibniz' rule."""
    first, second, third, _, q, dq, ddq = _derivatives(node, context)
    outer = third * q + 3.0 * second * dq + 3.0 * first * ddq
    return remaining(node, eta, context) * ((first * q + dq) - context[2] * outer)


def _remaining_product_20(node: Reals, eta: Real, context: Reals) -> Real:
    """`_remaining_product` with f''''(X_1) for f''(X_1), times S_1^2."""
    first, second, third, fourth, q, dq, ddq = _derivatives(node, context)
    outer = fourth * q + 4.0 * third * dq + 6.0 * second * ddq
    return remaining(node, eta, context) * ((second * q + 2.0 * first * dq + ddq) - context[2] * outer)


def _derivatives(node: Reals, context: Reals) -> Reals:
    """phi_2's first four derivatives by h, divided by phi_2; E_r[f''(X_2)] S_2 / phi_2 and its first two by h."""
    h, k, _, u_2 = context
    slope_1, slope_2, bend, mixed = _log_derivatives(node, h, k)
    second = slope_1 * slope_1 - bend
    third = slope_1 * (2.0 * bend - second)
    fourth = -slope_1 * third - 3.0 * bend * second
    of_2 = 1.0 + u_2 * (bend - slope_2 * slope_2)
    return -slope_1, second, third, fourth, of_2, 2.0 * u_2 * slope_2 * mixed, -2.0 * u_2 * mixed * mixed


def _log_derivatives(node: Reals, h: Real, k: Real) -> Reals:
    """Derivatives of -log phi_2 at r = (1 - e^2) / (1 + e^2): by h, k and h twice (k twice), minus by h and k."""
    e, over_e, _, _ = node
    square, over_square = e * e, over_e * over_e
    rise = 0.25 * (1.0 + square)
    front = rise * over_square
    together, apart = rise * (h + k), front * (h - k)
    return together + apart, together - apart, front * (1.0 + square), front * (1.0 - square)


def _wide_cut() -> Real:
    """The polynomials grow by exp(18) where the density falls by exp(-36)."""
    return 55.0


cov_integral = bind(weight_integral, {"weight": _remaining_product, "cut": _wide_cut})
cov_10_integral = bind(weight_integral, {"weight": _remaining_product_10, "cut": _wide_cut})
cov_20_integral = bind(weight_integral, {"weight": _remaining_product_20, "cut": _wide_cut})
product_11_integral = bind(weight_integral, {"weight": _product, "cut": _wide_cut})
