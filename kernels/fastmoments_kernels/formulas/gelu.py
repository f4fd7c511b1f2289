"""gelu(x) = x Phi(x) = E[max(Y, 0) - delta(Y)], Y = x + N: a relu minus a density, averaged over noise.

The noise N is standard normal and independent for each neuron. With S^2 = 1 + var, g = mu / S and A, Phi, phi as in
relu.py:

mean = S A(g) - phi(g) / S, gain = Phi(g) + g phi(g) / S^2,
cov = Cov(relu, relu) - Cov(relu, delta) - Cov(delta, relu) + Cov(delta, delta) at (Y_1, Y_2), whose correlation
r = cov_12 / (S_1 S_2) stays below 1                                                    (Kuang & Lin 2026).

Only the first of the four has an integral. They serve near |r| = 1; elsewhere their sum is often nearly a product,
and they would cancel where the product vanishes. There the product is split off, by Price's theorem with f = gelu:

weak:   cov = cov_12 gain_1 gain_2 + int_0^cov_12 (cov_12 - c) E_c[f''(X_1) f''(X_2)] dc;
apart:  if correlation and means are negative, cov = -mean_1 mean_2 + that integral from correlation -1 of the Y,
        where E f f is 0; otherwise f(x) = x + f(-x) is inserted for one or both neurons first.
"""

from fastmoments_kernels.formulas.bivariate import density
from fastmoments_kernels.formulas.correlation import conditional
from fastmoments_kernels.formulas.gelu_integrals import (
    cov_10_integral,
    cov_20_integral,
    cov_integral,
    is_apart,
    product_11_integral,
)
from fastmoments_kernels.formulas.noisy import correlate, root, standardise
from fastmoments_kernels.formulas.normal import cdf, cdf_difference, mills_0, mills_1
from fastmoments_kernels.formulas.orthant import orthant
from fastmoments_kernels.formulas.ramp import step_ramp_cov
from fastmoments_kernels.formulas.relu import conditional_ramp_shift, ramp_cov
from fastmoments_kernels.vocabulary import Real, Reals, absolute, either, expm1, log, log1p, where

# Above this |r| the integrals' 24 nodes do not resolve polynomials of 1 / (1 - r^2) everywhere.
WEAK = 0.9
# The logarithm by which phi_2 falls up to r: above it the integral from 0 cancels, below it that from -1. E f' f'
# falls with phi_2, while the product of gains stays. Measured on both sides at zeros of the products.
FALL, PRODUCT_FALL = 1.5, 0.6
# Below this g_2 the 24 nodes lose cov_20's polynomial of degree 6, and the sum is its last term.
DEEP = -18.0


def function(x: Real) -> Real:
    """x Phi(x)."""
    return x * cdf(x)


def lipschitz() -> Real:
    """sup |f'| = Phi(sqrt 2) + sqrt 2 phi(sqrt 2), at sqrt 2."""
    return 1.1289041451851548


def neuron(mu: Real, var: Real, parameters: Reals) -> Reals:
    """(mu, var, S, g, Phi(g), phi(g), var / S^2, 1 / S^2)."""
    return standardise(mu, var, 1.0)


def mean(neuron: Reals) -> Real:
    """E gelu(X) by three forms: each has the zero near g^2 = S^2 and cancels nowhere else where it is taken."""
    mu, var, sd, g, cdf_g, pdf_g, _, _ = neuron
    x = absolute(g)
    wide = sd * mills_1(x) - 1.0 / sd
    narrow = var / sd - absolute(mu) * mills_0(x)
    below = pdf_g * where(var < 1.0, narrow, wide)
    return where(mu < 0.0, below, mu * cdf_g + pdf_g * (var / sd))


def gain(neuron: Reals) -> Real:
    """E gelu'(X) = Phi(g) + g phi(g) / S^2."""
    _, _, _, g, cdf_g, pdf_g, _, u = neuron
    return cdf_g + g * pdf_g * u


def curvature(neuron: Reals) -> Real:
    """E gelu''(X) = phi(g) (S^2 + 1 - g^2) / S^3."""
    _, var, sd, g, _, pdf_g, _, u = neuron
    return pdf_g / sd * ((2.0 + var - g * g) * u)


def curvature_slope(neuron: Reals) -> Real:
    """E gelu'''(X) = -g phi(g) (S^2 + 3 - g^2) / S^4."""
    _, var, _, g, _, pdf_g, _, u = neuron
    return -g * pdf_g * u * ((4.0 + var - g * g) * u)


