"""Which activation a function is: by its name, by its values, or to a tolerance."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fastmoments.composed.base import Composed
from fastmoments.composed.elu import ELU, SELU
from fastmoments.composed.exp import Exp
from fastmoments.composed.logistic import LOGISTIC
from fastmoments.composed.piecewise import HardSigmoid, HardTanh, Piecewise, ReLU6
from fastmoments.composed.polynomial import Polynomial
from fastmoments.graph.functions import GRID, Function, lipschitz
from fastmoments.graph.nodes import Elementwise, Graph, Map
from fastmoments.parameters import kinks_of, of_neurons
from fastmoments_kernels.catalogue import CATALOGUE, Gaussian, LeakyReLU, ReLU, parameters_of, row_of
from fastmoments_kernels.custom import READY, Custom, evaluate

# A function that has another's values at so many points, to rounding, is that function
PROBES = np.array([-7.3, -4.1, -3.1, -2.3, -1.6, -1.0, -0.7, -0.31, -0.1, 0.05, 0.2, 0.45, 0.8, 1.0, 1.4, 1.9, 2.7])
PROBES = np.concatenate([PROBES, [3.3, 5.7, 8.9]])
SAME = 1e-13  # of values, to their size: a few roundings
NEAR = 1e-9  # of values far out and near 0, which other ways to compute a function round more
MANY = 16  # knots: a function of more costs more than quadrature
# Functions that libraries put together of others: kinks and sup |f'|
NAMED: tuple[Any, ...] = (
    (lambda x: x / (1.0 + np.abs(x)), (0.0,), 1.0),  # softsign
    (lambda x: x - np.tanh(x), (), 1.0),  # tanhshrink
    (lambda x: x * np.tanh(np.logaddexp(0.0, x)), (), 1.0884981612517279),  # mish
    (lambda x: x * np.clip(x + 3.0, 0.0, 6.0) / 6.0, (-3.0, 3.0), 1.5),  # hard_silu
)


class Identified(NamedTuple):
    """scale * f + shift, f an activation."""

    activation: Any
    scale: float = 1.0
    shift: float = 0.0


def is_closed(rule: Elementwise) -> bool:
    """Whether a recorded function is known to have closed forms."""
    return rule.activation is not None and not isinstance(rule.activation, str | Custom)


def activation_of(name: str, function: Function, graph: Graph) -> Identified:
    """Return the activation of a function, else the function itself to a tolerance; `name` is for errors."""
    if function.activation is not None:
        return Identified(function.activation)
    if function.scalar is None:
        raise TypeError(
            f"{name}: its constants differ from neuron to neuron, for which it has no rule; use "
            "fm.nn.Activation(..., features=) or a rule of your own"
        )
    if function.learned:
        # also if its values are those of an activation now
        raise TypeError(
            f"{name}: its parameters have gradients, and a function of several operations has none along them; use "
            "requires_grad_(False), torch.no_grad(), or fm.nn.Activation(..., learnable=)"
        )
    with np.errstate(all="ignore"):
        _check(name, function, graph)
        values = np.asarray(graph.numbers(function.scalar, PROBES), np.float64)
        kinks = function.all_kinks(name, graph.numbers)
        for found in (_of_catalogue(values, graph.same), _of_sections(function.scalar, kinks, graph)):
            if found is not None and _everywhere(function, *_known_of(found, kinks), graph):
                return found
        kinks, slope = _of_named(function, values, kinks, graph) or (kinks, function.lipschitz)
    return Identified(Custom(graph.custom(function.scalar), kinks=kinks, lipschitz=slope))


def _check(name: str, function: Function, graph: Graph) -> None:
    """Raise for functions whose moments are infinite or undefined for every Gaussian."""
    assert function.scalar is not None
    if not np.isfinite(graph.numbers(function.scalar, PROBES)).all():
        raise TypeError(f"{name}: it is not finite at all numbers, so that no Gaussian has moments behind it")
    for divisor in function.divisors:
        signs = np.sign(graph.numbers(divisor, GRID))
        if (signs != signs[0]).any():
            raise TypeError(f"{name}: it divides by what may be 0, so that no Gaussian has moments behind it")


def _of_catalogue(values: Any, same: float) -> Identified | None:
    """The activation of the catalogue, scaled, that has these values at PROBES."""
    if _same(values, 0.0 * values, same):
        return None
    slopes = values / PROBES
    above, below = slopes[-1], slopes[0]
    if _same(values, np.where(PROBES > 0.0, above, below) * PROBES, same) and above != below:
        if above == 0.0:
            return None
        ratio = float(below / above)
        return Identified(ReLU() if ratio == 0.0 else LeakyReLU(ratio), float(above))
    bump = _of_bump(values, same)
    if bump is not None:
        return bump
    polynomial = _of_polynomial(values, same)
    if polynomial is not None:
        return polynomial
    elu = _of_elu(values, same)
    if elu is not None:
        return elu
    for known, own in _known():
        # f = scale * known + shift, by the two points at which they differ most
        low, high = int(np.argmin(own)), int(np.argmax(own))
        scale = (values[high] - values[low]) / (own[high] - own[low])
        shift = values[low] - scale * own[low]
        size = np.abs(values).max()
        scale, shift = _rounded(scale, size), _rounded(shift, size)
        if scale != 0.0 and _same(values, scale * own + shift, same):
            return Identified(known, scale, shift)
    return None


def _of_sections(scalar: Map, kinks: Sequence[float], graph: Graph) -> Identified | None:
    """The function that is linear between these kinks, or None where it bends between two."""
    knots = tuple(dict.fromkeys(float(_rounded(kink, 1.0)) for kink in kinks))
    if not 0 < len(knots) <= MANY:
        return None
    ends = np.array([knots[0] - 2.0, *knots, knots[-1] + 2.0])
    shares = np.array([0.25, 0.5, 0.75])
    points = ends[:-1, None] + np.diff(ends)[:, None] * shares
    values = np.asarray(graph.numbers(scalar, points.ravel()), np.float64).reshape(points.shape)
    size = np.abs(values).max()
    bends = values[:, 0] - 2.0 * values[:, 1] + values[:, 2]
    if (np.abs(bends) > max(SAME, graph.same) * size * 4.0).any():
        return None
    slopes = [float(_rounded(x, 1.0)) for x in (values[:, 2] - values[:, 0]) / (points[:, 2] - points[:, 0])]
    below = values[:-1, 1] + slopes[:-1] * (np.array(knots) - points[:-1, 1])
    above = values[1:, 1] + slopes[1:] * (np.array(knots) - points[1:, 1])
    jumps = np.where(np.abs(above - below) <= max(NEAR, graph.same) * size, 0.0, above - below)
    numbers = tuple(slopes), tuple(float(_rounded(x, 1.0)) for x in jumps), float(_rounded(below[0], 1.0))
    return Identified(_named(knots, *numbers))


def _named(knots: tuple[float, ...], slopes: tuple[float, ...], jumps: tuple[float, ...], value: float) -> Any:
    """The activation of these sections, by its name if it clips."""
    if jumps == (0.0,) * len(knots):
        if slopes == (0.0, 1.0, 0.0) and value == knots[0]:
            return HardTanh(*knots)
        if slopes in ((0.0, 1.0), (1.0, 0.0)) and value == knots[0]:
            return HardTanh(knots[0], None) if slopes[0] == 0.0 else HardTanh(None, knots[0])
    return Piecewise(knots, slopes, jumps, value)


def _of_bump(values: Any, same: float) -> Identified | None:
    """The bump scale * exp(-tau (x - center)^2 / 2) of these values at PROBES; its logarithm is a parabola."""
    near = np.abs(PROBES) < 2.0  # where none but the narrowest are 0
    if not ((values[near] > 0.0).all() or (values[near] < 0.0).all()):
        return None
    a, b, c = np.polyfit(PROBES[near], np.log(np.abs(values[near])), 2)
    if not a < -1e-8:
        return None
    tau, center = float(_rounded(-2.0 * a, 1.0)), float(_rounded(-0.5 * b / a, 1.0))
    scale = float(_rounded(np.sign(values[near][0]) * np.exp(c - 0.25 * b * b / a), 1.0))
    found = scale * np.exp(-0.5 * tau * (PROBES - center) ** 2)
    return Identified(Gaussian(tau=tau, center=center), scale) if _same(values, found, same) else None


def _of_polynomial(values: Any, same: float) -> Identified | None:
    """The polynomial of these values at PROBES, of a degree from 2 to 6, less its constant."""
    scale = np.abs(PROBES).max()
    for degree in range(2, 7):
        powers = (PROBES[:, None] / scale) ** np.arange(degree + 1.0)
        weights = np.linalg.lstsq(powers, values, rcond=None)[0]
        if not _same(values, powers @ weights, same):
            continue
        found = [_rounded(x, 1.0) for x in weights / scale ** np.arange(degree + 1.0)]
        if _same(values, PROBES[:, None] ** np.arange(degree + 1.0) @ found, same):
            return Identified(Polynomial((0.0, *found[1:])), 1.0, float(found[0]))
    return None


def _of_elu(values: Any, same: float) -> Identified | None:
    """Scale * elu of these values at PROBES, a line through 0 above it and an exponential below."""
    scale = float(_rounded(values[-1] / PROBES[-1], 1.0))
    if scale == 0.0:
        return None
    at = int(np.argmin(PROBES))
    alpha = float(_rounded(values[at] / (scale * np.expm1(PROBES[at])), 1.0))
    found = Identified(ELU(alpha), scale)
    return found if _same(values, scale * _values(found.activation, PROBES), same) else None


def _everywhere(function: Function, known: Map, breaks: Sequence[float], graph: Graph) -> bool:
    """Whether a function that has a known one's values at PROBES has them far out and between all kinks too."""
    ends = np.unique(breaks)
    # not at jumps, 0 or between a kink and itself but for rounding: they may have any value there
    apart = np.diff(ends) > SAME * np.maximum(np.abs(ends[1:]), np.abs(ends[:-1]))
    points = np.concatenate([GRID[GRID != 0.0], 0.5 * (ends[1:] + ends[:-1])[apart]])
    one, two = np.asarray(graph.numbers(function.scalar, points), np.float64), known(points)  # type: ignore[arg-type]
    size = np.abs(two[np.abs(points) < 10.0]).max()
    off = np.abs(one - two) - max(NEAR, graph.same) * np.maximum(np.maximum(np.abs(one), np.abs(two)), size)
    # other ways to compute it overflow far out
    return bool(((off <= 0.0) | ~np.isfinite(one)).all())


