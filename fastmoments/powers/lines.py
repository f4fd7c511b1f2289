"""Functions that are linear between knots: powers are polynomials between knots, whose integrals have closed forms.

The polynomial of mu's own section is integrated over the whole line. At every knot that of the next section takes
its place on the side away from mu: for a knot a sds away and powers of t = |z| - a behind it,

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
# sd in distances between knots, in float64 and float32: polynomials beyond them cancel like its fourth power
WIDEST, WIDEST_32 = 3.0, 0.75


def by_lines(neurons: Neurons, sections: Sections, counts: Counts) -> Moments:
    """Integrate every section's polynomials."""
    xp, mu, sd, centre, scale = neurons.xp, neurons.mu, neurons.sd, neurons.centre, neurons.scale
    (knot, value, slope), *others = sections.anchors
    line, own = value + slope * (mu - knot), slope + 0.0 * mu
    for knot, value, slope in others:
        line = xp.where(mu > knot, value + slope * (mu - knot), line)
        own = xp.where(mu > knot, slope, own)
    found = _whole(xp, (line - centre) / scale, own * sd / scale, counts)
    for (below, above), jump in zip(pairwise(sections.anchors), sections.jumps, strict=True):
        knot = above[0]
        left = below[1] + below[2] * (knot - below[0])
        away, tails = _tails(neurons, knot, max(counts))
        # powers of a level may be infinite where tails are 0
        near = xp.abs(knot - mu) < FAR * sd
        for side, level, slope in ((away, above[1], above[2]), (-away, left, below[2])):
            rise = 0.0 if _is_zero(slope) else slope * sd / scale
            height = xp.where(near, level - centre, 0.0) / scale
            turned = _behind(side * tails, height, rise, counts, bool(jump))
            found = [a if b is None else a + b for a, b in zip(found, turned, strict=True)]
    return found


def _whole(xp: Any, v: Any, b: Any, counts: Counts) -> Moments:
    """E (v + b Z)^p He_k(Z) = p! / (p - k)! b^k E (v + b Z)^(p - k)."""
    v_2, b_2, none = v * v, b * b, xp.zeros_like(v)
    plain = [none + 1.0, v, v_2 + b_2, v * (v_2 + 3.0 * b_2), v_2 * (v_2 + 6.0 * b_2) + 3.0 * b_2 * b_2]
    power = [none + 1.0, b, b_2, b * b_2, b_2 * b_2]
    return [
        xp.stack([math.perm(p, k) * power[k] * plain[p - k] if k <= p else none for k in range(count)])
        for p, count in enumerate(counts, 1)
    ]


def _behind(tails: Any, level: Any, rise: Any, counts: Counts, jumps: bool) -> list[Any]:
    """Integrate (level + rise t)^p He_k from a knot on; without its constant, unless f jumps there; None for 0.

    Constants on both sides of a knot without a jump cancel.
    """
    orders = range(0 if jumps else 1, 1 if _is_zero(rise) else 5)
    found: list[Any] = [None] * len(counts)
    powers = [None, level]
    for _ in counts[1:]:
        powers.append(powers[-1] * level)
    raised: Any = 1.0
    for m in range(5):
        if m in orders:
            own = tails[4 - m : 4 - m + max(counts)] * raised
            for p, count in enumerate(counts, 1):
                if m <= p:
                    term = math.perm(p, m) * own[:count] * (powers[p - m] if m < p else 1.0)
                    found[p - 1] = term if found[p - 1] is None else found[p - 1] + term
        raised = raised * rise
    return found


def _is_zero(x: Any) -> bool:
    return isinstance(x, int | float) and x == 0.0


def _tails(neurons: Neurons, knot: float, count: int) -> tuple[Any, Any]:
    """Return the direction away from mu, 1 or -1, and S_4, S_3 ... S_{1 - count} of the knot's distance in sds.

    Every second of them has the direction as a factor: He_k(-z) = (-1)^k He_k(z), and slopes turn around as well.
    """
    xp, distance = neurons.xp, knot - neurons.mu
    away = xp.where(distance < 0.0, -xp.ones_like(distance), xp.ones_like(distance))
    a = away * neurons.standardised(distance, FAR)
    density = xp.exp(-0.5 * a * a) / math.sqrt(2.0 * math.pi)
    up = [density, neurons.library.function_of("probit", a)(-a)]
    for j in range(1, 5):
        up.append((up[-2] - a * up[-1]) / j)
    down = [up[1], density]
    for j in range(0, 2 - count, -1):
        down.append(j * down[-2] + a * down[-1])
    found = [*up[:0:-1], *down[1:]]
    return away, xp.stack([x if i % 2 == 0 else away * x for i, x in enumerate(found)])
