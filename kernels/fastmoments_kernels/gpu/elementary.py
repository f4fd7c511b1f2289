"""Elementary functions in plain Triton, by the same operations on every card and in the interpreter.

No libdevice and no approximate instructions: exp and the logarithms are polynomials over exact reductions, so that
the interpreter's results are the card's. Comparisons are written so that nan passes through.
"""

import ast
import math
from typing import TYPE_CHECKING, Any

import triton
import triton.language as tl

from fastmoments_kernels import expansions

if TYPE_CHECKING:
    from fastmoments_kernels.vocabulary import Real, Reals
else:
    Real = Reals = None  # Triton looks annotations up among the globals it may read

OLDEST = "3.5"  # 3.3 has no triton.knobs, 3.4 no tl.range(disable_licm=)

if tuple(map(int, triton.__version__.split(".")[:2])) < tuple(map(int, OLDEST.split("."))):
    raise ImportError(f"Triton {OLDEST} or later is needed; {triton.__version__} is installed")

INTERPRETED = bool(triton.knobs.runtime.interpret)


class _Nan(float):
    """A nan equal to itself: Triton compares globals with those it compiled, and refuses changed ones."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Nan)

    def __ne__(self, other: object) -> bool:
        return not isinstance(other, _Nan)

    __hash__ = float.__hash__


def constant(value: Any) -> Any:
    """A global for jitted code: compiled kernels read only constexpr globals, the interpreter reads any."""
    if INTERPRETED:
        return value
    is_nan = isinstance(value, float) and math.isnan(value)
    return tl.constexpr(_Nan("nan") if is_nan else value)


@triton.jit
def divided(a: Real, b: Real) -> Real:
    """a / b, correctly rounded in float32 too."""
    value = a / b
    if isinstance(value, tl.tensor):
        if value.dtype == tl.float32:
            value = tl.div_rn(tl.cast(a, tl.float32), tl.cast(b, tl.float32))
    return value


class _Divisions(ast.NodeTransformer):
    """Calls of `divided` in place of divisions."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:  # noqa: N802
        self.generic_visit(node)
        if not isinstance(node.op, ast.Div):
            return node
        called = ast.Name("divided", ast.Load())
        return ast.fix_missing_locations(ast.copy_location(ast.Call(called, [node.left, node.right], []), node))


class Compiled(triton.JITFunction):  # type: ignore[misc]
    """A function compiled by Triton, its divisions correctly rounded.

    Triton compiles `/` of float32 to div.full, which may be two ulp off. Formulas need less: an error of one ulp
    makes relu's derivative by cov_12 3e-9 at rho = -1, where it is 0.
    """

    def __init__(self, function: Any, **options: Any) -> None:
        super().__init__(function, **options)
        function.__globals__["divided"] = divided

    def parse(self) -> Any:
        """Return the syntax tree that is compiled."""
        return _Divisions().visit(super().parse())


def device(function: Any) -> Any:
    """A function that kernels call; Python where Triton interprets.

    triton.jit would patch the language at every interpreted call, which takes most of the time.
    """
    if INTERPRETED:
        return function
    compiled = Compiled(function)
    # Triton's key of a function depends on whether the functions it calls have one: without this, a process would
    # find what another compiled only after the same calls
    _ = compiled.cache_key
    return compiled


IS_INTERPRETED = constant(INTERPRETED)
LOG2_E = constant(expansions.LOG2_E)
LN2_HIGH_64, LN2_LOW_64 = map(constant, expansions.LN2_64)
LN2_HIGH_32, LN2_LOW_32 = map(constant, expansions.LN2_32)
MAGIC_64, MAGIC_32 = constant(expansions.MAGIC_64), constant(expansions.MAGIC_32)
TWO_OVER_PI, HALF_PI = constant(expansions.TWO_OVER_PI), constant(expansions.HALF_PI)
SQRT_2 = constant(1.4142135623730951)
INF = constant(float("inf"))
NAN = constant(float("nan"))
EXP_64, EXP_32 = constant(expansions.EXP_64), constant(expansions.EXP_32)
SIN_64, SIN_32 = constant(expansions.SIN_64), constant(expansions.SIN_32)
COS_64, COS_32 = constant(expansions.COS_64), constant(expansions.COS_32)
LOG = constant(expansions.LOG_64)


