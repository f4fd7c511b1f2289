"""E (f(X) - c)^p He_k(Z) by integrals of the definition in 30 digits, split where f breaks, and cases for them."""

import math
from functools import cache
from itertools import pairwise

import mpmath as mp
import numpy as np

import fastmoments as fm

COUNTS = (7, 5, 5, 5)
# f bends at a scale of one, or 1 / 20, about 0: the truth's panels end around it
BENDS = [sign * mp.mpf(2) ** k for k in range(-4, 11, 2) for sign in (-1, 1)]
REACH = 15
# Mean and sd, among them sds far from 1, and means many sds from the kink at 0. They, and variances, are exact in
# float32
PLACES = [(-3, 1), (0, 1), (0.375, 0.0078125), (3, 30), (-20, 1), (0.625, 3), (1, 100), (-0.5, 0)]
MU, SD = np.array(PLACES, float).T[:, None]
VAR = SD * SD


SINE = (0.125, 0.25)


TOLERANCES = {"float64": 1e-10, "float32": 1e-5}


def step(x):
    return mp.mpf(1 if x > 0 else 0)


def jump(x):
    return mp.tanh(x) if x < 0.5 else x + 1


def bump(r, q, tau, center):
    return lambda x: r - q * mp.exp(-tau * (x - center) ** 2 / 2)


def wave(x):
    return mp.sin(SINE[0] * x + SINE[1])


def tanh_or_line(x):
    return np.where(x > 0.5, x + 1.0, np.tanh(x))


# name: (the activation, f, where it breaks)
CASES = {
    "relu": ("relu", lambda x: max(x, mp.mpf(0)), (0,)),
    "leaky_relu": (fm.LeakyReLU(0.1), lambda x: x if x > 0 else mp.mpf(0.1) * x, (0,)),
    "hardshrink": (fm.HardShrink(0.75), lambda x: x if abs(x) > 0.75 else mp.mpf(0), (-0.75, 0.75)),
    "heaviside": ("heaviside", step, (0,)),
    "hardtanh": (fm.HardTanh(), lambda x: min(max(x, mp.mpf(-1)), mp.mpf(1)), (-1, 1)),
    "elu": (fm.ELU(), lambda x: x if x > 0 else mp.expm1(x), (0,)),
    "tanh": ("tanh", mp.tanh, ()),
    "softplus": (fm.Softplus(beta=3.0), lambda x: mp.log1p(mp.exp(3 * x)) / 3, ()),
    "gelu": ("gelu", lambda x: x * mp.ncdf(x), ()),
    "probit": ("probit", mp.ncdf, ()),
    "sin": (fm.Sin(*SINE), wave, ()),
    "npn": (fm.NPN(1.0, 2.0, 30.0, 0.4), bump(1, 2, 30, mp.mpf(0.4)), ()),
    "square": (fm.Polynomial((1.0, 0.5, 2.0)), lambda x: 1 + x / 2 + 2 * x * x, ()),
    "custom": (fm.Custom(tanh_or_line, kinks=(0.5,)), jump, (0.5,)),
}


@cache
def legendre(count):
    """Nodes and weights of Gauss-Legendre on (0, 1) in 30 digits: zeros of P_n, by Newton's method."""
    with mp.workdps(30):
        found = []
        for start in np.polynomial.legendre.leggauss(count)[0]:
            x = mp.mpf(start)
            for _ in range(2):
                one, two = mp.legendre(count, x), mp.legendre(count - 1, x)
                slope = count * (two - x * one) / (1 - x * x)
                x -= one / slope
            found.append(((1 + x) / 2, 1 / ((1 - x * x) * slope**2)))
        return found


def hermite(z, count):
    found = [mp.mpf(1), z]
    while len(found) < count:
        found.append(z * found[-1] - (len(found) - 1) * found[-2])
    return found


def integrals(f, kinks, mu, var, c, extra=0):
    """The moments, and sqrt(E (f - c)^2p), by panels of 24 nodes."""
    mu, c, sd = mp.mpf(mu), mp.mpf(c), mp.sqrt(mp.mpf(var))
    counts = [count + extra for count in COUNTS]
    sums, squares = [[mp.mpf(0)] * count for count in counts], [mp.mpf(0)] * 5
    inner = [(x - mu) / sd for x in (*kinks, *BENDS)]
    # a wave has no end
    regular = [mp.mpf(z) / 2 for z in range(-2 * REACH, 2 * REACH + 1, 1 if f is wave and sd > 9 else 6)]
    ends = sorted({*regular, *(z for z in inner if abs(z) < REACH)})
    for low, high in pairwise(ends):
        for place, weight in legendre(24):
            z = low + (high - low) * place
            density = weight * (high - low) * mp.npdf(z)
            g, power = f(mu + sd * z) - c, density
            he = hermite(z, max(counts))
            for p, count in enumerate(counts):
                power *= g
                squares[p + 1] += power * power / density
                for k in range(count):
                    sums[p][k] += power * he[k]
    squares[0] = mp.mpf(1)
    return sums, [mp.sqrt(x) for x in squares]


def inputs(name, dtype=np.float64):
    """Arrays (1, n) of mean, variance and centre, which is near the mean."""
    centre = 0.875 * fm.mean(CASES[name][0], MU, VAR) + 0.125 * (VAR == 0)
    return tuple(x.astype(np.float32).astype(dtype) for x in (MU, VAR, centre))


@cache
def truth(name):
    """Four lists of arrays (K, n), one per power, of what `_column` returns."""
    with mp.workdps(30):
        _, f, kinks = CASES[name]
        columns = [_column(f, kinks, *map(float, point)) for point in np.concatenate(inputs(name)).T]
    return [[np.array(x, float).T for x in zip(*part, strict=True)] for part in zip(*columns, strict=True)]


def _column(f, kinks, mu, var, c):
    """Moments, their scales sqrt(E (f - c)^2p k!), what f's rounding amounts to, and what is far out."""
    roots = [[math.sqrt(math.factorial(k)) for k in range(count)] for count in COUNTS]
    size = abs(c) + abs(float(f(mp.mpf(mu))))
    if var == 0:
        g = f(mp.mpf(mu)) - mp.mpf(c)
        found = [[g**p] + [0] * (count - 1) for p, count in enumerate(COUNTS, 1)]
        sizes = [abs(g) ** p for p in range(5)]
    else:
        found, sizes = integrals(f, kinks, mu, var, c)
    scales = [[sizes[p] * root for root in roots[p - 1]] for p in range(1, 5)]
    rounding = [[p * size * sizes[p - 1] * root for root in roots[p - 1]] for p in range(1, 5)]
    # what is far out, for functions of a slope of two
    return found, scales, rounding, [[(2 * var**0.5) ** p for _ in row] for p, row in enumerate(found, 1)]
