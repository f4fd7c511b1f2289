"""Means and covariances with u(x) = (e^x - 1) step(o x), o = -1 or 1, by tilting: e^x moves a Gaussian's means.

E e^X_1 f(X_2) = exp(mu_1 + var_1 / 2) E f(X_2 + cov_12). Exponentials stay together with the normal distribution
functions beside them, in logarithms, so that nothing overflows. Around 0 the two parts of u cancel to its own size,
so that narrow inputs have u(x) = o int_0^1 e^(a x) relu(o x) da instead, in which nothing does.

Arrays have one shape; `_nodes` adds a dimension in front.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fastmoments.elementwise import cov, gain, mean
from fastmoments.frameworks.products import finite, root
from fastmoments.kink_pairs import kink_pair_cov
from fastmoments.normal import log_bivariate_normal_cdf
from fastmoments_kernels.catalogue import Heaviside, ReLU

Mean = Callable[[Any], Any]
NODES, WEIGHTS = (
    0.5 * (x + shift) for x, shift in zip(np.polynomial.legendre.leggauss(5), (1.0, 0.0), strict=True)
)
FINE = [0.5 * (x + shift) for x, shift in zip(np.polynomial.legendre.leggauss(8), (1.0, 0.0), strict=True)]
TERMS = 40  # of the continued fraction: 1e-17 at 5
# Standard deviations up to which nodes resolve e^(a x), to 1e-16 and 1e-8: beyond them u's parts cancel to sd^2
NARROW, NARROW_32 = 0.05, 0.5


class Pair(NamedTuple):
    """Moments of two inputs, and the library; the first of `u` pairs is that of u."""

    library: Any
    mu_1: Any
    mu_2: Any
    var_1: Any
    var_2: Any
    cov_12: Any

    @property
    def moments(self) -> tuple[Any, Any, Any, Any, Any]:
        """The arguments of functions of pairs."""
        return self[1:]

    @property
    def exchanged(self) -> Pair:
        """The pair with the second input first."""
        return Pair(self.library, self.mu_2, self.mu_1, self.var_2, self.var_1, self.cov_12)

    def turned(self, one: Any, two: Any) -> tuple[Any, Any, Any, Any, Any]:
        """The moments of one X_1 and two X_2, for signs."""
        return one * self.mu_1, two * self.mu_2, self.var_1, self.var_2, one * two * self.cov_12


def exp_mean(xp: Any, mu: Any, var: Any, where: Any) -> Any:
    """Compute E e^X, 0 in other places than `where`."""
    exponent = xp.where(where, mu + 0.5 * var, xp.zeros_like(mu))
    return xp.where(where, xp.exp(exponent), xp.zeros_like(mu))


def tilted_step(library: Any, mu: Any, var: Any, sign: Any) -> Any:
    """Compute E e^X step(sign X)."""
    xp = library.xp
    sd = _divisor(xp, root(xp, var))
    log_share = _log_cdf(xp, sign * (mu + var) / sd)
    at_mu = xp.where(sign * mu > 0.0, xp.zeros_like(mu), 0.0 * mu - math.inf)
    at_mu = xp.where(mu == 0.0, 0.0 * mu - math.log(2.0), at_mu)
    return xp.exp(mu + 0.5 * var + xp.where(var > 0.0, log_share, at_mu))


def u_mean(library: Any, mu: Any, var: Any, sign: Any) -> Any:
    """Compute E u(X) = expm1(mu + var / 2) P(sign (X + var) > 0) + the density's integral from 0 to that shift."""
    xp = library.xp
    is_near = (var <= 1.0) & (mu + 0.5 * var <= 30.0)
    near, narrow = xp.where(is_near, mu, xp.zeros_like(mu)), xp.where(is_near, var, xp.zeros_like(var))
    sd = root(xp, narrow)
    places = near / _divisor(xp, sd) + sd * _nodes(xp, mu, FINE[0])
    share = (_nodes(xp, mu, FINE[1]) * xp.exp(-0.5 * places * places)).sum(0) * sd / math.sqrt(2.0 * math.pi)
    close = xp.expm1(near + 0.5 * narrow) * mean(Heaviside, sign * (near + narrow), narrow) + sign * share
    return xp.where(is_near, close, tilted_step(library, mu, var, sign) - mean(Heaviside, sign * mu, var))


