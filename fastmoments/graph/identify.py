"""Which activation a function is: by its name, by its values, or to a tolerance."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fastmoments.graph.functions import GRID, Function, kinks_of
from fastmoments.graph.nodes import Elementwise, Graph
from fastmoments_kernels.catalogue import CATALOGUE, LeakyReLU, ReLU, parameters_of, row_of
from fastmoments_kernels.custom import READY, Custom, evaluate

# A function that has another's values at so many points, to rounding, is that function
PROBES = np.array([-7.3, -4.1, -3.1, -2.3, -1.6, -1.0, -0.7, -0.31, -0.1, 0.05, 0.2, 0.45, 0.8, 1.0, 1.4, 1.9, 2.7])
PROBES = np.concatenate([PROBES, [3.3, 5.7, 8.9]])
SAME = 1e-13  # of values, to their size: a few roundings
NEAR = 1e-9  # of values far out and near 0, which other ways to compute a function round more
DEFAULTS = ("abs", "heaviside", "probit", "erf", "gelu", "sin", "cos", "gaussian")


# Functions that libraries put together of others: kinks and sup |f'|
NAMED: tuple[Any, ...] = (
    (lambda x: x / (1.0 + np.abs(x)), (0.0,), 1.0),  # softsign
    (lambda x: x - np.tanh(x), (), 1.0),  # tanhshrink
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
        raise TypeError(
            f"{name}: its parameters have gradients, and a function without a closed form has none along them; "
            "use requires_grad_(False) or torch.no_grad(), or fm.nn.Activation(..., learnable=)"
        )
    with np.errstate(all="ignore"):
        _check(name, function, graph)
        values = np.asarray(graph.numbers(function.scalar, PROBES), np.float64)
        kinks, slope = function.all_kinks(name, graph.numbers), function.lipschitz
        found = _of_catalogue(values)
        if found is not None and _everywhere(function, found, kinks, graph):
            return found
        slope = _slope_of_named(values, kinks) or slope
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


def _of_catalogue(values: Any) -> Identified | None:
    """The activation of the catalogue, scaled, that has these values at PROBES."""
    if _same(values, 0.0 * values):
        return None
    slopes = values / PROBES
    above, below = slopes[-1], slopes[0]
    if _same(values, np.where(PROBES > 0.0, above, below) * PROBES) and above != below:
        if above == 0.0:
            return None
        ratio = float(below / above)
        return Identified(ReLU() if ratio == 0.0 else LeakyReLU(ratio), float(above))
    for known, own in _known():
        # f = scale * known + shift, by the two points at which they differ most
        low, high = int(np.argmin(own)), int(np.argmax(own))
        scale = (values[high] - values[low]) / (own[high] - own[low])
        shift = values[low] - scale * own[low]
        size = np.abs(values).max()
        scale, shift = _rounded(scale, size), _rounded(shift, size)
        if scale != 0.0 and _same(values, scale * own + shift):
            return Identified(known, scale, shift)
    return None


def _everywhere(function: Function, found: Identified, kinks: Sequence[float], graph: Graph) -> bool:
    """Whether a function that has a known one's values at PROBES has them far out and between all kinks too."""
    breaks = np.unique([*kinks, *kinks_of(found.activation)])
    # not at 0, where jumps may have any value
    points = np.concatenate([GRID[GRID != 0.0], 0.5 * (breaks[1:] + breaks[:-1])])
    one = np.asarray(graph.numbers(function.scalar, points), np.float64)  # type: ignore[arg-type]
    two = found.scale * _values(found.activation, points) + found.shift
    size = np.abs(two[np.abs(points) < 10.0]).max()
    near = np.abs(one - two) <= NEAR * np.maximum(np.maximum(np.abs(one), np.abs(two)), size)
    # other ways to compute it overflow far out
    return bool((near | ~np.isfinite(one)).all())


def _slope_of_named(values: Any, kinks: Sequence[float]) -> float | None:
    """Sup |f'| of the function of NAMED that has these values at PROBES, and kinks."""
    return next((slope for f, own, slope in NAMED if own == kinks and _same(values, f(PROBES))), None)


def _known() -> list[tuple[Any, Any]]:
    """Activations and their values at PROBES."""
    rows = {row.name: row for row in CATALOGUE}
    return [(known, _values(known, PROBES)) for known in (*(rows[name].activation() for name in DEFAULTS), *READY)]


def _values(activation: Any, x: Any) -> Any:
    """An activation's values."""
    if isinstance(activation, str):
        return evaluate(READY[activation], x)
    return np.asarray(row_of(activation).formula.function(x, *parameters_of(activation).values()))


def _rounded(x: float, size: float) -> float:
    """The number without its rounding error, which would cost a scaling by 1 + eps."""
    near = round(x * 1024.0) / 1024.0
    return near if abs(x - near) <= 64.0 * SAME * max(size, 1.0) else float(x)


def _same(one: Any, two: Any) -> bool:
    return bool((np.abs(one - two) <= SAME * np.maximum(np.abs(one), np.abs(two)).max()).all())
