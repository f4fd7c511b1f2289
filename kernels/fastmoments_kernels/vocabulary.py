"""The words formulas are written in, here on NumPy arrays; `bind` exchanges them for another backend's.

A formula is scalar mathematics without branches: `where` chooses between values, `either` between routes that
a backend may evaluate lazily (Numba takes one, array backends both), `shortcut` offers a cheaper route to a backend
that can take one route alone; `gauss_legendre` and `fitted_legendre` own the loop over nodes, `summed` and
`collected` the loops over the components of a mixture.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

# Real is a number in a formula: a float, an array or a Triton tensor, by backend. Reals is a tuple of them.
Real = Any
Reals = Any

exp = np.exp
exp2 = np.exp2
expm1 = np.expm1
log = np.log
log1p = np.log1p
sqrt = np.sqrt
sin = np.sin
cos = np.cos
absolute = np.abs
minimum = np.minimum
maximum = np.maximum
where: Callable[..., Any] = np.where


def unit(x: Real) -> Real:
    """A power of two whose square times x > 0 is from 1 up to 4, or less where x is subnormal."""
    _, exponent = np.frexp(x)
    return np.ldexp(1.0, -((exponent - 1) >> 1))


def _split(x: Real) -> tuple[Real, Real]:
    """Veltkamp's splitting of a float64 into two halves whose products are exact."""
    t = 134217729.0 * x
    high = t - (t - x)
    return high, x - high


def _two_product(a: Real, b: Real) -> tuple[Real, Real]:
    p = a * b
    (a_high, a_low), (b_high, b_low) = _split(a), _split(b)
    return p, ((a_high * b_high - p) + a_high * b_low + a_low * b_high) + a_low * b_low


def difference_of_products(a: Real, b: Real, c: Real, d: Real) -> Real:
    """a b - c d to about one ulp of the result, whatever cancels (Kahan)."""
    p, p_error = _two_product(a, b)
    q, q_error = _two_product(c, d)
    return (p - q) + (p_error - q_error)


def polynomial(coefficients: Sequence[float], x: Real) -> Real:
    """Horner's rule, highest power first."""
    total = coefficients[0]
    for coefficient in coefficients[1:]:
        total = total * x + coefficient
    return total


def gauss_legendre(rule: Sequence[tuple[float, float]], integrand: Callable[..., Real], context: Reals) -> Real:
    """Sum of weight * integrand(node, context) over the rule's pairs: the integral over (0, 1)."""
    total: Real = 0.0
    for node, weight in rule:
        total = total + weight * integrand(node, context)
    return total


def fitted_legendre(
    rules: Sequence[Any], reaches: Sequence[float], size: Real, integrand: Callable[..., Real], context: Reals
) -> Real:
    """`gauss_legendre` by the first rule whose reach is at least `size`, or by the last, right for every size."""
    return gauss_legendre(rules[-1], integrand, context)


def summed(components: Reals, term: Callable[..., Real], context: Reals) -> Real:
    """Sum of term(k, context) over the components: k = 0 ... len(components) - 1."""
    total = term(0, context)
    for k in range(1, len(components)):
        total = total + term(k, context)
    return total


def collected(components: Reals, function: Callable[..., Real], context: Reals) -> Reals:
    """The tuple of function(k, context), as long as `components`."""
    return tuple(function(k, context) for k in range(len(components)))


def either(condition: Real, first: Callable[..., Any], second: Callable[..., Any], arguments: Reals) -> Any:
    """first(*arguments) where the condition holds, second(*arguments) elsewhere; a number or a tuple of them."""
    yes, no = first(*arguments), second(*arguments)
    if isinstance(yes, tuple):
        return tuple(where(condition, a, b) for a, b in zip(yes, no, strict=True))
    return where(condition, yes, no)


def shortcut(condition: Real, quick: Callable[..., Any], general: Callable[..., Any], arguments: Reals) -> Any:
    """general(*arguments), which is right everywhere; where the condition holds quick(*arguments) equals it."""
    return general(*arguments)
