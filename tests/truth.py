"""Gaussian moments of activations by integrals of their definition, to any number of digits.

No activation is named here: f is the catalogue's definition bound to mpmath, with the points where f or f' breaks,
and a stochastic neuron's variance given x. For X ~ N(mu, cov),
d^a/dmu_1^a d^b/dmu_2^b E f(X_1) g(X_2) is the integral of f g against derivatives of the density, that is against
Hermite polynomials; and d/dvar = 1/2 d^2/dmu^2, d/dcov_12 = d^2/dmu_1 dmu_2. So one pass of quadrature gives every
value, its partials and their condition numbers, and f is never differentiated.

A tangent is subtracted from f and added back exactly: the rest is zero, or small, on the side of mu, and the tails
are right relative to their own size.
"""

from dataclasses import fields
from itertools import product
from math import comb
from typing import NamedTuple

from mpmath import mp, mpf

from fastmoments_kernels.bind import bind
from fastmoments_kernels.formulas.identity import interface_of
from tests.derivatives import PARTIALS, Value, conditioned, neuron_values, pair_values
from tests.mpmath_vocabulary import MPMATH
from tests.quadrature import Smoothed, hermite_moments, reach, weighted
from tests.rows import EXAMPLES
from tests.settled import settled

# smooth activations bend within BENDS of 0; standard deviations from WIDE on are wide beside that
BENDS, WIDE = mpf(8), 20


class Activation(NamedTuple):
    """A function of one mpf, the points where it or its derivative breaks, and Var(f(X) | X = x)."""

    function: object
    kinks: tuple
    conditional_var: object


def activation(row, which=0, **parameters):
    """Bind the catalogue's definition to mpmath, with one neuron's parameters of a pair's."""
    definition = bind(row.formula.function, MPMATH)
    given = [mpf(x) for x in _numbers(row, which, parameters)]
    conditional_var = bind(interface_of(row.formula)["conditional_var"], MPMATH)
    # convert, not mpf: near one a value may have more digits than the others
    return Activation(lambda x: mp.convert(definition(x, *given)), tuple(map(mpf, row.kinks)), conditional_var)


def _numbers(row, which, parameters):
    """Parameters in the formula's order: all components of a mixture, shared by a pair; else one of each pair."""
    if row.components:
        shared = parameters or EXAMPLES[row.name]
        count = len(shared[row.components[0]])
        return [x for field in fields(row.activation) for x in shared.get(field.name, [field.default] * count)]
    pairs = [parameters.get(field.name, (field.default, field.default)) for field in fields(row.activation)]
    return [pair[which] for pair in pairs]


def tangent(f, x, sd):
    """Return value and slope of f at x; an approximate slope serves, because the tangent is added back exactly."""
    # a power of two: differences of piecewise linear functions stay exact
    step = mpf(2) ** (mp.mag(sd) - 40)
    return f.function(x), (f.function(x + step) - f.function(x - step)) / (2 * step)


class _Neuron:
    """f minus a tangent at one Gaussian, and the derivatives by mu of the expectation of this rest.

    The tangent is taken at mu, or at mu mirrored in a kink.
    """

    def __init__(self, f, mu, var, order, digits, mirror=None):
        self.mu, self.var, self.sd = mpf(mu), mpf(var), mp.sqrt(mpf(var))
        self.function, self.kinks, self.conditional_var = f.function, f.kinks, f.conditional_var
        # panels of a wide Gaussian would miss the bends of a smooth f near 0
        self.ends = self.kinks if self.kinks or self.sd < WIDE else (-BENDS, mpf(0), BENDS)
        self.anchor = self.mu if mirror is None else 2 * mirror - self.mu
        self.level, self.slope = tangent(f, self.anchor, self.sd)
        at = lambda z: [weighted(self.rest(self.mu + self.sd * z), z)]  # noqa: E731
        moments = hermite_moments(at, self.breaks(), order, digits)[0]
        self.rest_mean = [m / self.sd**n for n, m in enumerate(moments)]

    def rest(self, x):
        # in twice the digits a line minus itself is zero; rounded, it would look like a tail
        with mp.workprec(2 * mp.prec + 120):
            return self.function(x) - self.level - self.slope * (x - self.anchor)

    def rest_square(self, x):
        """The square of the rest; for a stochastic neuron the mean square given x."""
        return self.rest(x) ** 2 + self.conditional_var(x)

    def breaks(self):
        return [(end - self.mu) / self.sd for end in self.ends]