def _known_of(found: Identified, kinks: Sequence[float]) -> tuple[Map, Sequence[float]]:
    """The function of what was found, and all points where it or the given one breaks."""
    of = found.activation
    return lambda x: found.scale * _values(of, x) + found.shift, (*kinks, *kinks_of(of))


def jumps(activation: Any) -> bool:
    """Whether it has different values on both sides of a kink, and is not a step."""
    known, _ = of_neurons(activation)
    if isinstance(known, str):
        return False
    ends = np.asarray(known.kinks)
    step = 1e-9 * (1.0 + np.abs(ends))
    with np.errstate(all="ignore"):
        gap = np.abs(_values(known, ends + step) - _values(known, ends - step))
        return bool((gap > 1e3 * step * (1.0 + np.abs(_values(known, ends)))).any())


def breaks(activation: Any) -> bool:
    """Whether it has different values on both sides of a kink, as a step has, or is random."""
    known, _ = of_neurons(activation)
    return lipschitz(activation) == np.inf if isinstance(known, str) else jumps(activation)


def _of_named(
    function: Function, values: Any, kinks: Sequence[float], graph: Graph
) -> tuple[tuple[float, ...], float] | None:
    """The kinks and sup |f'| of the function of NAMED that has these values."""
    for f, own, slope in NAMED:
        if _same(values, f(PROBES), graph.same) and _everywhere(function, f, (*kinks, *own), graph):
            return own, slope
    return None