@device
def polynomial(coefficients: tl.constexpr, x: Real) -> Real:
    # tl.fma would take a bare number for float32
    total = tl.full((), coefficients[0], x.dtype)
    for i in tl.static_range(1, len(coefficients)):
        total = tl.fma(total, x, tl.full((), coefficients[i], x.dtype))
    return total


@device
def _reduced(x: Real) -> Reals:
    """(exp(r) - 1, n) with x = n ln 2 + r, |r| <= ln(2) / 2."""
    if x.dtype == tl.float64:
        shifted = tl.fma(x, tl.full((), LOG2_E, tl.float64), tl.full((), MAGIC_64, tl.float64))
        n = shifted - MAGIC_64
        r = tl.fma(n, tl.full((), -LN2_HIGH_64, tl.float64), x)
        r = tl.fma(n, tl.full((), -LN2_LOW_64, tl.float64), r)
        tail = polynomial(EXP_64, r)
    else:
        shifted = tl.fma(x, tl.full((), LOG2_E, tl.float32), tl.full((), MAGIC_32, tl.float32))
        n = shifted - MAGIC_32
        r = tl.fma(n, tl.full((), -LN2_HIGH_32, tl.float32), x)
        r = tl.fma(n, tl.full((), -LN2_LOW_32, tl.float32), r)
        tail = polynomial(EXP_32, r)
    # nan has no integer
    return tl.fma(tail * r, r, r), tl.where(n == n, n, 0.0).to(tl.int32)


@device
def _power_of_2(n: Real, dtype: tl.constexpr) -> Real:
    """2^n for an integer within the exponents of normal numbers."""
    if dtype == tl.float64:
        return ((n.to(tl.int64) + 1023) << 52).to(tl.float64, bitcast=True)
    else:
        return ((n + 127) << 23).to(tl.float32, bitcast=True)


@device
def exp(x: Real) -> Real:
    # beyond these exp is 0 or inf; within, half of the exponent is that of a normal number
    y = minimum(maximum(x, -760.0), 760.0) if x.dtype == tl.float64 else minimum(maximum(x, -110.0), 110.0)
    p, n = _reduced(y)
    half = n >> 1
    first = _power_of_2(half, x.dtype)
    return tl.fma(first, p, first) * _power_of_2(n - half, x.dtype)


@device
def exp2(x: Real) -> Real:
    return exp(0.6931471805599453 * x)


@device
def expm1(x: Real) -> Real:
    near = tl.abs(x) < 1.0
    p, n = _reduced(tl.where(near, x, 0.0))
    scale = _power_of_2(n, x.dtype)
    return tl.where(near, tl.fma(scale, p, scale - 1.0), exp(x) - 1.0)


@device
def _mantissa(x: Real) -> Reals:
    """(m, e) with x = m 2^e, m in [1, 2), for a positive normal number."""
    if x.dtype == tl.float64:
        bits = x.to(tl.int64, bitcast=True)
        exponent = ((bits >> 52) - 1023).to(tl.float64)
        return ((bits & 0xFFFFFFFFFFFFF) | 0x3FF0000000000000).to(tl.float64, bitcast=True), exponent
    else:
        bits = x.to(tl.int32, bitcast=True)
        exponent = ((bits >> 23) - 127).to(tl.float32)
        return ((bits & 0x7FFFFF) | 0x3F800000).to(tl.float32, bitcast=True), exponent


