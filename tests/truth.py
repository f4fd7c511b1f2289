"""Gaussian moments of activations by integrating their definition, to as many digits as asked for.

Nothing here knows an activation: f is the catalogue's definition bound to mpmath, with the points where f or
f' breaks. For X ~ N(mu, cov), d^a/dmu_1^a d^b/dmu_2^b E f(X_1) g(X_2) is the integral of f g against
derivatives of the density, that is against Hermite polynomials; and d/dvar = 1/2 d^2/dmu^2, d/dcov_12 =
d^2/dmu_1 dmu_2. So one pass of quadrature gives every value, its partials and their condition numbers,
and f is never differentiated.

A tangent is taken off f beforehand and added back exactly: the rest is zero, or small, on the side of mu, and
the tails are right relative to their own size.
"""

from dataclasses import fields
from itertools import product
from math import comb
from typing import NamedTuple

from mpmath import mp, mpf

from fastmoments_kernels.bind import bind
from tests.mpmath_vocabulary import MPMATH
from tests.quadrature import Smoothed, hermite_moments, reach, weighted

PARTIALS = ("d_mu_1", "d_mu_2", "d_var_1", "d_var_2", "d_cov_12")
# (derivatives by mu_1, by mu_2, by cov_12, factor) of each input in the order of the arguments
_OPERATORS = ((1, 0, 0, 1), (0, 1, 0, 1), (2, 0, 0, mpf(1) / 2), (0, 2, 0, mpf(1) / 2), (0, 0, 1, 1))


class Activation(NamedTuple):
    """A function of one mpf, and the points where it or its derivative breaks."""

    function: object
    kinks: tuple


class Value(NamedTuple):
    """A number and its condition number: sum over inputs x of |x d value / dx| / |value|."""

    value: object
    cond: object


def activation(row, which=0, **parameters):
    """Bind the catalogue's definition to mpmath, with a neuron's own of a pair's parameters."""
    definition = bind(row.formula.function, MPMATH)
    pairs = [parameters.get(field.name, (field.default, field.default)) for field in fields(row.activation)]
    given = [mpf(pair[which]) for pair in pairs]
    return Activation(lambda x: mpf(definition(x, *given)), tuple(map(mpf, row.kinks)))


class _Neuron:
    """f at one Gaussian less a tangent, and the derivatives by mu of the expectation of that rest.

    The tangent is taken at mu, or at mu mirrored in a kink.
    """

    def __init__(self, f, mu, var, order, digits, mirror=None):
        self.mu, self.var, self.sd = mpf(mu), mpf(var), mp.sqrt(mpf(var))
        self.function, self.kinks = f.function, f.kinks
        # a power of two: differences of piecewise linear functions stay exact
        step = mpf(2) ** (mp.mag(self.sd) - 40)
        self.anchor = self.mu if mirror is None else 2 * mirror - self.mu
        self.level = f.function(self.anchor)
        self.slope = (f.function(self.anchor + step) - f.function(self.anchor - step)) / (2 * step)
        at = lambda z: [weighted(self.rest(self.mu + self.sd * z), z)]  # noqa: E731
        moments = hermite_moments(at, self.breaks(), order, digits)[0]
        self.rest_mean = [m / self.sd**n for n, m in enumerate(moments)]

    def rest(self, x):
        return self.function(x) - self.level - self.slope * (x - self.anchor)

    def breaks(self):
        return [(kink - self.mu) / self.sd for kink in self.kinks]