def shifted(xp: Any, value: Mean, slope: Mean, mu: Any, var: Any, shift: Any) -> Any:
    """Compute value(mu + shift) - value(mu), by the slope where the shift is a small part of the sd."""
    is_small = xp.abs(shift) <= 0.3 * root(xp, var)
    small = xp.where(is_small, shift, xp.zeros_like(shift))
    by_slope = small * (_nodes(xp, mu, WEIGHTS) * finite(xp, slope(mu + small * _nodes(xp, mu, NODES)))).sum(0)
    return xp.where(is_small, by_slope, value(mu + shift) - value(mu))


def u_step_cov(pair: Pair, sign: Any, other: Any) -> Any:
    """Compute Cov(u(X_1), step(other X_2))."""
    return _by_width(lambda pair, sign, other: _by_ramps(pair, sign, other, 1), _u_step_cov, pair, sign, other)


def _u_step_cov(pair: Pair, sign: Any, other: Any) -> Any:
    library, mu_1, mu_2, var_1, var_2, _ = pair
    share = mean(Heaviside, other * mu_2, var_2)
    tilted = _both(pair, sign, other, 1, 0) - tilted_step(library, mu_1, var_1, sign) * share
    return tilted - cov(Heaviside, *pair.turned(sign, other))


def u_ramp_cov(pair: Pair, sign: Any, other: Any) -> Any:
    """Compute Cov(u(X_1), relu(other X_2))."""
    return _by_width(lambda pair, sign, other: _by_ramps(pair, sign, other, 2), _u_ramp_cov, pair, sign, other)


def _u_ramp_cov(pair: Pair, sign: Any, other: Any) -> Any:
    """Compute it by Stein's lemma along X_2, for the exponential's part."""
    library, mu_1, mu_2, var_1, var_2, cov_12 = pair
    xp = library.xp
    ahead, across = other * mu_2, other * cov_12
    alone, share = tilted_step(library, mu_1, var_1, sign), mean(Heaviside, ahead, var_2)
    both = _both(pair, sign, other, 1, 0)
    given_0 = tilted_step(library, *_given(pair), sign)
    above = mean(Heaviside, *(x * y for x, y in zip((other, 1.0), _given(pair.exchanged), strict=True)))
    at_1, at_2 = _density(xp, mu_1, var_1), _density(xp, mu_2, var_2)
    tilted = (
        ahead * (both - alone * share) + var_2 * at_2 * (given_0 - alone) + across * (both + sign * at_1 * above)
    )
    return tilted - kink_pair_cov(library, 1, 2, pair.turned(sign, other))


def u_delta_cov(pair: Pair, sign: Any) -> Any:
    """Compute Cov(u(X_1), delta(X_2))."""
    given_0 = u_mean(pair.library, *_given(pair), sign)
    at_0 = _density(pair.library.xp, pair.mu_2, pair.var_2)
    return at_0 * (given_0 - u_mean(pair.library, pair.mu_1, pair.var_1, sign))


def u_cov(pair: Pair, sign: Any, other: Any) -> Any:
    """Compute Cov(u(X_1), u(X_2)), of different signs."""
    library, xp = pair.library, pair.library.xp
    # the narrower one first
    swap = pair.var_1 > pair.var_2
    moved = (xp.where(swap, b, a) for a, b in zip(pair.moments, pair.exchanged.moments, strict=True))
    signs = xp.where(swap, other, sign), xp.where(swap, sign, other)
    return _by_width(_of_two_by_ramps, _u_cov, Pair(library, *moved), *signs)


def _u_cov(pair: Pair, sign: Any, other: Any) -> Any:
    library = pair.library
    means = [
        (tilted_step(library, mu, var, o), mean(Heaviside, o * mu, var))
        for mu, var, o in ((pair.mu_1, pair.var_1, sign), (pair.mu_2, pair.var_2, other))
    ]
    terms = (
        (1.0 if a == b else -1.0) * (_both(pair, sign, other, a, b) - means[0][1 - a] * means[1][1 - b])
        for a, b in ((1, 1), (1, 0), (0, 1))
    )
    return sum(terms, cov(Heaviside, *pair.turned(sign, other)))


