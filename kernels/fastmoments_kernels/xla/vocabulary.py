"""The formulas' words on JAX's arrays, such that automatic differentiation through them is right.

At a tie, where jax.numpy averages two derivatives, the words below take that of one side: on both sides of a kink
of |x| or max(a, b) a formula is one smooth function written in two ways, and either derivative is right.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental.shard_alike import shard_alike

from fastmoments_kernels.arrays import Words
from fastmoments_kernels.vocabulary import polynomial

Real = jax.Array
Reals = tuple[Any, ...]  # of arrays, nested where a formula passes tuples


def absolute(x: Real) -> Real:
    """|x|, with derivative 1 at 0."""
    return jnp.where(x < 0.0, -x, x)


def maximum(a: Real, b: Real) -> Real:
    """The larger of a and b, with the derivative of a at a tie; nan where either is nan."""
    return jnp.where((a < b) | (b != b), b, a)


def minimum(a: Real, b: Real) -> Real:
    """The smaller of a and b, with the derivative of b at a tie; nan where either is nan."""
    return jnp.where((a < b) | (a != a), a, b)


def unit(x: Real) -> Real:
    """A power of two whose square times x > 0 is from 1 up to 4, or less where x is subnormal; a constant."""
    info = np.finfo(x.dtype)
    integer, bias = (jnp.int64, 1023) if info.bits == 64 else (jnp.int32, 127)
    exponent = (lax.bitcast_convert_type(lax.stop_gradient(x), integer) >> info.nmant) & (2 * bias + 1)
    return lax.bitcast_convert_type(((3 * bias + 1 - exponent) >> 1) << info.nmant, x.dtype)


# 2 atanh(s) / (2 s) - 1 in s^2, highest power first: for |s| <= 0.27 the term left out is 1e-19
ATANH = tuple(1.0 / (2 * k + 1) for k in range(15, 0, -1))


def log1p(x: Real) -> Real:
    """log(1 + x), near 0 by 2 atanh(x / (2 + x)): XLA's own is 100 eps off in float64, for example at -0.4.

    The rounding of 1 + x cannot be corrected, because XLA simplifies (1 + x) - 1 to x.
    """
    near = jnp.where(jnp.abs(x) < 0.42, x, 0.0)
    s = near / (2.0 + near)
    square = s * s
    return jnp.where(jnp.abs(x) < 0.42, 2.0 * s + 2.0 * s * square * polynomial(ATANH, square), jnp.log(1.0 + x))


def _halves(x: Real) -> tuple[Real, Real]:
    """x as a sum of two numbers of at most half its digits, by an operation that compilers do not simplify."""
    info = np.finfo(x.dtype)
    high = lax.reduce_precision(x, info.nexp, (info.nmant - 1) // 2)
    return high, x - high


def _two_product(a: Real, b: Real) -> tuple[Real, Real]:
    """(a b, its error), by Dekker's algorithm.

    Its products are products of halves, which are exact: contraction of products and sums to fma, which XLA's
    compilers do, changes nothing.
    """
    (a_high, a_low), (b_high, b_low) = _halves(a), _halves(b)
    large, small = a_high * b_high, a_high * b_low + a_low * b_high
    total = large + small
    return total, ((large - total) + small) + a_low * b_low


@jax.custom_jvp
def _difference(a: Real, b: Real, c: Real, d: Real) -> Real:
    (p, p_error), (q, q_error) = _two_product(a, b), _two_product(c, d)
    return (p - q) + (p_error - q_error)


@_difference.defjvp
def _difference_jvp(primals: Reals, tangents: Reals) -> tuple[Real, Real]:
    """The derivative of a b - c d: that of the errors is 0, and must not be formed from the errors' operations."""
    (a, b, c, d), (a_dot, b_dot, c_dot, d_dot) = primals, tangents
    return _difference(a, b, c, d), (a_dot * b + a * b_dot) - (c_dot * d + c * d_dot)


def difference_of_products(a: Real, b: Real, c: Real, d: Real) -> Real:
    """a b - c d to about one ulp of the result, whatever cancels."""
    dtype = jnp.result_type(a, b, c, d)
    return _difference(*(jnp.asarray(x, dtype) for x in jnp.broadcast_arrays(a, b, c, d)))


def gauss_legendre(rule: Sequence[tuple[float, float]], integrand: Callable[..., Real], context: Reals) -> Real:
    """The integral over (0, 1), one node at a time; a derivative evaluates every node again and stores none."""
    dtype = jnp.result_type(*jax.tree.leaves(context))
    nodes = jnp.asarray(rule, dtype)

    @jax.checkpoint
    def add(total: Real, node: Real) -> tuple[Real, None]:
        return total + node[1] * integrand(node[0], context), None

    shape = jax.eval_shape(integrand, nodes[0, 0], context).shape
    total, _ = lax.scan(add, jnp.zeros(shape, dtype), nodes)
    return total


def either(condition: Real, first: Callable[..., Any], second: Callable[..., Any], arguments: Reals) -> Any:
    """Both routes, and of each element the first where the condition holds; a number or a tuple of them."""
    return jax.tree.map(lambda yes, no: jnp.where(condition, yes, no), first(*arguments), second(*arguments))


def rule(function: Callable[..., Real], partials: Callable[..., Reals]) -> Callable[..., Real]:
    """The function with its partials as derivatives; partials are formulas and differentiable too."""

    def along(tangents: Reals, value: Real, slopes: Reals) -> Real:
        terms = [
            slope * tangent
            # an argument without a partial (the slack) has no tangent either
            for slope, tangent in zip(slopes, tangents, strict=False)
            # an infinite derivative along an argument without tangent must not become 0 * inf
            if not isinstance(tangent, jax.custom_derivatives.SymbolicZero)
        ]
        return sum(terms, jnp.zeros_like(value))

    def jvp(primals: Reals, tangents: Reals) -> tuple[Real, Real]:
        value, slopes = function(*primals), partials(*primals)
        if not isinstance(value, tuple):
            return value, along(tangents, value, slopes)
        return value, tuple(along(tangents, *each) for each in zip(value, slopes, strict=True))

    differentiable = jax.custom_jvp(function)
    differentiable.defjvp(jvp, symbolic_zeros=True)
    return differentiable


_sharded_alike: Callable[..., tuple[Real, Real]] = shard_alike


def diagonal(matrix: Real) -> Real:
    """The diagonal, as sums over rows in which all else is 0: indexing would gather a sharded matrix."""
    return jnp.sum(jnp.where(jnp.eye(matrix.shape[-1], dtype=bool), matrix, 0.0), -1)


def transpose(matrix: Real) -> Real:
    """The last two axes exchanged, sharded like the matrix; otherwise sums of the two would be gathered."""
    return _sharded_alike(jnp.swapaxes(matrix, -1, -2), matrix)[0]


VOCABULARY = {
    "exp": jnp.exp,
    "exp2": jnp.exp2,
    "expm1": jnp.expm1,
    "log": jnp.log,
    "log1p": log1p,
    "sqrt": jnp.sqrt,
    "sin": jnp.sin,
    "cos": jnp.cos,
    "absolute": absolute,
    "minimum": minimum,
    "maximum": maximum,
    "where": jnp.where,
    "unit": unit,
    "difference_of_products": difference_of_products,
    "polynomial": polynomial,
    "gauss_legendre": gauss_legendre,
    "either": either,
}

WORDS = Words(
    vocabulary=VOCABULARY,
    diagonal=diagonal,
    transpose=transpose,
    triangle=lambda n, like, k: jnp.triu(jnp.ones((n, n), bool), k),
    rule=rule,
)