def _settled(evaluate, variants, digits, lost, limits=False, wanted=None):
    """Raise the working digits until two evaluations agree: what cancels is found by what it does.

    The variants compute the same numbers; where one cancels beyond reason, another may not. Wanted are some
    names, or all.
    """
    agreed = _limit if limits else _same
    found = {}
    attempts = [(variant, (5, 10, 20)) for variant in variants]
    for variant, extras in [*attempts, (variants[0], (30, 50, 80, 120, 180, 260))]:
        before = {}
        for extra in extras:
            working = 5 * ((digits + lost) // 5) + extra
            with mp.workdps(working + 20):
                now = evaluate(variant, working)
            for name in set(before) - set(found):
                value = agreed(before[name], now[name], digits)
                found |= {} if value is None else {name: value}
            if set(found) >= set(wanted or now):
                return found
            before = now
    raise ArithmeticError(f"no {digits} digits of {set(now) - set(found)}")


def _same(a, b, digits):
    return b if _agree(a.value, b.value, digits) else None


def _limit(a, b, digits):
    """Of differences with a shrinking step: what shrinks or grows with it is zero or infinite."""
    if abs(b.value) < abs(a.value) / 8:
        return Value(mpf(0), mpf(0))
    if abs(b.value) > abs(a.value) * 8:
        return Value(mp.inf, mp.inf)
    return _same(a, b, digits)


def _agree(a, b, digits):
    return abs(a - b) <= mpf(10) ** -digits * abs(b) or max(abs(a), abs(b)) < mpf(10) ** -340


def _value(value, terms):
    size = sum(abs(t) for t in terms)
    return Value(value, size / abs(value) if value else (mpf(0) if not size else mp.inf))


def neuron_truth(f, mu, var, digits=20):
    """{"mean", "gain", "var"} of f(X), X ~ N(mu, var)."""
    evaluate = _certain if var == 0 else _neuron
    return _settled(lambda _, working: evaluate(f, mu, var, working), [None], digits, 0)


def _neuron(f, mu, var, digits):
    x = _Neuron(f, mu, var, 3, digits)
    e, b = x.rest_mean, x.slope
    square = lambda z: [weighted(x.rest(x.mu + x.sd * z) ** 2, z)]  # noqa: E731
    q = [m / x.sd**n for n, m in enumerate(hermite_moments(square, x.breaks(), 2, digits)[0])]
    var_out = q[0] - e[0] ** 2 + 2 * b * x.var * e[1] + b * b * x.var
    by_mu = q[1] - 2 * e[0] * e[1] + 2 * b * x.var * e[2]
    by_var = q[2] / 2 - e[0] * e[2] + 2 * b * e[1] + b * x.var * e[3] + b * b
    return {
        "mean": _value(x.level + e[0], (x.mu * (e[1] + b), x.var * e[2] / 2)),
        "gain": _value(e[1] + b, (x.mu * e[2], x.var * e[3] / 2)),
        "var": _value(var_out, (x.mu * by_mu, x.var * by_var)),
    }


def _certain(f, mu, var, digits):
    """Zero variance: f(mu) and f'(mu), the mean of both sides on a kink, inf where f jumps."""
    mu, step = mpf(mu), mpf(10) ** (-digits // 3)
    above, below = f.function(mu + step), f.function(mu - step)
    jump = abs(above - below) > mpf(10) ** (-digits // 6)
    gain = mp.inf if jump else (above - below) / (2 * step)
    mean = (above + below) / 2 if jump else f.function(mu)
    nothing = Value(mpf(0), mpf(0))
    return {"mean": _value(mean, (mu * gain,) if mu else ()), "gain": Value(gain, mpf(0)), "var": nothing}


def pair_truth(f_1, f_2, mu_1, mu_2, var_1, var_2, cov_12, digits=20):
    """{"cov", "d_mu_1", ... "d_cov_12"} of f_1(X_1), f_2(X_2); at |rho| = 1 the limits from within."""
    if var_1 == 0 or var_2 == 0:
        return {"cov": Value(mpf(0), mpf(0))}
    # products of the inputs, and the step off |rho| = 1, are exact in this many digits
    with mp.workdps(120):
        inputs = tuple(map(mpf, (mu_1, mu_2, var_1, var_2, cov_12)))
        return _pair_truth(f_1, f_2, inputs, digits)


def _pair_truth(f_1, f_2, inputs, digits, wanted=None):
    *_, var_1, var_2, cov_12 = inputs
    square = cov_12**2 / (var_1 * var_2)
    on_line = cov_12**2 >= var_1 * var_2
    evaluate = lambda mirrors, working: _pair(f_1, f_2, inputs, mirrors, on_line, working)  # noqa: E731
    mirrors = list(product((None, *f_1.kinks), (None, *f_2.kinks)))
    lost = 2 * digits + 5 if on_line else int(-mp.log10(square or 1) / 2 - mp.log10(1 - square))
    values = _settled(evaluate, mirrors, digits, lost, limits=on_line, wanted=wanted)
    if on_line and mp.isinf(values["d_cov_12"].value):
        # both jump at the same point: what the others found is the mean of two sides
        values |= {name: Value(mp.nan, mp.nan) for name in PARTIALS}
    elif on_line:
        # second derivatives do not exist here: their size is taken beside it
        wanted = [name for name in PARTIALS if values[name].value and mp.isfinite(values[name].value)]
        beside = _pair_truth(f_1, f_2, (*inputs[:4], cov_12 * (1 - mpf(10) ** -18)), 6, wanted)
        values |= {name: Value(values[name].value, beside[name].cond) for name in wanted}
    return values


def _pair(f_1, f_2, inputs, mirrors, on_line, digits):
    mu_1, mu_2, var_1, var_2, cov_12 = inputs
    order, integrate = (2, _joint_on_line) if on_line else (4, _joint)
    x = _Neuron(f_1, mu_1, var_1, order + 1, digits, mirrors[0])
    y = _Neuron(f_2, mu_2, var_2, order + 1, digits, mirrors[1])
    joint = integrate(x, y, cov_12, order, digits)

    def derivative(a, b, c, factor=1):
        """By mu_1, mu_2 and cov_12, a, b and c times."""
        together = joint[a + c, b + c] - (0 if c else x.rest_mean[a] * y.rest_mean[b])
        slopes = x.slope * y.rest_mean[1 + b] if a == 0 else 0
        slopes += y.slope * x.rest_mean[1 + a] if b == 0 else 0
        slopes += x.slope * y.slope if a == b == 0 else 0
        return factor * (together + (cov_12, 1, 0)[c] * slopes)

    def conditioned(a, b, c, factor):
        terms = [
            value * derivative(a + p, b + q, c + r, factor * s)
            for value, (p, q, r, s) in zip(inputs, _OPERATORS, strict=True)
            if a + b + 2 * c + p + q + 2 * r <= order
        ]
        return _value(derivative(a, b, c, factor), terms)

    partials = {name: conditioned(*operator) for name, operator in zip(PARTIALS, _OPERATORS, strict=True)}
    return {"cov": conditioned(0, 0, 0, 1)} | partials


def _joint(x, y, cov_12, order, digits):
    """d^a/dmu_1^a d^b/dmu_2^b E f(X_1) g(X_2), a + b <= order, by integrals over X_2 given X_1, then X_1."""
    slope = cov_12 / x.var
    sd = mp.sqrt(y.var - cov_12 * slope)

    stretch = slope * x.sd / sd
    breaks = [kink / sd for kink in y.kinks]
    smoothed = Smoothed(lambda w: y.rest(sd * w), breaks, order, digits, abs(stretch))

    def given(z):
        outer = weighted(x.rest(x.mu + x.sd * z), z)
        return [outer * m for m in smoothed(y.mu / sd + stretch * z)] if outer else [outer] * (order + 1)

    moments = hermite_moments(given, x.breaks() + _layers(x, y, slope, sd, digits), order, digits)
    return {
        (a, b): sum(
            comb(a, j) * x.sd ** (j - a) * (-slope) ** j * sd ** (-j - b) * moments[b + j][a - j]
            for j in range(a + 1)
        )
        for a in range(order + 1)
        for b in range(order + 1 - a)
    }


def _layers(x, y, slope, sd, digits):
    """Where X_1 puts the mean of X_2 within reach of a kink: narrow when the correlation is near one."""
    if not slope:
        return []
    width = reach(digits) * sd / abs(slope * x.sd)
    centres = [(kink - y.mu) / (slope * x.sd) for kink in y.kinks]
    if width > 4:
        return centres
    return [c + width * i / 2 for c in centres for i in (-2, -1, 0, 1, 2)]


def _joint_on_line(x, y, cov_12, order, digits):
    """The same at |rho| = 1, where X_2 is a function of X_1: differences of integrals along the line."""
    sign = 1 if cov_12 > 0 else -1
    # rounding takes two steps' worth of digits and leaves the third
    step = mpf(10) ** (-digits // 3)

    def line(move_1, move_2, stretch_1=0, stretch_2=0):
        scale_1, scale_2 = 1 + stretch_1 * step, sign * (1 + stretch_2 * step)
        breaks = [(b - move_1 * step) / scale_1 for b in x.breaks()]
        breaks += [(b - move_2 * step) / scale_2 for b in y.breaks()]

        def both(z):
            at_1 = x.mu + x.sd * (move_1 * step + scale_1 * z)
            at_2 = y.mu + y.sd * (move_2 * step + scale_2 * z)
            return [weighted(x.rest(at_1) * y.rest(at_2), z)]

        return hermite_moments(both, breaks, 0, digits)[0][0]

    def slope(*direction):
        return (line(*direction) - line(*(-d for d in direction))) / (2 * step)

    mixed = (line(1, 1) - line(1, -1) - line(-1, 1) + line(-1, -1)) / (4 * step**2)
    # by parts: E f'(X_1) Z g(X_2) = sd_1 E f'' g + sign sd_2 E f' g'
    return {
        (0, 0): line(0, 0),
        (1, 0): slope(1, 0) / x.sd,
        (0, 1): slope(0, 1) / y.sd,
        (1, 1): mixed / (x.sd * y.sd),
        (2, 0): (slope(0, 0, 1, 0) - sign * mixed) / x.var,
        (0, 2): (slope(0, 0, 0, 1) - sign * mixed) / y.var,
    }


def bivariate_cdf(h, k, rho, digits=20):
    """P(X <= h, Y <= k) of standard normals with correlation rho, |rho| < 1, and its condition number."""
    h, k, rho = mpf(h), mpf(k), mpf(rho)
    return _settled(lambda _, working: _bivariate_cdf(h, k, rho, working), [None], digits, 0)["cdf"]


def _bivariate_cdf(h, k, rho, digits):
    t = mp.sqrt(1 - rho * rho)
    given = lambda x: mp.ncdf((k - rho * x) / t)  # noqa: E731
    inside = lambda x: [weighted(given(x) if x < h else mpf(0), x)]  # noqa: E731
    breaks = [h, k / rho] if rho else [h]
    value = hermite_moments(inside, breaks, 0, digits)[0][0]
    by_k = mp.npdf(k) * mp.ncdf((h - rho * k) / t)
    by_rho = mp.npdf(h) * mp.npdf((k - rho * h) / t) / t
    return {"cdf": _value(value, (h * mp.npdf(h) * given(h), k * by_k, rho * by_rho))}