def _by_width(narrow: Callable[..., Any], wide: Callable[..., Any], pair: Pair, sign: Any, other: Any) -> Any:
    """Return narrow(pair, sign, other) for a narrow X_1, else wide(...); on NumPy's arrays each where needed."""
    xp, is_narrow = pair.library.xp, _is_narrow(pair)
    if xp is not np:
        return xp.where(is_narrow, narrow(pair, sign, other), wide(pair, sign, other))
    found = np.empty_like(pair.mu_1)
    for function, where in ((narrow, is_narrow), (wide, ~is_narrow)):
        if where.any():
            some = Pair(pair.library, *(np.asarray(x)[where] for x in pair.moments))
            found[where] = function(some, np.asarray(sign)[where], np.asarray(other)[where])
    return found


def _both(pair: Pair, sign: Any, other: Any, a: int, b: int) -> Any:
    """Compute E e^(a X_1 + b X_2) step(sign X_1) step(other X_2)."""
    library, mu_1, mu_2, var_1, var_2, cov_12 = pair
    xp = library.xp
    sd_1, sd_2 = (_divisor(xp, root(xp, var)) for var in (var_1, var_2))
    rho = sign * other * _rho(pair)
    limits = sign * (mu_1 + a * var_1 + b * cov_12) / sd_1, other * (mu_2 + b * var_2 + a * cov_12) / sd_2
    exponent = a * (mu_1 + 0.5 * var_1) + b * (mu_2 + 0.5 * var_2) + a * b * cov_12
    return xp.exp(exponent + log_bivariate_normal_cdf(*limits, rho))


def _rho(pair: Pair) -> Any:
    """Return the correlation, -1 and 1 where it is within rounding: 1 - eps would be felt like sqrt(eps)."""
    _, _, _, var_1, var_2, cov_12 = pair
    xp = pair.library.xp
    is_one = _squared(pair) >= 1.0 - 4.0 * float(xp.finfo(cov_12.dtype).eps)
    rho = cov_12 / (_divisor(xp, root(xp, var_1)) * _divisor(xp, root(xp, var_2)))
    return xp.where(is_one, xp.sign(rho), rho)


def _squared(pair: Pair) -> Any:
    """Return rho^2."""
    xp, cov_12 = pair.library.xp, pair.cov_12
    return (cov_12 / _divisor(xp, pair.var_1)) * (cov_12 / _divisor(xp, pair.var_2))


def _by_ramps(pair: Pair, sign: Any, other: Any, order: int) -> Any:
    """Compute Cov(u(X_1), F(other X_2)) of a narrow X_1 by nodes; F is relu for order 2, step for 1."""
    pair, narrow, signs, others, heights, shifts = _nodes_of(pair, sign, other)
    of, xp = ReLU if order == 2 else Heaviside, pair.library.xp
    moved = Pair(pair.library, narrow.mu_1, pair.mu_2 + shifts, *narrow[3:])
    if order == 2:
        beside = cov(ReLU, *moved.turned(signs, others))
    else:
        beside = kink_pair_cov(pair.library, 1, 2, moved.exchanged.turned(others, signs))
    change = shifted_kink(xp, of, others, pair.mu_2, pair.var_2, shifts)
    return _summed(heights * (beside + mean(ReLU, signs * narrow.mu_1, narrow.var_1) * change), sign)


def shifted_kink(xp: Any, of: Any, sign: Any, mu: Any, var: Any, shift: Any) -> Any:
    """Compute E F(sign (X + shift)) - E F(sign X)."""
    return shifted(
        xp,
        lambda mu: mean(of, sign * mu, var),
        lambda mu: sign * gain(of, sign * mu, var + 0.0 * mu),
        mu,
        var,
        shift,
    )


def _of_two_by_ramps(pair: Pair, sign: Any, other: Any) -> Any:
    """Compute Cov(u(X_1), u(X_2)) of a narrow X_1 by nodes."""
    pair, narrow, signs, others, heights, shifts = _nodes_of(pair, sign, other)
    library = pair.library
    moved = Pair(library, narrow.mu_1, pair.mu_2 + shifts, *narrow[3:])
    beside = u_ramp_cov(moved.exchanged, others, signs)
    change = u_mean(library, pair.mu_2 + shifts, pair.var_2, others) - u_mean(
        library, pair.mu_2, pair.var_2, others
    )
    return _summed(heights * (beside + mean(ReLU, signs * narrow.mu_1, narrow.var_1) * change), sign)


