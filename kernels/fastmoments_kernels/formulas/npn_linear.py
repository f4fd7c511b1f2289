"""npn_linear(x) = alpha x + (1 - alpha) (r - q s(x)), s the bump of `gaussian`.

f = alpha x + a s + constant with a = -(1 - alpha) q: its gain is alpha + a E s'(X), and

cov = cov_12 gain_1 gain_2 + a_1 a_2 (Cov(s_1, s_2) - cov_12 E s_1' E s_2'),

which unlike the four terms of the product keeps its digits where f has an extremum and its gain is small. Where the
two in brackets are large and unequal, the four terms are added.
"""

from fastmoments_kernels.formulas.bump import (
    bend,
    bump,
    height,
    height_dcenter,
    height_dtau,
    level,
    log_bump,
    scaled_bend,
    scaled_height,
    scaled_slope,
    shortfall,
    slope,
    slope_dtau,
    steepest,
    twist,
)
from fastmoments_kernels.formulas.bump import series as bump_series
from fastmoments_kernels.formulas.bump import series_step as bump_series_step
from fastmoments_kernels.formulas.bump_pairs import parts, parts_10, parts_11, parts_20, parts_dtau
from fastmoments_kernels.formulas.common_bumps import remainder_dvar
from fastmoments_kernels.formulas.correlation import (
    link,
    self_link,
)
from fastmoments_kernels.vocabulary import Real, Reals, absolute, exp, expm1, where


def function(x: Real, alpha: Real, r: Real, q: Real, tau: Real, center: Real) -> Real:
    """alpha x + (1 - alpha) (r - q exp(-tau (x - center)^2 / 2))."""
    exponent = log_bump(x, tau, center)
    return alpha * x + (1.0 - alpha) * level(r, -q, -q * exp(exponent), -expm1(exponent))


def lipschitz(alpha: Real, r: Real, q: Real, tau: Real, center: Real) -> Real:
    """sup |f'|: the bump's slope has both signs."""
    return absolute(alpha) + absolute((1.0 - alpha) * q) * steepest(tau)


def neuron(mu: Real, var: Real, parameters: Reals) -> Reals:
    """The bump's features, then alpha, r, q and a."""
    alpha, r, q, tau, center = parameters
    return bump(mu, var, tau, center) + (alpha, r, q, -(1.0 - alpha) * q)


def mean(neuron: Reals) -> Real:
    """E f(X) = alpha mu + (1 - alpha) E npn(X)."""
    return neuron[8] * neuron[0] + (1.0 - neuron[8]) * _npn_mean(neuron)


def _npn_mean(neuron: Reals) -> Real:
    q = neuron[10]
    return level(neuron[9], -q, scaled_height(neuron[:8], -q), shortfall(neuron[:8]))


def gain(neuron: Reals) -> Real:
    """E f'(X) = alpha + a E s'(X)."""
    return neuron[8] + scaled_slope(neuron[:8], neuron[11])


def var(neuron: Reals) -> Real:
    """Var f(X)."""
    return _cov(neuron, neuron, self_link(neuron))


def mean_dvar(neuron: Reals) -> Real:
    """d mean / d var = E f''(X) / 2."""
    return scaled_bend(neuron[:8], 0.5 * neuron[11])


def var_partials(neuron: Reals) -> Reals:
    """(dVar/dmu, dVar/dvar) = (2 Cov(f', f), gain^2 + alpha a var E s''' + a^2 (dVar s/dvar - (E s')^2))."""
    joined, one, a = self_link(neuron), neuron[:8], neuron[11]
    curved = neuron[8] * neuron[1] * twist(one) + a * remainder_dvar(one, one, joined)
    return 2.0 * _cov_10(neuron, neuron, joined), gain(neuron) * gain(neuron) + a * curved


def mean_dparameters(neuron: Reals) -> Reals:
    """d mean along (alpha, r, q, tau, center)."""
    one, rest, a = neuron[:8], 1.0 - neuron[8], neuron[11]
    return neuron[0] - _npn_mean(neuron), rest, -rest * height(one), a * height_dtau(one), a * height_dcenter(one)


def var_dparameters(neuron: Reals) -> Reals:
    """d var along (alpha, r, q, tau, center)."""
    d_alpha, d_r, d_q, d_tau, d_center = _cov_dparameters(neuron, neuron, self_link(neuron))
    return 2.0 * d_alpha, d_r, 2.0 * d_q, 2.0 * d_tau, 2.0 * d_center


def series(neuron: Reals) -> Reals:
    """(a_0, a_1, a_2): a times the bump's coefficients."""
    b_0, b_1, b_2 = bump_series(neuron[:8])
    return neuron[11] * b_0, neuron[11] * b_1, neuron[11] * b_2


