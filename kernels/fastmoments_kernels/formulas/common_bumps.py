"""Two bumps of one neuron: `bump_pairs` where both have one mu, which may cancel."""

from fastmoments_kernels.bind import bind
from fastmoments_kernels.formulas.bump_pairs import (
    covariance,
    covariance_dcenter,
    covariance_dtau,
    difference,
    distance,
    overlap_of,
    remainder,
)
from fastmoments_kernels.vocabulary import Real, Reals, where


def common_gap(one: Reals, two: Reals, z_1: Real, z_2: Real) -> Real:
    """z_1 - z_2 without mu, which cancels; p_1 - p_2 = (tau_1 - tau_2) w_1 w_2."""
    total = one[6] + two[6]
    steeper = (one[4] - two[4]) * one[5] * two[5] / where(total > 0.0, total, 1.0)
    return 0.5 * (total * (two[3] - one[3]) + steeper * (distance(one) + distance(two)))


def common_means(one: Reals, two: Reals, link: Reals, overlap: Reals) -> Reals:
    """`means` for bumps of one neuron, whose mu may cancel."""
    _, _, left, _, _, _ = overlap
    between, share = one[1] * (two[3] - one[3]), one[5] * two[5] / left
    return share * (distance(one) + two[4] * between), share * (distance(two) - one[4] * between)


def covariance_dmu(one: Reals, two: Reals, link: Reals) -> Real:
    """d Cov(s_1(X), s_2(X)) / d mu, without the parts of E s_1' s_2 and E s_1 s_2' that cancel each other."""
    overlap = overlap_of(one, two, link)
    m_1, m_2 = common_means(one, two, link, overlap)
    y, alone = _pull(one, two, overlap), one[4] * one[5] * distance(one) + two[4] * two[5] * distance(two)
    change = one[1] * (one[4] * two[4]) * (one[5] * m_2 + two[5] * m_1)
    return difference(one, two, overlap, (-y, -alone, change, 0.0, 0.0))


def remainder_dvar(one: Reals, two: Reals, link: Reals) -> Real:
    """d Cov(s_1(X), s_2(X)) / d var - E s_1' E s_2', which is 0 at var = 0.

    It is computed as E(s_1 s_2)'' / 2 - (F_1 F_2)', where s_1 s_2 is a bump too: the terms of E s_1' s_2' + ...
    cancel like tau var.
    """
    overlap = overlap_of(one, two, link)
    left = overlap[2]
    _, var, _, _, tau_1, w_1, _, z_1 = one
    _, _, _, _, tau_2, w_2, _, z_2 = two
    m_1, m_2 = common_means(one, two, link, overlap)
    p_1, p_2 = tau_1 * w_1, tau_2 * w_2
    alone_1, alone_2 = p_1 * distance(one), p_2 * distance(two)
    y = _pull(one, two, overlap)
    joint = 0.5 * (y * y - w_1 * w_2 * (tau_1 + tau_2) / left)
    separate = 0.5 * (p_1 * (z_1 - 1.0) * (z_1 + 1.0) + p_2 * (z_2 - 1.0) * (z_2 + 1.0)) + alone_1 * alone_2
    pulled = tau_1 * tau_2 * (w_1 * m_2 + w_2 * m_1) * (y + (alone_1 + alone_2))
    change = 0.5 * var * (p_1 * p_2 * (1.0 + w_1 * w_2 / left) - pulled)
    return difference(one, two, overlap, (joint, separate, change, 0.0, 0.0))


def _pull(one: Reals, two: Reals, overlap: Reals) -> Real:
    """-d log F_12 / d mu = tau_1 m_1 + tau_2 m_2, without the terms that cancel."""
    return one[5] * two[5] * (one[4] * distance(one) + two[4] * distance(two)) / overlap[2]


_COMMON = {"gap": common_gap, "means": common_means}
common_remainder = bind(remainder, _COMMON)
common_covariance = bind(covariance, _COMMON)
common_covariance_dmu = bind(covariance_dmu, _COMMON)
common_covariance_dtau = bind(covariance_dtau, _COMMON)
common_covariance_dcenter = bind(covariance_dcenter, _COMMON)
common_remainder_dvar = bind(remainder_dvar, _COMMON)
