"""Writes kernels/fastmoments_kernels/tables.py with mpmath: python tools/make_tables.py"""

from collections.abc import Sequence
from pathlib import Path

import mpmath
from mpmath import mp, mpf

mp.dps = 60
CENTRE = 4  # the degree needed for 1e-17 is flat around 4; larger ones stretch the range of P
DEGREES = {0: 25, 1: 27, 2: 29}
ORDERS = (6, 8, 10, 12, 16, 20, 24)
TARGET = Path(__file__).parents[1] / "kernels" / "fastmoments_kernels" / "tables.py"
HEADER = '''"""Constants of the formulas, written by tools/make_tables.py: do not edit.

MILLS_n: R_n(x) = int_0^inf t^n exp(-x t - t^2/2) dt = u^(n+1) P_n(1 - 2 CENTRE u), u = 1/(x + CENTRE), x >= 0,
coefficients of P_n from the highest power down, relative error below 2e-17 before rounding.
LEGENDRE_n: (node, weight) pairs of Gauss-Legendre on (0, 1).
EXP2: (2^r - 1) / r for |r| <= 1/2, coefficients from the highest power down, to 2e-17 of 2^r.
SYMMETRIC: (node, weight) pairs of Gauss-Legendre on (-1, 1) with positive nodes, of 6, 8, 10, 12, 16, 20, 24 nodes.
"""

'''


def mills(n: int, x: mpf) -> mpf:
    """R_n(x); the closed forms of R_1 and R_2 cancel like x^2 and x^4 and get more digits."""
    with mp.workdps(60 + 6 * max(0, int(mpmath.log10(x + 1)))):
        r_0 = mp.sqrt(mp.pi / 2) * mp.exp(x * x / 2) * mp.erfc(x / mp.sqrt(2))
        return (r_0, 1 - x * r_0, (1 + x * x) * r_0 - x)[n]


def scaled_mills(n: int, t: mpf) -> mpf:
    u = (1 - t) / (2 * CENTRE)
    return mills(n, 1 / u - CENTRE) / u ** (n + 1)


def chebyshev_interpolant(f, degree: int) -> list[mpf]:
    """Monomial coefficients, highest power first, of the interpolant of f at the Chebyshev points."""
    count = degree + 1
    angles = [mp.pi * (k + mpf(1) / 2) / count for k in range(count)]
    values = [f(mp.cos(angle)) for angle in angles]
    total, previous, current = [mpf(0)] * count, [mpf(0)] * count, [mpf(1)] + [mpf(0)] * degree
    for order in range(count):
        c = sum(v * mp.cos(order * angle) for v, angle in zip(values, angles, strict=True)) * 2 / count
        c = c / 2 if order == 0 else c
        total = [a + c * b for a, b in zip(total, current, strict=True)]
        doubled = [mpf(0)] + [(1 if order == 0 else 2) * b for b in current[:-1]]
        previous, current = current, [a - b for a, b in zip(doubled, previous, strict=True)]
    return total[::-1]


def scaled_back(f, reach: mpf, degree: int) -> list[float]:
    """The interpolant's coefficients on (-reach, reach), highest power first."""
    falling = chebyshev_interpolant(lambda t: f(reach * t + mpf(10) ** -30), degree)
    return [float(c / reach ** (degree - k)) for k, c in enumerate(falling)]


def legendre(order: int) -> list[tuple[mpf, mpf]]:
    """Nodes and weights on (0, 1) by Newton's method from the usual cosine guess."""
    pairs = []
    for k in range(order, 0, -1):
        x = mp.cos(mp.pi * (k - mpf(1) / 4) / (order + mpf(1) / 2))
        for _ in range(8):
            p = mp.legendre(order, x)
            slope = order * (x * p - mp.legendre(order - 1, x)) / (x * x - 1)
            x -= p / slope
        pairs.append(((1 + x) / 2, 1 / ((1 - x * x) * slope**2)))
    return pairs


def symmetric(order: int) -> tuple[tuple[float, float], ...]:
    """The nodes and weights of an even order on (-1, 1), the positive half."""
    return tuple((float(2 * x - 1), float(2 * w)) for x, w in legendre(order)[order // 2 :])


def entry(name: str, items: Sequence) -> str:
    body = "".join(f"    {item!r},\n" for item in items)
    return f"{name} = (\n{body})\n"


def main() -> None:
    parts = [HEADER, f"CENTRE = {float(CENTRE)!r}\n"]
    for n, degree in DEGREES.items():
        coefficients = chebyshev_interpolant(lambda t, n=n: scaled_mills(n, t), degree)
        parts.append(entry(f"MILLS_{n}", [float(x) for x in coefficients]))
    for order in (8, 24):
        parts.append(entry(f"LEGENDRE_{order}", [(float(x), float(w)) for x, w in legendre(order)]))
    rules = [entry("", symmetric(order)).replace("\n", "\n    ").strip(" =\n") for order in ORDERS]
    parts.append("SYMMETRIC = (\n" + "".join(f"    {rule},\n" for rule in rules) + ")\n")
    parts.append(entry("EXP2", scaled_back(lambda r: mp.expm1(r * mp.log(2)) / r, mpf(1) / 2, 10)))
    TARGET.write_text("".join(parts))


if __name__ == "__main__":
    main()