def neuron_truth(f, mu, var, digits=20):
    """Values "mean", "gain", "var" of f(X), X ~ N(mu, var), and for var > 0 the derivatives for gradients."""
    evaluate = _certain if var == 0 else _neuron
    return settled(lambda _, working: evaluate(f, mu, var, working), [None], digits, 0)


def _neuron(f, mu, var, digits):
    x = _Neuron(f, mu, var, 5, digits)
    square = lambda z: [weighted(x.rest_square(x.mu + x.sd * z), z)]  # noqa: E731
    moments = hermite_moments(square, x.breaks(), 4, digits)[0]
    squares = [m / x.sd**n for n, m in enumerate(moments)]
    return neuron_values(x.mu, x.var, x.level, x.slope, x.rest_mean, squares)


def _certain(f, mu, var, digits):
    """The values at zero variance: f(mu) and f'(mu), the mean of both sides on a kink, inf where f jumps."""
    mu, step = mpf(mu), mpf(10) ** (-digits // 3)
    # 1 - tail keeps the tail's digits
    with mp.workdps(digits + 700):
        above, below = f.function(mu + step), f.function(mu - step)
        difference, second = above - below, above - 2 * f.function(mu) + below
    jump = abs(difference) > mpf(10) ** (-digits // 6)
    gain = mp.inf if jump else difference / (2 * step)
    mean = (above + below) / 2 if jump else f.function(mu)
    terms = (mu * gain,) if mu else (mpf(0),)
    # without effect where f jumps or, at mu = 0, bends
    bend = second / step**2
    spread = f.conditional_var(mu)
    by_mu = (f.conditional_var(mu + step) - f.conditional_var(mu - step)) / (2 * step)
    return {
        "mean": conditioned(mean, terms),
        "gain": Value(gain, mpf(0)) if jump else conditioned(gain, (mu * bend,)),
        "var": conditioned(spread, (mu * by_mu,)),
    }


def pair_truth(f_1, f_2, mu_1, mu_2, var_1, var_2, cov_12, digits=20):
    """Values "cov", "d_mu_1" ... "d_cov_12" of f_1(X_1), f_2(X_2); at |rho| = 1 the limits from within."""
    if var_1 == 0 or var_2 == 0:
        return {"cov": Value(mpf(0), mpf(0))}
    # products of the inputs, and the step off |rho| = 1, are exact in this many digits
    with mp.workdps(120):
        inputs = tuple(map(mpf, (mu_1, mu_2, var_1, var_2, cov_12)))
        return _pair_truth(f_1, f_2, inputs, digits)


def cov_truth(f_1, f_2, mu_1, mu_2, var_1, var_2, cov_12, digits=20):
    """Return the Value of Cov(f_1(X_1), f_2(X_2)) alone, in less time."""
    if var_1 == 0 or var_2 == 0:
        return Value(mpf(0), mpf(0))
    with mp.workdps(120):
        inputs = tuple(map(mpf, (mu_1, mu_2, var_1, var_2, cov_12)))
        return _settled_pair(f_1, f_2, inputs, 2, digits, ["cov"])["cov"]


def _pair_truth(f_1, f_2, inputs, digits):
    values = _settled_pair(f_1, f_2, inputs, 4, digits)
    on_line = inputs[4] ** 2 >= inputs[2] * inputs[3]
    if on_line and mp.isinf(values["d_cov_12"].value):
        # both jump at the same point: the other functions found the mean of two sides
        values |= {name: Value(mp.nan, mp.nan) for name in PARTIALS}
    elif on_line:
        # second derivatives do not exist here: their size at a neighbouring point is taken
        wanted = [name for name in PARTIALS if values[name].value]
        inside = (*inputs[:4], inputs[4] * (1 - mpf(10) ** -18))
        beside = _settled_pair(f_1, f_2, inside, 4, 6, wanted)
        values |= {name: Value(values[name].value, beside[name].cond) for name in wanted}
    return values


def _settled_pair(f_1, f_2, inputs, order, digits, wanted=None):
    square = inputs[4] ** 2 / (inputs[2] * inputs[3])
    on_line = inputs[4] ** 2 >= inputs[2] * inputs[3]
    order, integrate = (2, _joint_on_line) if on_line else (order, _joint)
    lost = 2 * digits + 5 if on_line else int(-mp.log10(square or 1) / 2 - mp.log10(1 - square))

    def evaluate(mirrors, working):
        mu_1, mu_2, var_1, var_2, cov_12 = inputs
        x = _Neuron(f_1, mu_1, var_1, order + 1, working, mirrors[0])
        y = _Neuron(f_2, mu_2, var_2, order + 1, working, mirrors[1])
        joint = integrate(x, y, cov_12, order, working)
        return pair_values(inputs, (x.slope, y.slope), (x.rest_mean, y.rest_mean), joint, order)

    mirrors = list(product((None, *f_1.kinks), (None, *f_2.kinks)))
    return settled(evaluate, mirrors, digits, lost, limits=on_line, wanted=wanted)


def _joint(x, y, cov_12, order, digits):
    """d^a/dmu_1^a d^b/dmu_2^b E f(X_1) g(X_2), a + b <= order, by integrals over X_2 given X_1, then X_1."""
    slope = cov_12 / x.var
    sd = mp.sqrt(y.var - cov_12 * slope)
    stretch = slope * x.sd / sd
    breaks = [end / sd for end in y.ends]
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
    """Ends of panels where X_1 puts the mean of X_2 near a kink: a narrow layer at correlations near one."""
    if not slope:
        return []
    centres = [(end - y.mu) / (slope * x.sd) for end in y.ends]
    width = reach(digits) * sd / abs(slope * x.sd)
    return [end for centre in centres for end in _layer(centre, width)]


def _layer(centre, width):
    """Ends of panels for a function that varies over a width that other panels would miss."""
    return [centre] if width > 4 else [centre + width * i / 2 for i in (-2, -1, 0, 1, 2)]


def _joint_on_line(x, y, cov_12, order, digits):
    """`_joint` at |rho| = 1, where X_2 is a function of X_1: differences of integrals along the line."""
    sign = 1 if cov_12 > 0 else -1
    # rounding costs the digits of two steps and leaves those of the third
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
    return settled(lambda _, working: _bivariate_cdf(h, k, rho, working), [None], digits, 0)["cdf"]


def _bivariate_cdf(h, k, rho, digits):
    t = mp.sqrt(1 - rho * rho)
    given = lambda x: mp.ncdf((k - rho * x) / t)  # noqa: E731
    inside = lambda x: [weighted(given(x) if x < h else mpf(0), x)]  # noqa: E731
    breaks = [h, *_layer(k / rho, reach(digits) * t / abs(rho))] if rho else [h]
    value = hermite_moments(inside, breaks, 0, digits)[0][0]
    by_k = mp.npdf(k) * mp.ncdf((h - rho * k) / t)
    by_rho = mp.npdf(h) * mp.npdf((k - rho * h) / t) / t
    return {"cdf": conditioned(value, (h * mp.npdf(h) * given(h), k * by_k, rho * by_rho))}
