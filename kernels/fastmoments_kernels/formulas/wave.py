"""sin(omega x + phase) and cos(omega x + phase): their shared functions, in terms of f and f' at the mean.

With t = omega mu + phase, V = omega^2 var and C = omega_1 omega_2 cov_12, f and f' short for f(t) and f'(t):

mean = e^{-V/2} f, gain = omega e^{-V/2} f',
cov = e^{-(V_1 + V_2)/2} ((cosh C - 1) f_1 f_2 + sinh C f'_1 f'_2)                      (Kuang & Lin 2026).

Pairs are written with q = 1 - e^{-|C|} and D = V_1 + V_2 - 2 |C| >= 0, so that nothing overflows and a weak
correlation keeps its digits: cov = e^{-D/2} q (q f_1 f_2 +- (2 - q) f'_1 f'_2) / 2, with the sign of C. A falling
exponential is applied as two equal factors, one before and one after a large factor: neither underflows if the
result does not.
"""

from fastmoments_kernels.formulas.correlation import clip, judged, root
from fastmoments_kernels.vocabulary import (
    Real,
    Reals,
    difference_of_products,
    exp,
    expm1,
    maximum,
    where,
)


def angle(mu: Real, parameters: Reals) -> Real:
    """t = omega mu + phase, rounded once."""
    omega, phase = parameters
    return difference_of_products(omega, mu, phase, -1.0)


def features(mu: Real, var: Real, omega: Real, f: Real, slope: Real) -> Reals:
    """(mu, var, sd, omega, V, f(t), f'(t), e^{-V/4}), f' the derivative along t."""
    var = judged(var)
    power = omega * omega * var
    return mu, var, root(var), omega, power, f, slope, exp(-0.25 * power)


def mean(neuron: Reals) -> Real:
    """E f(X) = e^{-V/2} f."""
    _, _, _, _, _, f, _, fall = neuron
    return fall * (fall * f)


def gain(neuron: Reals) -> Real:
    """E f'(X) = omega e^{-V/2} f'."""
    _, _, _, omega, _, _, slope, fall = neuron
    return fall * (omega * fall * slope)


def mean_dvar(neuron: Reals) -> Real:
    """d mean / d var = -omega^2 e^{-V/2} f / 2."""
    _, _, _, omega, _, f, _, fall = neuron
    return -0.5 * fall * (omega * omega * fall * f)


def mean_dparameters(neuron: Reals) -> Reals:
    """d mean along omega and phase: e^{-V/2} (mu f' - omega var f) and e^{-V/2} f'."""
    mu, var, _, omega, _, f, slope, fall = neuron
    return fall * difference_of_products(mu, fall * slope, omega * var, fall * f), fall * (fall * slope)


def var(neuron: Reals) -> Real:
    """Var f(X), the covariance of a neuron with itself."""
    _, _, _, _, power, f, slope, _ = neuron
    one = 1.0 + 0.0 * power
    return _shape((one, -expm1(-power), one), f * f, slope * slope)


def var_partials(neuron: Reals) -> Reals:
    """(dVar/dmu, dVar/dvar) by t and V."""
    fall, by_t, by_power = _var_slopes(neuron)
    omega = neuron[3]
    return fall * (omega * by_t), fall * (omega * omega * by_power)


def var_dparameters(neuron: Reals) -> Reals:
    """d var along omega and phase."""
    mu, var, _, omega, _, _, _, _ = neuron
    fall, by_t, by_power = _var_slopes(neuron)
    return fall * difference_of_products(mu, by_t, -2.0 * omega * var, by_power), fall * by_t


def _var_slopes(neuron: Reals) -> Reals:
    """(e, a, b) with e = e^{-V/2}, dVar/dt = e a = -2 e^2 q f f' and dVar/dV = e b = e^2 (q f^2 + e^2 f'^2)."""
    _, _, _, _, power, f, slope, _ = neuron
    q, fall = -expm1(-power), exp(-0.5 * power)
    return fall, -2.0 * fall * (q * f * slope), fall * (q * f * f + fall * fall * slope * slope)


def series(neuron: Reals) -> Reals:
    """(0, b_1, b_2) of the Hermite coefficients b_n = e^{-V/2} (omega sd)^n f^(n)(t) / sqrt(n!).

    Where e^{-V/2} underflows they are 0. As b_n^2 <= e^{-V} V^n / n!, the sum of rho^(2n) b_n^2 is at most
    e^{-V (1 - rho^2)}, and a pair's loss at most e^{-V (1 - rho^2)/2} sqrt(K_jj): 1e-58 at V = 1416 and rho = 0.9.
    """
    _, _, sd, omega, power, f, slope, fall = neuron
    decay = fall * fall
    return 0.0 * decay, decay * (omega * sd) * slope, -0.7071067811865476 * decay * power * f


def series_step(order: Reals, neuron: Reals, last: Real, before: Real) -> Real:
    """b_n from b_{n-2}, n >= 3: two derivatives of f turn its sign and bring omega^2 var."""
    _, _, _, _, power, _, _, _ = neuron
    _, per_root, per_root_before = order
    return -(power * (per_root * per_root_before)) * before


