"""Two Gaussian bumps of jointly Gaussian variables: their covariance and its derivatives.

kappa = sqrt(p_1 p_2) cov_12 is their correlation once 1 / tau is added to each variance. With F, p, w, z of `bump`,

F_12 = E s_1 s_2 = sqrt(w_1 w_2 / (1 - kappa^2)) exp(-(z_1^2 - 2 kappa z_1 z_2 + z_2^2) / (2 (1 - kappa^2)))

(Wang et al. 2016). The covariance is F_12 - F_1 F_2 = F_1 F_2 expm1(L), L = log(F_12 / (F_1 F_2)); its derivatives
are such differences too. Where a function with bumps has an extremum, the part linear in cov_12 cancels: for such
functions a covariance is split into that part, the product of the functions' gains, and a remainder.
"""

from fastmoments_kernels.formulas.bump import filled
from fastmoments_kernels.vocabulary import (
    Real,
    Reals,
    absolute,
    exp,
    expm1,
    log,
    log1p,
    maximum,
    minimum,
    polynomial,
    sqrt,
    where,
)

LEAST = 2.0**-100
# (exp(x) - 1 - x) / x^2 for |x| <= 1, highest power first: 1/19! is the first term left out
EXP_TAIL = (
    1.5619206968586225e-16,
    2.8114572543455206e-15,
    4.779477332387385e-14,
    7.647163731819816e-13,
    1.1470745597729725e-11,
    1.6059043836821613e-10,
    2.08767569878681e-09,
    2.505210838544172e-08,
    2.755731922398589e-07,
    2.7557319223985893e-06,
    2.48015873015873e-05,
    0.0001984126984126984,
    0.001388888888888889,
    0.008333333333333333,
    0.041666666666666664,
    0.16666666666666666,
    0.5,
)


def covariance(one: Reals, two: Reals, link: Reals) -> Real:
    """Cov(s_1(X_1), s_2(X_2)) = F_12 - F_1 F_2."""
    _, value, _ = _compared(one, two, overlap_of(one, two, link))
    return value


def covariance_10(one: Reals, two: Reals, link: Reals) -> Real:
    """Cov(s_1'(X_1), s_2(X_2)) = d covariance / d mu_1."""
    overlap = overlap_of(one, two, link)
    return difference(one, two, overlap, _terms_10(one, two, link, overlap))


def covariance_20(one: Reals, two: Reals, link: Reals) -> Real:
    """Cov(s_1''(X_1), s_2(X_2)) = 2 d covariance / d var_1."""
    overlap = overlap_of(one, two, link)
    return difference(one, two, overlap, _terms_20(one, two, link, overlap))


def covariance_dtau(one: Reals, two: Reals, link: Reals) -> Real:
    """d covariance / d tau_1 = -Cov((X_1 - center_1)^2 s_1(X_1), s_2(X_2)) / 2."""
    overlap = overlap_of(one, two, link)
    return difference(one, two, overlap, _terms_dtau(one, two, link, overlap))


def covariance_dcenter(one: Reals, two: Reals, link: Reals) -> Real:
    """d covariance / d center_1."""
    return -covariance_10(one, two, link)


def expectation_11(one: Reals, two: Reals, link: Reals) -> Real:
    """E[s_1'(X_1) s_2'(X_2)] = d covariance / d cov_12."""
    overlap = overlap_of(one, two, link)
    joint, _, _, _, _ = _terms_11(one, two, link, overlap)
    return joint * _joint_height(one, two, overlap)


def remainder_11(one: Reals, two: Reals, link: Reals) -> Real:
    """`expectation_11` - E s_1' E s_2'."""
    overlap = overlap_of(one, two, link)
    return difference(one, two, overlap, _terms_11(one, two, link, overlap))


def remainder(one: Reals, two: Reals, link: Reals) -> Real:
    """`covariance` - cov_12 E s_1' E s_2'."""
    _, rest, _ = parts(one, two, link)
    return rest


def parts(one: Reals, two: Reals, link: Reals) -> Reals:
    """(1 if `_small` else 0, covariance - cov_12 E s_1' E s_2', covariance)."""
    overlap = overlap_of(one, two, link)
    _, _, linear = _logs(overlap)
    return _parts(one, two, overlap, (1.0, 1.0, 0.0, 0.0, linear))


def parts_10(one: Reals, two: Reals, link: Reals) -> Reals:
    """`parts` for `covariance_10` and its linear part cov_12 E s_1'' E s_2'."""
    overlap = overlap_of(one, two, link)
    return _parts(one, two, overlap, _terms_10(one, two, link, overlap))


def parts_20(one: Reals, two: Reals, link: Reals) -> Reals:
    """`parts` for `covariance_20` and its linear part cov_12 E s_1''' E s_2'."""
    overlap = overlap_of(one, two, link)
    return _parts(one, two, overlap, _terms_20(one, two, link, overlap))


def parts_dtau(one: Reals, two: Reals, link: Reals) -> Reals:
    """`parts` for `covariance_dtau` and its linear part cov_12 (d E s_1' / d tau_1) E s_2'."""
    overlap = overlap_of(one, two, link)
    return _parts(one, two, overlap, _terms_dtau(one, two, link, overlap))