def series_step(order: Reals, neuron: Reals, last: Real, before: Real) -> Real:
    """a_n from a_{n-1} and a_{n-2}."""
    return bump_series_step(order, neuron[:8], last, before)


def coefficient(order: Reals, neuron: Reals, this: Real, last: Real, before: Real) -> Real:
    """b_n: the linear part has b_1 = alpha sd."""
    return this + where(order[0] == 1.0, neuron[8] * neuron[2], 0.0)


def cov(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """Cov(f(X_1), f(X_2))."""
    return _cov(neuron_1, neuron_2, link(neuron_1, neuron_2, cov_12, slack))


def cov_10(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """Cov(f'(X_1), f(X_2)) = d cov / d mu_1."""
    return _cov_10(neuron_1, neuron_2, link(neuron_1, neuron_2, cov_12, slack))


def cov_20(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """Cov(f''(X_1), f(X_2)) = 2 d cov / d var_1."""
    return _cov_20(neuron_1, neuron_2, link(neuron_1, neuron_2, cov_12, slack))


def product_11(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """E[f'(X_1) f'(X_2)] = d cov / d cov_12."""
    return _product_11(neuron_1, neuron_2, link(neuron_1, neuron_2, cov_12, slack))


def cov_dparameters(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Reals:
    """d cov along neuron 1's (alpha, r, q, tau, center)."""
    return _cov_dparameters(neuron_1, neuron_2, link(neuron_1, neuron_2, cov_12, slack))


def _cov(neuron_1: Reals, neuron_2: Reals, link: Reals) -> Real:
    small, rest, whole = parts(neuron_1[:8], neuron_2[:8], link)
    return _of_both(link[1], neuron_1, neuron_2, small, rest, whole)


def _of_both(scale: Real, neuron_1: Reals, neuron_2: Reals, small: Real, rest: Real, whole: Real) -> Real:
    """Cov(f(X_1), f(X_2)) from that of the bumps in parts, with scale = cov_12; or E f' f', with scale = 1."""
    alpha_1, alpha_2, amplitudes = neuron_1[8], neuron_2[8], neuron_1[11] * neuron_2[11]
    gain_1, gain_2 = neuron_1[11] * slope(neuron_1[:8]), neuron_2[11] * slope(neuron_2[:8])
    linear = alpha_1 * alpha_2 + (alpha_1 * gain_2 + gain_1 * alpha_2)
    together = scale * (gain(neuron_1) * gain(neuron_2)) + amplitudes * rest
    return where(small > 0.0, together, scale * linear + amplitudes * whole)


def _against(linear: Real, neuron_2: Reals, small: Real, rest: Real, whole: Real) -> Real:
    """Cov(g(X_1), f(X_2)) from Cov(g(X_1), s(X_2)) in parts; linear = cov_12 E g'(X_1)."""
    together = linear * gain(neuron_2) + neuron_2[11] * rest
    return where(small > 0.0, together, linear * neuron_2[8] + neuron_2[11] * whole)


def _cov_10(neuron_1: Reals, neuron_2: Reals, link: Reals) -> Real:
    small, rest, whole = parts_10(neuron_1[:8], neuron_2[:8], link)
    return neuron_1[11] * _against(link[1] * bend(neuron_1[:8]), neuron_2, small, rest, whole)


def _cov_20(neuron_1: Reals, neuron_2: Reals, link: Reals) -> Real:
    small, rest, whole = parts_20(neuron_1[:8], neuron_2[:8], link)
    return neuron_1[11] * _against(link[1] * twist(neuron_1[:8]), neuron_2, small, rest, whole)


def _product_11(neuron_1: Reals, neuron_2: Reals, link: Reals) -> Real:
    small, rest, whole = parts_11(neuron_1[:8], neuron_2[:8], link)
    return _of_both(1.0, neuron_1, neuron_2, small, rest, whole)


def _cov_dparameters(neuron_1: Reals, neuron_2: Reals, link: Reals) -> Reals:
    one, two = neuron_1[:8], neuron_2[:8]
    alpha_1, q_1, a_1, linear = neuron_1[8], neuron_1[10], neuron_1[11], link[1] * slope(one)
    small, rest, whole = parts(one, two, link)
    of_bump = _against(linear, neuron_2, small, rest, whole)
    small_tau, rest_tau, whole_tau = parts_dtau(one, two, link)
    d_tau = a_1 * _against(link[1] * slope_dtau(one), neuron_2, small_tau, rest_tau, whole_tau)
    together = (link[1] + q_1 * linear) * gain(neuron_2) + q_1 * neuron_2[11] * rest
    d_alpha = where(small > 0.0, together, link[1] * gain(neuron_2) + q_1 * of_bump)
    return d_alpha, 0.0 * of_bump, (alpha_1 - 1.0) * of_bump, d_tau, -_cov_10(neuron_1, neuron_2, link)
