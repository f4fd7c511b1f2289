"""Writes tests/data/bivariate_normal.csv: P(X <= h, Y <= k), its logarithm and derivatives to 20 digits.

usage: python -m tests.draw_bivariate_normal

Chosen points, and random ones from a seed: the middle, both tails down to the smallest numbers, correlations near 0
and +-1. The probability is integrated from its definition; derivatives are the textbook's, in 60 digits.
"""

import csv

import numpy as np
from mpmath import mp, mpf
from tqdm import tqdm

from tests import points, truth
from tests.conformance import DTYPES

SEED = 20261129
DIGITS = 20
# middle, both tails, correlations near 0 and +-1, probabilities down to the smallest normal number
CHOSEN = [
    (0.0, 0.0, 0.5),
    (0.3, -1.2, -0.7),
    (1.5, 0.25, 0.05),
    (-2.0, 3.0, 0.95),
    (-5.0, -5.0, -0.5),
    (-8.0, -8.0, -0.25),
    (-3.0, -3.0, -0.9375),
    (4.0, 6.0, 0.875),
    (-20.0, -22.5, 0.3125),
    (-1.0, -1.0, 0.99999),
    (0.75, -0.5, -0.9999),
    (-0.75, 0.5, -0.9999),
    (-10.0, 9.875, -0.999),
    (-4.0, 1.0, 1e-7),
    (-36.5, 0.5, 0.5),
    (-7.0, -7.5, -0.75),
]


def drawn(dtype):
    """Random points: plain, tails, near +-1 with h near +-k."""
    rng = np.random.default_rng([SEED, DTYPES.index(dtype)])
    for kind in range(12):
        scale = 1.2 if kind % 2 else 9.0 if dtype == "float64" else 4.0
        h, k = scale * rng.standard_normal(2)
        rho = rng.uniform(-0.99, 0.99)
        if kind >= 8:
            sign = rng.choice([-1, 1])
            rho = sign * (1 - 10 ** rng.uniform(-10 if dtype == "float64" else -5, -2))
            k = sign * h + 10 ** rng.uniform(-4, 0)
        yield h, k, rho


def along_h(h, k, rho):
    return mp.npdf(h) * mp.ncdf((k - rho * h) / mp.sqrt(1 - rho * rho))


def along_k(h, k, rho):
    return along_h(k, h, rho)


def density(h, k, rho):
    square = 1 - rho * rho
    return mp.exp(-(h * h - 2 * rho * h * k + k * k) / (2 * square)) / (2 * mp.pi * mp.sqrt(square))


def values(point):
    """(value, condition number) of every function."""
    probability, cond = truth.bivariate_cdf(*point, DIGITS)
    with mp.workdps(400):
        # 1 - P is computed with digits of its own
        h, k, rho = map(mpf, point)
        lacking = mp.ncdf(-h) + mp.ncdf(-k) - truth.bivariate_cdf(-h, -k, rho, DIGITS).value
        logarithm = mp.log1p(-lacking) if probability > 0.9 else mp.log(probability)
    # x d log P / dx = cond, so the condition number of log P is cond / |log P|
    found = {"cdf": (probability, cond), "log_cdf": (logarithm, cond / abs(logarithm))}
    with mp.workdps(60):
        at = tuple(map(mpf, point))
        for name, form in (("d_h", along_h), ("d_k", along_k), ("d_rho", density)):
            value = form(*at)
            slopes = [mp.diff(form, at, n) for n in ((1, 0, 0), (0, 1, 0), (0, 0, 1))]
            found[name] = value, sum(abs(x * slope) for x, slope in zip(at, slopes, strict=True)) / abs(value)
    return found


def main():
    lines = []
    for dtype in reversed(DTYPES):
        for given in tqdm([*CHOSEN, *drawn(dtype)], desc=dtype):
            point = tuple(float(np.dtype(dtype).type(x)) for x in given)
            line = {"exact_in": dtype} | dict(zip(points.NORMAL_INPUTS, map(repr, point), strict=True))
            for name, (value, cond) in values(point).items():
                line |= {name: mp.nstr(value, 25), f"cond_{name}": mp.nstr(cond, 4)}
            # a point that float32 holds exactly is the same point in float64
            if not any(all(line[key] == old[key] for key in points.NORMAL_INPUTS) for old in lines):
                lines.append(line)
    with points.BIVARIATE_NORMAL.open("w", newline="") as file:
        writer = csv.DictWriter(file, lines[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


if __name__ == "__main__":
    main()
