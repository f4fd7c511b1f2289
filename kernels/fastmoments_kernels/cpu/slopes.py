"""Tables of the Hermite coefficients of f and its derivatives, as `patch_series.gradients` reads them."""

from typing import Any

import llvmlite.ir as ir
from numba import types
from numba.extending import intrinsic

from fastmoments_kernels.cpu.patches import WIDE
from fastmoments_kernels.cpu.series import ROOT
from fastmoments_kernels.cpu.vectors import load_vector, plus, splat, store_vector

Array = Any  # an array in code that Numba compiles

ABOVE = 2  # orders beyond N that f'' needs
FACTORS = 4  # coefficients of an order


def fill(table: Array, first: int, terms: int, out: Array) -> None:
    """Fill out[j // WIDE, n - 1 - first, :, j % WIDE] for orders n = first + 1, ..., first + terms of neurons j.

    `table` is that of `series.coefficients`, up to ABOVE orders more. Of f, f' sd and f'' sd^2 these are the
    coefficients b_n (Price), the fourth is n b_n, but 0 for n = 1. A patch of neurons has all of an order in
    neighbouring lines.
    """
    top = table.shape[0] - 2
    for group in range(out.shape[0]):
        for n in range(first + 1, first + terms + 1):
            factor = 0.0 if n == 1 else float(n)
            put_order(table, top - n, group, ROOT[n + 1], ROOT[n + 2], factor, out, n - 1 - first)


@intrinsic
def put_order(
    context: Any, table: Any, row: Any, group: Any, root: Any, next_root: Any, factor: Any, out: Any, n: Any
) -> Any:
    """out[group, n] = b, root b', root next_root b'', factor b, for b, b', b'' in a row of the table and above."""

    def emit(lowering: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        given, first, which, one, two, times, result, place = arguments
        column, kinds = builder.mul(which, first.type(WIDE)), (table, given)
        rows = [[plus(builder, first, -d), column] for d in range(3)]
        b = [load_vector(lowering, builder, *kinds, where, types.float64, WIDE) for where in rows]
        scales = [None, one, builder.fmul(one, two), times]
        for d, (of, scale) in enumerate(zip((*b, b[0]), scales, strict=True)):
            value = of if scale is None else builder.fmul(of, splat(builder, scale, WIDE))
            where = [which, place, ir.Constant(first.type, d), ir.Constant(first.type, 0)]
            store_vector(lowering, builder, value, out, result, where)
        return lowering.get_dummy_value()

    integer, real = types.intp, types.float64
    return types.void(table, integer, integer, real, real, real, out, integer), emit
