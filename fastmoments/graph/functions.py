"""Functions of one number, composed of those that a front end records, with their kinks and Lipschitz constants."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastmoments.graph.nodes import Elementwise, Map, Node, Sum
from fastmoments.parameters import kinks_of, of_neurons
from fastmoments_kernels.catalogue import row_of

Crossing = Callable[[Any], Any]  # a function of the root that changes its sign where another breaks
Numbers = Callable[[Map, Any], Any]

# From 1e-4 to 1e4 on both sides, and 0: where functions of numbers of any scale are looked at
GRID = np.concatenate([-np.geomspace(1e4, 1e-4, 1500), [0.0], np.geomspace(1e-4, 1e4, 1500)])
HALVINGS = 64  # of an interval of the grid, to the last bit
MOST = 64  # kinks


@dataclass(frozen=True)
class Function:
    """A function of one number, on a framework's arrays.

    `activation` is the object of the catalogue, if it is known. The function, or its slope, breaks at `kinks`, and
    where a crossing changes its sign. It must not be read where a divisor changes its sign.
    """

    scalar: Map | None
    activation: Any = None
    kinks: tuple[float, ...] = ()
    crossings: tuple[Crossing, ...] = ()
    divisors: tuple[Crossing, ...] = ()
    lipschitz: float | None = None
    learned: bool = False

    @classmethod
    def of(cls, node: Node) -> Function:
        """The function of a node of one input."""
        rule = node.rule
        assert isinstance(rule, Elementwise)
        divisors: tuple[Crossing, ...] = (_itself,) if rule.meaning == "quotient" else ()
        return cls(node.scalar, rule.activation, rule.kinks, (), divisors, rule.lipschitz, node.learned)

    @classmethod
    def composed(cls, node: Node, parts: Sequence[Function]) -> Function:
        """The function of a node of the inputs' functions."""
        outer, rule = node.scalar, node.rule
        maps: list[Any] = [part.scalar for part in parts]
        crossings = [crossing for part in parts for crossing in part.crossings]
        divisors = [divisor for part in parts for divisor in part.divisors]
        if isinstance(rule, Elementwise):
            # the function breaks where the inner one has these values
            kinks = rule.kinks or (() if rule.activation is None else kinks_of(rule.activation))
            crossings += [_composed(lambda x, kink=kink: x - kink, maps) for kink in kinks]
            crossings += [] if rule.crossing is None else [_composed(rule.crossing, maps)]
            divisors += maps[-1:] if rule.meaning == "quotient" else []
        learned, slope = node.learned or any(part.learned for part in parts), _lipschitz(rule, parts)
        return cls(_composed(outer, maps), None, (), tuple(crossings), tuple(divisors), slope, learned)

    def increases(self, numbers: Numbers) -> bool:
        """Whether it falls nowhere on the grid."""
        if self.scalar is None:
            return False
        with np.errstate(all="ignore"):
            values = np.asarray(numbers(self.scalar, GRID), np.float64)
        # but for rounding
        return bool((np.diff(values) >= -1e-12 * np.abs(values[1:])).all())

    def all_kinks(self, name: str, numbers: Numbers) -> tuple[float, ...]:
        """Return where the function or its slope breaks, for numbers of any scale; `name` is for errors."""
        found = set(self.kinks)
        for crossing in self.crossings:
            # kinks of inner functions tell where outer ones may cross twice between two points of the grid
            grid = np.unique([*GRID, *found])
            found |= _changes(lambda x, crossing=crossing: np.sign(numbers(crossing, x)), grid)  # type: ignore[misc]
            if len(found) > MOST:
                raise TypeError(f"{name}: it breaks at more than {MOST} points, for which it has no rule")
        return tuple(sorted(found))


def _itself(x: Any) -> Any:
    return x


IDENTITY = Function(_itself, lipschitz=1.0)


def _composed(outer: Any, maps: Sequence[Any]) -> Crossing:
    return lambda x: outer(*(inner(x) for inner in maps))


def _lipschitz(rule: Any, parts: Sequence[Function]) -> float | None:
    """Slopes multiply along a chain and add up in a sum; those of products are not known."""
    slopes = [part.lipschitz for part in parts]
    if any(slope is None for slope in slopes):
        return None
    known = [slope for slope in slopes if slope is not None]
    if isinstance(rule, Sum):
        if not all(isinstance(a, int | float) for a in rule.factors):
            return None
        return sum(abs(float(a)) * slope for a, slope in zip(rule.factors, known, strict=True))
    if not isinstance(rule, Elementwise):
        return None
    own = rule.lipschitz if rule.activation is None else lipschitz(rule.activation)
    return None if own is None else own * max(known)


def _changes(sign: Callable[[Any], Any], grid: Any) -> set[float]:
    """Return the points where a function of values -1, 0 and 1 changes, from one point of the grid to the next."""
    signs = sign(grid)
    at = np.flatnonzero(signs[1:] != signs[:-1])
    low, high, start = grid[at], grid[at + 1], signs[at]
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        same = sign(middle) == start
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    # a sign that is 0 at a single point changes on both of its sides
    return {float(x) for x in np.where(np.abs(low) < np.abs(high), low, high)}


def lipschitz(activation: Any) -> float | None:
    """Sup |f'| of an activation, the largest of all its neurons'; None if it is not known."""
    activation, parameters = of_neurons(activation)
    if not isinstance(activation, str):
        slope: float | None = activation.lipschitz
        return slope
    values = [x.numpy(force=True) if hasattr(x, "is_meta") else x for x in parameters.values()]
    return float(np.max(row_of(activation).formula.lipschitz(*values)))


def is_stochastic(activation: Any) -> bool:
    """Whether f(x) is random given x."""
    name, _ = of_neurons(activation)
    return isinstance(name, str) and hasattr(row_of(name).formula, "conditional_var")
