"""The sums over a series' terms for a patch of pairs, in registers from the first term to the last."""

from typing import Any

import llvmlite.ir as ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastmoments_kernels.cpu.memory import element
from fastmoments_kernels.cpu.patches import HEIGHT, lanes, patch_of, rows_of
from fastmoments_kernels.cpu.vectors import load_vector, plus, splat, store_vector, vector_function


@intrinsic
def series(context: Any, rho: Any, rows: Any, columns: Any, terms: Any, i: Any, j: Any) -> Any:
    """The patch of sums over n = 1, ..., terms of rho^n rows[top - n, i + k] columns[top - n, j + l], by Horner.

    `top` is that of `series.coefficients`.
    """

    def emit(lowering: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values, of_1, of_2, count, row, column = arguments
        powers, width = rows_of(builder, values), lanes(rho.dtype)
        vector = powers[0].type
        fma = vector_function(builder, "llvm.fma", vector, 3)
        height = builder.extract_value(lowering.make_array(rows)(lowering, builder, of_1).shape, 0)
        first = builder.sub(plus(builder, height, -2), count)
        sums = [cgutils.alloca_once_value(builder, ir.Constant(vector, [0.0] * width)) for _ in powers]
        with cgutils.for_range(builder, count) as loop:
            n = builder.add(first, loop.index)
            across = load_vector(lowering, builder, columns, of_2, [n, column], rho.dtype, width)
            for k, (total, power) in enumerate(zip(sums, powers, strict=True)):
                down = builder.load(element(lowering, builder, rows, of_1, [n, plus(builder, row, k)]))
                term = builder.fmul(splat(builder, down, width), across)
                builder.store(builder.call(fma, [builder.load(total), power, term]), total)
        pairs = zip(sums, powers, strict=True)
        return patch_of(builder, [builder.fmul(builder.load(total), power) for total, power in pairs])

    return rho(rho, rows, columns, types.intp, types.intp, types.intp), emit


@intrinsic
def gradients(
    context: Any,
    rho: Any,
    weight: Any,
    of_1: Any,
    of_2: Any,
    terms: Any,
    i: Any,
    j: Any,
    by_row: Any,
    by_column: Any,
) -> Any:
    """Sums over n = 1, ..., terms with a_d = of_1[d, n - 1, i + k], c_d = of_2[d, n - 1, j + l], p = weight rho^n.

    Return the patch of the sums of p a_1 c_1. For d = 1 and 2 add those of p a_d c_0 to by_row[d - 1, i + k, l],
    and those of p a_0 c_d, summed over k too, to by_column[d - 1, j + l].
    """

    def emit(lowering: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values, weights, tables_1, tables_2, count, row, column, rows, columns = arguments
        real, width, slopes = types.float64, lanes(types.float64), []
        rhos, weights = rows_of(builder, values), rows_of(builder, weights)
        vector = rhos[0].type
        fma, zero = vector_function(builder, "llvm.fma", vector, 3), ir.Constant(vector, [0.0] * width)
        order = [ir.Constant(count.type, d) for d in range(3)]

        def gain(total: Any, a: Any, b: Any) -> None:
            builder.store(builder.call(fma, [a, b, builder.load(total)]), total)

        def gather(total: Any, kind: Any, array: Any, index: list[Any]) -> None:
            before = load_vector(lowering, builder, kind, array, index, real, width)
            store_vector(lowering, builder, builder.fadd(before, builder.load(total)), kind, array, index)

        # half of the rows at a time: five vectors of each stay in registers
        for first in range(0, HEIGHT, HEIGHT // 2):
            half = range(first, first + HEIGHT // 2)
            power = {k: cgutils.alloca_once_value(builder, weights[k]) for k in half}
            slope, *down = ({k: cgutils.alloca_once_value(builder, zero) for k in half} for _ in range(3))
            across = [cgutils.alloca_once_value(builder, zero) for _ in range(2)]
            with cgutils.for_range(builder, count) as loop:
                n = loop.index
                c = [load_vector(lowering, builder, of_2, tables_2, [d, n, column], real, width) for d in order]
                total = zero
                for k in half:
                    places = ([d, n, plus(builder, row, k)] for d in order)
                    a = [builder.load(element(lowering, builder, of_1, tables_1, place)) for place in places]
                    a = [splat(builder, x, width) for x in a]
                    p = builder.fmul(builder.load(power[k]), rhos[k])
                    builder.store(p, power[k])
                    total = builder.call(fma, [a[0], p, total])
                    term = builder.fmul(p, c[0])
                    gain(down[0][k], a[1], term)
                    gain(down[1][k], a[2], term)
                    gain(slope[k], a[1], builder.fmul(p, c[1]))
                gain(across[0], c[1], total)
                gain(across[1], c[2], total)
            for d in range(2):
                gather(across[d], by_column, columns, [order[d], column])
                for k in half:
                    start = ir.Constant(count.type, 0)
                    gather(down[d][k], by_row, rows, [order[d], plus(builder, row, k), start])
            slopes += [builder.load(slope[k]) for k in half]
        return patch_of(builder, slopes)

    return rho(rho, weight, of_1, of_2, types.intp, types.intp, types.intp, by_row, by_column), emit
