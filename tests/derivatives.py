"""Moments, their derivatives and condition numbers from Gaussian expectations: the algebra, for mpf and arrays.

With d/dvar = 1/2 d^2/dmu^2 and d/dcov_12 = d^2/dmu_1 dmu_2 all of them are derivatives by mu_1 and mu_2 of
expectations of rest(x) = f(x) - level - slope x, which callers integrate:

    rest[a]      d^a/dmu^a E rest(X)
    square[a]    d^a/dmu^a E rest(X)^2
    joint[a, b]  d^a/dmu_1^a d^b/dmu_2^b E rest_1(X_1) rest_2(X_2)
"""

from typing import NamedTuple

import numpy as np

PARTIALS = ("d_mu_1", "d_mu_2", "d_var_1", "d_var_2", "d_cov_12")
# Derivatives by mu_1, by mu_2 and by cov_12, and a divisor, in the order of the arguments
_OPERATORS = ((1, 0, 0, 1), (0, 1, 0, 1), (2, 0, 0, 2), (0, 2, 0, 2), (0, 0, 1, 1))


class Value(NamedTuple):
    """A number and its condition number: sum over inputs x of |x d number / dx| / |number|."""

    value: object
    cond: object


def conditioned(number, terms):
    """Make a Value of a number and the terms x d number / dx."""
    size = sum(map(abs, terms))
    if isinstance(number, np.ndarray):
        with np.errstate(all="ignore"):
            return Value(number, np.where(size > 0, size / abs(number), 0))
    return Value(number, size / abs(number) if number else size * 0)


def neuron_values(mu, var, level, slope, rest, square):
    """Return mean, gain, var and the derivatives that a gradient needs, from rest[:6] and square[:5]."""
    b, e, q = slope, rest, square
    spread = q[0] - e[0] ** 2 + b * var * (2 * e[1] + b)
    by_mu = q[1] - 2 * e[0] * e[1] + 2 * b * var * e[2]
    by_var = q[2] / 2 - e[0] * e[2] + b * (2 * e[1] + var * e[3] + b)
    by_mu_mu = q[2] - 2 * e[1] ** 2 - 2 * e[0] * e[2] + 2 * b * var * e[3]
    by_mu_var = q[3] / 2 - e[1] * e[2] - e[0] * e[3] + b * (2 * e[2] + var * e[4])
    by_var_var = q[4] / 4 - e[2] ** 2 / 2 - e[0] * e[4] / 2 + b * (2 * e[3] + var * e[5] / 2)
    return {
        "mean": conditioned(level + e[0], (mu * (e[1] + b), var * e[2] / 2)),
        "gain": conditioned(e[1] + b, (mu * e[2], var * e[3] / 2)),
        "var": conditioned(spread, (mu * by_mu, var * by_var)),
        "mean_d_var": conditioned(e[2] / 2, (mu * e[3] / 2, var * e[4] / 4)),
        "var_d_mu": conditioned(by_mu, (mu * by_mu_mu, var * by_mu_var)),
        "var_d_var": conditioned(by_var, (mu * by_mu_var, var * by_var_var)),
    }


def pair_values(inputs, slopes, rests, joint, order):
    """Return cov and its partials from rest[: order + 2] of both and joint[a, b], a + b <= order.

    A condition number lacks the terms that need derivatives of higher order.
    """
    cov_12, (slope_1, slope_2), (rest_1, rest_2) = inputs[4], slopes, rests

    def derivative(a, b, c, divisor):
        together = joint[a + c, b + c] - (0 if c else rest_1[a] * rest_2[b])
        affine = slope_1 * rest_2[1 + b] if a == 0 else 0
        affine = affine + slope_2 * rest_1[1 + a] if b == 0 else affine
        affine = affine + slope_1 * slope_2 if a == b == 0 else affine
        return (together + (cov_12, 1, 0)[c] * affine) / divisor

    def with_condition(a, b, c, divisor):
        terms = [
            x * derivative(a + p, b + q, c + r, divisor * s)
            for x, (p, q, r, s) in zip(inputs, _OPERATORS, strict=True)
            if a + b + 2 * c + p + q + 2 * r <= order
        ]
        return conditioned(derivative(a, b, c, divisor), terms)

    partials = {name: with_condition(*operator) for name, operator in zip(PARTIALS, _OPERATORS, strict=True)}
    return {"cov": with_condition(0, 0, 0, 1)} | partials