def cov(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """Cov(f(X_1), f(X_2))."""
    pair = _pair(neuron_1, neuron_2, clip(neuron_1, neuron_2, cov_12, slack))
    return _value(neuron_1, neuron_2, pair, 1.0)


def cov_10(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """Cov(f'(X_1), f(X_2)) = d cov / d mu_1: f_1 becomes omega_1 f'_1, and f'_1 becomes omega_1 f''_1."""
    pair = _pair(neuron_1, neuron_2, clip(neuron_1, neuron_2, cov_12, slack))
    shape = _shape(pair, neuron_1[6] * neuron_2[5], -(neuron_1[5] * neuron_2[6]))
    return pair[2] * (neuron_1[3] * pair[2] * shape)


def cov_20(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """Cov(f''(X_1), f(X_2)) = 2 d cov / d var_1 = -omega_1^2 cov."""
    pair = _pair(neuron_1, neuron_2, clip(neuron_1, neuron_2, cov_12, slack))
    return _value(neuron_1, neuron_2, pair, -neuron_1[3] * neuron_1[3])


def product_11(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Real:
    """E[f'(X_1) f'(X_2)] = omega_1 omega_2 e^{-(V_1 + V_2)/2} (sinh C f_1 f_2 + cosh C f'_1 f'_2)."""
    _, _, _, omega_1, _, f_1, slope_1, _ = neuron_1
    _, _, _, omega_2, _, f_2, slope_2, _ = neuron_2
    sign, q, fall = _pair(neuron_1, neuron_2, clip(neuron_1, neuron_2, cov_12, slack))
    twice = q * (2.0 - q)  # 1 - e^{-2 |C|}
    total = 0.5 * (sign * twice * (f_1 * f_2) + (2.0 - twice) * (slope_1 * slope_2))
    return fall * (omega_1 * omega_2 * fall * total)


def cov_dparameters(neuron_1: Reals, neuron_2: Reals, cov_12: Real, slack: Real) -> Reals:
    """d cov along omega_1 and phase_1: mu_1 dK/dt_1 - omega_1 var_1 K + omega_2 cov_12 dK/dC, and dK/dt_1.

    dK/dC is +-K + e^{-D/2 - |C|} (+-q f_1 f_2 + e^{-|C|} f'_1 f'_2). The factor of K cancels where V is large and
    is formed by one operation. All terms share one e^{-D/2}: the errors of several, D eps each, would not cancel.
    """
    mu, var_1, _, omega_1, _, f_1, slope_1, _ = neuron_1
    _, _, _, omega_2, _, f_2, slope_2, _ = neuron_2
    cov_12 = clip(neuron_1, neuron_2, cov_12, slack)
    pair = _pair(neuron_1, neuron_2, cov_12)
    sign, q, fall = pair
    even, odd = f_1 * f_2, slope_1 * slope_2
    stretch = difference_of_products(omega_2, sign * cov_12, omega_1, var_1)
    rest = (1.0 - q) * (sign * q * even + (1.0 - q) * odd)
    by_angle = _shape(pair, slope_1 * f_2, -(f_1 * slope_2))
    by_omega = mu * by_angle + (stretch * _shape(pair, even, odd) + omega_2 * cov_12 * rest)
    return fall * (fall * by_omega), fall * (fall * by_angle)


def _pair(neuron_1: Reals, neuron_2: Reals, cov_12: Real) -> Reals:
    """(sign of C, q = 1 - e^{-|C|}, e^{-D/4})."""
    _, var_1, _, omega_1, _, _, _, _ = neuron_1
    _, var_2, _, omega_2, _, _, _, _ = neuron_2
    shared = omega_1 * omega_2 * cov_12
    sign = where(shared < 0.0, -1.0, 1.0)
    aligned = sign * cov_12
    # differences before the products with omega are exact for duplicates and near them
    apart_1 = difference_of_products(omega_1, var_1, omega_2, aligned)
    apart_2 = difference_of_products(omega_2, var_2, omega_1, aligned)
    distance = maximum(omega_1 * apart_1 + omega_2 * apart_2, 0.0)
    return sign, -expm1(-sign * shared), exp(-0.25 * distance)


def _value(neuron_1: Reals, neuron_2: Reals, pair: Reals, weight: Real) -> Real:
    """weight cov."""
    shape = _shape(pair, neuron_1[5] * neuron_2[5], neuron_1[6] * neuron_2[6])
    return pair[2] * (weight * pair[2] * shape)


def _shape(pair: Reals, even: Real, odd: Real) -> Real:
    """e^{-|C|} ((cosh C - 1) even + sinh C odd): e^{D/2} cov for even = f_1 f_2 and odd = f'_1 f'_2."""
    sign, q, _ = pair
    return q * (0.5 * (q * even + sign * (2.0 - q) * odd))
