"""The formulas' words in Triton: loops over nodes and components; a block takes a route only if an element does."""

from typing import TYPE_CHECKING

import triton.language as tl

from fastmoments_kernels.gpu.elementary import (
    IS_INTERPRETED,
    absolute,
    cos,
    device,
    exp,
    exp2,
    expm1,
    log,
    log1p,
    maximum,
    minimum,
    polynomial,
    sin,
    sqrt,
    unit,
    where,
    where_64,
)

if TYPE_CHECKING:
    from fastmoments_kernels.vocabulary import Real, Reals
else:
    Real = Reals = None  # Triton looks annotations up among the globals it may read


@device
def difference_of_products(a: Real, b: Real, c: Real, d: Real) -> Real:
    product = c * d
    return tl.fma(a, b, -product) + tl.fma(-c, d, product)


@device
def _entry(rule: tl.constexpr, i: Real, column: tl.constexpr, dtype: tl.constexpr) -> Real:
    """rule[i][column]; on the card i is known at run time only, and a chain of selects looks the entry up."""
    if IS_INTERPRETED:
        return tl.full((), rule[i][column], dtype)
    else:
        value = tl.full((), rule[0][column], dtype)
        for k in tl.static_range(1, len(rule)):
            value = tl.where(i == k, rule[k][column], value)
        return value


@device
def gauss_legendre(rule: tl.constexpr, integrand: tl.constexpr, context: Reals) -> Real:
    # tl.range keeps the loop: unrolled, 24 nodes spill registers. The first call only gives the type of the sum.
    total = tl.zeros_like(integrand(rule[0][0], context))
    for i in tl.range(len(rule), num_stages=1):
        node = _entry(rule, i, 0, total.dtype)
        total += _entry(rule, i, 1, total.dtype) * integrand(node, context)
    return total


@device
def _chosen(condition: Real, yes: Real, no: Real) -> Real:
    if isinstance(yes, tl.tensor):
        return tl.where(condition, yes, no)
    else:
        chosen: Reals = ()
        for i in tl.static_range(len(yes)):
            chosen = chosen + (tl.where(condition, yes[i], no[i]),)
        return chosen


@device
def _spread(condition: Real, values: Reals) -> Reals:
    """The values in the condition's shape: a variable that is assigned in an `if` must keep its shape."""
    return _chosen(condition, values, values)


@device
def either(condition: Real, first: tl.constexpr, second: tl.constexpr, arguments: Reals) -> Real:
    """A block takes the first route only if one of its elements does."""
    result = _spread(condition, second(*arguments))
    if tl.max(condition.to(tl.int32)) > 0:
        result = _chosen(condition, first(*arguments), result)
    return result


@device
def shortcut(condition: Real, quick: tl.constexpr, general: tl.constexpr, arguments: Reals) -> Real:
    """The general route, because a block has elements for both."""
    return general(*arguments)


@device
def summed(components: Reals, term: tl.constexpr, context: Reals) -> Real:
    # A loop, of which a pass has one term: unrolled, sums over pairs of components spill registers from two on. A
    # tuple has no index at run time. The first call only gives the type of the sum.
    total = tl.zeros_like(term(0, context))
    for i in tl.range(len(components), num_stages=1, disable_licm=True):
        for k in tl.static_range(len(components)):
            if i == k:
                total += term(k, context)
    return total


@device
def collected(components: Reals, function: tl.constexpr, context: Reals) -> Reals:
    values: Reals = ()
    for k in tl.static_range(len(components)):
        values = values + (function(k, context),)
    return values


WORDS = (
    exp,
    exp2,
    expm1,
    log,
    log1p,
    sqrt,
    sin,
    cos,
    absolute,
    minimum,
    maximum,
    unit,
    where,
    difference_of_products,
    polynomial,
)
VOCABULARY_32 = {word.__name__: word for word in (*WORDS, gauss_legendre, either, shortcut, summed, collected)}
VOCABULARY_64 = VOCABULARY_32 | {"where": where_64}
