"""The formulas' words on Numba, for float64, float32 and packs: products by fma, lazy routes, loops over nodes."""

import math
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any

import numba
import numpy as np
from numba.cpython.unsafe.tuple import tuple_setitem

from fastmoments_kernels.bind import Binding
from fastmoments_kernels.cpu import elementary
from fastmoments_kernels.cpu.intrinsics import as_integer, polynomial, single, unit, where
from fastmoments_kernels.cpu.packs import LANES, chosen, lane, somewhere, with_lane
from fastmoments_kernels.vocabulary import Real, Reals

Array = Any  # an array in code that Numba compiles

# without `fastmath` a function would take that of its first caller, such as `_gauss_legendre`
inline = numba.njit(error_model="numpy", forceinline=True, fastmath=False)
reordered = numba.njit(error_model="numpy", forceinline=True, fastmath={"reassoc", "nsz"})
unrolled = numba.njit(error_model="numpy", inline="always")


def constant(value: Any) -> Any:
    """A global for Numba: quadrature rules become arrays (2, n), which the loop over nodes indexes."""
    if not (isinstance(value, tuple) and isinstance(value[0], tuple)):
        return value
    is_rule = isinstance(value[0][0], float)
    return np.array(value).T.copy() if is_rule else tuple(constant(rule) for rule in value)


def single_constant(value: Any) -> Any:
    """`constant` in float32: Numba takes Python's numbers for float64, and converts their partners to it."""
    if isinstance(value, float):
        return np.float32(value)
    if isinstance(value, tuple) and isinstance(value[0], float):
        return tuple(np.float32(entry) for entry in value)
    known = constant(value)
    if isinstance(known, tuple) and isinstance(known[0], np.ndarray):
        return tuple(rule.astype(np.float32) for rule in known)
    return known.astype(np.float32) if isinstance(known, np.ndarray) else known


def binding(real: str, names: Mapping[str, Any], compile: Callable[[FunctionType], Any]) -> Binding:
    """A Binding to these names for float64, float32 or packs ("pack"), with numbers in that dtype."""
    if real != "float32":
        return Binding(names, compile, constant)
    return Binding(names, compile, single_constant, literal=np.float32)


def _gauss_legendre(rule: Array, integrand: Callable[..., Real], context: Reals) -> Real:
    # only this sum may be reordered, so that the nodes can be a vector
    total = 0.0
    for i in range(rule.shape[1]):
        total += rule[1, i] * integrand(rule[0, i], context)
    return total


def _fitted_legendre(
    rules: Any, reaches: tuple[float, ...], size: Real, integrand: Callable[..., Real], context: Reals
) -> Real:
    last, j = len(rules) - 1, 0
    while j < last and not size <= reaches[j]:
        j += 1
    return _gauss_legendre(rules[j], integrand, context)


# These are inlined as Python code: they nest, and Numba takes the nesting of one function for recursion.
@unrolled
def either(
    condition: bool, first: Callable[..., Any], second: Callable[..., Any], arguments: tuple[Any, ...]
) -> Any:
    if condition:
        return first(*arguments)
    return second(*arguments)


@unrolled
def summed(components: tuple[Any, ...], term: Callable[..., float], context: tuple[Any, ...]) -> float:
    total = term(0, context)
    for k in range(1, len(components)):
        total += term(k, context)
    return total


@unrolled
def collected(components: tuple[Any, ...], function: Callable[..., float], context: tuple[Any, ...]) -> Any:
    # all numbers: `components` is a tuple of the right type to begin with
    values = components
    for k in range(len(components)):
        values = tuple_setitem(values, k, function(k, context))
    return values


@inline
def sin(x: float) -> float:
    return math.sin(x)


@inline
def cos(x: float) -> float:
    return math.cos(x)