def _nodes_of(pair: Pair, sign: Any, other: Any) -> tuple[Pair, Pair, Any, Any, Any, Any]:
    """Return arrays with nodes a in front: the pair, and X_1 tilted by e^(a X_1), heights and shifts of X_2."""
    xp, where = pair.library.xp, _is_narrow(pair)
    a, w = _nodes(xp, pair.mu_1, NODES), _nodes(xp, pair.mu_1, WEIGHTS)
    sign, other, where, *moments = (xp.broadcast_to(x, a.shape) for x in (sign, other, where, *pair.moments))
    pair = Pair(pair.library, *moments)
    exponent = a * pair.mu_1 + 0.5 * a * a * pair.var_1
    # elsewhere they might overflow
    heights = w * xp.exp(xp.where(where & (exponent < 30.0), exponent, xp.zeros_like(exponent)))
    narrow = Pair(pair.library, pair.mu_1 + a * pair.var_1, *pair.moments[1:])
    return pair, narrow, sign, other, heights, a * pair.cov_12


def _summed(values: Any, sign: Any) -> Any:
    return sign * values.sum(0)


def _nodes(xp: Any, like: Any, numbers: Any) -> Any:
    """Return numbers (K,) as an array (K, ...) with the array's dimensions behind."""
    return xp.stack([float(x) + 0.0 * like for x in numbers])


def _is_narrow(pair: Pair) -> Any:
    eps = float(pair.library.xp.finfo(pair.mu_1.dtype).eps)
    return pair.var_1 <= (NARROW if eps < 1e-10 else NARROW_32) ** 2


def _given(pair: Pair) -> tuple[Any, Any]:
    """Return mean and variance of X_1 given X_2 = 0.

    With |rho| near 1, those of X_2 given X_1 = 0 tell the same by the other sign. Both have one 1 - rho^2, and at
    |rho| = 1 one distance of the means in sds, 0 where it is rounding: else the two might contradict each other.
    """
    library, mu_1, mu_2, var_1, var_2, cov_12 = pair
    xp, eps = library.xp, float(library.xp.finfo(mu_1.dtype).eps)
    mu, squared = mu_1 - cov_12 / _divisor(xp, var_2) * mu_2, _squared(pair)
    is_one = squared >= 1.0 - 4.0 * eps
    h_1, h_2 = (library.detached(m / _divisor(xp, root(xp, var))) for m, var in ((mu_1, var_1), (mu_2, var_2)))
    gap = h_1 - xp.sign(library.detached(cov_12)) * h_2
    gap = xp.where(xp.abs(gap) <= 8.0 * eps * (xp.abs(h_1) + xp.abs(h_2)), xp.zeros_like(gap), gap)
    at_one = library.detached(root(xp, var_1)) * gap
    mu = xp.where(is_one, mu + (at_one - library.detached(mu)), mu)
    return mu, xp.where(is_one, xp.zeros_like(var_1), var_1 * (1.0 - squared))


def _density(xp: Any, mu: Any, var: Any) -> Any:
    """Return the density at 0, 0 without variance."""
    return finite(xp, gain(Heaviside, mu, var))


def _divisor(xp: Any, x: Any) -> Any:
    return xp.where(x > 0.0, x, xp.ones_like(x))


def _log_cdf(xp: Any, x: Any) -> Any:
    """Compute log Phi(x), below -5 by the continued fraction of Mills' ratio."""
    is_far = x < -5.0
    near, far = xp.where(is_far, xp.zeros_like(x), x), xp.where(is_far, -x, 5.0 * xp.ones_like(x))
    divisor = far
    for k in range(TERMS, 0, -1):
        divisor = far + k / divisor
    log_far = -0.5 * far * far - 0.5 * math.log(2.0 * math.pi) - xp.log(divisor)
    return xp.where(is_far, log_far, xp.log(mean(Heaviside, near, xp.ones_like(x))))
