"""Gaussian expectations at any precision, by Gauss-Legendre panels that are halved until they resolve the function.

Function values are mpf; sums over nodes use integers in fixed point, which Python adds far faster.
"""

from functools import lru_cache
from math import comb
from operator import mul

import numpy as np
from mpmath import mp, mpf
from mpmath.libmp import to_fixed

# beyond this number of standard deviations the density is below 1e-330
FAR = 39


class _Rule:
    """Nodes on (-1, 1); rows that dotted with values there give moments or Legendre coefficients."""

    def __init__(self, count, precision):
        self.bits = precision + 20
        half = [_node(count, mpf(float(x))) for x in np.polynomial.legendre.leggauss(count)[0][: count // 2]]
        self.nodes = [x for x, *_ in half] + [-x for x, *_ in reversed(half)]
        weights, last, before = ([row[i] for row in half] for i in (1, 2, 3))
        # count is even: P_{count-1} is odd, P_{count-2} even
        self.last = self.fixed(last + [-x for x in reversed(last)]), self.fixed(before + before[::-1])
        self.fixed_nodes = self.fixed(self.nodes)
        self.powers = [self.fixed(weights + weights[::-1])]

    def fixed(self, values):
        return [to_fixed(x._mpf_, self.bits) for x in values]

    def power(self, k):
        """Weight times node^k."""
        while len(self.powers) <= k:
            pairs = zip(self.powers[-1], self.fixed_nodes, strict=True)
            self.powers.append([a * b >> self.bits for a, b in pairs])
        return self.powers[k]


@lru_cache(maxsize=64)
def _rule(digits, precision):
    # one panel from a break to the density's end: error 10^-digits, last coefficients 10^(-digits / 3)
    return _Rule(2 * (digits * 11 // 20 + 7), precision)


def nodes_and_weights(digits):
    """Return the nodes on (-1, 1) and weights that `panels` uses."""
    rule = _rule(digits, mp.prec)
    return rule.nodes, [mp.ldexp(w, -rule.bits) for w in rule.power(0)]


def _node(count, x):
    """Refine a node; return it, its weight, and weight (n + 1/2) P_n(x) for n = count - 1, count - 2."""
    step = mpf(1)
    # Newton squares the error: a step of half the digits is the last one
    while abs(step) > mpf(2) ** (-mp.prec // 2):
        *_, below, value = _legendre(count, x)
        step = value * (x * x - 1) / (count * (x * value - below))
        x -= step
    *_, before, last, _ = _legendre(count, x)
    weight = 2 * (1 - x * x) / (count * last) ** 2
    return x, weight, weight * last * (count - mpf(1) / 2), weight * before * (count - mpf(3) / 2)


def _legendre(count, x):
    """P_0(x) ... P_count(x)."""
    values = [mpf(1), x]
    for n in range(1, count):
        values.append(((2 * n + 1) * x * values[n] - n * values[n - 1]) / (n + 1))
    return values


def weighted(value, z):
    """Multiply a value by the standard normal density."""
    return value * mp.npdf(z) if value else value


def reach(digits):
    """The number of standard deviations at which the density is 10^-digits, plus one."""
    return mp.sqrt(2 * digits * mp.log(10)) + 1


class _Panel:
    """A function of rows of numbers, known at the nodes of [low, high]."""

    def __init__(self, function, low, high, rule):
        self.low, self.high, self.rule = low, high, rule
        self.middle, self.radius = (low + high) / 2, (high - low) / 2
        rows = [function(self.middle + self.radius * x) for x in rule.nodes]
        self.columns = [_fixed(values, rule.bits) for values in zip(*rows, strict=True)]
        self.size = [self._integral(c, rule.power(0), abs) for c in self.columns]
        self.tail = [max(abs(self._integral(c, row)) for row in rule.last) for c in self.columns]

    def _integral(self, column, row, of=int):
        return mp.ldexp(self.radius * sum(map(mul, row, map(of, column[1]))), column[0] - 2 * self.rule.bits)

    def moments(self, j, count):
        """Integrate function(z)[j] x^k dz, k < count, where z = middle + radius x."""
        return [self._integral(self.columns[j], self.rule.power(k)) for k in range(count)]


def panels(function, breaks, digits):
    """Panels over the line that end at the breaks and resolve the function, which contains the density.

    A panel whose last Legendre coefficients are not small is halved; the range grows until its ends are
    negligible.
    """
    end = reach(digits)
    breaks = [x for x in breaks if abs(x) < FAR]
    found = _cover(function, {-end, end, *(x for x in breaks if abs(x) < end)}, digits)
    if breaks and not any(any(p.size) for p in found):
        # the whole integral lies beyond a break in the tails
        found = _cover(function, {min(breaks) - end, max(breaks) + end, *breaks}, digits)
    return found


def _cover(function, ends, digits):
    rule = _rule(digits, mp.prec)
    ends = sorted(ends)
    found = [_Panel(function, low, high, rule) for low, high in zip(ends[:-1], ends[1:], strict=True)]
    rough, negligible = mpf(10) ** (-digits // 3), mpf(10) ** -digits
    while True:
        size = [sum(column) for column in zip(*(p.size for p in found), strict=True)]
        keep = [p for p in found if not _exceeds(p.tail, size, rough)]
        new = [half for p in found if p not in keep for half in ((p.low, p.middle), (p.middle, p.high))]
        first, last = min(found, key=lambda p: p.low), max(found, key=lambda p: p.high)
        new += [(first.low - 4, first.low)] if _exceeds(first.size, size, negligible) else []
        new += [(last.high, last.high + 4)] if _exceeds(last.size, size, negligible) else []
        if not new:
            return found
        found = keep + [_Panel(function, low, high, rule) for low, high in new]


def _exceeds(numbers, scale, fraction):
    return any(x > fraction * s for x, s in zip(numbers, scale, strict=True))


def _hermite_polynomials(order, middle, radius):
    """Coefficients in x of He_0 ... He_order at middle + radius x."""
    rows = [[mpf(1)], [middle, radius]]
    for n in range(1, order):
        risen = [middle * c for c in rows[n]] + [mpf(0)]
        for k, c in enumerate(rows[n]):
            risen[k + 1] += radius * c
        rows.append([a - n * b for a, b in zip(risen, rows[n - 1] + [mpf(0)] * 2, strict=True)])
    return rows[: order + 1]


def hermite_moments(function, breaks, order, digits):
    """Return moments[j][i] = int of function(z)[j] He_i(z) over the line, i + j <= order."""
    total = [[mpf(0)] * (order + 1 - j) for j in range(order + 1)]
    for panel in panels(function, breaks, digits):
        polynomials = _hermite_polynomials(order, panel.middle, panel.radius)
        for j in range(len(panel.columns)):
            moments = panel.moments(j, order + 1 - j)
            for i in range(order + 1 - j):
                total[j][i] += mp.fdot(polynomials[i], moments[: i + 1])
    return total


class Smoothed:
    """u -> E[f(u + W) He_k(W)], k = 0 ... order, W standard normal, f broken at the given points.

    Panels are made at even u only; at u + d, exp(w d) in the density is expanded on each panel. Far from the
    breaks, if calls lie far apart, a trapezoidal sum at u is used.
    """

    def __init__(self, f, breaks, order, digits, spread):
        self.f, self.breaks, self.order, self.digits = f, breaks, order, digits
        self.trapezoid = _Trapezoid(order, digits) if spread > 4 else None
        self.known = {}

    def __call__(self, u):
        if self.trapezoid and all(abs(u - x) > self.trapezoid.reach for x in self.breaks):
            found = self.trapezoid(lambda w: self.f(u + w))
            if found:
                return found
        centre = 2 * int(mp.nint(u / 2))
        if centre not in self.known:
            at = lambda w: [weighted(self.f(centre + w), w)]  # noqa: E731
            breaks = [x - centre for x in self.breaks]
            self.known[centre] = [_Tilted(p, self.order) for p in panels(at, breaks, self.digits)]
        shift = u - centre
        rows = [panel(shift) for panel in self.known[centre]]
        at_centre = [sum(column) for column in zip(*rows, strict=True)]
        # He_k(w - d) in He_0(w) ... He_k(w)
        return [
            mp.exp(-shift * shift / 2) * sum(comb(k, m) * (-shift) ** (k - m) * at_centre[m] for m in range(k + 1))
            for k in range(self.order + 1)
        ]


class _Trapezoid:
    """E[f(W) He_k(W)] for f analytic far into the complex plane; None where it is not."""

    def __init__(self, order, digits):
        self.reach = reach(digits)
        # error exp(-2 (pi / h)^2) at step h, the fourth root of that at 2 h; f and He_k take some of it
        step = mp.pi * mp.sqrt(2 / ((digits + 20) * mp.log(10)))
        count = int(self.reach / step)
        self.points = [step * i for i in range(-count, count + 1)]
        self.close = mpf(10) ** (-digits // 4)
        rows = [_hermite_polynomials(order, w, mpf(0)) for w in self.points]
        factors = [step * weighted(mpf(1), w) for w in self.points]
        self.weights = [[a * row[k][0] for a, row in zip(factors, rows, strict=True)] for k in range(order + 1)]

    def __call__(self, f):
        values = [f(w) for w in self.points]
        if not any(values):
            return [mpf(0)] * len(self.weights)
        fine = [mp.fdot(values, row) for row in self.weights]
        coarse = [2 * mp.fdot(values[::2], row[::2]) for row in self.weights]
        size = mp.fdot(map(abs, values), self.weights[0])
        if all(abs(a - b) <= self.close * size for a, b in zip(fine, coarse, strict=True)):
            return fine
        return None


class _Tilted:
    """int over a panel of function(w) exp(w d) He_k(w) dw, k <= order, for |d| <= 1, from moments."""

    def __init__(self, panel, order):
        self.middle, self.radius, self.bits = panel.middle, panel.radius, panel.rule.bits
        count, term = 1, mpf(1)
        while term > mpf(2) ** -self.bits:
            term *= panel.radius / count
            count += 1
        moments = panel.moments(0, count + order)
        rows = [
            [mp.fdot(polynomial, moments[k : k + len(polynomial)]) for k in range(count)]
            for polynomial in _hermite_polynomials(order, panel.middle, panel.radius)
        ]
        self.columns = [_fixed(row, self.bits) for row in rows]

    def __call__(self, shift):
        step = to_fixed((shift * self.radius)._mpf_, self.bits)
        powers = [1 << self.bits]
        for k in range(1, len(self.columns[0][1])):
            powers.append((powers[-1] * step >> self.bits) // k)
        front = mp.exp(shift * self.middle)
        return [front * mp.ldexp(sum(map(mul, powers, row)), top - 2 * self.bits) for top, row in self.columns]


def _fixed(values, bits):
    """Return a common exponent and integers."""
    top = max((x._mpf_[2] + x._mpf_[3] for x in values if x), default=0)
    return top, [to_fixed(x._mpf_, bits - top) for x in values]
