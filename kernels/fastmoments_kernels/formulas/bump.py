"""A Gaussian bump s(x) = exp(-tau (x - center)^2 / 2), of which gaussian, npn, npn_linear and mixtures are made.

With w = 1 / (1 + tau var), p = tau w, z = sqrt(p) (mu - center):  F = E s(X) = sqrt(w) exp(-z^2/2).
For tau < 0, where s grows and has moments at small variances only, all features are nan.
"""

from fastmoments_kernels.formulas.correlation import judged, root
from fastmoments_kernels.vocabulary import Real, Reals, exp, expm1, maximum, minimum, sqrt, where

# Replaces p = 0, so that sqrt(p) has a derivative at tau = 0; functions of it are 1 or 0 there. It is 0 in float32.
FLAT = 2.0**-1022
FAR = 64.0  # exp(-z^2 / 4) is 0 beyond in every dtype, and z^2 stays finite
WIDE, FAINT = 2.0**60, 2.0**-60  # above this tau var it equals 1 + tau var; below this w, w may underflow


def log_bump(x: Real, tau: Real, center: Real) -> Real:
    """log s(x)."""
    return -0.5 * tau * (x - center) * (x - center)


def steepest(tau: Real) -> Real:
    """sup |s'| = sqrt(tau / e), one standard deviation from the center."""
    return 0.6065306597126334 * sqrt(tau)


def level(offset: Real, amplitude: Real, scaled: Real, shortfall: Real) -> Real:
    """offset + scaled, where scaled = amplitude height and shortfall = 1 - height.

    Its relative error is small where offset = -amplitude too.
    """
    return where(shortfall < 0.5, (offset + amplitude) - amplitude * shortfall, offset + scaled)


def bump(mu: Real, var: Real, tau: Real, center: Real) -> Reals:
    """Features of a neuron's bump: (mu, var, sd, center, tau, w, sqrt(p), z)."""
    var, tau = judged(var), judged(tau)
    load = tau * var
    w, wide = 1.0 / (1.0 + load), load > WIDE
    p = where(wide, 1.0 / where(wide, var, 1.0), tau * w)
    root_p = root(p + _flat(p))
    z = root_p * (mu - center)
    return mu, var, root(var), center, tau, w, root_p, maximum(minimum(z, FAR), -FAR)


def _flat(p: Real) -> Real:
    return where(p == 0.0, FLAT, 0.0 * p)


def precision(bump: Reals) -> Real:
    """p without the rounding of the features' sqrt(p), also where w underflows."""
    _, _, _, _, tau, w, root_p, _ = bump
    return where(w < FAINT, root_p * root_p, tau * w)


def root_weight(bump: Reals) -> Real:
    """sqrt(w), also where w underflows."""
    _, _, _, _, tau, w, root_p, _ = bump
    faint = w < FAINT
    return where(faint, root_p / sqrt(where(faint, tau, 1.0)), sqrt(where(faint, 1.0, w)))


def square(bump: Reals) -> Real:
    """z^2 without the rounding of sqrt(p)."""
    mu, _, _, center, _, _, _, _ = bump
    return minimum(precision(bump) * (mu - center) * (mu - center), FAR * FAR)


def height(bump: Reals) -> Real:
    """F = E s(X)."""
    return scaled_height(bump, 1.0)


def reach(bump: Reals) -> Real:
    """p (1 + z^2): kappa and kappa z_1 z_2 of two bumps are at most cov_12 times the root of two of these."""
    z = bump[7]
    return precision(bump) * (1.0 + z * z)


def halves(square: Real) -> Reals:
    """Two factors of exp(-square / 2): neither underflows where a large amplitude makes the product a number."""
    far = square > 100.0
    first = exp(-where(far, 0.25, 0.5) * square)
    return first, where(far, first, 1.0)


def scaled_height(bump: Reals, amplitude: Real) -> Real:
    """amplitude F, also where F alone underflows."""
    first, second = halves(square(bump))
    return amplitude * (root_weight(bump) * first) * second


def shortfall(bump: Reals) -> Real:
    """1 - F, as a sum of terms >= 0."""
    root_w = root_weight(bump)
    return filled(bump) / (1.0 + root_w) - root_w * expm1(-0.5 * square(bump))