SINGLE = {name: single_constant(value) for name, value in elementary.SINGLE.items()}
# in float64: of a million, float32 would leave three bits for the remainder after quarter turns
_quarter_turns = binding("float64", {}, inline)(elementary.quarter_turns)
_turned = binding("float32", SINGLE, inline)(elementary.turned)


@inline
def sin_single(x: float) -> Any:
    r, quarters = _quarter_turns(x)
    return _turned(single(r), as_integer(quarters))


@inline
def cos_single(x: float) -> Any:
    r, quarters = _quarter_turns(x)
    return _turned(single(r), as_integer(quarters) + 1)


def _words(real: str, constants: Mapping[str, Any], **others: Any) -> dict[str, Any]:
    """The vocabulary in a dtype: functions of elementary.py with these constants, and `others`."""
    names = (
        "exp",
        "exp2",
        "expm1",
        "log",
        "log1p",
        "sqrt",
        "absolute",
        "minimum",
        "maximum",
        "difference_of_products",
    )
    bound = binding(real, constants, inline)
    return {
        **{name: bound(getattr(elementary, name)) for name in names},
        **others,
        "where": where,
        "unit": unit,
        "polynomial": polynomial,
        "gauss_legendre": binding(real, {}, reordered)(_gauss_legendre),
        "fitted_legendre": binding(real, {}, reordered)(_fitted_legendre),
        "either": either,
        "shortcut": either,
        "summed": summed,
        "collected": collected,
    }


VOCABULARY = {
    "float64": _words("float64", {}, sin=sin, cos=cos),
    "float32": _words("float32", SINGLE, sin=sin_single, cos=cos_single),
}


def _gauss_legendre_by_lanes(rule: Array, integrand: Callable[..., Real], context: Reals) -> Real:
    total = rule[1, 0] * integrand(rule[0, 0], context)
    for i in range(1, rule.shape[1]):
        total = total + rule[1, i] * integrand(rule[0, i], context)
    return total


def _fitted_by_lanes(
    rules: Any, reaches: tuple[float, ...], size: Real, integrand: Callable[..., Real], context: Reals
) -> Real:
    # every lane by the nodes of its own rule, in as many steps as the longest of them takes: beyond its rule a lane
    # adds 0, so that its bits do not depend on the others
    last, steps = len(rules) - 1, rules[0].shape[1]
    for j in range(last):
        if somewhere(~(size <= reaches[j])):
            steps = rules[j + 1].shape[1]
    total = 0.0 * size
    for i in range(steps):
        node, share = 0.0 * size + rules[last][0, i], 0.0 * size + rules[last][1, i]
        for j in range(last - 1, -1, -1):
            here, inside = size <= reaches[j], i < rules[j].shape[1]
            node = where(here, rules[j][0, i] if inside else 0.0, node)
            share = where(here, rules[j][1, i] if inside else 0.0, share)
        total = total + share * integrand(node, context)
    return total


@unrolled
def _either_by_lanes(
    condition: Any, first: Callable[..., Any], second: Callable[..., Any], arguments: tuple[Any, ...]
) -> Any:
    if somewhere(condition):
        yes = first(*arguments)
    if somewhere(~condition):
        no = second(*arguments)
    return chosen(condition, yes, no)


@inline
def _sin_by_lanes(x: Any) -> Any:
    value = x
    for i in range(LANES):
        value = with_lane(value, i, math.sin(lane(x, i)))
    return value


@inline
def _cos_by_lanes(x: Any) -> Any:
    value = x
    for i in range(LANES):
        value = with_lane(value, i, math.cos(lane(x, i)))
    return value


_bound = binding("float64", {}, inline)
VOCABULARY["pack"] = VOCABULARY["float64"] | {
    "sin": _sin_by_lanes,
    "cos": _cos_by_lanes,
    "gauss_legendre": _bound(_gauss_legendre_by_lanes),
    "fitted_legendre": _bound(_fitted_by_lanes),
    "either": _either_by_lanes,
    "shortcut": _either_by_lanes,
}