@device
def log(x: Real) -> Real:
    m, e = _mantissa(x)
    above = m > SQRT_2
    m = tl.where(above, 0.5 * m, m)
    e = tl.where(above, e + 1.0, e)
    f = m - 1.0
    s = f / (2.0 + f)
    square = s * s
    # log(1 + f) = 2 s + 2 s^3 (1/3 + s^2/5 + ...) and 2 s = f - s f, so that f itself is not rounded
    tail = s * (2.0 * square * polynomial(LOG, square) - f)
    if x.dtype == tl.float64:
        value = e * LN2_HIGH_64 + (f + (tail + e * LN2_LOW_64))
    else:
        value = e * LN2_HIGH_32 + (f + (tail + e * LN2_LOW_32))
    value = tl.where(x == 0.0, -INF, tl.where(x < 0.0, NAN, value))
    return tl.where((x != x) | (x == INF), x, value)


@device
def log1p(x: Real) -> Real:
    u = 1.0 + x
    inside = (u > 0.0) & (u < INF)
    # plus the rounding error of 1 + x
    return log(u) + tl.where(inside, x - (u - 1.0), 0.0) / tl.where(inside, u, 1.0)


@device
def _quadrant(x: Real) -> Reals:
    """(r, n modulo 4) with x = n pi / 2 + r, |r| <= pi / 4, in float64: float32 leaves three bits for a million.

    Beyond 1e15 the last digit of n is unknown, as that of x is; r is clamped, so that sine and cosine stay on the
    circle.
    """
    x_64 = x.to(tl.float64)
    n = tl.fma(x_64, tl.full((), TWO_OVER_PI, tl.float64), tl.full((), MAGIC_64, tl.float64)) - MAGIC_64
    r = x_64
    for i in tl.static_range(3):
        r = tl.fma(n, tl.full((), -HALF_PI[i], tl.float64), r)
    last = n - 4.0 * tl.floor(0.25 * n)
    # nan has no integer
    return minimum(maximum(r, -1.0), 1.0).to(x.dtype), tl.where(last == last, last, 0.0).to(tl.int32)


@device
def _turned(r: Real, quarters: Real) -> Real:
    """sin(r + quarters pi / 2)."""
    square = r * r
    if r.dtype == tl.float64:
        sine = tl.fma(r * square, polynomial(SIN_64, square), r)
        cosine = tl.fma(square, polynomial(COS_64, square), tl.full((), 1.0, tl.float64))
    else:
        sine = tl.fma(r * square, polynomial(SIN_32, square), r)
        cosine = tl.fma(square, polynomial(COS_32, square), tl.full((), 1.0, tl.float32))
    value = tl.where((quarters & 1) == 1, cosine, sine)
    return tl.where((quarters & 2) == 2, -value, value)


@device
def sin(x: Real) -> Real:
    r, n = _quadrant(x)
    return _turned(r, n)


@device
def cos(x: Real) -> Real:
    r, n = _quadrant(x)
    return _turned(r, n + 1)


@device
def sqrt(x: Real) -> Real:
    if x.dtype == tl.float64:
        return tl.sqrt(x)
    else:
        return tl.sqrt_rn(x)


@device
def unit(x: Real) -> Real:
    if x.dtype == tl.float64:
        exponent = (x.to(tl.int64, bitcast=True) >> 52) & 0x7FF
        return (((3070 - exponent) >> 1) << 52).to(tl.float64, bitcast=True)
    else:
        exponent = (x.to(tl.int32, bitcast=True) >> 23) & 0xFF
        return (((382 - exponent) >> 1) << 23).to(tl.float32, bitcast=True)


@device
def absolute(x: Real) -> Real:
    return tl.abs(x)


@device
def minimum(a: Real, b: Real) -> Real:
    return tl.where((a < b) | (a != a), a, b)


@device
def maximum(a: Real, b: Real) -> Real:
    return tl.where((a > b) | (a != a), a, b)


@device
def where(condition: Real, a: Real, b: Real) -> Real:
    return tl.where(condition, a, b)


@device
def where_64(condition: Real, a: Real, b: Real) -> Real:
    """tl.where, in float64 for two bare numbers too, which Triton makes float32, and so their first partner."""
    if isinstance(a, tl.tensor):
        return tl.where(condition, a, b)
    else:
        return tl.where(condition, tl.full((), a, tl.float64), b)