def mean_dvar(neuron: Reals) -> Real:
    """d mean / d var = E gelu''(X) / 2."""
    return 0.5 * curvature(neuron)


def var(neuron: Reals) -> Real:
    """Var gelu(X): the covariance with a duplicate, which has noise of its own."""
    return cov(neuron, neuron, neuron[1], 0.0)


def var_partials(neuron: Reals) -> Reals:
    """(dVar/dmu, dVar/dvar) = (2 Cov(f', f), Cov(f'', f) + E f'^2)."""
    var = neuron[1]
    by_mu = 2.0 * cov_10(neuron, neuron, var, 0.0)
    return by_mu, cov_20(neuron, neuron, var, 0.0) + product_11(neuron, neuron, var, 0.0)


def series(neuron: Reals) -> Reals:
    """a_n = sd^n E phi^(n)(X) / sqrt(n!) for n = 0, 1, 2, with E phi^(n)(X) = (-1)^n He_n(g) phi(g) / S^(n+1)."""
    _, _, sd, g, _, pdf_g, v, _ = neuron
    first = pdf_g / sd
    return first, -root(v) * g * first, v * (g * g - 1.0) * first * 0.7071067811865476


def series_step(order: Reals, neuron: Reals, last: Real, before: Real) -> Real:
    """a_n from a_{n-1} and a_{n-2}: He_n(g) = g He_{n-1} - (n-1) He_{n-2} with 1/sqrt(n!) inside."""
    _, _, _, g, _, _, v, _ = neuron
    n, per_root, per_root_before = order
    return -(root(v) * g * per_root) * last - v * ((n - 1.0) * per_root_before * per_root) * before


def coefficient(order: Reals, neuron: Reals, this: Real, last: Real, before: Real) -> Real:
    """b_n = sd^2 a_{n-2} / sqrt(n (n-1)) - a_n, as gelu'' = phi - phi''; b_1 = sd gain = sd Phi(g) - a_1."""
    _, var, _, _, cdf_g, _, _, _ = neuron
    n, per_root, per_root_before = order
    ramp = var * (per_root * per_root_before) * before
    return where(n < 2.0, root(var) * cdf_g, ramp) - this