def filled(bump: Reals) -> Real:
    """1 - w = tau var w, without the subtraction."""
    _, var, _, _, tau, w, _, _ = bump
    return where(w < FAINT, 1.0 + 0.0 * w, tau * w * var)


def scaled_variance(bump: Reals, amplitude: Real) -> Real:
    """amplitude^2 Var s(X), Var s(X) = E s^2 (1 - F^2 / E s^2), where s^2 is a bump too and 1 - w = f.

    E s^2 = sqrt(w / (1 + f)) exp(-z^2 / (1 + f)), F^2 / E s^2 = sqrt(w (1 + f)) exp(-z^2 f / (1 + f)) and
    1 - w (1 + f) = f^2: the second factor is a sum of terms >= 0.
    """
    f = filled(bump)
    narrowed = 1.0 / (1.0 + f)
    ratio, exponent = root_weight(bump) * sqrt(1.0 + f), square(bump) * narrowed
    first, second = halves(2.0 * exponent)
    return (
        (amplitude * (ratio * narrowed * first))
        * (amplitude * second)
        * (f * f / (1.0 + ratio) - ratio * expm1(-f * exponent))
    )


def slope(bump: Reals) -> Real:
    """E s'(X) = d F / d mu."""
    return scaled_slope(bump, 1.0)


def scaled_slope(bump: Reals, amplitude: Real) -> Real:
    """amplitude E s'(X), also where E s'(X) alone underflows."""
    mu, _, _, center, _, _, root_p, z = bump
    # by z, so that in covariances of sums the same rounding cancels; 0 at tau = 0
    first, second = halves(z * z)
    flat = _flat(precision(bump))
    return -(root_p * z - flat * (mu - center)) * (amplitude * (root_weight(bump) * first) * second)


def bend(bump: Reals) -> Real:
    """E s''(X) = 2 d F / d var."""
    return scaled_bend(bump, 1.0)


def scaled_bend(bump: Reals, amplitude: Real) -> Real:
    """amplitude E s''(X), also where E s''(X) alone underflows."""
    z = bump[7]
    return precision(bump) * (z - 1.0) * (z + 1.0) * scaled_height(bump, amplitude)


def twist(bump: Reals) -> Real:
    """E s'''(X)."""
    _, _, _, _, _, _, root_p, z = bump
    return precision(bump) * root_p * z * (3.0 - z * z) * height(bump)


def height_dtau(bump: Reals) -> Real:
    """d F / d tau = -E[(X - center)^2 s(X)] / 2."""
    mu, var, _, center, _, w, _, _ = bump
    shift = w * (mu - center)
    return -0.5 * (shift * (shift * height(bump)) + w * var * height(bump))


def height_dcenter(bump: Reals) -> Real:
    """d F / d center."""
    return -slope(bump)


def slope_dtau(bump: Reals) -> Real:
    """d E s'(X) / d tau."""
    mu, _, _, center, tau, w, _, _ = bump
    return -w * (mu - center) * (w * height(bump) + tau * height_dtau(bump))


def series(bump: Reals) -> Reals:
    """(b_0, b_1, b_2) of b_n = E[s(mu + sd Z) He_n(Z)] / sqrt(n!) = (-sqrt(p) sd)^n He_n(z) F / sqrt(n!)."""
    _, _, sd, _, _, _, root_p, z = bump
    ratio = -root_p * sd
    b_1 = ratio * z * height(bump)
    return height(bump), b_1, 0.7071067811865476 * ratio * ratio * (z - 1.0) * (z + 1.0) * height(bump)


def series_step(order: Reals, bump: Reals, last: Real, before: Real) -> Real:
    """b_n from b_{n-1} and b_{n-2}, n >= 2: He_n(z) = z He_{n-1} - (n-1) He_{n-2}."""
    _, _, sd, _, _, _, root_p, z = bump
    ratio = root_p * sd
    n, per_root, per_root_before = order
    return -(ratio * z * per_root) * last - ratio * ratio * ((n - 1.0) * per_root_before * per_root) * before
