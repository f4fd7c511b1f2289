"""The integral of the bivariate normal density over its correlation, by a series where |rho| is near one.

The variables are those of `bivariate`. The series holds at |rho| = 1 too.
"""

from fastmoments_kernels.formulas.normal import PDF_0, mills_1
from fastmoments_kernels.vocabulary import Real, Reals, absolute, maximum, where

# the series' terms fall like (NEAR^2 / 2)^m / m!; 12 of them reach 1e-17 at .25
NEAR = 0.25
# at this a / eta the integral is exp(-1800): larger ones may stay here
FAR = 60.0


def half_distances(h: Real, k: Real) -> Reals:
    """a = |h - k| / 2 and b = |h + k| / 2."""
    return 0.5 * absolute(h - k), 0.5 * absolute(h + k)


def is_near_one(h: Real, k: Real, eta: Real) -> Real:
    """Whether the series converges: eta max(1, b) <= NEAR."""
    return eta * maximum(1.0, 0.5 * absolute(h + k)) <= NEAR


def steepness(a: Real, eta: Real) -> Real:
    """u = a / eta as `near_one` takes it, FAR at most."""
    return where(a < FAR * eta, a / where(eta > 0.0, eta, 1.0), where(a > 0.0, FAR, 0.0))


def near_one(h: Real, k: Real, eta: Real) -> Reals:
    """(exponent, P, Q, N): P, Q and N times exp(exponent) are integrals of the density over e from 0 to eta.

    Their weights are 2 / (1 + e^2), 2 e^2 / (1 + e^2) and rho - r.
    exp(-b^2 e^2 / 2) / (1 + e^2) is expanded in e^2, and the moments of exp(-(a/e)^2 / 2) follow by a recurrence:
    m_0 = R_1(u), m_j = (1 - u^2 m_{j-1}) / (2 j + 1) with u = a / eta.
    """
    a, b = half_distances(h, k)
    u = steepness(a, eta)
    square = eta * eta
    # further out the series is not used, but derivatives are taken through its powers, which would overflow
    ratio = maximum(-0.5 * b * b * square, -NEAR * NEAR)
    term = 1.0 + 0.0 * u
    moment = mills_1(u)
    c = term
    d = term
    p = 0.0 * u
    q = 0.0 * u
    n = 0.0 * u
    for j in range(1, 14):
        following = (1.0 - u * u * moment) * (1.0 / (2.0 * j + 1.0))
        p = p + c * moment
        q = q + c * following
        n = n + d * (moment - following)
        term = term * (ratio * (1.0 / j))
        c = term - square * c
        d = c - square * d
        moment = following
    front = PDF_0 * PDF_0 * 2.0 * eta
    exponent = -0.5 * (a * a + b * b + u * u)
    return exponent, front * p, front * square * q, front * 2.0 * square / (1.0 + square) * n