def parts_11(one: Reals, two: Reals, link: Reals) -> Reals:
    """`parts` for `expectation_11` and its part E s_1' E s_2'."""
    overlap = overlap_of(one, two, link)
    terms = _terms_11(one, two, link, overlap)
    log_ratio, _, first = _logs(overlap)
    return (
        _small(log_ratio, first),
        difference(one, two, overlap, terms),
        terms[0] * _joint_height(one, two, overlap),
    )


# A derivative is joint F_12 - separate F_1 F_2. Its terms are (joint, separate, change, beyond, linear): change =
# joint - separate; linear F_1 F_2 is the part linear in cov_12 that is split off; beyond = change + separate
# kappa z_1 z_2 - linear, simplified on paper, is of second order in cov_12.
def _terms_10(one: Reals, two: Reals, link: Reals, overlap: Reals) -> Reals:
    m_1, m_2 = means(one, two, link, overlap)
    _, _, _, _, tau_1, w_1, _, z_1 = one
    y_1, y_2, alone_2 = tau_1 * m_1, two[4] * m_2, two[4] * two[5] * distance(two)
    shift = link[1] * tau_1 * w_1
    beyond = -shift * (link[1] * two[4] * two[5]) * y_1
    linear = -shift * (z_1 - 1.0) * (z_1 + 1.0) * alone_2
    return -y_1, -tau_1 * w_1 * distance(one), shift * y_2, beyond, linear


def _terms_20(one: Reals, two: Reals, link: Reals, overlap: Reals) -> Reals:
    m_1, m_2 = means(one, two, link, overlap)
    _, kappa, left, _, _, _ = overlap
    _, _, _, _, tau_1, w_1, _, z_1 = one
    y_1, y_2, p_1, p_2 = tau_1 * m_1, two[4] * m_2, tau_1 * w_1, two[4] * two[5]
    alone_1, alone_2, shift = p_1 * distance(one), p_2 * distance(two), link[1] * p_1
    narrowed = p_1 * (kappa * kappa / left)
    change = -shift * y_2 * (y_1 + alone_1) - narrowed
    beyond = shift * (link[1] * p_2 * y_1 * (y_1 + alone_1) + shift * y_2 * alone_2) - narrowed
    linear = -shift * alone_1 * (3.0 - z_1 * z_1) * alone_2
    return y_1 * y_1 - p_1 / left, p_1 * (z_1 - 1.0) * (z_1 + 1.0), change, beyond, linear


def _terms_dtau(one: Reals, two: Reals, link: Reals, overlap: Reals) -> Reals:
    m_1, m_2 = means(one, two, link, overlap)
    _, cov, free = link
    _, var_1, _, _, tau_1, w_1, _, _ = one
    _, var_2, _, _, tau_2, w_2, _, _ = two
    alone_1, alone_2, p_2 = w_1 * distance(one), w_2 * distance(two), tau_2 * w_2
    spread = w_1 * var_1 * (w_2 + p_2 * var_2 * free) / overlap[2]  # X_1's variance, the density times both bumps
    separate = -0.5 * (alone_1 * alone_1 + w_1 * var_1)
    narrowed = w_1 * cov * p_2 / overlap[2]
    change = 0.5 * w_1 * cov * (tau_2 * m_2 * (m_1 + alone_1) + narrowed)
    pulled = p_2 * tau_1 * m_1 * (m_1 + alone_1) + w_1 * tau_2 * m_2 * (tau_2 * alone_2)
    linear = cov * alone_1 * (w_1 + tau_1 * separate) * (tau_2 * alone_2)
    return -0.5 * (m_1 * m_1 + spread), separate, change, 0.5 * w_1 * cov * (narrowed - cov * pulled), linear


def _terms_11(one: Reals, two: Reals, link: Reals, overlap: Reals) -> Reals:
    m_1, m_2 = means(one, two, link, overlap)
    _, _, _, _, tau_1, w_1, _, _ = one
    _, _, _, _, tau_2, w_2, _, _ = two
    y_1, y_2, p_1, p_2 = tau_1 * m_1, tau_2 * m_2, tau_1 * w_1, tau_2 * w_2
    alone_1, alone_2 = p_1 * distance(one), p_2 * distance(two)
    tied = link[1] * (p_1 * p_2) / overlap[2]
    change = tied - 0.5 * link[1] * (p_1 * (y_2 * (y_2 + alone_2)) + p_2 * (y_1 * (y_1 + alone_1)))
    return y_1 * y_2 + tied, alone_1 * alone_2, change, 0.0, 0.0


def difference(one: Reals, two: Reals, overlap: Reals, terms: Reals) -> Real:
    """joint F_12 - separate F_1 F_2: the covariance times one factor, plus a term with the factors' difference."""
    joint, separate, change, _, _ = terms
    log_ratio, value, larger = _compared(one, two, overlap)
    return where(log_ratio >= 0.0, joint, separate) * value + change * (larger * exp(-absolute(log_ratio)))