def cov(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """Cov(gelu(X_1), gelu(X_2))."""
    pair = correlate(neuron_1, neuron_2, cov_12, slack)
    return either(_is_product(pair, FALL), _cov_product, _cov_sum, (neuron_1, neuron_2, pair))


def cov_10(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """Cov(gelu'(X_1), gelu(X_2)) = d cov / d mu_1."""
    pair = correlate(neuron_1, neuron_2, cov_12, slack)
    return either(_is_product(pair, FALL), _cov_10_product, _cov_10_sum, (neuron_1, neuron_2, pair))


def cov_20(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """Cov(gelu''(X_1), gelu(X_2)) = 2 d cov / d var_1."""
    pair = correlate(neuron_1, neuron_2, cov_12, slack)
    is_product = _is_product(pair, FALL) & (neuron_2[3] > DEEP)
    return either(is_product, _cov_20_product, _cov_20_sum, (neuron_1, neuron_2, pair))


def product_11(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """E[gelu'(X_1) gelu'(X_2)] = d cov / d cov_12."""
    pair = correlate(neuron_1, neuron_2, cov_12, slack)
    return either(_is_product(pair, PRODUCT_FALL), _product_11_product, _product_11_sum, (neuron_1, neuron_2, pair))


def _is_product(pair: Reals, limit: Real) -> Real:
    return (pair[3] < WEAK) | is_apart(pair, limit)


def _cov_product(neuron_1: Reals, neuron_2: Reals, pair: Reals) -> Real:
    cov_12 = pair[0] * pair[3] * (neuron_1[2] * neuron_2[2])
    one, two = _apart(neuron_1, neuron_2, pair)
    apart = cov_12 * _gain_apart(neuron_1, neuron_2, pair) - one[2] * two[2]
    product = where(is_apart(pair, FALL), apart, cov_12 * (gain(neuron_1) * gain(neuron_2)))
    return product + neuron_1[2] * neuron_2[2] * cov_integral(neuron_1[7], neuron_2[7], pair, FALL)


def _cov_10_product(neuron_1: Reals, neuron_2: Reals, pair: Reals) -> Real:
    cov_12 = pair[0] * pair[3] * (neuron_1[2] * neuron_2[2])
    one, two = _apart(neuron_1, neuron_2, pair)
    line_2, _, mean_2 = two
    by_line = cov_12 * curvature(neuron_1)
    product = where(is_apart(pair, FALL), line_2 * by_line - one[1] * mean_2, by_line * gain(neuron_2))
    return product + pair[0] * neuron_2[2] * cov_10_integral(neuron_1[7], neuron_2[7], pair, FALL)


def _cov_20_product(neuron_1: Reals, neuron_2: Reals, pair: Reals) -> Real:
    cov_12 = pair[0] * pair[3] * (neuron_1[2] * neuron_2[2])
    _, two = _apart(neuron_1, neuron_2, pair)
    line_2, _, mean_2 = two
    by_line = cov_12 * curvature_slope(neuron_1)
    product = where(is_apart(pair, FALL), line_2 * by_line - curvature(neuron_1) * mean_2, by_line * gain(neuron_2))
    return product + neuron_2[2] / neuron_1[2] * cov_20_integral(neuron_1[7], neuron_2[7], pair, FALL)


def _product_11_product(neuron_1: Reals, neuron_2: Reals, pair: Reals) -> Real:
    weak = gain(neuron_1) * gain(neuron_2)
    product = where(is_apart(pair, PRODUCT_FALL), _gain_apart(neuron_1, neuron_2, pair), weak)
    return product + pair[0] * product_11_integral(neuron_1[7], neuron_2[7], pair, PRODUCT_FALL)


def _apart(neuron_1: Reals, neuron_2: Reals, pair: Reals) -> Reals:
    """(line, E f~', E f~) of each neuron, with f(x) = line x + f~(x).

    f~(x) is f(x), line = 0, or f(-x), line = 1, such that the two f~ are active in opposite tails.
    """
    sign, g_1, g_2 = pair[0], neuron_1[3], neuron_2[3]
    return _mirrored(neuron_1, g_1 > sign * g_2), _mirrored(neuron_2, g_2 > sign * g_1)


def _mirrored(neuron: Reals, mirror: Real) -> Reals:
    mu, var, sd, g, cdf_g, pdf_g, v, u = neuron
    sign = where(mirror, -1.0, 1.0)
    image = (sign * mu, var, sd, sign * g, where(mirror, cdf(-g), cdf_g), pdf_g, v, u)
    return where(mirror, 1.0, 0.0), sign * gain(image), mean(image)


def _gain_apart(neuron_1: Reals, neuron_2: Reals, pair: Reals) -> Real:
    """E f_1' f_2' - E f~_1' f~_2'.

    Where both are mirrored it is 1 + E f~_1' + E f~_2' = E f_1' + E f~_2' = E f_2' + E f~_1', and the form that
    cancels least is taken.
    """
    # Triton unpacks one level at a time
    one, two = _apart(neuron_1, neuron_2, pair)
    line_1, slope_1, _ = one
    line_2, slope_2, _ = two
    first = line_2 * gain(neuron_1) + line_1 * slope_2
    second = line_1 * gain(neuron_2) + line_2 * slope_1
    return where(neuron_1[3] < neuron_2[3], first, second)


def _cov_sum(neuron_1: Reals, neuron_2: Reals, pair: Reals) -> Real:
    sign, h, k, rho, eta, rest = pair
    sd_1, sd_2, pdf_1, pdf_2 = neuron_1[2], neuron_2[2], neuron_1[5], neuron_2[5]
    bells_1, bells_2 = (pdf_1, cdf(-absolute(h))), (pdf_2, cdf(-absolute(k)))
    # first: its integral needs most registers on GPUs
    ramps = sd_1 * sd_2 * ramp_cov(pair, bells_1, bells_2)
    delta_ramp = pdf_1 * (sd_2 / sd_1) * conditional_ramp_shift(pair, 0.0)
    ramp_delta = pdf_2 * (sd_1 / sd_2) * conditional_ramp_shift((sign, sign * k, sign * h, rho, eta, rest), 0.0)
    deltas = density_excess(h, k, pdf_1 * pdf_2, eta, rest) / (sd_1 * sd_2)
    return ramps - (delta_ramp + ramp_delta) + deltas


def _cov_10_sum(neuron_1: Reals, neuron_2: Reals, pair: Reals) -> Real:
    """gelu' = E[1(Y > 0) - delta'(Y)]."""
    sign, h, k, rho, eta, rest = pair
    sd_1, sd_2 = neuron_1[2], neuron_2[2]
    kappa_1, shift = conditional(k, h, eta, rest)
    step_delta = sign * neuron_2[5] / sd_2 * cdf_difference(kappa_1, h, shift)
    excess, slope, _ = _given_zero(neuron_1, neuron_2, pair)
    return sd_2 * sign * step_ramp_cov(h, k, rho, eta, rest) - step_delta + (neuron_1[3] * excess + slope) / sd_1


def _cov_20_sum(neuron_1: Reals, neuron_2: Reals, pair: Reals) -> Real:
    """gelu'' = E[delta(Y) - delta''(Y)]."""
    _, var, _, g, _, _, _, u = neuron_1
    excess, slope, curve = _given_zero(neuron_1, neuron_2, pair)
    return (excess * (2.0 + var - g * g) - (2.0 * g * slope + curve)) * u


def _product_11_sum(neuron_1: Reals, neuron_2: Reals, pair: Reals) -> Real:
    sign, h, k, rho, eta, rest = pair
    u_1, u_2 = neuron_1[7], neuron_2[7]
    t = 2.0 * eta / (1.0 + eta * eta)
    kappa_1, _ = conditional(k, h, eta, rest)
    kappa_2, _ = conditional(h, k, eta, rest)
    joint = sign * density(h, k, eta)
    delta_step = (neuron_1[3] * neuron_1[5] * cdf(kappa_2) + rho * joint) * u_1
    step_delta = (neuron_2[3] * neuron_2[5] * cdf(sign * kappa_1) + rho * joint) * u_2
    deltas = joint * (kappa_1 * kappa_2 + rho) * ((u_1 / t) * (u_2 / t))
    return orthant(pair) + (delta_step + step_delta) + deltas


def _given_zero(neuron_1: Reals, neuron_2: Reals, pair: Reals) -> Reals:
    """The density phi(g) / S_1 of Y_1 = 0 times three changes or means of X_2 given Y_1 = 0.

    They are E[f(X_2) | Y_1 = 0] - E f(X_2), r S_2 E[f'(X_2) | Y_1 = 0] and (r S_2)^2 E[f''(X_2) | Y_1 = 0]; the
    last two are the first one's derivatives by -g, the density held.
    """
    sign, h, k, rho, eta, rest = pair
    sd_1, sd_2, pdf_1 = neuron_1[2], neuron_2[2], neuron_1[5]
    kappa, _ = conditional(h, k, eta, rest)
    t = 2.0 * eta / (1.0 + eta * eta)
    square = (t * sd_2) * (t * sd_2)  # 1 + Var(X_2 | Y_1 = 0)
    deltas = density_excess(h, k, pdf_1 * neuron_2[5], eta, rest) / (sd_1 * sd_2)
    excess = pdf_1 * (sd_2 / sd_1) * conditional_ramp_shift(pair, 0.0) - deltas
    move = sign * rho * sd_2
    joint = density(h, k, eta) / sd_1
    slope = pdf_1 / sd_1 * cdf(kappa) + joint * t * kappa / square
    curve = joint / sd_2 * (((1.0 + square) - kappa * kappa) / square)
    return excess, move * slope, move * move * curve


def density_excess(h: Real, k: Real, independent: Real, eta: Real, rest: Real) -> Real:
    """phi_2(h, k; rho) - independent, independent = phi(h) phi(k), by expm1 of the logarithm of their quotient,

    (1 - eta^2) / 2 (h k - a^2 (1 / eta^2 - 1)) - log(1 - rho^2) / 2 with a = (h - k) / 2.
    """
    square = eta * eta
    gap = rest * (1.0 + eta)  # 1 - eta^2
    a = 0.5 * (h - k) / eta
    weak = eta > 0.5
    t = 2.0 * eta / (1.0 + square)
    # log t, also where t is so small that 1 - t rounds to 1
    log_t = where(weak, log1p(-where(weak, rest * rest / (1.0 + square), 0.0)), log(where(weak, 1.0, t)))
    logarithm = 0.5 * gap * (h * k - a * a * gap) - log_t
    above = logarithm > 0.0
    more = -density(h, k, eta) * expm1(-where(above, logarithm, 0.0))
    return where(above, more, independent * expm1(where(above, 0.0, logarithm)))
