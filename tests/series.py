"""All pairs of a Gaussian vector at once, to 18 digits of the standard deviations' product.

E f(X_i) f(X_j) = sum_n rho^n b_n(i) b_n(j) with b_n = E[f(mu + sd Z) He_n(Z)] / sqrt(n!) (Mehler). Coefficients of
derivatives of f follow by parts: E[f^(a)(X) He_n(Z)] / sqrt(n!) = sqrt((n + a)! / n!) b_{n+a} / sd^a. The b_n are
integrals of the definition; sums are in NumPy's long double. Accurate for |rho| below MOST.
"""

import numpy as np
from mpmath import mp, mpf

from tests.derivatives import PARTIALS, neuron_values, pair_values
from tests.quadrature import FAR, nodes_and_weights, reach
from tests.truth import tangent

REAL = np.longdouble
# The terms fall like rho^n n^a, a <= 3: .5^80 80^3 = 4e-19.
MOST, TERMS = 0.5, 84
LIKE = 0.9
DIGITS = 22
# a function with kinks varies there, a smooth one around 0 on a scale of one
AROUND_0 = range(-10, 11, 2)


class Neurons:
    """Every neuron's Hermite coefficients of f minus its tangent at mu."""

    def __init__(self, f, mu, var):
        with mp.workdps(40):
            parts = [_integrate(f, mpf(float(m)), mpf(float(v))) for m, v in zip(mu, var, strict=True)]
        self.mu, self.var = (np.asarray(x, dtype=REAL) for x in (mu, var))
        self.level, self.slope, b, q = (np.array(x, dtype=REAL) for x in zip(*parts, strict=True))
        self.sd, self.b = np.sqrt(self.var), b.T
        scale = np.sqrt(_factorials(5))
        self.rest = [scale[a] * self.b[a] / self.sd**a for a in range(6)]
        self.square = [scale[a] * q.T[a] / self.sd**a for a in range(5)]

    def values(self):
        """Return the values of `truth.neuron_truth` as arrays."""
        return neuron_values(self.mu, self.var, self.level, self.slope, self.rest, self.square)

    def pairs(self, cov):
        """Return the values of `truth.pair_truth` as matrices; nan where |rho| >= MOST."""
        cov = np.asarray(cov, dtype=REAL)
        rho = cov / (self.sd[:, None] * self.sd)
        rho[np.abs(rho) >= MOST] = np.nan
        sides = [(self.mu, self.var, self.slope, self.rest)] * 2
        (mu_1, var_1, slope_1, rest_1), (mu_2, var_2, slope_2, rest_2) = (
            [np.expand_dims(x, axis) for x in side] for axis, side in zip((-1, -2), sides, strict=True)
        )
        inputs = (mu_1, mu_2, var_1, var_2, cov)
        return pair_values(inputs, (slope_1, slope_2), (rest_1, rest_2), self._joint(rho), 4)

    def scales(self):
        """Return bounds of |partials| at correlation LIKE: sqrt(D_ii D_jj) of equal neurons (Cauchy, Schwarz).

        They bound partials as sqrt(K_ii K_jj) bounds K, and are finite where f jumps and E f'(X)^2 is infinite.
        """
        own = {(a, n): self._own(a, n) for a in range(3) for n in (0, 1)}
        orders = ((1, 0, 1), (0, 1, 1), (2, 0, 1), (0, 2, 1), (1, 1, 0))
        return {
            name: np.sqrt(own[a, n][:, None] * own[b, n]) / (2 if max(a, b) == 2 else 1)
            for name, (a, b, n) in zip(PARTIALS, orders, strict=True)
        }

    def _own(self, order, first):
        rows = self._coefficients(order)[first:] ** 2
        return sum(LIKE ** (n + first) * row for n, row in enumerate(rows))

    def _coefficients(self, order):
        """E[f^(order)(X) He_n(Z)] / sqrt(n!), n < TERMS - 3, of f minus its tangent."""
        count = TERMS - 3
        n = np.arange(count, dtype=REAL)[:, None]
        rising = np.prod([n + k for k in range(1, order + 1)], axis=0) if order else 1
        return np.sqrt(rising) * self.b[order : order + count] / self.sd**order

    def _joint(self, rho):
        rows = [self._coefficients(a) for a in range(5)]
        joint = {(a, b): np.zeros_like(rho) for a in range(5) for b in range(5 - a)}
        power = np.ones_like(rho)
        for k in range(len(rows[0])):
            for a, b in joint:
                joint[a, b] += power * (rows[a][k][:, None] * rows[b][k])
            power = power * rho
        return joint


def _factorials(order):
    return np.concatenate([[REAL(1)], np.cumprod(np.arange(1, order + 1, dtype=REAL))])


def _integrate(f, mu, var):
    """Return level and slope of the tangent, b_0 ... b_TERMS, and E rest^2 He_a / sqrt(a!), a <= 4.

    A stochastic neuron's variance given x is added to rest^2.
    """
    sd = mp.sqrt(var)
    level, slope = tangent(f, mu, sd)
    scale = [(x - mu) / sd for x in AROUND_0] if not f.kinks and sd > 1 else []
    z, weights = _nodes(tuple(x for x in ((kink - mu) / sd for kink in f.kinks) if abs(x) < FAR), scale)
    rest = [f.function(mu + sd * x) - level - slope * sd * x for x in z]
    given = [f.conditional_var(mu + sd * x) for x in z]
    rest, given, z, weights = (np.array([long(x) for x in values]) for values in (rest, given, z, weights))
    rows = [np.ones_like(z), z]
    for n in range(1, TERMS):
        rows.append((z * rows[n] - np.sqrt(REAL(n)) * rows[n - 1]) / np.sqrt(REAL(n + 1)))
    weights = weights * np.exp(-z * z / 2) / np.sqrt(2 * long(mp.pi))
    b = [np.sum(weights * rest * row) for row in rows]
    return long(level), long(slope), b, [np.sum(weights * (rest**2 + given) * row) for row in rows[:5]]


def _nodes(breaks, scale):
    """Nodes and weights of panels over the density's reach, at most four wide, that end at breaks and scale."""
    nodes, weights = nodes_and_weights(DIGITS)
    end = max([reach(DIGITS) + 3, *(abs(x) + 6 for x in breaks)])
    count = int(end / 2) + 1
    inside = {x for x in scale if abs(x) < end}
    ends = sorted({end * i / count for i in range(-count, count + 1)} | set(breaks) | inside)
    panels = [((a + b) / 2, (b - a) / 2) for a, b in zip(ends[:-1], ends[1:], strict=True)]
    return [m + r * x for m, r in panels for x in nodes], [r * w for _, r in panels for w in weights]


def long(x):
    """Convert an mpf to a long double: two doubles hold more."""
    high = float(x)
    return REAL(high) + REAL(float(x - high))