def _known() -> list[tuple[Any, Any]]:
    """Activations and their values at PROBES."""
    rows = [row for row in CATALOGUE if not row.components and not hasattr(row.formula, "conditional_var")]
    composed = ReLU6(), HardSigmoid(), SELU(), Exp()
    ready = (name for name in READY if name not in LOGISTIC)
    known = *(row.activation() for row in rows), *LOGISTIC.values(), *ready, *composed
    return [(activation, _values(activation, PROBES)) for activation in known]


def _values(activation: Any, x: Any) -> Any:
    """An activation's values."""
    activation = READY[activation] if isinstance(activation, str) else activation
    if isinstance(activation, Custom):
        return evaluate(activation, x)
    if isinstance(activation, Composed):
        return activation.function(np, x)
    return np.asarray(row_of(activation).formula.function(x, *parameters_of(activation).values()))


def _rounded(x: float, size: float) -> float:
    """The number without its rounding error, which would cost a scaling by 1 + eps."""
    near = round(x * 1024.0) / 1024.0
    return near if abs(x - near) <= 64.0 * SAME * max(size, 1.0) else float(x)


def _same(one: Any, two: Any, same: float) -> bool:
    return bool((np.abs(one - two) <= same * np.maximum(np.abs(one), np.abs(two)).max()).all())
