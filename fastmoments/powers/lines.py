"""Functions that are linear between knots: powers are polynomials between knots, whose integrals have closed forms.

The polynomial of mu's own section is integrated over the whole line. At every knot that of the next section takes
its place, on the side away from mu: in powers of t = |z| - a behind a knot a sds away,

    int_a^inf t^m He_k(z) phi(z) dz = m! S_{m - k}(a),    j S_j = S_{j - 2} - a S_{j - 1},
    S_0 = Phi(-a), S_{-1} = phi(a), S_{-2} = a phi(a), S_{-3} = (a^2 - 1) phi(a) ...
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

from fastmoments.composed.kinked import Sections
from fastmoments.powers.common import Counts, Moments, Neurons

FAR = 39.0  # sds: phi is 0 in float32, and 1e-331 in float64
WIDEST = 3.0  # sd in distances between knots: polynomials beyond them cancel like its fourth power


def by_lines(neurons: Neurons, sections: Sections, counts: Counts) -> Moments:
    """Integrate every section's polynomials."""
    xp, mu, sd, centre = neurons.xp, neurons.mu, neurons.sd, neurons.centre
    (knot, value, slope), *others = sections.anchors
    line, own = value + slope * (mu - knot), slope + 0.0 * mu
    for knot, value, slope in others:
        line = xp.where(mu > knot, value + slope * (mu - knot), line)
        own = xp.where(mu > knot, slope, own)
    found = [xp.stack([x + 0.0 * mu for x in own]) for own in _whole(line - centre, own * sd, counts)]
    for below, above in pairwise(sections.anchors):
        knot = above[0]
        left = below[1] + below[2] * (knot - below[0]) - centre
        turned = _behind(neurons, knot, (left, below[2] * sd), (above[1] - centre, above[2] * sd), counts)
        found = [one + two for one, two in zip(found, turned, strict=True)]
    return found


def _whole(v: Any, b: Any, counts: Counts) -> list[list[Any]]:
    """E (v + b Z)^p He_k(Z) = p! / (p - k)! b^k E (v + b Z)^(p - k)."""
    v_2, b_2 = v * v, b * b
    plain = [1.0, v, v_2 + b_2, v * (v_2 + 3.0 * b_2), v_2 * (v_2 + 6.0 * b_2) + 3.0 * b_2 * b_2]
    power = [1.0, b, b_2, b * b_2, b_2 * b_2]
    return [
        [math.perm(p, k) * power[k] * plain[p - k] if k <= p else 0.0 for k in range(count)]
        for p, count in enumerate(counts, 1)
    ]


def _behind(
    neurons: Neurons, knot: float, below: tuple[Any, Any], above: tuple[Any, Any], counts: Counts
) -> Moments:
    """Integrate, on the side of a knot away from mu, (f - centre)^p less the polynomial on mu's side.

    `below` and `above` are f - centre at the knot, and the slope times sd, on both of its sides.
    """
    xp, distance = neurons.xp, knot - neurons.mu
    away = xp.where(distance < 0.0, -xp.ones_like(distance), xp.ones_like(distance))
    s = _tails(neurons, away * neurons.standardised(distance, FAR), max(counts))
    # He_k(-z) = (-1)^k He_k(z), and the slope turns around as well
    s = xp.stack([x if i % 2 == 0 else away * x for i, x in enumerate(s)])
    found = []
    for p, count in enumerate(counts, 1):
        total: Any = 0.0
        for m in range(p + 1):
            change = above[0] ** (p - m) * above[1] ** m - below[0] ** (p - m) * below[1] ** m
            total = total + math.comb(p, m) * math.factorial(m) * away * change * s[4 - m : 4 - m + count]
        found.append(total)
    return found


def _tails(neurons: Neurons, a: Any, count: int) -> list[Any]:
    """Return S_4(a), S_3(a) ... S_{1 - count}(a) for a >= 0."""
    density = neurons.xp.exp(-0.5 * a * a) / math.sqrt(2.0 * math.pi)
    up = [density, neurons.library.function_of("probit", a)(-a)]
    for j in range(1, 5):
        up.append((up[-2] - a * up[-1]) / j)
    down = [up[1], density]
    for j in range(0, 2 - count, -1):
        down.append(j * down[-2] + a * down[-1])
    return [*up[:0:-1], *down[1:]]