def _parts(one: Reals, two: Reals, overlap: Reals, terms: Reals) -> Reals:
    """(1 if small else 0, `difference` - linear F_1 F_2, `difference`); where small, the second by series."""
    joint, _, change, beyond, linear = terms
    log_ratio, curved, first = _logs(overlap)
    _, _, larger = _compared(one, two, overlap)
    whole, separately = difference(one, two, overlap, terms), larger * exp(-maximum(log_ratio, 0.0))
    small = _small(log_ratio, first)
    x = where(small > 0.0, log_ratio, 0.0)
    near = joint * (x * x * polynomial(EXP_TAIL, x) + curved) + change * first + beyond
    return small, where(small > 0.0, separately * near, whole - separately * linear), whole


def _small(log_ratio: Real, linear: Real) -> Real:
    """1 where the linear part may dominate, within the range of EXP_TAIL, else 0."""
    return where((absolute(log_ratio) <= 1.0) & (absolute(linear) <= 1.0), 1.0 + 0.0 * linear, 0.0 * linear)


def _joint_height(one: Reals, two: Reals, overlap: Reals) -> Real:
    """F_12."""
    log_ratio, _, larger = _compared(one, two, overlap)
    return larger * exp(minimum(log_ratio, 0.0))


def _compared(one: Reals, two: Reals, overlap: Reals) -> Reals:
    """(L, F_12 - F_1 F_2, the larger of F_12 and F_1 F_2), with one exp of a sum of exponents."""
    _, kappa, left, z_1, z_2, apart = overlap
    log_ratio, _, _ = _logs(overlap)
    # z_1^2 - 2 kappa z_1 z_2 + z_2^2 over 2 (1 - kappa^2), by positive terms
    same_sign = z_1 * z_2 > 0.0
    difference = where(same_sign, apart, z_1 + z_2)
    # not by |z_1 z_2|, which at 0 has the slope of the other side
    product = z_1 * z_2 * where(same_sign, 1.0 / (1.0 + kappa), -(1.0 + kappa) / left)
    above = log_ratio >= 0.0
    exponent = where(above, 0.5 * difference * difference / left + product, 0.5 * (z_1 * z_1 + z_2 * z_2))
    product, share = one[5] * two[5], where(above, left, 1.0)
    # the product of two small weights underflows
    root_weights = where(product > LEAST, sqrt(product / share), sqrt(one[5] / share) * sqrt(two[5]))
    larger = root_weights * exp(-exponent)
    return log_ratio, where(above, -larger, larger) * expm1(-absolute(log_ratio)), larger


def _logs(overlap: Reals) -> Reals:
    """(L, L - kappa z_1 z_2, kappa z_1 z_2)."""
    _, kappa, left, z_1, z_2, apart = overlap
    square = kappa * kappa
    weak = square < 0.5
    widened = -0.5 * where(weak, log1p(-where(weak, square, 0.0)), log(where(weak, 1.0, left)))
    widened = widened - 0.5 * square * (apart * apart / left)
    linear = kappa * (z_1 * z_2)
    return widened + linear / (1.0 + kappa), widened - kappa * linear / (1.0 + kappa), linear


def overlap_of(one: Reals, two: Reals, link: Reals) -> Reals:
    """(sign, kappa, 1 - kappa^2, z_1, z_2, z_1 - z_2) with kappa >= 0 and z_1 times the sign of the correlation."""
    sign, cov, free = link
    _, _, _, _, _, w_1, root_1, z_1 = one
    _, _, _, _, _, w_2, root_2, z_2 = two
    u_1, u_2 = filled(one), filled(two)
    left = w_1 * w_2 + (w_1 * u_2 + u_1 * w_2) + u_1 * u_2 * free
    return sign, absolute(cov) * (root_1 * root_2), left, sign * z_1, z_2, gap(one, two, sign * z_1, z_2)


def gap(one: Reals, two: Reals, z_1: Real, z_2: Real) -> Real:
    """z_1 - z_2, unless `common_gap` is bound in its place."""
    return z_1 - z_2


def means(one: Reals, two: Reals, link: Reals, overlap: Reals) -> Reals:
    """Means m_1, m_2 of X - center under the joint density times both bumps, unless `common_means` is bound.

    y_1 = tau_1 m_1 = -d log F_12 / d mu_1 = sqrt(p_1) (z_1 - kappa z_2) / (1 - kappa^2). Under the density times
    the first bump alone the mean of X_1 - center_1 is w_1 (mu_1 - center_1).
    """
    sign, kappa, left, z_1, z_2, apart = overlap
    _, _, _, _, _, w_1, root_1, _ = one
    _, _, _, _, _, w_2, root_2, _ = two
    rest = left / (1.0 + kappa)  # 1 - kappa
    weak = kappa < 0.5
    safe_1, safe_2 = where(weak, 1.0, root_1), where(weak, 1.0, root_2)
    first = where(weak, distance(one) - link[1] * root_2 * z_2, sign * (apart + rest * z_2) / safe_1)
    second = where(weak, distance(two) - link[1] * root_1 * (sign * z_1), (rest * z_1 - apart) / safe_2)
    return w_1 * first / left, w_2 * second / left


def distance(bump: Reals) -> Real:
    return bump[0] - bump[3]
